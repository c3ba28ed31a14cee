// SPDX-License-Identifier: Apache-2.0

package logentry

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	rekorpb "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"hallmark/internal/format/pubkey"
)

// vector is one log entry of the conformance suite, with what its bundle signs.
type vector struct {
	name      string // of the case, "_fail" at its end where the bundle is bad
	tle       []byte
	signature string // base64, of the bundle
	payload   string // base64, of its DSSE envelope
	artifact  string // base64 message digest
}

// vectors reads the entries of all bundles. The folder is optional unless
// HALLMARK_CONFORMANCE names it.
func vectors(t testing.TB) []vector {
	t.Helper()
	root := os.Getenv("HALLMARK_CONFORMANCE")
	if root == "" {
		root = filepath.Join("..", "..", "..", "..", "shared", "conformance")
		if _, err := os.Stat(root); err != nil {
			t.Skipf("no conformance vectors: set HALLMARK_CONFORMANCE to their folder")
		}
	}
	files, _ := filepath.Glob(filepath.Join(root, "bundle-verify", "*", "bundle.sigstore.json"))
	if len(files) == 0 {
		t.Fatalf("%s holds no bundle-verify/*/bundle.sigstore.json", root)
	}
	var out []vector
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var b struct {
			VerificationMaterial struct{ TlogEntries []json.RawMessage }
			MessageSignature     struct {
				Signature     string
				MessageDigest struct{ Digest string }
			}
			DsseEnvelope struct {
				Payload    string
				Signatures []struct{ Sig string }
			}
		}
		if err := json.Unmarshal(data, &b); err != nil {
			t.Fatal(err)
		}
		v := vector{name: filepath.Base(filepath.Dir(file)), signature: b.MessageSignature.Signature,
			payload: b.DsseEnvelope.Payload, artifact: b.MessageSignature.MessageDigest.Digest}
		if len(b.DsseEnvelope.Signatures) > 0 {
			v.signature = b.DsseEnvelope.Signatures[0].Sig
		}
		for _, tle := range b.VerificationMaterial.TlogEntries {
			v.tle = tle
			out = append(out, v)
		}
	}
	return out
}

// unusable names the entries that must not be parsed, and why.
var unusable = map[string]string{
	"bundle-empty-certificate-chain_fail":  "checkpoint is missing",
	"bundle-invalid-base64-signature_fail": "verifier: not PEM", // in the body
	"bundle-negative-log-index_fail":       "logIndex is -1",
	"bundle-with-root-cert_fail":           "checkpoint is missing",
	"intoto-log-entry-mismatch_fail":       "signature: string is not base64", // in the body
}

func body(e *Entry) error {
	if e.IsV2() {
		_, err := e.HashedRekord()
		return err
	}
	_, err := e.V1Body()
	return err
}

// logKey is the key of Rekor's public instance, under which most v1 vectors were made.
const logKey = `-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE2G2Y+2tabdTV5BcGiBIx0a9fAFwr
kBbmLSGtks4L3qX6yYY0zufBnhC8Ur/iy55GhWP/9A/bY2LhC30M9+RYtw==
-----END PUBLIC KEY-----`

func TestConformanceEntries(t *testing.T) {
	kinds := make(map[string]int)
	sets := 0
	for _, v := range vectors(t) {
		e, err := Parse(v.tle)
		if err == nil {
			err = body(e)
		}
		if want, bad := unusable[v.name]; bad {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error is %v: want one with %q", v.name, err, want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", v.name, err)
			continue
		}
		kinds[e.Kind+" "+e.Version]++
		checkRoundTrip(t, v, e)
		if strings.HasSuffix(v.name, "_fail") {
			continue
		}
		if e.IsV2() {
			checkV2(t, v, e)
			continue
		}
		checkV1(t, v, e)
		if sum := sha256.Sum256(pemDER(t, logKey)); bytes.Equal(e.LogID, sum[:]) {
			sets++
			key, _ := pubkey.ParsePEM([]byte(logKey))
			if err := pubkey.Verify(key, pubkey.ECDSAP256SHA256, SETPayload(e), e.SET); err != nil {
				t.Errorf("%s: signed entry timestamp: %v", v.name, err)
			}
		}
	}
	for _, kind := range []string{"hashedrekord 0.0.1", "hashedrekord 0.0.2", "dsse 0.0.1", "intoto 0.0.2"} {
		if kinds[kind] == 0 {
			t.Errorf("no vector of kind %s", kind)
		}
	}
	if sets == 0 {
		t.Error("no signed entry timestamp was checked")
	}
}

