// SPDX-License-Identifier: Apache-2.0

package ca

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"hallmark/internal/format/pubkey"
	"hallmark/internal/format/strictjson"
)

const (
	maxBody  = 64 << 10
	maxToken = 16 << 10
	goodKeys = "use ECDSA P-256, P-384 or P-521, RSA with 2048, 3072 or 4096 bits, or Ed25519"
)

// A signingRequest is what a client asks, before anything in it is believed.
// Either csr is set, or publicKey and proof are.
type signingRequest struct {
	token     string // from the body; the Authorization header is apart
	publicKey []byte // PEM, or DER (version 1 only)
	proof     []byte
	csr       []byte // PEM
}

// parseV2 reads the body of POST /api/v2/signingCert:
// dev.sigstore.fulcio.v2.CreateSigningCertificateRequest in protojson, with
// lowerCamelCase or original field names.
//
// Unknown fields are ignored, and so is the value of publicKey.algorithm:
// upstream's gateway discards what it does not know, and sigstore-go relies on
// it (it names "RSA", which the enum does not have). The key in
// publicKey.content says what it is by itself.
func parseV2(body []byte) (*signingRequest, error) {
	m, err := openBody(body, "credentials",
		"publicKeyRequest", "public_key_request",
		"certificateSigningRequest", "certificate_signing_request")
	if err != nil {
		return nil, err
	}
	req := new(signingRequest)
	if v, ok := m.Get("credentials"); ok {
		if req.token, err = credentials(v); err != nil {
			return nil, fmt.Errorf("credentials%w", err)
		}
	}
	key, hasKey, err := either(m, "publicKeyRequest", "public_key_request")
	if err != nil {
		return nil, err
	}
	csr, hasCSR, err := either(m, "certificateSigningRequest", "certificate_signing_request")
	if err != nil {
		return nil, err
	}
	if err := one(hasKey, hasCSR, "publicKeyRequest"); err != nil {
		return nil, err
	}
	if hasCSR {
		req.csr, err = bytesOf(csr, "certificateSigningRequest")
		return req, err
	}
	inner, err := key.Open("publicKey", "public_key", "proofOfPossession", "proof_of_possession")
	if err != nil {
		return nil, fmt.Errorf("publicKeyRequest: %w", err)
	}
	pub, ok, err := either(inner, "publicKey", "public_key")
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, errors.New("publicKeyRequest.publicKey is missing: expected an object whose content is a PEM public key")
	}
	content, err := keyContent(pub, "publicKeyRequest.publicKey")
	if err != nil {
		return nil, err
	}
	text, err := content.Text()
	if err != nil {
		return nil, fmt.Errorf("publicKeyRequest.publicKey.content: %w", err)
	}
	if !strings.Contains(text, "-----BEGIN ") {
		return nil, errors.New("publicKeyRequest.publicKey.content is not PEM: expected -----BEGIN PUBLIC KEY-----")
	}
	req.publicKey = []byte(text)
	proof, ok, err := either(inner, "proofOfPossession", "proof_of_possession")
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, errors.New("publicKeyRequest.proofOfPossession is missing: expected a base64 signature over the token's email or subject")
	}
	req.proof, err = bytesOf(proof, "publicKeyRequest.proofOfPossession")
	return req, err
}

// parseV1 reads the body of POST /api/v1/signingCert:
// dev.sigstore.fulcio.v1beta.CreateSigningCertificateRequest in protojson. Its
// publicKey.content is base64 of a PEM or DER public key, its
// signedEmailAddress the proof of possession. Unknown fields are ignored as in
// version 2.
func parseV1(body []byte) (*signingRequest, error) {
	m, err := openBody(body, "publicKey", "public_key", "signedEmailAddress", "signed_email_address",
		"certificateSigningRequest", "certificate_signing_request")
	if err != nil {
		return nil, err
	}
	key, hasKey, err := either(m, "publicKey", "public_key")
	if err != nil {
		return nil, err
	}
	csr, hasCSR, err := either(m, "certificateSigningRequest", "certificate_signing_request")
	if err != nil {
		return nil, err
	}
	if err := one(hasKey, hasCSR, "publicKey"); err != nil {
		return nil, err
	}
	req := new(signingRequest)
	if hasCSR {
		req.csr, err = bytesOf(csr, "certificateSigningRequest")
		return req, err
	}
	content, err := keyContent(key, "publicKey")
	if err != nil {
		return nil, err
	}
	if req.publicKey, err = bytesOf(content, "publicKey.content"); err != nil {
		return nil, err
	}
	proof, ok, err := either(m, "signedEmailAddress", "signed_email_address")
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, errors.New("signedEmailAddress is missing: expected a base64 signature over the token's email or subject")
	}
	req.proof, err = bytesOf(proof, "signedEmailAddress")
	return req, err
}

func openBody(body []byte, known ...string) (strictjson.Members, error) {
	if len(bytes.TrimSpace(body)) == 0 {
		return strictjson.Members{}, errors.New("the request body is empty: expected a JSON object")
	}
	v, err := strictjson.Parse(body)
	if err != nil {
		return strictjson.Members{}, fmt.Errorf("the request body is not valid: %w", err)
	}
	m, err := v.Open(known...)
	if err != nil {
		return strictjson.Members{}, fmt.Errorf("the request body is not valid: %w", err)
	}
	return m, nil
}

// credentials reads the token out of the body. Its errors continue the name of
// the field.
func credentials(v strictjson.Value) (string, error) {
	m, err := v.Open("oidcIdentityToken", "oidc_identity_token")
	if err != nil {
		return "", fmt.Errorf(": %w", err)
	}
	token, ok, err := either(m, "oidcIdentityToken", "oidc_identity_token")
	if err != nil || !ok {
		return "", err
	}
	s, err := token.Text()
	if err != nil {
		return "", fmt.Errorf(".oidcIdentityToken: %w", err)
	}
	return s, nil
}

