// SPDX-License-Identifier: Apache-2.0

package ctlog

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/transparency-dev/formats/log"
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/mod/sumdb/note"

	"hallmark/internal/format/certext"
	"hallmark/internal/format/pubkey"
)

// algRFC6962 is the signed note algorithm of RFC6962NoteSignature
// (https://c2sp.org/static-ct-api#checkpoints).
const algRFC6962 = 0x05

// noteSigner signs checkpoints the way static-ct-api wants: the note signature holds a timestamp
// and RFC 6962's TreeHeadSignature over it.
type noteSigner struct {
	origin string
	key    crypto.Signer
	id     [32]byte
	now    func() time.Time
}

var _ note.Signer = (*noteSigner)(nil)

// Name implements [note.Signer].
func (s *noteSigner) Name() string { return s.origin }

// KeyHash implements [note.Signer].
func (s *noteSigner) KeyHash() uint32 { return keyHash(s.origin, s.id) }

// Sign implements [note.Signer].
func (s *noteSigner) Sign(msg []byte) ([]byte, error) {
	ts := uint64(s.now().UnixMilli())
	signed, err := treeHead(s.origin, ts, msg)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(signed)
	sig, err := s.key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("sign tree head: %w", err)
	}
	var b cryptobyte.Builder
	b.AddUint64(ts)
	b.AddUint8(certext.HashSHA256)
	b.AddUint8(certext.SigECDSA)
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(sig) })
	return b.Bytes()
}

// keyHash is the first four bytes of SHA-256(name || "\n" || 0x05 || log ID).
func keyHash(origin string, id [32]byte) uint32 {
	sum := sha256.Sum256(slices.Concat([]byte(origin), []byte{'\n', algRFC6962}, id[:]))
	return binary.BigEndian.Uint32(sum[:])
}

// treeHead is the TLS encoding of RFC 6962 section 3.5's digitally-signed struct.
func treeHead(origin string, ts uint64, text []byte) ([]byte, error) {
	var cp log.Checkpoint
	rest, err := cp.Unmarshal(text)
	if err != nil {
		return nil, err
	}
	if cp.Origin != origin || len(rest) > 0 || len(cp.Hash) != sha256.Size {
		return nil, fmt.Errorf("not a checkpoint of %q without extensions", origin)
	}
	var b cryptobyte.Builder
	b.AddUint8(0) // version v1
	b.AddUint8(1) // signature_type tree_hash
	b.AddUint64(ts)
	b.AddUint64(cp.Size)
	b.AddBytes(cp.Hash)
	return b.Bytes()
}

// noteVerifier verifies what noteSigner signs.
type noteVerifier struct {
	origin string
	pub    *ecdsa.PublicKey
	id     [32]byte
}

// NewVerifier returns the verifier of a CT log's checkpoints. pub is ECDSA.
func NewVerifier(origin string, pub crypto.PublicKey) (note.Verifier, error) {
	key, ok := pub.(*ecdsa.PublicKey)
	if !ok {
		return nil, errors.New("CT log: the key is not ECDSA")
	}
	id, err := pubkey.KeyID(key)
	if err != nil {
		return nil, fmt.Errorf("CT log: %w", err)
	}
	return &noteVerifier{origin, key, id}, nil
}

// Name implements [note.Verifier].
func (v *noteVerifier) Name() string { return v.origin }

// KeyHash implements [note.Verifier].
func (v *noteVerifier) KeyHash() uint32 { return keyHash(v.origin, v.id) }

// Verify implements [note.Verifier].
func (v *noteVerifier) Verify(msg, sig []byte) bool {
	s := cryptobyte.String(sig)
	var ts uint64
	var hashAlg, sigAlg uint8
	var der cryptobyte.String
	if !s.ReadUint64(&ts) || !s.ReadUint8(&hashAlg) || !s.ReadUint8(&sigAlg) || !s.ReadUint16LengthPrefixed(&der) || !s.Empty() {
		return false
	}
	if hashAlg != certext.HashSHA256 || sigAlg != certext.SigECDSA {
		return false
	}
	signed, err := treeHead(v.origin, ts, msg)
	if err != nil {
		return false
	}
	sum := sha256.Sum256(signed)
	return ecdsa.VerifyASN1(v.pub, sum[:], der)
}
