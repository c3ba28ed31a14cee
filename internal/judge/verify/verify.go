// SPDX-License-Identifier: Apache-2.0

// Package verify decides whether a Sigstore bundle shows that an accepted
// signer signed an artifact. It is the one verification path of the product:
// only [Check] makes a [*Verified].
//
// It follows the Sigstore client specification
// (https://github.com/sigstore/architecture-docs/blob/main/client-spec.md) and
// is stricter in these ways:
//
//   - Evidence by an authority that the trusted root does not know is skipped
//     and counts for nothing. Evidence by one that it knows has to hold: a bad
//     token, SCT or log entry refuses the bundle even if the thresholds would
//     be met without it.
//   - The checkpoint, the inclusion proof and the entry have to agree on the
//     root hash, the tree size and the index, and the checkpoint's origin has
//     to be the log's.
//   - Certificates need an explicit code signing key usage, exactly one
//     subject alternative name and issuer extensions that agree.
//   - Time windows, all inclusive, are held against every verified time.
//
// Invariants: no clock, no network, no disk, no state but what a [Memo] of the
// caller's holds. The only times that
// are believed are those that an authority of the trusted root signed. No
// public-key operation is done twice on the same input.
package verify

import (
	"crypto"
	"crypto/x509"
	"time"

	"hallmark/internal/format/bundle"
	"hallmark/internal/format/digest"
	"hallmark/internal/format/intoto"
	"hallmark/internal/format/logentry"
	"hallmark/internal/format/pubkey"
	"hallmark/internal/format/trustroot"
)

// What one bundle may hold at most. Each item can cost a signature check.
const (
	maxLogEntries = 32
	maxTimestamps = 32
)

// check is one verification under way. The steps fill it from top to bottom;
// each relies on what those before it have proven.
type check struct {
	bundle   *bundle.Bundle
	artifact Artifact
	root     *trustroot.Root
	policy   Policy
	memo     *Memo // nil remembers nothing

	// From the structure step. leaf is nil for managed keys.
	leaf      *x509.Certificate
	key       crypto.PublicKey
	signer    Signer
	signature []byte // of the message or of the envelope
	entries   []entry
	legacy    simpleSigned

	contentSums, envelopeSums sums
	textSums                  [len(clientTexts)]sums // of the envelope's Text, else of each of clientTexts

	times     []Timestamp       // proven by the timestamp step
	issuer    *x509.Certificate // of leaf; proven by the chain step
	logged    []LoggedEntry     // proven by the log step
	statement *intoto.Statement // proven by the content step
	subject   digest.Digest     // proven by the content step
}

// entry is a log entry of a log that the trusted root knows.
type entry struct {
	*logentry.Entry
	log  *trustroot.Log // which the entry's log ID names
	v2   bool           // of Rekor v2
	time time.Time      // proven by its promise; zero without one
}

// Check decides whether b shows, under root and nothing else, that a signer
// whom p accepts signed a. The error is always an [*Error]; its code names the
// first check that failed. docs/verification.md lists the checks in order.
//
// It does no I/O, reads no clock, keeps nothing, and may be called at the same
// time from several goroutines with the same arguments, which it only reads. To
// judge more than one bundle, use a [Memo], which saves most of the work.
func Check(b *bundle.Bundle, a Artifact, root *trustroot.Root, p Policy) (*Verified, error) {
	return (*Memo)(nil).Check(b, a, root, p)
}

// run takes the steps in order.
func (c *check) run() (*Verified, error) {
	for _, step := range []func() error{
		c.policy.validate,
		c.structure,
		c.timestamps,
		c.chain,
		c.scts,
		c.logEntries,
		c.content,
		c.identity,
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return &Verified{
		proven:    true,
		signer:    c.signer,
		times:     c.times,
		entries:   c.logged,
		statement: c.statement,
		payload:   c.legacy.payload,
		subject:   c.subject,
	}, nil
}

// schemes lists how the signature may have been made: what the policy says, or
// what the key's type leaves open. It never depends on a check's outcome.
func (c *check) schemes() ([]pubkey.Details, error) {
	if c.policy.KeyDetails != "" {
		return []pubkey.Details{c.policy.KeyDetails}, nil
	}
	usual, err := pubkey.DefaultDetails(c.key)
	if err != nil {
		return nil, fail(CodeUnsupported, "signer's key: %w", err)
	}
	switch usual {
	case pubkey.ECDSAP384SHA384:
		return []pubkey.Details{usual, pubkey.LegacyECDSAP384SHA256}, nil
	case pubkey.ECDSAP521SHA512:
		return []pubkey.Details{usual, pubkey.LegacyECDSAP521SHA256}, nil
	case pubkey.Ed25519:
		return []pubkey.Details{usual, pubkey.Ed25519ph}, nil
	}
	return []pubkey.Details{usual}, nil
}
