// SPDX-License-Identifier: Apache-2.0

package logentry

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"math"

	"hallmark/internal/format/digest"
	"hallmark/internal/format/pubkey"
	"hallmark/internal/format/strictjson"
)

const (
	kindHashedRekord = "hashedrekord"
	versionV2        = "0.0.2"
)

// MaxRequest caps a request to add an entry, in bytes. Its fields must fit
// into a body of [MaxBodyV2] too.
const MaxRequest = 1 << 20

// HashedRekord is the body of a Rekor v2 entry, hashedrekord 0.0.2: somebody
// who holds the key of Certificate or PublicKey signed something with Digest.
// Exactly one of the two is set. For a DSSE envelope the digest is that of its
// pre-authentication encoding.
type HashedRekord struct {
	Digest      digest.Digest
	Signature   []byte
	Details     pubkey.Details // how Signature was made; its hash is Digest's
	Certificate []byte         // DER
	PublicKey   []byte         // DER SubjectPublicKeyInfo
}

// Body is the canonical form (RFC 8785): the leaf of the log. None of the
// strings in it needs escaping and the order of names is fixed, so it is a
// template.
func (h HashedRekord) Body() []byte {
	out := make([]byte, 0, base64.StdEncoding.EncodedLen(len(h.Certificate)+len(h.PublicKey)+len(h.Signature))+512)
	out = append(out, `{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{"hashedRekordV002":{"data":{"algorithm":"`...)
	out = append(out, h.Digest.Algorithm().Sigstore()...)
	out = appendBase64(out, `","digest":`, h.Digest.Bytes())
	out = h.appendSignature(append(out, '}', ','))
	return append(out, `}}}`...)
}

// Request is the JSON to POST to /api/v2/log/entries.
func (h HashedRekord) Request() []byte {
	out := make([]byte, 0, base64.StdEncoding.EncodedLen(len(h.Certificate)+len(h.PublicKey)+len(h.Signature))+512)
	out = appendBase64(out, `{"hashedRekordRequestV002":{"digest":`, h.Digest.Bytes())
	out = h.appendSignature(append(out, ','))
	return append(out, '}', '}')
}

func (h HashedRekord) appendSignature(out []byte) []byte {
	out = appendBase64(out, `"signature":{"content":`, h.Signature)
	out = append(out, `,"verifier":{"keyDetails":"`...)
	out = append(out, h.Details...)
	field, der := `","x509Certificate":{"rawBytes":`, h.Certificate
	if len(h.Certificate) == 0 {
		field, der = `","publicKey":{"rawBytes":`, h.PublicKey
	}
	out = appendBase64(out, field, der)
	return append(out, '}', '}', '}')
}

// Validate checks that h is a body a v2 log may hold, except for the signature
// and for what is inside the certificate or key.
func (h HashedRekord) Validate() error {
	alg := h.Details.Digest()
	switch {
	case h.Details == pubkey.Ed25519:
		return fmt.Errorf("keyDetails is %s, which signs the message and not a digest: a log can take %s only", pubkey.Ed25519, pubkey.Ed25519ph)
	case alg == 0:
		return fmt.Errorf("keyDetails %.64q is not supported: expected a name such as %s", string(h.Details), pubkey.ECDSAP256SHA256)
	case h.Digest.IsZero():
		return errors.New("digest is missing")
	case h.Digest.Algorithm() != alg:
		return fmt.Errorf("digest is %s: keyDetails %s needs %s", h.Digest.Algorithm(), h.Details, alg)
	case len(h.Signature) == 0:
		return errors.New("signature.content is missing")
	case len(h.Certificate) == 0 && len(h.PublicKey) == 0:
		return errors.New("signature.verifier is missing: expected x509Certificate.rawBytes or publicKey.rawBytes")
	case len(h.Certificate) > 0 && len(h.PublicKey) > 0:
		return errors.New("signature.verifier has both x509Certificate and publicKey: expected one of them")
	}
	if n := len(h.Body()); n > MaxBodyV2 {
		return fmt.Errorf("entry is %d bytes long: expected at most %d", n, MaxBodyV2)
	}
	return nil
}

