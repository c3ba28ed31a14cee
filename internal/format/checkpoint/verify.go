// SPDX-License-Identifier: Apache-2.0

package checkpoint

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	_ "crypto/sha512" // SHA-384 and SHA-512
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/note"
)

// Signature types of the signed-note specification.
const (
	algEd25519 = 0x01
	algOther   = 0xff
	rsaType    = "PKIX-RSA-PKCS#1v1.5"
)

// LogID returns the full key hash of a log whose checkpoints name signs: what
// a Rekor v2 log's logId.keyId holds.
//
//   - Ed25519: SHA-256(name || "\n" || 0x01 || key), as the note format has it;
//   - ECDSA: SHA-256 of the DER SubjectPublicKeyInfo, whatever the name;
//   - RSA: SHA-256(name || "\n" || 0xff || "PKIX-RSA-PKCS#1v1.5" || DER SubjectPublicKeyInfo).
func LogID(name string, pub crypto.PublicKey) ([32]byte, error) {
	switch key := pub.(type) {
	case ed25519.PublicKey:
		if len(key) != ed25519.PublicKeySize {
			return [32]byte{}, fmt.Errorf("Ed25519 key of %d bytes; expected %d", len(key), ed25519.PublicKeySize)
		}
		return noteHash(name, []byte{algEd25519}, key), nil
	case *ecdsa.PublicKey:
		return spkiHash(pub)
	case *rsa.PublicKey:
		spki, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			return [32]byte{}, fmt.Errorf("log key: %w", err)
		}
		return noteHash(name, append([]byte{algOther}, rsaType...), spki), nil
	}
	return [32]byte{}, fmt.Errorf("log key of type %T; expected Ed25519, ECDSA or RSA", pub)
}

// KeyHash returns the first four bytes of LogID, big-endian: what a signature
// line starts with.
func KeyHash(name string, pub crypto.PublicKey) (uint32, error) {
	id, err := LogID(name, pub)
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint32(id[:]), nil
}

func noteHash(name string, parts ...[]byte) [32]byte {
	h := sha256.New()
	h.Write([]byte(name + "\n"))
	for _, p := range parts {
		h.Write(p)
	}
	return [32]byte(h.Sum(nil))
}

func spkiHash(pub crypto.PublicKey) ([32]byte, error) {
	spki, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return [32]byte{}, fmt.Errorf("log key: %w", err)
	}
	return sha256.Sum256(spki), nil
}

// VerifiedBy returns nil if the log called name, whose key is pub, has signed
// the checkpoint: the origin is name (or, for Rekor v1, "name - <tree ID>"),
// and a signature line by name with the key's hash verifies. Other lines do
// not matter.
//
// The key hash is KeyHash(name, pub); in Rekor v1 checkpoints it is the hash
// of the DER SubjectPublicKeyInfo for every kind of key.
func (c *Checkpoint) VerifiedBy(name string, pub crypto.PublicKey) error {
	host, _, v1 := c.TreeID()
	if c.Origin != name && !(v1 && host == name) {
		return fmt.Errorf("checkpoint: origin is %q; expected %q", c.Origin, name)
	}
	hash, err := KeyHash(name, pub)
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	wanted := []uint32{hash}
	if _, isECDSA := pub.(*ecdsa.PublicKey); v1 && !isECDSA { // whose two hashes are one
		id, err := spkiHash(pub)
		if err != nil {
			return fmt.Errorf("checkpoint: %w", err)
		}
		wanted = append(wanted, binary.BigEndian.Uint32(id[:]))
	}
	return c.anyVerifies(name, pub, wanted)
}

