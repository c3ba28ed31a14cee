// SPDX-License-Identifier: Apache-2.0

package legacysig_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"

	"hallmark/internal/format/bundle"
	"hallmark/internal/format/digest"
	"hallmark/internal/format/legacysig"
)

const (
	body   = `{"apiVersion":"0.0.1","kind":"hashedrekord","spec":{}}`
	logID  = "c0d23d6ad406973f9559f3ba2d1ca01f84147d8ffc5b8445c224f98b9591801d"
	layer  = `{"payloadType":"application/vnd.in-toto+json","payload":"e30=","signatures":[{"sig":"c2ln"}]}`
	badB64 = "standard or URL alphabet"
)

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func certificate(der string) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte(der)}))
}

func promise(body string) string {
	return fmt.Sprintf(`{"SignedEntryTimestamp":%q,"Payload":{"body":%q,"integratedTime":1624396085,"logIndex":5179,"logID":%q}}`, b64("set"), b64(body), logID)
}

// annotations of a signature with all there is.
func annotations() map[string]string {
	return map[string]string{
		legacysig.AnnotationSignature:     b64("signature"),
		legacysig.AnnotationCertificate:   certificate("leaf"),
		legacysig.AnnotationChain:         "not PEM, and nobody minds",
		legacysig.AnnotationBundle:        promise(body),
		legacysig.AnnotationTimestamp:     fmt.Sprintf(`{"SignedRFC3161Timestamp":%q}`, b64("token")),
		legacysig.AnnotationPredicateType: "not read",
		"of.others":                       "kept out",
	}
}

func TestParseSignature(t *testing.T) {
	b, err := legacysig.ParseSignature(annotations())
	if err != nil {
		t.Fatal(err)
	}
	if b.Version != bundle.V01 || string(b.Message.Signature) != "signature" || !b.Message.Digest.IsZero() || b.Envelope != nil || b.HasKeyHint {
		t.Errorf("bundle %+v", b)
	}
	if len(b.Certificates) != 1 || string(b.Certificates[0]) != "leaf" || len(b.Timestamps) != 1 || string(b.Timestamps[0]) != "token" || len(b.Entries) != 1 {
		t.Fatalf("bundle %+v", b)
	}
	e := b.Entries[0]
	if e.LogIndex != 5179 || e.IntegratedTime != 1624396085 || e.Kind != "hashedrekord" || e.Version != "0.0.1" ||
		string(e.Body) != body || string(e.SET) != "set" || fmt.Sprintf("%x", e.LogID) != logID || e.Proof != nil {
		t.Errorf("entry %+v", e)
	}
}

func TestParseSignatureOfAKey(t *testing.T) {
	for name, a := range map[string]map[string]string{
		"bare":  {legacysig.AnnotationSignature: b64("signature")},
		"empty": {legacysig.AnnotationSignature: b64("signature"), legacysig.AnnotationCertificate: "", legacysig.AnnotationBundle: "", legacysig.AnnotationTimestamp: ""},
	} {
		b, err := legacysig.ParseSignature(a)
		if err != nil || !b.HasKeyHint || len(b.Certificates)+len(b.Entries)+len(b.Timestamps) != 0 {
			t.Errorf("%s: %+v, %v", name, b, err)
		}
	}
}

