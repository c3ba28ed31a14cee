// SPDX-License-Identifier: Apache-2.0

package bundle

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	bundlepb "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"hallmark/internal/format/digest"
	"hallmark/internal/format/dsse"
	"hallmark/internal/format/logentry"
	"hallmark/internal/format/strictjson"
)

func entry(index int64) *logentry.Entry {
	hash := bytes.Repeat([]byte{7}, 32)
	return &logentry.Entry{
		LogIndex: index, LogID: hash, Kind: "hashedrekord", Version: "0.0.1", IntegratedTime: 1689177396, SET: []byte("set"), Body: []byte(`{"a":1}`),
		Proof: &logentry.InclusionProof{LogIndex: 5, TreeSize: 6, RootHash: hash, Hashes: [][]byte{hash}, Checkpoint: "log\n6\n"},
	}
}

func messageBundle() *Bundle {
	return &Bundle{
		MediaType: MediaTypeV03, Version: V03, Certificates: [][]byte{[]byte("leaf")},
		Entries: []*logentry.Entry{entry(1), entry(2)}, Timestamps: [][]byte{[]byte("ts1"), []byte("ts2")},
		Message: &MessageSignature{Digest: digest.Of(digest.SHA384, nil), Signature: []byte("sig")},
	}
}

func envelopeBundle() *Bundle {
	return &Bundle{
		MediaType: MediaTypeV03, Version: V03, KeyHint: "hint", HasKeyHint: true,
		Envelope: &dsse.Envelope{PayloadType: "t<", Payload: []byte("payload"), Signatures: []dsse.Signature{{KeyID: "k", Sig: []byte("sig")}}},
	}
}

func marshal(t testing.TB, b *Bundle) string {
	t.Helper()
	out, err := b.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestRoundTrip(t *testing.T) {
	bare := messageBundle()
	bare.Entries, bare.Timestamps = nil, nil
	emptyHint := envelopeBundle()
	emptyHint.KeyHint = ""
	for name, b := range map[string]*Bundle{"message": messageBundle(), "envelope": envelopeBundle(), "bare": bare, "empty hint": emptyHint} {
		out := marshal(t, b)
		back, err := Parse([]byte(out))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(b, back, cmp.Comparer(func(a, b digest.Digest) bool { return a == b })); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", name, diff)
		}
		if again := marshal(t, back); again != out {
			t.Errorf("%s: written again as\n%s\nfirst as\n%s", name, again, out)
		}
		if got := string(back.Signature()); got != "sig" {
			t.Errorf("%s: signature is %q", name, got)
		}
	}
	if (&Bundle{}).Signature() != nil {
		t.Error("an empty bundle has a signature")
	}
}

func TestMarshalMakesV03OfAnyVersion(t *testing.T) {
	b := messageBundle()
	b.MediaType, b.Version = MediaTypeV01, V01
	b.Certificates = [][]byte{[]byte("leaf"), []byte("intermediate")}
	out := marshal(t, b)
	if !strings.HasPrefix(out, `{"mediaType":"`+MediaTypeV03+`","verificationMaterial":{"certificate":{"rawBytes":"bGVhZg=="}`) {
		t.Errorf("written as %.200s", out)
	}
	if b.Version != V01 || len(b.Certificates) != 2 {
		t.Error("Marshal changed the bundle")
	}
	b.Entries[0].Proof = nil
	if _, err := b.Marshal(); err == nil || !strings.Contains(err.Error(), "inclusionProof is missing") {
		t.Errorf("without a proof: %v", err)
	}
}

func TestMediaTypes(t *testing.T) {
	for s, want := range map[string]Version{
		MediaTypeV03: V03, "application/vnd.dev.sigstore.bundle+json;version=0.3": V03,
		"application/vnd.dev.sigstore.bundle+json;version=0.2": V02, "application/vnd.dev.sigstore.bundle+json;version=0.1": V01,
		"application/vnd.dev.sigstore.bundle.v0.1+json": 0, "application/vnd.dev.sigstore.bundle.v0.4+json": 0, "application/vnd.dev.sigstore.bundle.v0.3.1+json": 0,
		"application/vnd.dev.sigstore.bundle+json": 0, "application/json": 0, "": 0, MediaTypeV03 + " ": 0,
	} {
		got, err := ParseMediaType(s)
		if got != want || (err == nil) != (want != 0) {
			t.Errorf("%q is version %s, %v: want %s", s, got, err, want)
		}
	}
	for v, want := range map[Version]string{V01: "0.1", V02: "0.2", V03: "0.3", 0: "unknown"} {
		if v.String() != want {
			t.Errorf("version %d is called %s", v, v)
		}
	}
}