// Key is the public key of the certificate or the bare key; it fits h.Details.
func (h HashedRekord) Key() (crypto.PublicKey, error) {
	if len(h.Certificate) == 0 {
		return pubkey.ParseRaw(h.Details, h.PublicKey)
	}
	cert, err := x509.ParseCertificate(h.Certificate)
	if err != nil {
		return nil, fmt.Errorf("x509Certificate is not a DER certificate: %w", err)
	}
	return cert.PublicKey, h.Details.Check(cert.PublicKey)
}

// ParseHashedRekord reads a canonical body. It is strict: [HashedRekord.Body]
// of the result equals body.
func ParseHashedRekord(body []byte) (HashedRekord, error) {
	h, err := parseHashedRekord(body)
	if err != nil {
		return HashedRekord{}, fmt.Errorf("log entry body: %w", err)
	}
	return h, nil
}

func parseHashedRekord(body []byte) (HashedRekord, error) {
	var h HashedRekord
	if len(body) > MaxBodyV2 {
		return h, fmt.Errorf("%d bytes long: expected at most %d", len(body), MaxBodyV2)
	}
	doc, err := strictjson.Parse(body)
	if err != nil {
		return h, err
	}
	top, err := doc.Closed("apiVersion", "kind", "spec")
	if err != nil {
		return h, err
	}
	if err := wantText(top, "kind", kindHashedRekord); err != nil {
		return h, err
	}
	if err := wantText(top, "apiVersion", versionV2); err != nil {
		return h, err
	}
	spec, err := sub(top, "spec", "hashedRekordV002")
	if err != nil {
		return h, err
	}
	rekord, err := sub(spec, "hashedRekordV002", "data", "signature")
	if err != nil {
		return h, err
	}
	data, err := sub(rekord, "data", "algorithm", "digest")
	if err != nil {
		return h, err
	}
	v, _ := data.Get("digest")
	sum, err := v.Base64()
	if err != nil {
		return h, fmt.Errorf("digest: %w", err)
	}
	if err := h.parseSignature(rekord, sum); err != nil {
		return h, err
	}
	if !bytes.Equal(h.Body(), body) {
		return h, errors.New("not in canonical form (RFC 8785)")
	}
	return h, nil
}

// ParseRequest reads the body of POST /api/v2/log/entries. As protojson does,
// it takes names in camelCase and in snake_case and key details as name or
// number; unknown fields are refused. Errors are for the client's eyes.
func ParseRequest(data []byte) (HashedRekord, error) {
	var h HashedRekord
	if len(data) > MaxRequest {
		return h, fmt.Errorf("request is larger than %d bytes", MaxRequest)
	}
	doc, err := strictjson.Parse(data)
	if err != nil {
		return h, err
	}
	top, err := doc.Closed("hashedRekordRequestV002", "hashed_rekord_request_v002",
		"dsseRequestV002", "dsse_request_v002")
	if err != nil {
		return h, err
	}
	if _, ok, err := either(top, "dsseRequestV002", "dsse_request_v002"); ok || err != nil {
		return h, errors.New("dsseRequestV002 is not accepted, as in Rekor v2: log a DSSE envelope with hashedRekordRequestV002, " +
			"digest = hash of its pre-authentication encoding, signature = the envelope's")
	}
	v, ok, err := either(top, "hashedRekordRequestV002", "hashed_rekord_request_v002")
	if err != nil {
		return h, err
	}
	if !ok {
		return h, errors.New("hashedRekordRequestV002 is missing")
	}
	req, err := v.Closed("digest", "signature")
	if err != nil {
		return h, fmt.Errorf("hashedRekordRequestV002: %w", err)
	}
	d, _ := req.Get("digest")
	sum, err := d.Base64()
	if err != nil {
		return h, fmt.Errorf("digest: %w", err)
	}
	err = h.parseSignature(req, sum)
	return h, err
}

