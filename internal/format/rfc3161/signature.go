// SPDX-License-Identifier: Apache-2.0

package rfc3161

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// minRSA is the smallest accepted RSA modulus, in bits.
const minRSA = 2048

// verify checks the signature over the signed attributes.
func (s *signerInfo) verify(pub crypto.PublicKey, signed []byte) error {
	wrong := errors.New("wrong signature by the TSA")
	switch key := pub.(type) {
	case *ecdsa.PublicKey:
		hash, err := s.ecdsaHash()
		if err != nil {
			return err
		}
		if !ecdsa.VerifyASN1(key, sum(hash, signed), s.signature) {
			return wrong
		}
	case ed25519.PublicKey:
		if !s.signatureAlg.oid.Equal(oidEd25519) || len(s.signatureAlg.params) != 0 {
			return s.algorithmError("Ed25519")
		}
		if !ed25519.Verify(key, signed, s.signature) {
			return wrong
		}
	case *rsa.PublicKey:
		if key.N.BitLen() < minRSA {
			return fmt.Errorf("RSA key of the TSA has %d bits; expected at least %d", key.N.BitLen(), minRSA)
		}
		if s.signatureAlg.oid.Equal(oidRSAPSS) {
			hash, saltLength, err := readPSS(s.signatureAlg.params)
			if err != nil {
				return err
			}
			if rsa.VerifyPSS(key, hash, sum(hash, signed), s.signature, &rsa.PSSOptions{SaltLength: saltLength, Hash: hash}) != nil {
				return wrong
			}
			return nil
		}
		hash, err := s.rsaHash()
		if err != nil {
			return err
		}
		if rsa.VerifyPKCS1v15(key, hash, sum(hash, signed), s.signature) != nil {
			return wrong
		}
	default:
		return fmt.Errorf("TSA key of type %T; expected ECDSA, RSA or Ed25519", pub)
	}
	return nil
}

// ecdsaHash is the hash of an ECDSA signature algorithm.
func (s *signerInfo) ecdsaHash() (crypto.Hash, error) {
	if len(s.signatureAlg.params) == 0 { // RFC 5758 §3.2: parameters are absent
		switch oid := s.signatureAlg.oid; {
		case oid.Equal(oidECDSAWithSHA256):
			return crypto.SHA256, nil
		case oid.Equal(oidECDSAWithSHA384):
			return crypto.SHA384, nil
		case oid.Equal(oidECDSAWithSHA512):
			return crypto.SHA512, nil
		}
	}
	return 0, s.algorithmError("ECDSA with SHA-256, SHA-384 or SHA-512")
}

// rsaHash is the hash of a PKCS #1 v1.5 signature algorithm; plain rsaEncryption
// leaves it to the digest algorithm (RFC 3370 §3.2).
func (s *signerInfo) rsaHash() (crypto.Hash, error) {
	if s.signatureAlg.noParams() {
		switch oid := s.signatureAlg.oid; {
		case oid.Equal(oidRSA):
			return s.digestHash, nil
		case oid.Equal(oidSHA256WithRSA):
			return crypto.SHA256, nil
		case oid.Equal(oidSHA384WithRSA):
			return crypto.SHA384, nil
		case oid.Equal(oidSHA512WithRSA):
			return crypto.SHA512, nil
		}
	}
	return 0, s.algorithmError("RSA with SHA-256, SHA-384 or SHA-512")
}

func (s *signerInfo) algorithmError(want string) error {
	return fmt.Errorf("signature algorithm %v does not fit the TSA's key; expected %s", s.signatureAlg.oid, want)
}

// readPSS reads RSASSA-PSS-params (RFC 4055 §3.1): a hash that is not the
// default SHA-1, MGF1 with the same hash, a salt, and the default trailer.
func readPSS(params cryptobyte.String) (hash crypto.Hash, saltLength int, err error) {
	bad := errors.New("RSASSA-PSS parameters: expected SHA-256, SHA-384 or SHA-512 with MGF1 of the same hash")
	tag2 := casn1.Tag(2).ContextSpecific().Constructed()
	tag3 := casn1.Tag(3).ContextSpecific().Constructed()
	var seq, hashAlg, mgf cryptobyte.String
	if !params.ReadASN1(&seq, casn1.SEQUENCE) || !params.Empty() ||
		!seq.ReadASN1(&hashAlg, tag0) || !seq.ReadASN1(&mgf, tag1) {
		return 0, 0, bad
	}
	h, ok := readAlgorithm(&hashAlg)
	if !ok || !hashAlg.Empty() {
		return 0, 0, bad
	}
	if hash, err = h.hash(); err != nil {
		return 0, 0, err
	}
	m, ok := readAlgorithm(&mgf)
	if !ok || !mgf.Empty() || !m.oid.Equal(oidMGF1) {
		return 0, 0, bad
	}
	mgfHash, ok := readAlgorithm(&m.params)
	if !ok || !m.params.Empty() {
		return 0, 0, bad
	}
	if got, err := mgfHash.hash(); err != nil || got != hash {
		return 0, 0, bad
	}
	salt, trailer := int64(20), int64(1)
	for _, field := range []struct {
		tag   casn1.Tag
		value *int64
	}{{tag2, &salt}, {tag3, &trailer}} {
		var explicit cryptobyte.String
		var present bool
		if !seq.ReadOptionalASN1(&explicit, &present, field.tag) {
			return 0, 0, bad
		}
		if present && (!explicit.ReadASN1Integer(field.value) || !explicit.Empty()) {
			return 0, 0, bad
		}
	}
	if !seq.Empty() || trailer != 1 || salt < 1 || salt > 512 {
		return 0, 0, bad
	}
	return hash, int(salt), nil
}
