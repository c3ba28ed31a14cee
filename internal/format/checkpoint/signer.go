// SPDX-License-Identifier: Apache-2.0

package checkpoint

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"fmt"

	"golang.org/x/mod/sumdb/note"
)

// NewSigner returns a signer of checkpoints under the given name: the standard
// note signature for an Ed25519 key, Rekor's scheme (ASN.1 over SHA-256) for an
// ECDSA P-256 key. Other keys are refused. It is safe for concurrent use if
// key is.
func NewSigner(name string, key crypto.Signer) (note.Signer, error) {
	if !validName(name) {
		return nil, fmt.Errorf("log name %q: must not be empty or contain spaces or a plus", name)
	}
	pub := key.Public()
	hash, err := KeyHash(name, pub)
	if err != nil {
		return nil, err
	}
	s := &signer{name: name, hash: hash}
	switch pub := pub.(type) {
	case ed25519.PublicKey:
		s.sign = func(msg []byte) ([]byte, error) { return key.Sign(rand.Reader, msg, crypto.Hash(0)) }
	case *ecdsa.PublicKey:
		if pub.Curve != elliptic.P256() {
			return nil, fmt.Errorf("log key on the curve %s; expected Ed25519 or ECDSA P-256", pub.Curve.Params().Name)
		}
		s.sign = func(msg []byte) ([]byte, error) {
			sum := sha256.Sum256(msg)
			return key.Sign(rand.Reader, sum[:], crypto.SHA256)
		}
	default:
		return nil, fmt.Errorf("log key of type %T; expected Ed25519 or ECDSA P-256", pub)
	}
	return s, nil
}

type signer struct {
	name string
	hash uint32
	sign func(msg []byte) ([]byte, error)
}

func (s *signer) Name() string                    { return s.name }
func (s *signer) KeyHash() uint32                 { return s.hash }
func (s *signer) Sign(msg []byte) ([]byte, error) { return s.sign(msg) }