func checkRoundTrip(t *testing.T, v vector, e *Entry) {
	t.Helper()
	out, err := e.Marshal()
	if err != nil {
		t.Errorf("%s: %v", v.name, err)
		return
	}
	pb, again := new(rekorpb.TransparencyLogEntry), new(rekorpb.TransparencyLogEntry)
	if err := protojson.Unmarshal(out, pb); err != nil {
		t.Errorf("%s: protojson refuses what Marshal wrote: %v", v.name, err)
	}
	if err := protojson.Unmarshal(v.tle, again); err != nil {
		t.Fatal(err)
	}
	a, _ := (protojson.MarshalOptions{EmitUnpopulated: true}).Marshal(pb)
	b, _ := (protojson.MarshalOptions{EmitUnpopulated: true}).Marshal(again)
	if !bytes.Equal(compact(t, a), compact(t, b)) || !bytes.Equal(compact(t, a), out) {
		t.Errorf("%s: Marshal wrote\n%s\nprotojson writes\n%s", v.name, out, compact(t, b))
	}
}

func compact(t *testing.T, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := json.Compact(&out, b); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// checkV2 checks that the body is reproduced to the byte and means what it says.
func checkV2(t *testing.T, v vector, e *Entry) {
	t.Helper()
	h, err := e.HashedRekord()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(h.Body(), e.Body) {
		t.Errorf("%s: body\n%s\nwant\n%s", v.name, h.Body(), e.Body)
	}
	if got := base64.StdEncoding.EncodeToString(h.Signature); got != v.signature {
		t.Errorf("%s: signature is %s: the bundle has %s", v.name, got, v.signature)
	}
	if got := base64.StdEncoding.EncodeToString(h.Digest.Bytes()); v.artifact != "" && got != v.artifact {
		t.Errorf("%s: digest is %s: the bundle has %s", v.name, got, v.artifact)
	}
	key, err := h.Key()
	if err != nil {
		t.Fatal(err)
	}
	if err := pubkey.VerifyDigest(key, h.Details, h.Digest.Bytes(), h.Signature); err != nil {
		t.Errorf("%s: %v", v.name, err)
	}
	back, err := ParseRequest(h.Request())
	if err != nil || !bytes.Equal(back.Body(), e.Body) {
		t.Errorf("%s: request does not give the same body: %v", v.name, err)
	}
}

// checkV1 compares the body with the bundle, as a verifier must.
func checkV1(t *testing.T, v vector, e *Entry) {
	t.Helper()
	b, err := e.V1Body()
	if err != nil {
		t.Fatal(err)
	}
	if got := base64.StdEncoding.EncodeToString(b.Signatures[0].Signature); got != v.signature {
		t.Errorf("%s: signature is %s: the bundle has %s", v.name, got, v.signature)
	}
	if _, err := b.Signatures[0].Key(); err != nil {
		t.Errorf("%s: %v", v.name, err)
	}
	if v.payload == "" {
		if got := base64.StdEncoding.EncodeToString(b.Artifact.Bytes()); got != v.artifact {
			t.Errorf("%s: digest is %s: the bundle has %s", v.name, got, v.artifact)
		}
		return
	}
	payload, _ := base64.StdEncoding.DecodeString(v.payload)
	if sum := sha256.Sum256(payload); !bytes.Equal(b.PayloadHash.Bytes(), sum[:]) {
		t.Errorf("%s: payload hash is %s: the bundle's is %x", v.name, b.PayloadHash, sum)
	}
	if b.EnvelopeHash.IsZero() {
		t.Errorf("%s: no envelope hash", v.name)
	}
}

// TestTruncations cuts one entry of each kind, at many bytes of its JSON and at
// every byte of its body.
func TestTruncations(t *testing.T) {
	seen := make(map[string]bool)
	for _, v := range vectors(t) {
		e, err := Parse(v.tle)
		if err != nil || seen[e.Kind+e.Version] || unusable[v.name] != "" {
			continue
		}
		seen[e.Kind+e.Version] = true
		tle := compact(t, v.tle)
		for i := 0; i < len(tle); i += 1 + len(tle)/1000 {
			if _, err := Parse(tle[:i]); err == nil {
				t.Errorf("%s: accepted the first %d bytes", v.name, i)
			}
		}
		for i := range e.Body {
			cut := *e
			cut.Body = e.Body[:i]
			if err := body(&cut); err == nil {
				t.Errorf("%s: accepted the first %d bytes of the body", v.name, i)
			}
		}
	}
}