// parseSignature reads the member signature, which bodies and requests share,
// sets the digest to sum under the algorithm that the key details imply, and
// validates h.
func (h *HashedRekord) parseSignature(parent strictjson.Members, sum []byte) error {
	sig, err := sub(parent, "signature", "content", "verifier")
	if err != nil {
		return err
	}
	v, _ := sig.Get("content")
	if h.Signature, err = v.Base64(); err != nil {
		return fmt.Errorf("signature.content: %w", err)
	}
	ver, err := sub(sig, "verifier", "publicKey", "public_key", "x509Certificate", "x509_certificate", "keyDetails", "key_details")
	if err != nil {
		return fmt.Errorf("signature.%w", err)
	}
	if h.Certificate, err = rawBytes(ver, "x509Certificate", "x509_certificate"); err != nil {
		return fmt.Errorf("signature.verifier.%w", err)
	}
	if h.PublicKey, err = rawBytes(ver, "publicKey", "public_key"); err != nil {
		return fmt.Errorf("signature.verifier.%w", err)
	}
	if h.Details, err = parseDetails(ver); err != nil {
		return fmt.Errorf("signature.verifier.keyDetails: %w", err)
	}
	if alg := h.Details.Digest(); alg != 0 {
		if h.Digest, err = digest.New(alg, sum); err != nil {
			return fmt.Errorf("digest does not fit keyDetails %s: %w", h.Details, err)
		}
	}
	return h.Validate()
}

func parseDetails(m strictjson.Members) (pubkey.Details, error) {
	v, _, err := either(m, "keyDetails", "key_details")
	if err != nil {
		return "", err
	}
	if v.Kind() == strictjson.Number {
		n, err := v.Int64()
		if err != nil || n < 0 || n > math.MaxInt32 {
			return "", errors.New("expected a name or a number of the enum PublicKeyDetails")
		}
		return pubkey.DetailsByNumber(int32(n))
	}
	name, err := v.Text()
	if err != nil {
		return "", err
	}
	return pubkey.ParseDetails(name)
}

// rawBytes returns the bytes in {camel: {"rawBytes": …}}, nil without it.
func rawBytes(m strictjson.Members, camel, snake string) ([]byte, error) {
	v, ok, err := either(m, camel, snake)
	if !ok || err != nil {
		return nil, err
	}
	in, err := v.Closed("rawBytes", "raw_bytes")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", camel, err)
	}
	raw, _, err := either(in, "rawBytes", "raw_bytes")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", camel, err)
	}
	b, err := raw.Base64()
	if err != nil {
		return nil, fmt.Errorf("%s.rawBytes: %w", camel, err)
	}
	if len(b) == 0 {
		return nil, fmt.Errorf("%s.rawBytes is empty", camel)
	}
	return b, nil
}

// either gets a member under one of its two protojson names.
func either(m strictjson.Members, camel, snake string) (strictjson.Value, bool, error) {
	a, okA := m.Get(camel)
	b, okB := m.Get(snake)
	switch {
	case okA && okB:
		return a, true, fmt.Errorf("field %s occurs twice, also as %s", camel, snake)
	case okB:
		return b, true, nil
	}
	return a, okA, nil
}

// sub opens the member name of m, which may hold only the known members.
func sub(m strictjson.Members, name string, known ...string) (strictjson.Members, error) {
	v, _ := m.Get(name)
	in, err := v.Closed(known...)
	if err != nil {
		return in, fmt.Errorf("%s: %w", name, err)
	}
	return in, nil
}

func wantText(m strictjson.Members, name, want string) error {
	v, _ := m.Get(name)
	got, err := v.Text()
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if got != want {
		return fmt.Errorf("%s is %.40q: expected %q", name, got, want)
	}
	return nil
}
