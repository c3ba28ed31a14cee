// SPDX-License-Identifier: Apache-2.0

package trustroot_test

import (
	"bytes"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hallmark/internal/format/pubkey"
	"hallmark/internal/format/trustroot"
)

// compareKeys lets cmp look at keys and certificates.
var compareKeys = cmp.Options{
	cmp.Comparer(func(a, b *x509.Certificate) bool { return a.Equal(b) }),
	cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) }),
	cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".Key" }, cmp.Comparer(func(a, b any) bool {
		k, ok := a.(interface{ Equal(any) bool })
		if !ok {
			x, err1 := pubkey.MarshalPKIX(a)
			y, err2 := pubkey.MarshalPKIX(b)
			return err1 == nil && err2 == nil && bytes.Equal(x, y)
		}
		return k.Equal(b)
	})),
}

func TestRoundTrip(t *testing.T) {
	want := sample()
	data, err := want.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	got, err := trustroot.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got, compareKeys); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	for range 20 {
		if again := must(want.Marshal()); !bytes.Equal(again, data) {
			t.Fatal("Marshal is not deterministic")
		}
	}
	var o object
	if err := json.Unmarshal(data, &o); err != nil {
		t.Fatal(err)
	}
	if o["mediaType"] != "application/vnd.dev.sigstore.trustedroot+json;version=0.1" {
		t.Errorf("mediaType %v", o["mediaType"])
	}
	log := in(o, "tlogs", 0)
	if log["hashAlgorithm"] != "SHA2_256" || in(log, "publicKey")["keyDetails"] != "PKIX_ED25519" || in(log, "publicKey", "validFor")["start"] != "2026-01-02T03:04:05.678Z" {
		t.Errorf("tlogs[0] is %v", log)
	}
	if empty := must((&trustroot.Root{}).Marshal()); len(must(trustroot.Parse(empty)).Logs) != 0 {
		t.Error("an empty root has logs")
	}
}

// TestRealRoots reads every real trusted root and writes it again without loss.
func TestRealRoots(t *testing.T) {
	paths := []string{filepath.Join(sharedDir(t), "public-good", "trusted_root.json")}
	more := must(filepath.Glob(filepath.Join(sharedDir(t), "conformance", "bundle-verify", "*", "trusted_root.json")))
	if len(more) < 5 {
		t.Fatalf("only %d trusted roots among the vectors", len(more))
	}
	for _, path := range append(paths, more...) {
		data := must(os.ReadFile(path))
		root, err := trustroot.Parse(data)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		written, err := root.Marshal()
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if d := cmp.Diff(normal(t, data), normal(t, written)); d != "" {
			t.Errorf("%s: (-file +written)\n%s", path, d)
		}
	}
	root := must(trustroot.Parse(must(os.ReadFile(paths[0]))))
	if len(root.Logs) < 2 || len(root.CTLogs) < 2 || len(root.CAs) < 2 || len(root.TSAs) < 1 {
		t.Errorf("public good root has %d logs, %d CT logs, %d CAs, %d TSAs", len(root.Logs), len(root.CTLogs), len(root.CAs), len(root.TSAs))
	}
	if origin := root.Logs[1].Origin(); origin != "log2025-1.rekor.sigstore.dev" {
		t.Errorf("origin of the second log is %q", origin)
	}
}

// normal decodes JSON and writes timestamps and empty fields in one way.
func normal(t *testing.T, data []byte) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	var walk func(any) any
	walk = func(v any) any {
		switch v := v.(type) {
		case object:
			for k, e := range v {
				if v[k] = walk(e); v[k] == "" {
					delete(v, k)
				}
			}
		case []any:
			for i, e := range v {
				v[i] = walk(e)
			}
		case string:
			if ts, err := time.Parse(time.RFC3339Nano, v); err == nil {
				return ts.UTC().Format(time.RFC3339Nano)
			}
		}
		return v
	}
	return walk(v)
}

