// SPDX-License-Identifier: Apache-2.0

package logentry

import (
	"crypto"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"hallmark/internal/format/digest"
	"hallmark/internal/format/pubkey"
	"hallmark/internal/format/strictjson"
)

// maxV1Signatures caps the signatures of one v1 body.
const maxV1Signatures = 64

// V1Body is what a Rekor v1 entry says was signed and by whom. A bundle is in
// the log only if it agrees with every field that the kind sets:
//
//	hashedrekord 0.0.1   Artifact; one signature over it
//	dsse 0.0.1           PayloadHash, EnvelopeHash; the envelope's signatures
//	intoto 0.0.2         PayloadHash, EnvelopeHash, PayloadType; the envelope's signatures
//	intoto 0.0.1         EnvelopeHash, perhaps PayloadHash; one verifier, its Signature nil
//
// EnvelopeHash is over the JSON text the client once sent, which a bundle does
// not keep; PayloadHash is over the decoded payload.
type V1Body struct {
	Kind, Version string
	Artifact      digest.Digest
	PayloadHash   digest.Digest
	EnvelopeHash  digest.Digest
	PayloadType   string
	Signatures    []V1Signature // at least one
}

// V1Signature is a signature and what verifies it: exactly one of Certificate
// and PublicKey is set.
type V1Signature struct {
	Signature   []byte
	Certificate []byte // DER
	PublicKey   []byte // DER SubjectPublicKeyInfo
}

// Key is the public key of the certificate or the bare key.
func (s V1Signature) Key() (crypto.PublicKey, error) {
	if len(s.Certificate) == 0 {
		return pubkey.ParsePKIX(s.PublicKey)
	}
	cert, err := x509.ParseCertificate(s.Certificate)
	if err != nil {
		return nil, fmt.Errorf("log entry body: verifier is not a certificate: %w", err)
	}
	return cert.PublicKey, nil
}

// ParseV1Body reads the canonicalized body of a Rekor v1 entry of one of the
// kinds that [V1Body] lists. Fields it does not know are ignored.
func ParseV1Body(body []byte) (*V1Body, error) {
	b, err := parseV1Body(body)
	if err != nil {
		return nil, fmt.Errorf("log entry body: %w", err)
	}
	return b, nil
}

func parseV1Body(body []byte) (*V1Body, error) {
	if len(body) > MaxBody {
		return nil, fmt.Errorf("larger than %d bytes", MaxBody)
	}
	doc, err := strictjson.Parse(body)
	if err != nil {
		return nil, err
	}
	top, err := doc.Open("apiVersion", "kind", "spec")
	if err != nil {
		return nil, err
	}
	b := new(V1Body)
	v, _ := top.Get("kind")
	if b.Kind, err = v.Text(); err != nil {
		return nil, fmt.Errorf("kind: %w", err)
	}
	v, _ = top.Get("apiVersion")
	if b.Version, err = v.Text(); err != nil {
		return nil, fmt.Errorf("apiVersion: %w", err)
	}
	var parse func(*V1Body, strictjson.Value) error
	switch b.Kind + " " + b.Version {
	case "hashedrekord 0.0.1":
		parse = (*V1Body).parseHashedRekord
	case "dsse 0.0.1":
		parse = (*V1Body).parseDSSE
	case "intoto 0.0.1":
		parse = (*V1Body).parseIntoto1
	case "intoto 0.0.2":
		parse = (*V1Body).parseIntoto2
	default:
		return nil, fmt.Errorf("kind %.40q version %.40q is not supported: expected hashedrekord 0.0.1, dsse 0.0.1, intoto 0.0.1 or 0.0.2", b.Kind, b.Version)
	}
	spec, _ := top.Get("spec")
	if err := parse(b, spec); err != nil {
		return nil, fmt.Errorf("%s %s: spec.%w", b.Kind, b.Version, err)
	}
	return b, nil
}

// The parsers of specs return errors that start with a field's path.

func (b *V1Body) parseHashedRekord(spec strictjson.Value) (err error) {
	if b.Artifact, err = hashAt(spec, "data", "hash"); err != nil {
		return err
	}
	content, err := textAt(spec, "signature", "content")
	if err != nil {
		return err
	}
	key, err := textAt(spec, "signature", "publicKey", "content")
	if err != nil {
		return err
	}
	return b.addSignature("signature", content, key)
}

func (b *V1Body) parseDSSE(spec strictjson.Value) (err error) {
	if b.EnvelopeHash, err = hashAt(spec, "envelopeHash"); err != nil {
		return err
	}
	if b.PayloadHash, err = hashAt(spec, "payloadHash"); err != nil {
		return err
	}
	return b.eachSignature(spec, []string{"signatures"}, "signature", "verifier", false)
}

func (b *V1Body) parseIntoto1(spec strictjson.Value) (err error) {
	if b.EnvelopeHash, err = hashAt(spec, "content", "hash"); err != nil {
		return err
	}
	// "PayloadHash is not present for old entries."
	if v, err := at(spec, "content", "payloadHash"); err != nil {
		return err
	} else if v.Kind() != strictjson.Null {
		if b.PayloadHash, err = hashAt(spec, "content", "payloadHash"); err != nil {
			return err
		}
	}
	key, err := textAt(spec, "publicKey")
	if err != nil {
		return err
	}
	var s V1Signature
	if err := s.setVerifier(key); err != nil {
		return fmt.Errorf("publicKey: %w", err)
	}
	b.Signatures = []V1Signature{s}
	return nil
}