// VerifiedByKey is VerifiedBy for Rekor v1 checkpoints of a log of which only
// the key is known: it finds the signature line by the hash of the DER
// SubjectPublicKeyInfo alone, and refuses checkpoints whose origin has not the
// form of Rekor v1. Callers bind the tree by other means (the log ID).
func (c *Checkpoint) VerifiedByKey(pub crypto.PublicKey) error {
	if _, _, v1 := c.TreeID(); !v1 {
		return fmt.Errorf("checkpoint: origin %q has not the form \"<host> - <tree ID>\" of a Rekor v1 log", c.Origin)
	}
	id, err := spkiHash(pub)
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	return c.anyVerifies("", pub, []uint32{binary.BigEndian.Uint32(id[:])})
}

// anyVerifies returns nil if a signature line with one of the wanted key
// hashes, and with the name unless that is "", verifies.
func (c *Checkpoint) anyVerifies(name string, pub crypto.PublicKey, wanted []uint32) error {
	verify, err := verifier(pub, c.hashFor(pub))
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	named, matched := false, false
	for _, s := range c.Signatures {
		if name != "" && s.Name != name {
			continue
		}
		named = true
		for _, hash := range wanted {
			if s.KeyHash != hash {
				continue
			}
			matched = true
			if verify([]byte(c.Text), s.Sig) {
				return nil
			}
			break
		}
	}
	switch {
	case matched:
		return errors.New("checkpoint: wrong signature by the log's key")
	case named:
		return fmt.Errorf("checkpoint: no signature line has the key hash %08x of the log's key", wanted[0])
	}
	return fmt.Errorf("checkpoint: no signature line by %q", name)
}

// hashFor returns the hash that pub signs with: SHA-256 in Rekor v1 and for
// RSA, and the one of its size for an ECDSA key otherwise.
func (c *Checkpoint) hashFor(pub crypto.PublicKey) crypto.Hash {
	key, ok := pub.(*ecdsa.PublicKey)
	if _, _, v1 := c.TreeID(); v1 || !ok {
		return crypto.SHA256
	}
	switch key.Curve {
	case elliptic.P384():
		return crypto.SHA384
	case elliptic.P521():
		return crypto.SHA512
	}
	return crypto.SHA256
}

// verifier returns the function that checks a signature by pub.
func verifier(pub crypto.PublicKey, hash crypto.Hash) (func(msg, sig []byte) bool, error) {
	sum := func(msg []byte) []byte {
		h := hash.New()
		h.Write(msg)
		return h.Sum(nil)
	}
	switch key := pub.(type) {
	case ed25519.PublicKey:
		if len(key) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("Ed25519 key of %d bytes; expected %d", len(key), ed25519.PublicKeySize)
		}
		return func(msg, sig []byte) bool { return ed25519.Verify(key, msg, sig) }, nil
	case *ecdsa.PublicKey:
		return func(msg, sig []byte) bool { return ecdsa.VerifyASN1(key, sum(msg), sig) }, nil
	case *rsa.PublicKey:
		return func(msg, sig []byte) bool { return rsa.VerifyPKCS1v15(key, hash, sum(msg), sig) == nil }, nil
	}
	return nil, fmt.Errorf("log key of type %T; expected Ed25519, ECDSA or RSA", pub)
}

// NewVerifier returns the verifier of a log's checkpoints in the form that
// x/mod/sumdb/note and Tessera take. Its key hash is KeyHash(name, pub).
func NewVerifier(name string, pub crypto.PublicKey) (note.Verifier, error) {
	if !validName(name) {
		return nil, fmt.Errorf("log name %q: must not be empty or contain spaces or a plus", name)
	}
	hash, err := KeyHash(name, pub)
	if err != nil {
		return nil, err
	}
	verify, err := verifier(pub, (&Checkpoint{Origin: name}).hashFor(pub))
	if err != nil {
		return nil, err
	}
	return &noteVerifier{name: name, hash: hash, verify: verify}, nil
}

type noteVerifier struct {
	name   string
	hash   uint32
	verify func(msg, sig []byte) bool
}

func (v *noteVerifier) Name() string                { return v.name }
func (v *noteVerifier) KeyHash() uint32             { return v.hash }
func (v *noteVerifier) Verify(msg, sig []byte) bool { return v.verify(msg, sig) }
