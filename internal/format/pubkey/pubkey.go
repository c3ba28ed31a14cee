// SPDX-License-Identifier: Apache-2.0

// Package pubkey reads and writes public keys, and maps the Sigstore names of
// signature schemes to the checks they stand for. It is the one place that
// does, for those who make evidence and for those who judge it.
//
// Specs: SubjectPublicKeyInfo, https://www.rfc-editor.org/rfc/rfc5280#section-4.1.2.7;
// scheme names, the enum PublicKeyDetails in
// https://github.com/sigstore/protobuf-specs/blob/main/protos/sigstore_common.proto;
// Ed25519ph, https://www.rfc-editor.org/rfc/rfc8032#section-5.1.
//
// Invariants: a key that a function here returned or accepted is *ecdsa.PublicKey
// on P-256, P-384 or P-521, *rsa.PublicKey of 2048 to 8192 bits, or
// ed25519.PublicKey of 32 bytes. A signature is never checked with a key that
// does not fit the scheme's name, or over a digest of another length.
//
// All functions are pure and safe for concurrent use.
package pubkey

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// MaxSize caps an encoded key, in bytes: a PEM of an 8192-bit RSA key is 1.5 KB.
const MaxSize = 16 << 10

// ParsePKIX parses a DER SubjectPublicKeyInfo.
func ParsePKIX(der []byte) (crypto.PublicKey, error) {
	if len(der) > MaxSize {
		return nil, fmt.Errorf("public key is larger than %d bytes", MaxSize)
	}
	pub, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, fmt.Errorf("public key is not a DER SubjectPublicKeyInfo: %w", err)
	}
	if err := checkKind(pub); err != nil {
		return nil, err
	}
	return pub, nil
}

// ParsePEM parses one PEM block "PUBLIC KEY" (SubjectPublicKeyInfo) or "RSA
// PUBLIC KEY" (PKCS #1). Text before the block and white space after it are
// ignored; anything else after it is an error, since which key counts would be
// a guess.
func ParsePEM(data []byte) (crypto.PublicKey, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("public key is larger than %d bytes", MaxSize)
	}
	block, rest := pem.Decode(data)
	if block == nil {
		return nil, errors.New("public key is not PEM: expected -----BEGIN PUBLIC KEY-----")
	}
	for _, c := range rest {
		if c != ' ' && c != '\t' && c != '\r' && c != '\n' {
			return nil, errors.New("public key file has data after its first PEM block: expected exactly one key")
		}
	}
	switch block.Type {
	case "PUBLIC KEY":
		return ParsePKIX(block.Bytes)
	case "RSA PUBLIC KEY":
		return parsePKCS1(block.Bytes)
	}
	return nil, fmt.Errorf("PEM block is %.40q: expected PUBLIC KEY", block.Type)
}

// ParseRaw parses key bytes as a trusted root or a log entry holds them: PKCS #1
// where d is one of the two PKCS1_ names, SubjectPublicKeyInfo otherwise. It
// fails unless the key fits d.
func ParseRaw(d Details, der []byte) (crypto.PublicKey, error) {
	s, ok := d.scheme()
	if !ok {
		return nil, d.unknown()
	}
	parse := ParsePKIX
	if s.pkcs1 {
		parse = parsePKCS1
	}
	pub, err := parse(der)
	if err != nil {
		return nil, err
	}
	return pub, d.Check(pub)
}

func parsePKCS1(der []byte) (crypto.PublicKey, error) {
	if len(der) > MaxSize {
		return nil, fmt.Errorf("public key is larger than %d bytes", MaxSize)
	}
	pub, err := x509.ParsePKCS1PublicKey(der)
	if err != nil {
		return nil, fmt.Errorf("public key is not a PKCS #1 RSA key: %w", err)
	}
	if err := checkKind(pub); err != nil {
		return nil, err
	}
	return pub, nil
}

// MarshalPKIX is the DER SubjectPublicKeyInfo of pub.
func MarshalPKIX(pub crypto.PublicKey) ([]byte, error) {
	if err := checkKind(pub); err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, fmt.Errorf("encoding public key: %w", err)
	}
	return der, nil
}

// MarshalPEM is pub as a PEM block "PUBLIC KEY".
func MarshalPEM(pub crypto.PublicKey) ([]byte, error) {
	der, err := MarshalPKIX(pub)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

// KeyID is the SHA-256 of pub's DER SubjectPublicKeyInfo: how CT logs and Rekor
// v1 logs are named.
func KeyID(pub crypto.PublicKey) ([32]byte, error) {
	der, err := MarshalPKIX(pub)
	if err != nil {
		return [32]byte{}, err
	}
	return sha256.Sum256(der), nil
}

// checkKind enforces the package invariant.
func checkKind(pub crypto.PublicKey) error {
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		//lint:ignore SA1019 a key without coordinates can only be told by looking at them
		if k == nil || k.X == nil || k.Y == nil {
			break
		}
		switch k.Curve {
		case elliptic.P256(), elliptic.P384(), elliptic.P521():
			return nil
		}
		return errors.New("ECDSA key is on an unsupported curve: expected P-256, P-384 or P-521")
	case *rsa.PublicKey:
		if k == nil || k.N == nil {
			break
		}
		if n := k.N.BitLen(); n < 2048 || n > 8192 {
			return fmt.Errorf("RSA key has %d bits: expected 2048 to 8192", n)
		}
		return nil
	case ed25519.PublicKey:
		if len(k) != ed25519.PublicKeySize {
			return fmt.Errorf("Ed25519 key is %d bytes long: expected %d", len(k), ed25519.PublicKeySize)
		}
		return nil
	case nil:
	default:
		return fmt.Errorf("public key of type %T is not supported: expected ECDSA, RSA or Ed25519", pub)
	}
	return errors.New("public key is missing")
}

// describe names a key that passed checkKind.
func describe(pub crypto.PublicKey) string {
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		return "ECDSA " + k.Curve.Params().Name
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA-%d", k.N.BitLen())
	}
	return "Ed25519"
}