// TestStructure breaks one rule at a time.
func TestStructure(t *testing.T) {
	many := func(n int, s string) string { return strings.TrimSuffix(strings.Repeat(s+",", n), ",") }
	cert := `"certificate":{"rawBytes":"bGVhZg=="}`
	chain := func(n int) string {
		return `"x509CertificateChain":{"certificates":[` + many(n, `{"rawBytes":"bGVhZg=="}`) + `]}`
	}
	v01 := strings.Replace(marshal(t, messageBundle()), MediaTypeV03, MediaTypeV01, 1)
	v02 := strings.Replace(v01, MediaTypeV01, MediaTypeV02, 1)
	v03 := marshal(t, messageBundle())
	env := marshal(t, envelopeBundle())
	const promise = `"inclusionPromise":{"signedEntryTimestamp":"c2V0"},`
	proof := func() string {
		i := strings.Index(v03, `"inclusionProof":`)
		return v03[i : i+strings.Index(v03[i:], `"canonicalizedBody"`)]
	}()
	const sigs = `"signatures":[{"sig":"c2ln","keyid":"k"}]`
	var entries strings.Builder
	for i := range MaxEntries + 1 {
		tle, err := entry(int64(i)).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&entries, "%s,", tle)
	}
	for _, tt := range []struct{ name, in, old, new, want string }{
		{"v0.1", v01, "", "", ""},
		{"v0.1 without promise", v01, promise, "", "inclusionPromise is missing: version 0.1"},
		{"v0.1 with null promise", v01, promise, `"inclusionPromise":null,`, "inclusionPromise is missing: version 0.1"},
		{"v0.1 with empty promise", v01, promise, `"inclusionPromise":{},`, "inclusionPromise is missing: version 0.1"},
		{"v0.1 without proof", v01, proof, "", ""},
		{"v0.1 with a chain", v01, cert, chain(3), ""},
		{"v0.2", v02, "", "", ""},
		{"v0.2 without promise", v02, promise, "", ""},
		{"v0.2 without proof", v02, proof, "", "inclusionProof is missing: version 0.2"},
		{"v0.2 with a chain", v02, cert, chain(MaxCertificates), ""},
		{"v0.2 with a long chain", v02, cert, chain(MaxCertificates + 1), "certificates: array has more than 10 elements"},
		{"v0.2 with an empty chain", v02, cert, chain(0), "no certificate"},
		{"v0.2 with a null chain", v02, cert, `"x509CertificateChain":null`, "expected one of certificate"},
		{"v0.2 with an empty element", v02, cert, `"x509CertificateChain":{"certificates":[{"rawBytes":"bGVhZg=="},{}]}`, "certificate 1 is empty"},
		{"v0.3", v03, "", "", ""},
		{"v0.3, other spelling", v03, MediaTypeV03, MediaTypeV03Alt, ""},
		{"v0.3 without promise", v03, promise, "", ""},
		{"v0.3 without proof", v03, proof, "", "inclusionProof is missing: version 0.3"},
		{"v0.3 with empty proof", v03, proof, `"inclusionProof":{},`, "treeSize is 0"},
		{"v0.3 without checkpoint", v03, `"checkpoint":{"envelope":"log\n6\n"}`, `"checkpoint":null`, "checkpoint is missing"},
		{"v0.3 with a chain", v03, cert, chain(1), "x509CertificateChain is not allowed"},
		{"v0.3 without entries", v03, `"tlogEntries":[`, `"tlogEntries":[],"x":[`, "unknown field"},
		{"v0.3, snake case", v03, `verificationMaterial`, `verification_material`, ""},
		{"v0.4", v03, "v0.3+json", "v0.4+json", "mediaType"},
		{"no media type", v03, `"mediaType":"` + MediaTypeV03 + `",`, ``, "mediaType is missing"},
		{"no certificate", v03, cert + `,`, ``, "expected one of certificate"},
		{"null certificate", v03, cert, `"certificate":null`, "expected one of certificate"},
		{"empty certificate", v03, cert, `"certificate":{}`, "certificate 0 is empty"},
		{"large certificate", v03, "bGVhZg==", strings.Repeat("QUFB", MaxCertificate/3+1), "certificate 0 is larger"},
		{"certificate and key", v03, cert, cert + `,"publicKey":{"hint":"h"}`, "expected one of certificate, publicKey"},
		{"key without a hint", env, `{"hint":"hint"}`, `{}`, ""},
		{"long hint", env, `"hint":"hint"`, `"hint":"` + strings.Repeat("h", MaxKeyHint+1) + `"`, "hint is longer"},
		{"no material", v03, `"verificationMaterial":`, `"verificationMaterial":null,"x":`, "unknown field"},
		{"empty material", `{"mediaType":"` + MediaTypeV03 + `","messageSignature":{"signature":"QQ=="}}`, "", "", "verificationMaterial is missing"},
		{"too many entries", v03, `"tlogEntries":[`, `"tlogEntries":[` + entries.String(), "tlogEntries: array has more than 32 elements"},
		{"entry twice", v03, `"logIndex":"2"`, `"logIndex":"1"`, "tlogEntries[1] is the same entry as tlogEntries[0]"},
		{"bad entry", v03, `"logIndex":"2"`, `"logIndex":"-2"`, "tlogEntries[1]: log entry: logIndex is -2"},
		{"too many timestamps", v03, `"rfc3161Timestamps":[`, `"rfc3161Timestamps":[` + many(MaxTimestamps-1, `{"signedTimestamp":"QQ=="}`) + `,`, "rfc3161Timestamps: array has more than 32 elements"},
		{"timestamp twice", v03, `dHMy`, `dHMx`, "rfc3161Timestamps[1] is the same as rfc3161Timestamps[0]"},
		{"empty timestamp", v03, `{"signedTimestamp":"dHMy"}`, `{}`, "rfc3161Timestamps[1].signedTimestamp is missing"},
		{"large timestamp", v03, `dHMy`, strings.Repeat("QUFB", MaxTimestamp/3+1), "rfc3161Timestamps[1].signedTimestamp is larger"},
		{"no content", v03, `"messageSignature":{`, `"x":{`, "unknown field"},
		{"null content", env, `"dsseEnvelope":`, `"messageSignature":null,"dsseEnvelope":`, ""},
		{"no content at all", `{"mediaType":"` + MediaTypeV03 + `","verificationMaterial":{` + cert + `}}`, "", "", "expected exactly one of messageSignature"},
		{"two contents", v03, `"messageSignature":`, `"dsseEnvelope":{},"messageSignature":`, "expected exactly one of messageSignature"},
		{"no digest", `{"mediaType":"` + MediaTypeV03 + `","verificationMaterial":{` + cert + `},"messageSignature":{"signature":"QQ=="}}`, "", "", "messageDigest is missing"},
		{"null digest", `{"mediaType":"` + MediaTypeV03 + `","verificationMaterial":{` + cert + `},"messageSignature":{"messageDigest":null,"signature":"QQ=="}}`, "", "", "messageDigest is missing"},
		{"no signature", v03, `,"signature":"c2ln"`, ``, "messageSignature.signature is missing"},
		{"large signature", v03, `"signature":"c2ln"`, `"signature":"` + strings.Repeat("QUFB", MaxSignature/3+1) + `"`, "messageSignature.signature is longer"},
		{"unknown digest algorithm", v03, `SHA2_384`, `SHA3_384`, "messageDigest.algorithm"},
		{"unspecified digest algorithm", v03, `"algorithm":"SHA2_384",`, ``, "messageDigest.algorithm"},
		{"digest of other length", v03, `SHA2_384`, `SHA2_256`, "messageDigest.digest"},
		{"no envelope signature", env, sigs, `"signatures":[]`, "dsseEnvelope: signatures is empty"},
		{"null envelope signature", env, sigs, `"signatures":[{}]`, "dsseEnvelope: signatures[0].sig is empty"},
		{"two envelope signatures", env, sigs, `"signatures":[{"sig":"QQ=="},{"sig":"Qg=="}]`, "2 signatures: a bundle holds exactly one"},
		{"no payload type", env, `"payloadType":"t<",`, ``, "dsseEnvelope: payloadType is empty"},
		{"unknown field", v03, `{"mediaType"`, `{"x":1,"mediaType"`, "unknown field"},
		{"field twice", v03, `{"mediaType"`, `{"mediaType":"x","mediaType"`, "occurs twice"},
		{"field in both names", v03, `{"mediaType"`, `{"media_type":"x","mediaType"`, "occurs twice"},
		{"field in another case", v03, `"messageSignature"`, `"MessageSignature"`, "must be written"},
		{"bad base64", v03, `bGVhZg==`, `!`, "string is not base64"},
		{"trailing data", v03, `{"mediaType"`, `{} {"mediaType"`, "data after the end"},
	} {
		in := tt.in
		if tt.old != "" {
			if in = strings.Replace(in, tt.old, tt.new, 1); in == tt.in {
				t.Errorf("%s: the replacement changes nothing", tt.name)
			}
		}
		_, err := Parse([]byte(in))
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%s: %v", tt.name, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: error is %v: want one with %q", tt.name, err, tt.want)
		}
	}
	if _, err := Parse(make([]byte, MaxSize+1)); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("too large: %v", err)
	}
}