func TestParseAttestation(t *testing.T) {
	a := annotations()
	a[legacysig.AnnotationSignature] = ""
	b, err := legacysig.ParseAttestation([]byte(layer), a)
	if err != nil {
		t.Fatal(err)
	}
	if b.Message != nil || b.Envelope == nil || string(b.Envelope.Payload) != "{}" || string(b.Envelope.Text) != layer || len(b.Certificates) != 1 || len(b.Entries) != 1 || len(b.Timestamps) != 1 {
		t.Errorf("bundle %+v", b)
	}
	two := strings.Replace(layer, `{"sig":"c2ln"}`, `{"sig":"c2ln"},{"sig":"c2lo"}`, 1)
	for _, bad := range []string{"", "{}", two} {
		if _, err := legacysig.ParseAttestation([]byte(bad), a); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func TestBadAnnotations(t *testing.T) {
	for _, tt := range []struct{ name, key, value, want string }{
		{"no signature", legacysig.AnnotationSignature, "", "is missing"},
		{"signature not base64", legacysig.AnnotationSignature, "a b", badB64},
		{"signature with a line break", legacysig.AnnotationSignature, "c2ln\n", badB64},
		{"huge signature", legacysig.AnnotationSignature, strings.Repeat("A", 1<<20), "longer than"},
		{"long signature", legacysig.AnnotationSignature, b64(strings.Repeat("a", bundle.MaxSignature+1)), "longer than"},
		{"no PEM", legacysig.AnnotationCertificate, "leaf", "expected a PEM certificate"},
		{"a key", legacysig.AnnotationCertificate, strings.ReplaceAll(certificate("leaf"), "CERTIFICATE", "PUBLIC KEY"), "expected a PEM certificate"},
		{"two certificates", legacysig.AnnotationCertificate, certificate("leaf") + certificate("ca"), "one PEM certificate and nothing after"},
		{"text before", legacysig.AnnotationCertificate, "x\n" + certificate("leaf"), "expected a PEM certificate"},
		{"text after", legacysig.AnnotationCertificate, certificate("leaf") + "x", "nothing after"},
		{"empty certificate", legacysig.AnnotationCertificate, certificate(""), "expected a PEM certificate"},
		{"huge certificate", legacysig.AnnotationCertificate, certificate(strings.Repeat("a", 1<<20)), "longer than"},
		{"bundle not JSON", legacysig.AnnotationBundle, "null and void", "JSON"},
		{"bundle null", legacysig.AnnotationBundle, "null", "expected an object"},
		{"unknown field", legacysig.AnnotationBundle, strings.Replace(promise(body), `{`, `{"x":1,`, 1), "unknown field"},
		{"unknown field inside", legacysig.AnnotationBundle, strings.Replace(promise(body), `{"body"`, `{"inclusionProof":{},"body"`, 1), "unknown field"},
		{"another case", legacysig.AnnotationBundle, strings.Replace(promise(body), "Payload", "payload", 1), "must be written"},
		{"field twice", legacysig.AnnotationBundle, strings.Replace(promise(body), `"logIndex"`, `"logIndex":1,"logIndex"`, 1), "twice"},
		{"no promise", legacysig.AnnotationBundle, strings.Replace(promise(body), b64("set"), "", 1), "inclusionPromise is missing"},
		{"no body", legacysig.AnnotationBundle, promise(""), "body"},
		{"body of no kind", legacysig.AnnotationBundle, promise(`{"apiVersion":"0.0.1"}`), "kind"},
		{"body of no version", legacysig.AnnotationBundle, promise(`{"kind":"x"}`), "apiVersion"},
		{"body not JSON", legacysig.AnnotationBundle, promise("x"), "body"},
		{"time as text", legacysig.AnnotationBundle, strings.Replace(promise(body), "1624396085", `"1624396085"`, 1), "integratedTime"},
		{"time before all time", legacysig.AnnotationBundle, strings.Replace(promise(body), "1624396085", "-1", 1), "integratedTime"},
		{"negative index", legacysig.AnnotationBundle, strings.Replace(promise(body), "5179", "-1", 1), "logIndex"},
		{"fraction", legacysig.AnnotationBundle, strings.Replace(promise(body), "5179", "1.5", 1), "logIndex"},
		{"log not hexadecimal", legacysig.AnnotationBundle, strings.Replace(promise(body), logID, "xyz", 1), "hexadecimal"},
		{"no log", legacysig.AnnotationBundle, strings.Replace(promise(body), logID, "", 1), "logId"},
		{"huge bundle", legacysig.AnnotationBundle, strings.Repeat(" ", 32<<20), "longer than"},
		{"token not JSON", legacysig.AnnotationTimestamp, "{", "JSON"},
		{"token missing", legacysig.AnnotationTimestamp, "{}", "SignedRFC3161Timestamp"},
		{"token empty", legacysig.AnnotationTimestamp, `{"SignedRFC3161Timestamp":""}`, "missing"},
		{"token with more", legacysig.AnnotationTimestamp, `{"SignedRFC3161Timestamp":"dA==","x":1}`, "unknown field"},
		{"huge token", legacysig.AnnotationTimestamp, strings.Repeat(" ", 1<<20), "longer than"},
		{"large token", legacysig.AnnotationTimestamp, `{"SignedRFC3161Timestamp":"` + b64(strings.Repeat("a", bundle.MaxTimestamp+1)) + `"}`, "larger than"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := annotations()
			a[tt.key] = tt.value
			b, err := legacysig.ParseSignature(a)
			if err == nil || b != nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%+v, error %v, want one with %q", b, err, tt.want)
			}
		})
	}
}

var image = digest.Of(digest.SHA256, []byte("image"))

func payload() string {
	return `{"critical":{"identity":{"docker-reference":"registry.example.test/app"},"image":{"docker-manifest-digest":"` + image.String() +
		`"},"type":"cosign container image signature"},"optional":{"creator":"x","n":1}}`
}

func TestParsePayload(t *testing.T) {
	p, err := legacysig.ParsePayload([]byte(payload()))
	if err != nil {
		t.Fatal(err)
	}
	want := &legacysig.Payload{Image: image, Kind: legacysig.PayloadKind, Reference: "registry.example.test/app", Optional: map[string]any{"creator": "x", "n": 1.0}}
	if !reflect.DeepEqual(p, want) {
		t.Errorf("%+v, want %+v", p, want)
	}
	out, err := p.Marshal()
	if err != nil || string(out) != payload() {
		t.Errorf("written as %s, %v", out, err)
	}
	for _, ok := range []string{
		strings.Replace(payload(), `"optional":{"creator":"x","n":1}`, `"optional":null`, 1),
		strings.Replace(payload(), `,"optional":{"creator":"x","n":1}`, ``, 1),
		strings.Replace(payload(), `"identity":{"docker-reference":"registry.example.test/app"},`, ``, 1),
		strings.Replace(payload(), `"docker-reference":"registry.example.test/app"`, ``, 1),
		strings.Replace(payload(), `{"critical"`, `{"unknown":1,"critical"`, 1),
		" " + payload() + "\n",
	} {
		if p, err := legacysig.ParsePayload([]byte(ok)); err != nil || p.Image != image {
			t.Errorf("%s: %v", ok, err)
		}
	}
}