func (b *V1Body) parseIntoto2(spec strictjson.Value) (err error) {
	if b.EnvelopeHash, err = hashAt(spec, "content", "hash"); err != nil {
		return err
	}
	if b.PayloadHash, err = hashAt(spec, "content", "payloadHash"); err != nil {
		return err
	}
	if b.PayloadType, err = textAt(spec, "content", "envelope", "payloadType"); err != nil {
		return err
	}
	return b.eachSignature(spec, []string{"content", "envelope", "signatures"}, "sig", "publicKey", true)
}

// eachSignature reads the array at path, whose elements hold base64 signatures
// (twice encoded where double is set) and base64 PEM verifiers.
func (b *V1Body) eachSignature(spec strictjson.Value, path []string, sigName, keyName string, double bool) error {
	where := strings.Join(path, ".")
	list, err := at(spec, path...)
	if err != nil {
		return err
	}
	elements, err := list.Elements(maxV1Signatures)
	if err != nil {
		return fmt.Errorf("%s: %w", where, err)
	}
	if len(elements) == 0 {
		return fmt.Errorf("%s is empty: expected at least one signature", where)
	}
	for i, v := range elements {
		where := fmt.Sprintf("%s[%d]", where, i)
		sig, err := textAt(v, sigName)
		if err != nil {
			return fmt.Errorf("%s.%w", where, err)
		}
		if double {
			once, err := strictjson.DecodeBase64(sig)
			if err != nil {
				return fmt.Errorf("%s.%s: %w", where, sigName, err)
			}
			sig = string(once)
		}
		key, err := textAt(v, keyName)
		if err != nil {
			return fmt.Errorf("%s.%w", where, err)
		}
		if err := b.addSignature(where, sig, key); err != nil {
			return err
		}
	}
	return nil
}

func (b *V1Body) addSignature(where, sig, key string) (err error) {
	var s V1Signature
	if s.Signature, err = strictjson.DecodeBase64(sig); err != nil {
		return fmt.Errorf("%s: signature: %w", where, err)
	}
	if len(s.Signature) == 0 {
		return fmt.Errorf("%s: signature is empty", where)
	}
	if err := s.setVerifier(key); err != nil {
		return fmt.Errorf("%s: verifier: %w", where, err)
	}
	b.Signatures = append(b.Signatures, s)
	return nil
}

// setVerifier takes base64 of a PEM certificate or public key. Of a PEM chain
// the first block counts, the leaf.
func (s *V1Signature) setVerifier(b64 string) error {
	text, err := strictjson.DecodeBase64(b64)
	if err != nil {
		return err
	}
	block, _ := pem.Decode(text)
	if block == nil || len(block.Bytes) == 0 {
		return errors.New("not PEM: expected a certificate or a public key")
	}
	switch block.Type {
	case "CERTIFICATE":
		s.Certificate = block.Bytes
	case "PUBLIC KEY":
		s.PublicKey = block.Bytes
	default:
		return fmt.Errorf("PEM block is %.40q: expected CERTIFICATE or PUBLIC KEY", block.Type)
	}
	return nil
}

// at walks down objects; a missing or null member on the way gives null.
func at(v strictjson.Value, path ...string) (strictjson.Value, error) {
	for i, name := range path {
		if v.Kind() == strictjson.Null {
			return v, nil
		}
		m, err := v.Open(name)
		if err != nil {
			return v, fmt.Errorf("%s: %w", strings.Join(path[:i+1], "."), err)
		}
		v, _ = m.Get(name)
	}
	return v, nil
}

func textAt(v strictjson.Value, path ...string) (string, error) {
	v, err := at(v, path...)
	if err != nil {
		return "", err
	}
	s, err := v.Text()
	if err != nil {
		return "", fmt.Errorf("%s: %w", strings.Join(path, "."), err)
	}
	return s, nil
}

// hashAt reads {"algorithm": "sha256", "value": <hex>}.
func hashAt(v strictjson.Value, path ...string) (digest.Digest, error) {
	where := strings.Join(path, ".")
	v, err := at(v, path...)
	if err != nil {
		return digest.Digest{}, err
	}
	name, err := textAt(v, "algorithm")
	if err != nil {
		return digest.Digest{}, fmt.Errorf("%s.%w", where, err)
	}
	value, err := textAt(v, "value")
	if err != nil {
		return digest.Digest{}, fmt.Errorf("%s.%w", where, err)
	}
	alg, err := digest.ParseAlgorithm(name)
	if err != nil {
		return digest.Digest{}, fmt.Errorf("%s: %w", where, err)
	}
	sum, err := hex.DecodeString(value)
	if err != nil {
		return digest.Digest{}, fmt.Errorf("%s.value is not hexadecimal", where)
	}
	d, err := digest.New(alg, sum)
	if err != nil {
		return digest.Digest{}, fmt.Errorf("%s: %w", where, err)
	}
	return d, nil
}