// TestMarshalRefuses is for bundles that Parse cannot return.
func TestMarshalRefuses(t *testing.T) {
	for name, break_ := range map[string]func(*Bundle){
		"two contents":     func(b *Bundle) { b.Envelope = envelopeBundle().Envelope },
		"no content":       func(b *Bundle) { b.Message = nil },
		"key and cert":     func(b *Bundle) { b.HasKeyHint = true },
		"no key, no cert":  func(b *Bundle) { b.Certificates = nil },
		"nil entry":        func(b *Bundle) { b.Entries[0] = nil },
		"too many entries": func(b *Bundle) { b.Entries = make([]*logentry.Entry, MaxEntries+1) },
	} {
		b := messageBundle()
		break_(b)
		if out, err := b.Marshal(); err == nil {
			t.Errorf("%s: written as %s", name, out)
		}
	}
}

// TestTruncations cuts a bundle at every byte.
func TestTruncations(t *testing.T) {
	for _, b := range []*Bundle{messageBundle(), envelopeBundle()} {
		out := marshal(t, b)
		for i := range out {
			if _, err := Parse([]byte(out[:i])); err == nil {
				t.Errorf("accepted the first %d bytes", i)
			}
		}
	}
}

// TestNulls puts null in the place of every value, one at a time.
func TestNulls(t *testing.T) {
	for _, b := range []*Bundle{messageBundle(), envelopeBundle()} {
		var doc any
		if err := json.Unmarshal([]byte(marshal(t, b)), &doc); err != nil {
			t.Fatal(err)
		}
		tried := 0
		eachNull(doc, func() {
			data, err := json.Marshal(doc)
			if err != nil {
				t.Fatal(err)
			}
			if b, err := Parse(data); err == nil {
				b.Signature()
				b.Marshal()
			}
			tried++
		})
		if tried < 10 {
			t.Errorf("only %d nulls tried", tried)
		}
	}
}