// keyContent takes the content out of a PublicKey message called name.
func keyContent(v strictjson.Value, name string) (strictjson.Value, error) {
	m, err := v.Open("algorithm", "content")
	if err != nil {
		return strictjson.Value{}, fmt.Errorf("%s: %w", name, err)
	}
	content, ok := m.Get("content")
	if !ok {
		return strictjson.Value{}, fmt.Errorf("%s.content is missing: expected a PEM public key", name)
	}
	return content, nil
}

// either finds a field under one of its two protojson names.
func either(m strictjson.Members, camel, snake string) (strictjson.Value, bool, error) {
	a, hasA := m.Get(camel)
	b, hasB := m.Get(snake)
	switch {
	case hasA && hasB:
		return strictjson.Value{}, false, fmt.Errorf("%s and %s are the same field: give it once", camel, snake)
	case hasA:
		return a, true, nil
	}
	return b, hasB, nil
}

func one(hasKey, hasCSR bool, keyField string) error {
	switch {
	case hasKey && hasCSR:
		return fmt.Errorf("%s and certificateSigningRequest exclude each other: give one", keyField)
	case !hasKey && !hasCSR:
		return fmt.Errorf("neither %s nor certificateSigningRequest is given: expected one of them", keyField)
	}
	return nil
}

func bytesOf(v strictjson.Value, name string) ([]byte, error) {
	b, err := v.Base64()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(b) == 0 {
		return nil, fmt.Errorf("%s is empty", name)
	}
	return b, nil
}

// bearer takes the token out of the Authorization header, by RFC 6750 §2.1; it
// is empty when there is no such header. It never quotes what the header holds.
func bearer(h http.Header) (string, error) {
	values := h.Values("Authorization")
	if len(values) == 0 {
		return "", nil
	}
	if len(values) > 1 {
		return "", errors.New("more than one Authorization header")
	}
	scheme, token, ok := strings.Cut(values[0], " ")
	token = strings.TrimSpace(token)
	if !ok || !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", errors.New("the Authorization header is not understood: expected \"Bearer\" and an OIDC identity token")
	}
	return token, nil
}

// tokenWith settles on the token: the Authorization header's or the body's, as
// both are in use. Two different ones are refused, since it would be a guess who
// asks.
func (r *signingRequest) tokenWith(h http.Header) (string, error) {
	token, err := bearer(h)
	switch {
	case err != nil:
		return "", refuse(noToken, "%w", err)
	case token != "" && r.token != "" && token != r.token:
		return "", refuse(malformed, "the Authorization header and credentials.oidcIdentityToken hold different tokens: give one")
	case token == "":
		token = r.token
	}
	if token == "" {
		return "", refuse(noToken, "no identity token: send \"Authorization: Bearer\" and an OIDC identity token")
	}
	if len(token) > maxToken {
		return "", refuse(badToken, "the identity token has %d bytes: at most %d are accepted", len(token), maxToken)
	}
	return token, nil
}

// keyOf finds the key that r asks a certificate for, and refuses weak ones. For
// a CSR it also checks the self-signature, which is the proof of possession; the
// names and extensions in a CSR are ignored, since the token says who asks.
func (r *signingRequest) keyOf() (crypto.PublicKey, error) {
	if r.csr != nil {
		return csrKey(r.csr)
	}
	parse := pubkey.ParsePKIX
	if bytes.Contains(r.publicKey, []byte("-----BEGIN ")) {
		parse = pubkey.ParsePEM
	}
	pub, err := parse(r.publicKey)
	if err != nil {
		return nil, refuse(badKey, "the public key cannot be used: %w; "+goodKeys, err)
	}
	return pub, strength(pub)
}

func csrKey(data []byte) (crypto.PublicKey, error) {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "CERTIFICATE REQUEST" && block.Type != "NEW CERTIFICATE REQUEST" {
		return nil, refuse(malformed, "certificateSigningRequest is not PEM: expected base64 of -----BEGIN CERTIFICATE REQUEST-----")
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, refuse(malformed, "certificateSigningRequest is not a PKCS #10 request: %w", err)
	}
	if err := strength(csr.PublicKey); err != nil {
		return nil, err
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, refuse(badProof, "certificateSigningRequest is not signed by the key in it: sign it with that key, with SHA-256 or stronger")
	}
	return csr.PublicKey, nil
}

// strength also refuses the key types that have no place in a certificate of
// ours, which a CSR can hold.
func strength(pub crypto.PublicKey) error {
	if _, err := pubkey.DefaultDetails(pub); err != nil {
		return refuse(badKey, "the public key cannot be used: %w; "+goodKeys, err)
	}
	if err := pubkey.CheckStrength(pub); err != nil {
		return refuse(badKey, "the public key is not safe to certify: %w", err)
	}
	return nil
}

// possession checks that whoever asks holds the private key: proof must be a
// signature over challenge, made the default way of pub's type. That is ECDSA
// with SHA-256, -384 or -512 by the curve, RSA PKCS #1 v1.5 with SHA-256, or
// pure Ed25519. RSA-PSS is refused, as upstream does.
func possession(pub crypto.PublicKey, proof []byte, challenge string) error {
	details, err := pubkey.DefaultDetails(pub)
	if err != nil {
		return refuse(badKey, "the public key cannot be used: %w", err)
	}
	if err := pubkey.Verify(pub, details, []byte(challenge), proof); err != nil {
		return refuse(badProof, "the proof of possession does not match the public key: it must be a signature over the token's email or subject (%s)", details)
	}
	return nil
}
