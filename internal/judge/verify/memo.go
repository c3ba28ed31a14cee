// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"crypto/sha256"
	"crypto/x509"
	"sync"

	"hallmark/internal/format/bundle"
	"hallmark/internal/format/trustroot"
)

// MaxMemo is how many signatures one [Memo] remembers; beyond that it starts
// over. A trusted root has a handful.
const MaxMemo = 1024

// A Memo remembers signatures between certificates of authorities, which many
// bundles share: an intermediate's by its root, and a timestamp authority's by
// its issuer. It is worth having wherever more than one bundle is judged.
//
// What it remembers is only that the signature on this very certificate by this
// very key holds, which is true forever and of every trusted root. Validity at
// the times of a bundle, what a certificate may be used for, path lengths, names
// and which certificates are trusted are judged for every bundle anew. Signing
// certificates are not remembered, since each is used once; nor is a signature
// that does not hold.
//
// The zero Memo is empty and ready, and so is a nil one, which remembers
// nothing. It is safe for use by several goroutines and must not be copied.
type Memo struct {
	mu    sync.RWMutex
	links map[link]struct{}
}

// link is a signature between two certificates: the hash of the signed one, and
// of the key of the other.
type link struct{ child, parentKey [sha256.Size]byte }

// Check is like the function [Check] with a memory.
func (m *Memo) Check(b *bundle.Bundle, a Artifact, root *trustroot.Root, p Policy) (*Verified, error) {
	c := &check{bundle: b, artifact: a, root: root, policy: p, memo: m}
	return c.run()
}

// Len says how many signatures are remembered.
func (m *Memo) Len() int {
	if m == nil {
		return 0
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	return len(m.links)
}

// signedBy decides whether child is signed with parent's key, as
// [x509.Certificate.CheckSignatureFrom] does. Both came from a parser, so that
// what it looks at is what Raw and RawSubjectPublicKeyInfo say.
func (m *Memo) signedBy(child, parent *x509.Certificate) error {
	if m == nil {
		return child.CheckSignatureFrom(parent)
	}
	l := link{sha256.Sum256(child.Raw), sha256.Sum256(parent.RawSubjectPublicKeyInfo)}
	m.mu.RLock()
	_, known := m.links[l]
	m.mu.RUnlock()
	if known {
		return nil
	}
	if err := child.CheckSignatureFrom(parent); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.links == nil || len(m.links) >= MaxMemo {
		m.links = make(map[link]struct{})
	}
	m.links[l] = struct{}{}
	return nil
}
