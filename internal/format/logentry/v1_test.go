// SPDX-License-Identifier: Apache-2.0

package logentry

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hallmark/internal/format/digest"
)

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// v1Bodies are good bodies of each kind, signed "sig" by logKey.
func v1Bodies() map[string]string {
	hash := fmt.Sprintf(`{"algorithm":"sha256","value":"%x"}`, sha256.Sum256(nil))
	key := b64(logKey)
	return map[string]string{
		"hashedrekord 0.0.1": `{"apiVersion":"0.0.1","kind":"hashedrekord","spec":{"data":{"hash":` + hash + `},"signature":{"content":"c2ln","publicKey":{"content":"` + key + `"}}}}`,
		"dsse 0.0.1":         `{"apiVersion":"0.0.1","kind":"dsse","spec":{"envelopeHash":` + hash + `,"payloadHash":` + hash + `,"signatures":[{"signature":"c2ln","verifier":"` + key + `"}]}}`,
		"intoto 0.0.2": `{"apiVersion":"0.0.2","kind":"intoto","spec":{"content":{"envelope":{"payloadType":"type","signatures":[{"publicKey":"` + key + `","sig":"` + b64("c2ln") + `"}]},` +
			`"hash":` + hash + `,"payloadHash":` + hash + `}}}`,
		"intoto 0.0.1":      `{"apiVersion":"0.0.1","kind":"intoto","spec":{"content":{"hash":` + hash + `,"payloadHash":` + hash + `},"publicKey":"` + key + `"}}`,
		"intoto 0.0.1, old": `{"apiVersion":"0.0.1","kind":"intoto","spec":{"content":{"hash":` + hash + `},"publicKey":"` + key + `"}}`,
	}
}

