// SPDX-License-Identifier: Apache-2.0

package logentry

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hallmark/internal/format/digest"
	"hallmark/internal/format/pubkey"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func sameDigest(a, b digest.Digest) bool { return a == b }

// rekord signs with key and puts in its public key or, where cert is set, a certificate for it.
func rekord(key crypto.Signer, d pubkey.Details, cert bool) HashedRekord {
	msg := []byte("an artifact")
	h := HashedRekord{Digest: digest.Of(d.Digest(), msg), Signature: must(pubkey.Sign(key, d, msg)), Details: d}
	if !cert {
		h.PublicKey = must(pubkey.MarshalPKIX(key.Public()))
		return h
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Unix(1<<32, 0)}
	h.Certificate = must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))
	return h
}

func rekords() map[string]HashedRekord {
	p256 := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	p384 := must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	return map[string]HashedRekord{
		"certificate": rekord(p256, pubkey.ECDSAP256SHA256, true),
		"key":         rekord(p256, pubkey.ECDSAP256SHA256, false),
		"P-384":       rekord(p384, pubkey.ECDSAP384SHA384, true),
		"Ed25519ph":   rekord(must(ed, err), pubkey.Ed25519ph, false),
	}
}

func TestHashedRekordBody(t *testing.T) {
	literal := HashedRekord{
		Digest:    must(digest.New(digest.SHA256, bytes.Repeat([]byte{0xfb}, 32))),
		Signature: []byte("\xff\xfe"), Details: pubkey.ECDSAP256SHA256, Certificate: []byte("cert"),
	}
	want := `{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{"hashedRekordV002":{"data":{"algorithm":"SHA2_256","digest":"+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/s="},` +
		`"signature":{"content":"//4=","verifier":{"keyDetails":"PKIX_ECDSA_P256_SHA_256","x509Certificate":{"rawBytes":"Y2VydA=="}}}}}}`
	if got := string(literal.Body()); got != want {
		t.Errorf("body is\n%s\nwant\n%s", got, want)
	}
	for name, h := range rekords() {
		body := h.Body()
		// For these strings the canonical form is that of encoding/json with sorted names.
		var v any
		if err := json.Unmarshal(body, &v); err != nil {
			t.Fatal(err)
		}
		var canonical bytes.Buffer
		enc := json.NewEncoder(&canonical)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(v); err != nil {
			t.Fatal(err)
		}
		if got := bytes.TrimSpace(canonical.Bytes()); !bytes.Equal(got, body) {
			t.Errorf("%s: canonical form is\n%s\nnot\n%s", name, got, body)
		}
		back, err := ParseHashedRekord(body)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if diff := cmp.Diff(h, back, cmp.Comparer(sameDigest)); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", name, diff)
		}
		back, err = ParseRequest(h.Request())
		if err != nil {
			t.Errorf("%s: request: %v", name, err)
		} else if diff := cmp.Diff(h, back, cmp.Comparer(sameDigest)); diff != "" {
			t.Errorf("%s: request: (-want +got)\n%s", name, diff)
		}
		key, err := h.Key()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := pubkey.VerifyDigest(key, h.Details, h.Digest.Bytes(), h.Signature); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestHashedRekordKeyRefuses(t *testing.T) {
	h := rekords()["certificate"]
	h.Details = pubkey.ECDSAP384SHA384
	if _, err := h.Key(); err == nil || !strings.Contains(err.Error(), "does not fit") {
		t.Errorf("certificate of another kind: %v", err)
	}
	h.Certificate = []byte("x")
	if _, err := h.Key(); err == nil || !strings.Contains(err.Error(), "x509Certificate") {
		t.Errorf("broken certificate: %v", err)
	}
	h.Certificate, h.PublicKey = nil, []byte("x")
	if _, err := h.Key(); err == nil {
		t.Error("broken key: no error")
	}
}

func TestParseHashedRekordRefuses(t *testing.T) {
	h := rekords()["key"]
	good := string(h.Body())
	replace := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("%s is not in %s", old, good)
		}
		return strings.Replace(good, old, new, 1)
	}
	sum := base64.StdEncoding.EncodeToString(h.Digest.Bytes())
	spki := base64.StdEncoding.EncodeToString(h.PublicKey)
	sig := base64.StdEncoding.EncodeToString(h.Signature)
	for name, tt := range map[string]struct{ in, want string }{
		"nothing":             {"", "unexpected end"},
		"white space":         {good + "\n", "canonical form"},
		"inner white space":   {replace(`,"kind"`, `, "kind"`), "canonical form"},
		"other order":         {replace(`"apiVersion":"0.0.2","kind":"hashedrekord"`, `"kind":"hashedrekord","apiVersion":"0.0.2"`), "canonical form"},
		"base64 unpadded":     {replace(sum, strings.TrimRight(sum, "=")), "canonical form"},
		"snake case":          {replace("publicKey", "public_key"), "canonical form"},
		"details as number":   {replace(`"PKIX_ECDSA_P256_SHA_256"`, "5"), "canonical form"},
		"other algorithm":     {replace("SHA2_256", "SHA2_512"), "canonical form"},
		"unknown field":       {replace(`{"apiVersion"`, `{"a":1,"apiVersion"`), "unknown field"},
		"unknown inner field": {replace(`"verifier":{`, `"verifier":{"a":1,`), "unknown field"},
		"other kind":          {replace(`"hashedrekord"`, `"dsse"`), "kind is"},
		"other version":       {replace("0.0.2", "0.0.1"), "apiVersion is"},
		"dsse":                {replace("hashedRekordV002", "dsseV002"), "unknown field"},
		"no spec":             {`{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{}}`, "hashedRekordV002: missing"},
		"short digest":        {replace(sum, "QQ=="), "does not fit keyDetails"},
		"no key":              {replace(`,"publicKey":{"rawBytes":"`+spki+`"}`, ``), "verifier is missing"},
		"empty key":           {replace(spki, ""), "publicKey.rawBytes is empty"},
		"empty signature":     {replace(sig, ""), "signature.content is missing"},
		"pure Ed25519":        {replace("PKIX_ECDSA_P256_SHA_256", "PKIX_ED25519"), "signs the message"},
		"unknown details":     {replace("PKIX_ECDSA_P256_SHA_256", "ML_DSA_65"), "not supported"},
		"no details":          {replace(`"keyDetails":"PKIX_ECDSA_P256_SHA_256",`, ``), "keyDetails: missing"},
		"too large":           {replace(sig, strings.Repeat("QUFB", MaxBodyV2/4)), "expected at most 65535"},
	} {
		if _, err := ParseHashedRekord([]byte(tt.in)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error is %v: want one with %q", name, err, tt.want)
		}
	}
}

