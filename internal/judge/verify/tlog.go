// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"bytes"
	"errors"
	"math"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"

	"hallmark/internal/format/checkpoint"
	"hallmark/internal/format/logentry"
)

// logEntries proves that enough logs hold the signature: that each entry of a
// trusted log is about this very bundle and is in the tree that the log signed.
func (c *check) logEntries() error {
	if c.policy.LogEntries == 0 {
		return nil
	}
	holders := make(map[string]bool)
	for i := range c.entries {
		e := &c.entries[i]
		origin, err := c.logEntry(e)
		if err != nil {
			return err
		}
		holders[string(e.LogID)] = true
		c.logged = append(c.logged, LoggedEntry{Entry: e.Entry, Origin: origin})
	}
	if len(holders) < c.policy.LogEntries {
		return fail(CodeLogThreshold, "%d trusted logs hold the signature (the bundle has %d entries, %d of logs in the trusted root), the policy asks for %d",
			len(holders), len(c.bundle.Entries), len(c.entries), c.policy.LogEntries)
	}
	return nil
}

// logEntry proves one entry and returns its log's origin.
func (c *check) logEntry(e *entry) (string, error) {
	match := c.matchV1
	if e.v2 {
		match = c.matchV2
	}
	if err := match(e); err != nil {
		return "", err
	}
	if err := c.entryTime(e); err != nil {
		return "", err
	}
	if e.Proof == nil { // only with a promise: the structure step asks for one of the two
		return e.log.Origin(), nil
	}
	cp, err := checkpoint.Parse([]byte(e.Proof.Checkpoint))
	if err != nil {
		return "", fail(CodeCheckpoint, "entry %d of log %s: %w", e.LogIndex, e.log.BaseURL, err)
	}
	if err := included(e, cp); err != nil {
		return "", err
	}
	return cp.Origin, checkpointSignature(cp, e)
}

// entryTime checks that the log is trusted at the entry's time: the promised
// one or, without a promise, every verified time.
func (c *check) entryTime(e *entry) error {
	times := c.times
	if !e.time.IsZero() {
		times = []Timestamp{{Time: e.time}}
	}
	for _, t := range times {
		if !e.log.Valid.Contains(t.Time) {
			return fail(CodeLogWindow, "entry %d of log %s is from %s, but that log is trusted %s", e.LogIndex, e.log.BaseURL, stamp(t.Time), windowText(e.log.Valid))
		}
	}
	return nil
}

// included checks that proof, checkpoint and entry are about one tree, and
// that the entry is in it. The structure step has bounded the proof's numbers.
func included(e *entry, cp *checkpoint.Checkpoint) error {
	p, log := e.Proof, e.log
	host, _, v1 := cp.TreeID()
	switch {
	case e.v2 && cp.Origin != log.Origin():
		return fail(CodeCheckpoint, "checkpoint is of log %q, expected %q, the host of %s", cp.Origin, log.Origin(), log.BaseURL)
	case !e.v2 && (!v1 || host == ""):
		return fail(CodeCheckpoint, "checkpoint is of log %q, expected \"host - tree ID\", as a Rekor v1 log names its trees", cp.Origin)
	case e.v2 && p.LogIndex != e.LogIndex:
		return fail(CodeInclusionProof, "entry is at index %d, but the proof is for index %d", e.LogIndex, p.LogIndex)
	case cp.Size > math.MaxInt64 || int64(cp.Size) != p.TreeSize:
		return fail(CodeCheckpoint, "proof is for a tree of size %d, but the checkpoint's has size %d", p.TreeSize, cp.Size)
	case !bytes.Equal(p.RootHash, cp.Root[:]):
		return fail(CodeCheckpoint, "proof is for a tree with root hash %x, but the checkpoint's is %x", p.RootHash, cp.Root)
	}
	leaf := logentry.LeafHash(e.Body)
	err := proof.VerifyInclusion(rfc6962.DefaultHasher, uint64(p.LogIndex), cp.Size, leaf[:], p.Hashes, cp.Root[:])
	var mismatch proof.RootMismatchError
	if errors.As(err, &mismatch) {
		return fail(CodeInclusionProof, "entry %d of log %s leads to root hash %x, the checkpoint's is %x", p.LogIndex, log.BaseURL, mismatch.CalculatedRoot, cp.Root)
	}
	if err != nil {
		return fail(CodeInclusionProof, "entry %d of log %s: %w", p.LogIndex, log.BaseURL, err)
	}
	return nil
}

// checkpointSignature checks that the log signed the checkpoint. A Rekor v2
// log signs as its host name. A Rekor v1 log signs as whatever its operator
// called it, which is also the origin's first part: its key is what counts.
func checkpointSignature(cp *checkpoint.Checkpoint, e *entry) error {
	name := e.log.Origin()
	if !e.v2 {
		name, _, _ = cp.TreeID()
	}
	if err := cp.VerifiedBy(name, e.log.Key); err != nil {
		return fail(CodeCheckpointSignature, "log %s: %w", e.log.BaseURL, err)
	}
	return nil
}

// matchV2 checks that a Rekor v2 entry is what this bundle must have been
// logged as: its body is rebuilt from the bundle, so that nothing in it is
// left to interpretation.
func (c *check) matchV2(e *entry) error {
	want, err := c.rekordOf()
	if err != nil {
		return err
	}
	if bytes.Equal(e.Body, want.Body()) {
		return nil
	}
	got, err := logentry.ParseHashedRekord(e.Body)
	switch {
	case err != nil:
		return fail(CodeLogEntryMismatch, "log entry %d: %w", e.LogIndex, err)
	case !bytes.Equal(got.Signature, want.Signature):
		return fail(CodeLogEntryMismatch, "log entry %d is about another signature than the bundle's", e.LogIndex)
	case got.Digest != want.Digest:
		return fail(CodeLogEntryMismatch, "log entry %d is about digest %s, the bundle about %s", e.LogIndex, got.Digest, want.Digest)
	case got.Details != want.Details:
		return fail(CodeLogEntryMismatch, "log entry %d is about a signature by %s, the signer's key is %s", e.LogIndex, got.Details, want.Details)
	}
	return fail(CodeLogEntryMismatch, "log entry %d names another signer than the bundle", e.LogIndex)
}