func TestParseV1Body(t *testing.T) {
	sum := digest.Of(digest.SHA256, nil)
	signed := []V1Signature{{Signature: []byte("sig"), PublicKey: pemDER(t, logKey)}}
	verifier := []V1Signature{{PublicKey: pemDER(t, logKey)}}
	want := map[string]*V1Body{
		"hashedrekord 0.0.1": {Kind: "hashedrekord", Version: "0.0.1", Artifact: sum, Signatures: signed},
		"dsse 0.0.1":         {Kind: "dsse", Version: "0.0.1", EnvelopeHash: sum, PayloadHash: sum, Signatures: signed},
		"intoto 0.0.2":       {Kind: "intoto", Version: "0.0.2", EnvelopeHash: sum, PayloadHash: sum, PayloadType: "type", Signatures: signed},
		"intoto 0.0.1":       {Kind: "intoto", Version: "0.0.1", EnvelopeHash: sum, PayloadHash: sum, Signatures: verifier},
		"intoto 0.0.1, old":  {Kind: "intoto", Version: "0.0.1", EnvelopeHash: sum, Signatures: verifier},
	}
	for name, in := range v1Bodies() {
		got, err := ParseV1Body([]byte(in))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(want[name], got, cmp.Comparer(sameDigest)); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", name, diff)
		}
		if _, err := got.Signatures[0].Key(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestParseV1BodyRefuses(t *testing.T) {
	bodies := v1Bodies()
	many := strings.Repeat(`{},`, maxV1Signatures) + "{}"
	for _, tt := range []struct{ name, kind, old, new, want string }{
		{"trailing data", "dsse 0.0.1", `{"apiVersion"`, `{} {"apiVersion"`, "after the end"},
		{"field twice", "dsse 0.0.1", `"kind"`, `"kind":"x","kind"`, "occurs twice"},
		{"no kind", "dsse 0.0.1", `"kind":"dsse"`, `"x":1`, "kind: missing"},
		{"no version", "dsse 0.0.1", `"apiVersion":"0.0.1"`, `"x":1`, "apiVersion: missing"},
		{"unknown kind", "dsse 0.0.1", `"dsse"`, `"rekord"`, "not supported"},
		{"unknown version", "dsse 0.0.1", `0.0.1`, `0.0.9`, "not supported"},
		{"v2 kind", "hashedrekord 0.0.1", `0.0.1`, `0.0.2`, "not supported"},
		{"no spec", "dsse 0.0.1", `"spec"`, `"x"`, "spec.envelopeHash.algorithm: missing"},
		{"other case", "dsse 0.0.1", `"spec"`, `"Spec"`, "must be written"},
		{"no artifact hash", "hashedrekord 0.0.1", `"hash"`, `"x"`, "spec.data.hash.algorithm: missing"},
		{"unknown hash", "hashedrekord 0.0.1", `sha256`, `sha1`, "not supported"},
		{"hash no hex", "hashedrekord 0.0.1", `"value":"e3`, `"value":"zz`, "spec.data.hash.value is not hexadecimal"},
		{"hash too short", "hashedrekord 0.0.1", `"value":"e3`, `"value":"`, "31 bytes"},
		{"signature no base64", "hashedrekord 0.0.1", `c2ln`, `!`, "spec.signature: signature: string is not base64"},
		{"no signature", "hashedrekord 0.0.1", `"content":"c2ln",`, ``, "spec.signature.content: missing"},
		{"empty signature", "hashedrekord 0.0.1", `c2ln`, ``, "signature is empty"},
		{"no key", "hashedrekord 0.0.1", `"publicKey"`, `"x"`, "spec.signature.publicKey.content: missing"},
		{"key no PEM", "hashedrekord 0.0.1", b64(logKey), b64("x"), "not PEM"},
		{"key no base64", "hashedrekord 0.0.1", b64(logKey), "!", "verifier: string is not base64"},
		{"PGP key", "hashedrekord 0.0.1", b64(logKey), b64(strings.ReplaceAll(logKey, "PUBLIC KEY", "PGP PUBLIC KEY BLOCK")), "expected CERTIFICATE or PUBLIC KEY"},
		{"no payload hash", "dsse 0.0.1", `"payloadHash"`, `"x"`, "spec.payloadHash.algorithm: missing"},
		{"no signatures", "dsse 0.0.1", `"signatures"`, `"x"`, "spec.signatures: missing"},
		{"empty signatures", "dsse 0.0.1", `[{"signature":"c2ln","verifier":"` + b64(logKey) + `"}]`, `[]`, "spec.signatures is empty"},
		{"null signature", "dsse 0.0.1", `{"signature":"c2ln","verifier":"` + b64(logKey) + `"}`, `null`, "spec.signatures[0].signature: missing"},
		{"too many signatures", "dsse 0.0.1", `{"signature":"c2ln","verifier":"` + b64(logKey) + `"}`, many, "more than 64"},
		{"no envelope hash", "intoto 0.0.2", `"hash"`, `"x"`, "spec.content.hash.algorithm: missing"},
		{"no payload hash", "intoto 0.0.2", `"payloadHash"`, `"x"`, "spec.content.payloadHash.algorithm: missing"},
		{"no payload type", "intoto 0.0.2", `"payloadType"`, `"x"`, "spec.content.envelope.payloadType: missing"},
		{"signature encoded once", "intoto 0.0.2", b64("c2ln"), `MEUCIQ==`, "string is not base64"},
		{"envelope no object", "intoto 0.0.2", `"envelope":{`, `"envelope":[],"x":{`, "content.envelope.payloadType: expected an object"},
		{"no verifier", "intoto 0.0.1", `"publicKey"`, `"x"`, "spec.publicKey: missing"},
		{"broken payload hash", "intoto 0.0.1", `"payloadHash":{"algorithm"`, `"payloadHash":{"x"`, "spec.content.payloadHash.algorithm: missing"},
	} {
		good := bodies[tt.kind]
		in := strings.Replace(good, tt.old, tt.new, 1)
		if in == good {
			t.Errorf("%s: the replacement changes nothing", tt.name)
		}
		if _, err := ParseV1Body([]byte(in)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s of %s: error is %v: want one with %q", tt.name, tt.kind, err, tt.want)
		}
	}
	if _, err := ParseV1Body(make([]byte, MaxBody+1)); err == nil || !strings.Contains(err.Error(), "larger") {
		t.Errorf("too large: %v", err)
	}
}

func TestStatedKindMustMatchTheBody(t *testing.T) {
	h := rekords()["key"]
	bodies := v1Bodies()
	for _, tt := range []struct {
		kind, version, body string
		v1, v2              bool
	}{
		{"dsse", "0.0.1", bodies["dsse 0.0.1"], true, false},
		{"hashedrekord", "0.0.1", bodies["dsse 0.0.1"], false, false},
		{"intoto", "0.0.1", bodies["intoto 0.0.2"], false, false},
		{"hashedrekord", "0.0.2", string(h.Body()), false, true},
		{"hashedrekord", "0.0.1", string(h.Body()), false, false},
		{"hashedrekord", "0.0.2", bodies["hashedrekord 0.0.1"], false, false},
	} {
		e := &Entry{Kind: tt.kind, Version: tt.version, Body: []byte(tt.body)}
		if _, err := e.V1Body(); (err == nil) != tt.v1 {
			t.Errorf("%s %s, body %.60s: V1Body: %v", tt.kind, tt.version, tt.body, err)
		}
		if _, err := e.HashedRekord(); (err == nil) != tt.v2 {
			t.Errorf("%s %s, body %.60s: HashedRekord: %v", tt.kind, tt.version, tt.body, err)
		}
	}
}

func FuzzParseV1Body(f *testing.F) {
	for _, body := range v1Bodies() {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := ParseV1Body(data)
		if err != nil {
			return
		}
		if len(b.Signatures) == 0 {
			t.Fatal("no signature and no error")
		}
		for _, s := range b.Signatures {
			if (len(s.Certificate) == 0) == (len(s.PublicKey) == 0) {
				t.Fatal("expected exactly one of certificate and key")
			}
			s.Key()
		}
	})
}