func TestParseRequest(t *testing.T) {
	h := rekords()["certificate"]
	good := string(h.Request())
	for name, in := range map[string]string{
		"as written": good,
		"snake case": strings.NewReplacer("hashedRekordRequestV002", "hashed_rekord_request_v002", "keyDetails", "key_details",
			"x509Certificate", "x509_certificate", "rawBytes", "raw_bytes").Replace(good),
		"details as number":  strings.Replace(good, `"PKIX_ECDSA_P256_SHA_256"`, `5`, 1),
		"white space, nulls": strings.Replace(good, `{`, " {\n\"dsseRequestV002\": null,", 1),
		"URL alphabet":       strings.NewReplacer("+", "-", "/", "_").Replace(good),
	} {
		got, err := ParseRequest([]byte(in))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if diff := cmp.Diff(h, got, cmp.Comparer(sameDigest)); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", name, diff)
		}
	}
}

func TestParseRequestRefuses(t *testing.T) {
	h := rekords()["certificate"]
	good := string(h.Request())
	replace := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("%s is not in %s", old, good)
		}
		return strings.Replace(good, old, new, 1)
	}
	sum := base64.StdEncoding.EncodeToString(h.Digest.Bytes())
	for name, tt := range map[string]struct{ in, want string }{
		"nothing":               {``, "unexpected end"},
		"empty":                 {`{}`, "hashedRekordRequestV002 is missing"},
		"array":                 {`[]`, "expected an object"},
		"trailing data":         {good + "{}", "after the end"},
		"DSSE":                  {`{"dsseRequestV002":{}}`, "pre-authentication encoding"},
		"DSSE, snake case":      {`{"dsse_request_v002":{}}`, "pre-authentication encoding"},
		"both":                  {replace(`{`, `{"dsseRequestV002":{},`), "dsseRequestV002 is not accepted"},
		"v1":                    {`{"kind":"hashedrekord","apiVersion":"0.0.1","spec":{}}`, "unknown field"},
		"unknown field":         {replace(`{`, `{"x":1,`), "unknown field"},
		"unknown inner field":   {replace(`"digest"`, `"x":1,"digest"`), "unknown field"},
		"other case":            {replace(`hashedRekord`, `HashedRekord`), "must be written"},
		"both cases":            {replace(`{`, `{"hashed_rekord_request_v002":{},`), "occurs twice"},
		"both cases inside":     {replace(`"keyDetails"`, `"key_details":"PKIX_ED25519_PH","keyDetails"`), "occurs twice"},
		"certificate and key":   {replace(`"keyDetails"`, `"publicKey":{"rawBytes":"QQ=="},"keyDetails"`), "has both"},
		"no digest":             {replace(`"digest":"`+sum+`",`, ``), "digest: missing"},
		"digest of other size":  {replace(sum, "QQ=="), "digest does not fit keyDetails"},
		"details of other size": {replace("PKIX_ECDSA_P256_SHA_256", "PKIX_ECDSA_P384_SHA_384"), "digest does not fit keyDetails"},
		"details unspecified":   {replace("PKIX_ECDSA_P256_SHA_256", "PUBLIC_KEY_DETAILS_UNSPECIFIED"), "not supported"},
		"details number 0":      {replace(`"PKIX_ECDSA_P256_SHA_256"`, `0`), "not supported"},
		"details fraction":      {replace(`"PKIX_ECDSA_P256_SHA_256"`, `5.5`), "expected a name or a number"},
		"details huge":          {replace(`"PKIX_ECDSA_P256_SHA_256"`, `4294967301`), "expected a name or a number"},
		"pure Ed25519":          {replace("PKIX_ECDSA_P256_SHA_256", "PKIX_ED25519"), "a log can take PKIX_ED25519_PH only"},
		"no signature":          {replace(`"signature"`, `"x"`), "unknown field"},
		"null signature":        {`{"hashedRekordRequestV002":{"digest":"` + sum + `","signature":null}}`, "signature: missing"},
		"signature no base64":   {replace(`"content":"`, `"content":"!`), "signature.content: string is not base64"},
		"too large":             {strings.Repeat(" ", MaxRequest) + good, "larger than"},
		"entry too large":       {replace(`"content":"`, `"content":"`+strings.Repeat("QUFB", MaxBodyV2/4)), "expected at most 65535"},
	} {
		if _, err := ParseRequest([]byte(tt.in)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error is %v: want one with %q", name, err, tt.want)
		}
	}
	for i := range good {
		if _, err := ParseRequest([]byte(good[:i])); err == nil {
			t.Errorf("accepted the first %d bytes", i)
		}
	}
}

func FuzzParseHashedRekord(f *testing.F) {
	for _, h := range rekords() {
		f.Add(h.Body())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := ParseHashedRekord(data)
		if err != nil {
			return
		}
		if !bytes.Equal(h.Body(), data) {
			t.Fatalf("%s is written as %s", data, h.Body())
		}
		h.Key()
	})
}

func FuzzParseRequest(f *testing.F) {
	for _, h := range rekords() {
		f.Add(h.Request())
	}
	f.Add([]byte(`{"dsse_request_v002":{}}`))
	f.Add([]byte(`{"hashed_rekord_request_v002":{"digest":"","signature":{"content":"QQ==","verifier":{"public_key":{"raw_bytes":"QQ"},"key_details":8}}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := ParseRequest(data)
		if err != nil {
			return
		}
		back, err := ParseHashedRekord(h.Body())
		if err != nil || !cmp.Equal(h, back, cmp.Comparer(sameDigest)) {
			t.Fatalf("the request's body does not come back: %v", err)
		}
		h.Key()
	})
}