func eachNull(v any, try func()) {
	switch v := v.(type) {
	case map[string]any:
		for k, old := range v {
			v[k] = nil
			try()
			v[k] = old
			eachNull(old, try)
		}
	case []any:
		for i, old := range v {
			v[i] = nil
			try()
			v[i] = old
			eachNull(old, try)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(marshal(f, messageBundle())))
	f.Add([]byte(marshal(f, envelopeBundle())))
	f.Add([]byte(strings.Replace(marshal(f, messageBundle()), MediaTypeV03, MediaTypeV01, 1)))
	f.Add([]byte(`{"media_type":"` + MediaTypeV02 + `","verificationMaterial":{"x509CertificateChain":{"certificates":[{"rawBytes":"QQ=="},{"rawBytes":"Qg"}]},"tlogEntries":[]},"messageSignature":{"signature":"QQ"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := Parse(data)
		if err != nil {
			return
		}
		if len(b.Signature()) == 0 || (len(b.Certificates) == 0) == !b.HasKeyHint {
			t.Fatal("an invariant does not hold")
		}
		if _, err := strictjson.Parse(data); err != nil {
			t.Fatalf("protojson is laxer than strictjson: %v", err)
		}
		pb := new(bundlepb.Bundle)
		if err := protojson.Unmarshal(data, pb); err != nil {
			t.Fatal(err)
		}
		out, err := b.Marshal()
		if err != nil {
			return // an earlier version without proofs
		}
		back, err := Parse(out)
		if err != nil {
			t.Fatalf("written but not parsed: %v", err)
		}
		if again, err := back.Marshal(); err != nil || !bytes.Equal(again, out) {
			t.Fatalf("%s is written again as %s, %v", out, again, err)
		}
	})
}
