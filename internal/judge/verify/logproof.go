// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"

	"hallmark/internal/format/bundle"
	"hallmark/internal/format/checkpoint"
	"hallmark/internal/format/digest"
	"hallmark/internal/format/logentry"
	"hallmark/internal/format/pubkey"
	"hallmark/internal/format/trustroot"
)

// This file judges what a log says apart from any artifact: that it had this
// state, that the state holds this entry, that a later state only added to it.
// A log's validity window is not held against anything here, since nothing
// here has a time that an authority vouched for.

// A Tree is a state of a Rekor v2 log, signed with the key that the trusted
// root has for that log. Only [CheckTree] and [CheckInclusion] make one. It is
// immutable.
type Tree struct {
	log *trustroot.Log
	cp  *checkpoint.Checkpoint
}

// CheckTree decides whether envelope, a signed checkpoint, is log's. The error
// is an [*Error].
func CheckTree(envelope []byte, log *trustroot.Log) (*Tree, error) {
	cp, err := checkpoint.Parse(envelope)
	if err != nil {
		return nil, fail(CodeCheckpoint, "log %s: %w", log.BaseURL, err)
	}
	if cp.Origin != log.Origin() {
		return nil, fail(CodeCheckpoint, "checkpoint is of log %q, expected %q, the host of %s", cp.Origin, log.Origin(), log.BaseURL)
	}
	if err := checkpointSignature(cp, &entry{log: log, v2: true}); err != nil {
		return nil, err
	}
	return &Tree{log: log, cp: cp}, nil
}

// Log is the log of the trusted root that the tree is of.
func (t *Tree) Log() *trustroot.Log { return t.log }

// Size is the number of entries.
func (t *Tree) Size() uint64 { return t.cp.Size }

// Root is the Merkle root hash over all entries.
func (t *Tree) Root() [32]byte { return t.cp.Root }

// Extends decides whether t begins with the tree that had the given size and
// root hash, so that nothing of that one was changed or taken out since. hashes
// is the consistency proof of RFC 6962 between the two sizes; it is nil where
// they are equal.
func (t *Tree) Extends(size uint64, root [32]byte, hashes [][]byte) error {
	if size > t.cp.Size {
		return fmt.Errorf("log %s has %d entries and had %d before: entries were taken out, or this is an old state of it", t.cp.Origin, t.cp.Size, size)
	}
	err := proof.VerifyConsistency(rfc6962.DefaultHasher, size, t.cp.Size, hashes, root[:], t.cp.Root[:])
	var mismatch proof.RootMismatchError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &mismatch) && size == t.cp.Size:
		return fmt.Errorf("log %s has two states of %d entries, with root hash %x and %x: it was rewritten, or shows different people different logs", t.cp.Origin, size, root, t.cp.Root)
	case errors.As(err, &mismatch):
		return fmt.Errorf("log %s with %d entries is not shown to begin with the %d that had root hash %x: it was rewritten, or the consistency proof is wrong", t.cp.Origin, t.cp.Size, size, root)
	}
	return fmt.Errorf("consistency proof of log %s from size %d to %d: %w", t.cp.Origin, size, t.cp.Size, err)
}

// An Inclusion is proof that a Rekor v2 log of the trusted root holds an entry.
// Only [CheckInclusion] makes one. It is immutable: what its methods return
// must not be written to.
type Inclusion struct {
	tree   *Tree
	entry  *logentry.Entry
	rekord logentry.HashedRekord
}

// CheckInclusion decides whether e is in the log that it names, by the log's
// key in root: that its body is a Rekor v2 entry, that the proof leads from it
// to the checkpoint, and that the log signed that. The error is an [*Error].
//
// It says nothing about who made the entry: [Inclusion.Signer] does.
func CheckInclusion(e *logentry.Entry, root *trustroot.Root) (*Inclusion, error) {
	if err := e.Validate(); err != nil {
		return nil, fail(CodeBundle, "%w", err)
	}
	if !e.IsV2() {
		return nil, fail(CodeUnsupported, "entry %d is a %s %s: expected a Rekor v2 log's", e.LogIndex, e.Kind, e.Version)
	}
	log := root.LogByID(e.LogID)
	if log == nil {
		return nil, fail(CodeLogThreshold, "entry %d is of the log with id %s, which is not in the trusted root", e.LogIndex, hex.EncodeToString(e.LogID))
	}
	if e.Proof == nil {
		return nil, fail(CodeInclusionProof, "entry %d of log %s has no inclusion proof", e.LogIndex, log.BaseURL)
	}
	cp, err := checkpoint.Parse([]byte(e.Proof.Checkpoint))
	if err != nil {
		return nil, fail(CodeCheckpoint, "entry %d of log %s: %w", e.LogIndex, log.BaseURL, err)
	}
	known := &entry{Entry: e, log: log, v2: true}
	if err := included(known, cp); err != nil {
		return nil, err
	}
	if err := checkpointSignature(cp, known); err != nil {
		return nil, err
	}
	rekord, err := e.HashedRekord()
	if err != nil {
		return nil, fail(CodeUnsupported, "log entry %d: %w", e.LogIndex, err)
	}
	return &Inclusion{tree: &Tree{log: log, cp: cp}, entry: e, rekord: rekord}, nil
}

// Tree is the state of the log that the entry was proven to be in.
func (i *Inclusion) Tree() *Tree { return i.tree }

// Entry is the entry, with its proof.
func (i *Inclusion) Entry() *logentry.Entry { return i.entry }

// Rekord is the entry's body.
func (i *Inclusion) Rekord() logentry.HashedRekord { return i.rekord }

// Signer decides who made the entry: that the signature in it is by its key
// and, where it has a certificate, that an authority of root issued that at the
// time it was issued for. Nobody has vouched for the time of the signature. The
// error is an [*Error].
func (i *Inclusion) Signer(root *trustroot.Root) (Signer, error) {
	key, err := i.rekord.Key()
	if err != nil {
		return Signer{}, fail(CodeUnsupported, "log entry %d: %w", i.entry.LogIndex, err)
	}
	if err := pubkey.VerifyDigest(key, i.rekord.Details, i.rekord.Digest.Bytes(), i.rekord.Signature); err != nil {
		return Signer{}, fail(CodeSignature, "log entry %d: %w", i.entry.LogIndex, err)
	}
	if len(i.rekord.Certificate) == 0 {
		return Signer{Key: key}, nil
	}
	leaf, err := parseLeaf(i.rekord.Certificate)
	if err != nil {
		return Signer{}, err
	}
	if _, err := (*Memo)(nil).issuerOf(leaf, root.CAs, []time.Time{leaf.NotBefore}); err != nil {
		return Signer{}, err
	}
	return describeLeaf(leaf)
}

// Records decides whether the entry is what b must have been logged as. It does
// not judge b otherwise: that is for [Check]. The error is an [*Error].
func (i *Inclusion) Records(b *bundle.Bundle) error {
	c := &check{bundle: b, signature: b.Signature(), artifact: Artifact{Digests: []digest.Digest{i.rekord.Digest}}}
	var err error
	if len(b.Certificates) == 0 {
		c.key, err = i.rekord.Key()
	} else if c.leaf, err = parseLeaf(b.Certificates[0]); err == nil {
		c.key = c.leaf.PublicKey
	}
	if err != nil {
		return fail(CodeUnsupported, "log entry %d: %w", i.entry.LogIndex, err)
	}
	return c.matchV2(&entry{Entry: i.entry, log: i.tree.log, v2: true})
}
