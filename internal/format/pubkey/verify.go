// SPDX-License-Identifier: Apache-2.0

package pubkey

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
)

// ErrSignature is what [Verify] and [VerifyDigest] return, wrapped or not, for a
// well-formed question whose answer is no.
var ErrSignature = errors.New("signature does not verify")

// Verify checks sig by pub over message under the scheme d.
// ECDSA signatures are ASN.1 DER.
func Verify(pub crypto.PublicKey, d Details, message, sig []byte) error {
	if err := d.Check(pub); err != nil {
		return err
	}
	if key, ok := pub.(ed25519.PublicKey); ok && d == Ed25519 {
		if !ed25519.Verify(key, message, sig) {
			return ErrSignature
		}
		return nil
	}
	h := d.Digest().New()
	h.Write(message)
	return verifySum(pub, d, h.Sum(nil), sig)
}

// VerifyDigest is [Verify] for one who has only the digest of the message, made
// with d's hash. Pure Ed25519 signs the message itself, so for it this is an
// error: call Verify with the content.
func VerifyDigest(pub crypto.PublicKey, d Details, sum, sig []byte) error {
	if err := d.Check(pub); err != nil {
		return err
	}
	if d == Ed25519 {
		return errors.New("a pure Ed25519 signature cannot be checked over a digest: the signed content itself is needed")
	}
	return verifySum(pub, d, sum, sig)
}

// verifySum is for a pub that fits d and a d that hashes.
func verifySum(pub crypto.PublicKey, d Details, sum, sig []byte) error {
	s, _ := d.scheme()
	if len(sum) != s.hash.Size() {
		return fmt.Errorf("digest is %d bytes long: key details %s need %d (%s)", len(sum), d, s.hash.Size(), s.hash)
	}
	ok := false
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		ok = ecdsa.VerifyASN1(k, sum, sig)
	case *rsa.PublicKey:
		if s.family == rsaPSS {
			ok = rsa.VerifyPSS(k, s.hash.Hash(), sum, sig, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthAuto}) == nil
		} else {
			ok = rsa.VerifyPKCS1v15(k, s.hash.Hash(), sum, sig) == nil
		}
	case ed25519.PublicKey:
		ok = ed25519.VerifyWithOptions(k, sum, sig, &ed25519.Options{Hash: crypto.SHA512}) == nil
	}
	if !ok {
		return ErrSignature
	}
	return nil
}

// Sign signs message with key under the scheme d, with randomness from
// crypto/rand. ECDSA signatures are ASN.1 DER, PSS salts as long as the hash.
func Sign(key crypto.Signer, d Details, message []byte) ([]byte, error) {
	if key == nil {
		return nil, errors.New("signing key is missing")
	}
	if err := d.Check(key.Public()); err != nil {
		return nil, err
	}
	s, _ := d.scheme()
	signed := message
	var opts crypto.SignerOpts = s.hash.Hash()
	if s.hash != 0 {
		h := s.hash.New()
		h.Write(message)
		signed = h.Sum(nil)
	}
	switch {
	case s.family == rsaPSS:
		opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: s.hash.Hash()}
	case d == Ed25519ph:
		opts = &ed25519.Options{Hash: crypto.SHA512}
	}
	sig, err := key.Sign(rand.Reader, signed, opts)
	if err != nil {
		return nil, fmt.Errorf("signing with a %s key: %w", describe(key.Public()), err)
	}
	return sig, nil
}