func TestBadPayloads(t *testing.T) {
	for from, to := range map[string]string{
		`"critical"`:                          `"Critical"`,
		`"type"`:                              `"TYPE"`,
		`"docker-manifest-digest"`:            `"Docker-manifest-digest"`,
		`"identity"`:                          `"expires":"2020-01-01","identity"`,
		`"docker-reference"`:                  `"rule":1,"docker-reference"`,
		`{"docker-manifest-digest"`:           `{"size":1,"docker-manifest-digest"`,
		`"type":"`:                            `"type":1,"x":"`,
		`"type":"cosign`:                      `"type":"x","type":"cosign`,
		image.String():                        image.Hex(),
		image.Hex():                           strings.ToUpper(image.Hex()),
		`"` + image.String() + `"`:            "null",
		`"registry.example.test/app"`:         "7",
		`{"creator":"x","n":1}`:               `[]`,
		`"creator":"x"`:                       `"n":2`,
		`{"docker-reference"`:                 `{"docker-reference":null,"docker-reference"`,
		`{"creator":"x","n":1}}`:              `{}}{}`,
		`"cosign container image signature"}`: `"cosign container image signature"`,
	} {
		text := strings.Replace(payload(), from, to, 1)
		if text == payload() {
			t.Errorf("%s is not there", from)
		}
		if p, err := legacysig.ParsePayload([]byte(text)); err == nil {
			t.Errorf("%s was read as %+v", text, p)
		}
	}
	large := payload()[:len(payload())-1] + strings.Repeat(" ", legacysig.MaxPayload) + "}"
	if _, err := legacysig.ParsePayload([]byte(large)); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("large: %v", err)
	}
}

func FuzzParsePayload(f *testing.F) {
	for _, seed := range []string{payload(), "", "{}", `{"critical":{}}`, `{"critical":null,"optional":{}}`, strings.ToUpper(payload())} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := legacysig.ParsePayload(data)
		if err != nil {
			return
		}
		// encoding/json, which others use, has to see the same image.
		var loose struct {
			Critical struct {
				Image struct {
					Digest string `json:"docker-manifest-digest"`
				}
				Type string
			}
		}
		if err := json.Unmarshal(data, &loose); err != nil {
			t.Fatal(err)
		}
		if d, err := digest.Parse(loose.Critical.Image.Digest); err != nil || d != p.Image || loose.Critical.Type != p.Kind {
			t.Fatalf("read as %+v and as %+v", p, loose)
		}
		out, err := p.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		again, err := legacysig.ParsePayload(out)
		if err != nil || again.Image != p.Image || again.Kind != p.Kind || again.Reference != p.Reference {
			t.Fatalf("%+v was written and read as %+v, %v", p, again, err)
		}
	})
}

func FuzzAnnotations(f *testing.F) {
	a := annotations()
	add := func(a map[string]string, layer string) {
		f.Add(a[legacysig.AnnotationSignature], a[legacysig.AnnotationCertificate], a[legacysig.AnnotationBundle], a[legacysig.AnnotationTimestamp], []byte(layer))
	}
	add(a, layer)
	add(nil, "")
	for key := range a {
		less := maps.Clone(a)
		delete(less, key)
		add(less, layer+layer)
	}
	f.Fuzz(func(t *testing.T, sig, cert, promise, token string, layer []byte) {
		a := map[string]string{legacysig.AnnotationSignature: sig, legacysig.AnnotationCertificate: cert,
			legacysig.AnnotationBundle: promise, legacysig.AnnotationTimestamp: token}
		b, err := legacysig.ParseSignature(a)
		if err == nil {
			if (len(b.Certificates) == 1) == b.HasKeyHint || (cert == "") != b.HasKeyHint || (promise == "") != (len(b.Entries) == 0) || (token == "") != (len(b.Timestamps) == 0) {
				t.Fatalf("%+v", b)
			}
			if err := b.Validate(); err != nil {
				t.Fatal(err)
			}
		}
		att, attErr := legacysig.ParseAttestation(layer, a)
		if attErr == nil {
			if err := att.Validate(); err != nil {
				t.Fatal(err)
			}
			if err == nil && !reflect.DeepEqual(att.Entries, b.Entries) {
				t.Fatal("signature and attestation read the same annotation differently")
			}
			if bytes.Contains(layer, []byte("\x00")) {
				t.Fatal("a NUL passed")
			}
		}
	})
}