// TestParse changes one thing at a time about a good file.
func TestParse(t *testing.T) {
	root := sample()
	good := must(root.Marshal())
	b64 := base64.StdEncoding.EncodeToString
	spki := func(c elliptic.Curve) string { return b64(must(pubkey.MarshalPKIX(newECDSA(c).Public()))) }
	leaf, inter, anchor := object{"rawBytes": b64(root.TSAs[0].Chain[0].Raw)}, object{"rawBytes": b64(root.CAs[0].Chain[0].Raw)}, object{"rawBytes": b64(root.CAs[0].Chain[1].Raw)}
	chain := func(list string, certs ...any) func(object) {
		return func(o object) { in(o, list, 0, "certChain")["certificates"] = certs }
	}
	for _, tt := range []struct {
		name   string
		change func(object)
		err    string
	}{
		{"good", func(object) {}, ""},
		{"media type v0.2", func(o object) { o["mediaType"] = trustroot.MediaTypeV02 }, ""},
		{"snake case", func(o object) { o["media_type"] = o["mediaType"]; delete(o, "mediaType") }, ""},
		{"v0.2 fields", func(o object) {
			o["mediaType"] = trustroot.MediaTypeV02
			in(o, "tlogs", 0)["operator"] = "example.com"
			in(o, "tlogs", 0)["checkpointKeyId"] = object{"keyId": b64([]byte{1, 2, 3, 4})}
			in(o, "timestampAuthorities", 0)["operator"] = "example.com"
		}, ""},
		{"log id of 4 bytes", func(o object) { in(o, "tlogs", 0, "logId")["keyId"] = b64([]byte{1, 2, 3, 4}) }, ""},
		{"CA without a window", func(o object) { delete(in(o, "certificateAuthorities", 0), "validFor") }, ""},
		{"TSA without a leaf", chain("timestampAuthorities", inter, anchor), ""},
		{"same id for a log and a CT log", func(o object) { in(o, "tlogs", 0, "logId")["keyId"] = in(o, "ctlogs", 0, "logId")["keyId"] }, ""},

		{"no media type", func(o object) { delete(o, "mediaType") }, "mediaType is \"\""},
		{"another media type", func(o object) { o["mediaType"] = trustroot.MediaType + " " }, "mediaType is"},
		{"unknown field", func(o object) { o["surprise"] = 1 }, "surprise"},
		{"log id twice", func(o object) { in(o, "tlogs", 1, "logId")["keyId"] = in(o, "tlogs", 0, "logId")["keyId"] }, "tlogs[1]: logId.keyId is that of tlogs[0]"},
		{"no log id", func(o object) { delete(in(o, "tlogs", 0), "logId") }, "tlogs[0]: logId.keyId has 0 bytes"},
		{"short CT log id", func(o object) { in(o, "ctlogs", 0, "logId")["keyId"] = b64([]byte{1, 2, 3, 4}) }, "ctlogs[0]: logId.keyId has 4 bytes"},
		{"no key", func(o object) { delete(in(o, "tlogs", 0), "publicKey") }, "publicKey.rawBytes is missing"},
		{"broken key", func(o object) { in(o, "tlogs", 0, "publicKey")["rawBytes"] = b64([]byte{0x30, 0}) }, "tlogs[0]: publicKey"},
		{"key of another curve", func(o object) { in(o, "tlogs", 1, "publicKey")["rawBytes"] = spki(elliptic.P256()) }, "does not fit"},
		{"key of another kind", func(o object) { in(o, "tlogs", 0, "publicKey")["rawBytes"] = spki(elliptic.P256()) }, "does not fit"},
		{"no key details", func(o object) { delete(in(o, "tlogs", 0, "publicKey"), "keyDetails") }, "keyDetails"},
		{"unknown key details", func(o object) { in(o, "tlogs", 0, "publicKey")["keyDetails"] = "PKIX_ROT13" }, "keyDetails"},
		{"key details of no log", func(o object) { in(o, "tlogs", 0, "publicKey")["keyDetails"] = "PKIX_ED25519_PH" }, "logs do not sign with"},
		{"no window", func(o object) { delete(in(o, "tlogs", 0, "publicKey"), "validFor") }, "tlogs[0]: publicKey.validFor.start is missing"},
		{"no start", func(o object) { delete(in(o, "ctlogs", 0, "publicKey", "validFor"), "start") }, "ctlogs[0]: publicKey.validFor.start is missing"},
		{"window ends before it starts", func(o object) { in(o, "ctlogs", 0, "publicKey", "validFor")["end"] = "2020-01-01T00:00:00Z" }, "before it starts"},
		{"CA window ends before it starts", func(o object) { in(o, "certificateAuthorities", 0, "validFor")["end"] = "0001-01-01T00:00:00Z" }, "before it starts"},
		{"another hash", func(o object) { in(o, "tlogs", 0)["hashAlgorithm"] = "SHA2_512" }, "hashAlgorithm is SHA2_512"},
		{"no hash", func(o object) { delete(in(o, "tlogs", 0), "hashAlgorithm") }, "hashAlgorithm"},
		{"broken base URL", func(o object) { in(o, "tlogs", 0)["baseUrl"] = "https://%zz" }, "baseUrl"},
		{"checkpoint key id of 1 byte", func(o object) { in(o, "tlogs", 0)["checkpointKeyId"] = object{"keyId": "AA=="} }, "checkpointKeyId"},
		{"CA with an empty chain", chain("certificateAuthorities"), "certificateAuthorities[0]: certChain is empty"},
		{"CA without a chain", func(o object) { delete(in(o, "certificateAuthorities", 0), "certChain") }, "certChain is empty"},
		{"TSA with an empty chain", chain("timestampAuthorities"), "timestampAuthorities[0]: certChain is empty"},
		{"broken certificate", chain("certificateAuthorities", object{"rawBytes": "MAA="}), "certChain.certificates[0].rawBytes"},
		{"CA chain upside down", chain("certificateAuthorities", anchor, inter), "expected each to be issued by the next"},
		{"CA chain with a leaf", chain("certificateAuthorities", leaf, inter, anchor), "is not a CA"},
		{"TSA chain upside down", chain("timestampAuthorities", anchor, inter, leaf), "issued by the next"},
		{"TSA leaf not first", chain("timestampAuthorities", inter, leaf), "certificates[0] is issued by"},
		{"TSA chain with a gap", chain("timestampAuthorities", leaf, anchor), "issued by the next"},
		{"chain of 17", chain("certificateAuthorities", anchor, anchor, anchor, anchor, anchor, anchor, anchor, anchor, anchor, anchor, anchor, anchor, anchor, anchor, anchor, anchor, anchor), "at most 16"},
		{"1001 logs", func(o object) {
			for list := o["tlogs"].([]any); len(list) <= 1000; list = o["tlogs"].([]any) {
				o["tlogs"] = append(list, list[0])
			}
		}, "at most 1000"},
	} {
		root, err := trustroot.Parse(changed(t, good, tt.change))
		expect(t, tt.name, err, tt.err)
		if (root == nil) != (err != nil) {
			t.Errorf("%s: a root and an error, or neither", tt.name)
		}
	}
	for name, data := range map[string][]byte{
		"nothing": nil, "not JSON": []byte("{"), "an array": []byte("[]"),
		"repeated field": []byte(strings.Replace(string(good), "{", `{"tlogs":[],`, 1)),
		"too long":       append(bytes.Clone(good), bytes.Repeat([]byte(" "), trustroot.MaxSize)...),
		"trailing data":  append(bytes.Clone(good), "{}"...),
	} {
		if _, err := trustroot.Parse(data); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestV02Fields(t *testing.T) {
	data := changed(t, must(sample().Marshal()), func(o object) {
		o["mediaType"] = trustroot.MediaTypeV02
		in(o, "tlogs", 0)["operator"] = "op"
		in(o, "tlogs", 0)["checkpointKeyId"] = object{"keyId": "AQIDBA=="}
		in(o, "certificateAuthorities", 0)["operator"] = "op"
		in(o, "timestampAuthorities", 0)["operator"] = "op"
	})
	root := must(trustroot.Parse(data))
	if root.Logs[0].Operator != "op" || !bytes.Equal(root.Logs[0].CheckpointKeyID, []byte{1, 2, 3, 4}) || root.CAs[0].Operator != "op" || root.TSAs[0].Operator != "op" {
		t.Errorf("v0.2 fields are lost: %+v", root.Logs[0])
	}
	for _, word := range []string{"operator", "checkpointKeyId", "v0.2"} {
		if strings.Contains(string(must(root.Marshal())), word) {
			t.Errorf("%q is written into a v0.1 file", word)
		}
	}
}

func TestMarshalRefuses(t *testing.T) {
	for name, change := range map[string]func(*trustroot.Root){
		"no start":        func(r *trustroot.Root) { r.Logs[0].Valid = trustroot.Window{} },
		"log id twice":    func(r *trustroot.Root) { r.Logs[1].ID = r.Logs[0].ID },
		"wrong details":   func(r *trustroot.Root) { r.Logs[0].Details = pubkey.ECDSAP256SHA256 },
		"no details":      func(r *trustroot.Root) { r.CTLogs[0].Details = "" },
		"no key":          func(r *trustroot.Root) { r.CTLogs[0].Key = nil },
		"no chain":        func(r *trustroot.Root) { r.CAs[0].Chain = nil },
		"chain reordered": func(r *trustroot.Root) { c := r.CAs[0].Chain; c[0], c[1] = c[1], c[0] },
		"TSA no chain":    func(r *trustroot.Root) { r.TSAs[0].Chain = nil },
		"window":          func(r *trustroot.Root) { r.TSAs[0].Valid.End = start.Add(-1) },
	} {
		root := sample()
		change(root)
		if _, err := root.Marshal(); err == nil {
			t.Errorf("%s: written", name)
		}
	}
}

func TestWindow(t *testing.T) {
	w := trustroot.Window{Start: start, End: start.Add(time.Hour)}
	for _, tt := range []struct {
		w    trustroot.Window
		t    time.Time
		want bool
	}{
		{w, start.Add(-1), false},
		{w, start, true},
		{w, start.Add(time.Hour), true},
		{w, start.Add(time.Hour + 1), false},
		{trustroot.Window{Start: start}, start.AddDate(1000, 0, 0), true},
		{trustroot.Window{Start: start}, start.Add(-1), false},
		{trustroot.Window{End: start}, time.Time{}, true},
		{trustroot.Window{End: start}, start.Add(1), false},
		{trustroot.Window{}, start, true},
	} {
		if got := tt.w.Contains(tt.t); got != tt.want {
			t.Errorf("%v contains %v: %v", tt.w, tt.t, got)
		}
	}
}

func TestLookups(t *testing.T) {
	root := sample()
	if l := root.LogByID(root.Logs[1].ID); l == nil || l.BaseURL != root.Logs[1].BaseURL {
		t.Errorf("LogByID() = %v", l)
	}
	if l := root.CTLogByID(root.CTLogs[0].ID); l == nil || l.BaseURL != root.CTLogs[0].BaseURL {
		t.Errorf("CTLogByID() = %v", l)
	}
	if root.LogByID(root.CTLogs[0].ID) != nil || root.CTLogByID(nil) != nil {
		t.Error("a log that is not there is found")
	}
	for url, want := range map[string]string{
		"https://log.example.com":             "log.example.com",
		"https://log.example.com:8443/a/b?c#": "log.example.com",
		"http://[2001:db8::1]:80/":            "2001:db8::1",
		"":                                    "",
		"log.example.com":                     "",
		"https://%zz":                         "",
	} {
		if got := (trustroot.Log{BaseURL: url}).Origin(); got != want {
			t.Errorf("origin of %q is %q; expected %q", url, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(must(sample().Marshal()))
	f.Add([]byte(`{"mediaType":"application/vnd.dev.sigstore.trustedroot.v0.2+json"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		root, err := trustroot.Parse(data)
		if err != nil {
			return
		}
		written, err := root.Marshal()
		if err != nil {
			t.Fatalf("what was read is not written: %v", err)
		}
		again, err := trustroot.Parse(written)
		if err != nil {
			t.Fatalf("what was written is not read: %v", err)
		}
		if twice := must(again.Marshal()); !bytes.Equal(written, twice) {
			t.Errorf("written as %s, then as %s", written, twice)
		}
	})
}
