// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"crypto"
	"crypto/x509"
	"slices"
	"time"

	"hallmark/internal/format/certext"
	"hallmark/internal/format/digest"
	"hallmark/internal/format/intoto"
	"hallmark/internal/format/legacysig"
	"hallmark/internal/format/logentry"
)

// Verified is proof that [Check] succeeded. Only this package can make one.
// The zero Verified proves nothing, which [Verified.Proven] tells.
// It is immutable: what its methods return are copies or must not be written to.
type Verified struct {
	proven    bool
	signer    Signer
	times     []Timestamp
	entries   []LoggedEntry
	statement *intoto.Statement
	payload   *legacysig.Payload
	subject   digest.Digest
}

// A Signer is who signed. SAN, Extensions and Certificate are set for
// certificates; for a managed key only Key is.
type Signer struct {
	SAN         certext.SAN
	Extensions  certext.Extensions
	Key         crypto.PublicKey
	Certificate *x509.Certificate
}

// The sources of a [Timestamp].
const (
	SourceTSA = "tsa" // an RFC 3161 token by a timestamp authority
	SourceLog = "log" // a log's signed entry timestamp
)

// A Timestamp is a moment at which the signature existed, by the word of an
// authority of the trusted root.
type Timestamp struct {
	Time   time.Time
	Source string // SourceTSA or SourceLog
	URI    string // the authority's URI, or the log's base URL
}

// A LoggedEntry is an entry that a log of the trusted root holds.
type LoggedEntry struct {
	*logentry.Entry
	Origin string // the log's origin, as its checkpoint names it; its host if only a promise was given
}

// Proven reports whether v came out of a successful [Check]. It is false for
// nil and for the zero Verified.
func (v *Verified) Proven() bool { return v != nil && v.proven }

// Signer returns who signed.
func (v *Verified) Signer() Signer { return v.signer }

// Times returns every verified time, in the bundle's order: logs, then timestamp authorities.
func (v *Verified) Times() []Timestamp { return slices.Clone(v.times) }

// Entries returns the log entries that were proven. Entries of logs that the
// trusted root does not know are not among them.
func (v *Verified) Entries() []LoggedEntry { return slices.Clone(v.entries) }

// Statement returns the signed in-toto statement, or nil for a message signature.
func (v *Verified) Statement() *intoto.Statement { return v.statement }

// Subject returns the artifact's digest that the signature is about: one of
// those given to [Check]. It is zero if the caller accepted any subject.
func (v *Verified) Subject() digest.Digest { return v.subject }
