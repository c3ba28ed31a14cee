// SPDX-License-Identifier: Apache-2.0

package translog

import (
	"container/list"
	"crypto/sha256"
	"sync"

	"hallmark/internal/format/logentry"
)

// maxKnown bounds the verifiers remembered, each a few hundred bytes.
const maxKnown = 4096

// knownSigners remembers the certificates and keys that were parsed and accepted lately, since
// whoever signs several things often does it with one. Acceptance depends on nothing but the
// verifier's bytes and the log's configuration: no clock is involved.
type knownSigners struct {
	mu     sync.Mutex
	byHash map[[32]byte]*list.Element // of *knownSigner, by SHA-256 of the verifier's DER
	recent list.List                  // most recently used first
}

type knownSigner struct {
	hash   [32]byte
	signer signer
}

func newKnownSigners() *knownSigners {
	return &knownSigners{byHash: map[[32]byte]*list.Element{}}
}

// verifierHash tells certificates and keys apart: their DER cannot be equal, since a
// SubjectPublicKeyInfo is not a Certificate.
func verifierHash(h logentry.HashedRekord) [32]byte {
	if len(h.Certificate) > 0 {
		return sha256.Sum256(h.Certificate)
	}
	return sha256.Sum256(h.PublicKey)
}

func (k *knownSigners) get(hash [32]byte) (signer, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	el, ok := k.byHash[hash]
	if !ok {
		return signer{}, false
	}
	k.recent.MoveToFront(el)
	return el.Value.(*knownSigner).signer, true
}

func (k *knownSigners) add(hash [32]byte, s signer) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, ok := k.byHash[hash]; ok {
		return
	}
	k.byHash[hash] = k.recent.PushFront(&knownSigner{hash, s})
	if len(k.byHash) > maxKnown {
		last := k.recent.Back()
		k.recent.Remove(last)
		delete(k.byHash, last.Value.(*knownSigner).hash)
	}
}
