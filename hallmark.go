// SPDX-License-Identifier: Apache-2.0

// Package hallmark verifies signatures on software: Sigstore bundles
// (https://docs.sigstore.dev/about/bundle/), under a trust root, against a
// policy that says whose signature is wanted.
//
// It is pure: no network, no disk, no clock, no goroutines, no logging. Bytes
// go in, a verdict comes out. The only times it believes are those that
// authorities of the trust root vouch for. All of it may be used concurrently.
//
//	root, err := hallmark.ParseTrustRoot(trustedRootJSON)
//	...
//	signer, err := hallmark.NewIdentity(hallmark.IdentityConfig{
//		SAN:    "https://github.com/acme/app/.github/workflows/release.yml@refs/heads/main",
//		Issuer: "https://token.actions.githubusercontent.com",
//	})
//	...
//	verified, err := hallmark.Verify(bundleJSON, hallmark.SHA256(sum), root, hallmark.SignedBy(signer))
//
// What is checked, in which order, and what each [Code] means is in
// docs/verification.md. ARCHITECTURE.md lists what this package links.
package hallmark

import (
	"crypto"
	"errors"
	"fmt"
	"slices"
	"time"

	"hallmark/internal/format/bundle"
	"hallmark/internal/format/digest"
	"hallmark/internal/format/trustroot"
	"hallmark/internal/judge/verify"
)

// TrustRoot is the authorities and logs that count. It is immutable, and safe
// for use by several goroutines. Keep it for as long as it is current: it
// remembers signatures between the authorities' own certificates, which are
// most of the work of a verification, and nothing else.
type TrustRoot struct {
	root *trustroot.Root
	memo *verify.Memo
}

// ParseTrustRoot reads a Sigstore trusted_root.json (JSON, at most 16 MiB). How
// the bytes came to be trusted is the caller's concern: a TUF client, or a file
// under the caller's control.
func ParseTrustRoot(trustedRootJSON []byte) (*TrustRoot, error) {
	root, err := trustroot.Parse(trustedRootJSON)
	if err != nil {
		return nil, err
	}
	return &TrustRoot{root, new(verify.Memo)}, nil
}

// Artifact is the thing that is to be signed. The zero Artifact is nothing, and
// no signature is about it.
type Artifact struct {
	artifact verify.Artifact
	err      error
}

// SHA256 is the artifact with the given SHA-256 sum, of 32 bytes. Signatures
// by P-384, P-521 and Ed25519 keys may be over another digest, or the content.
func SHA256(sum []byte) Artifact { return digested(digest.SHA256, sum) }

// SHA384 is the artifact with the given SHA-384 sum, of 48 bytes.
func SHA384(sum []byte) Artifact { return digested(digest.SHA384, sum) }

// SHA512 is the artifact with the given SHA-512 sum, of 64 bytes.
func SHA512(sum []byte) Artifact { return digested(digest.SHA512, sum) }

func digested(alg digest.Algorithm, sum []byte) Artifact {
	d, err := digest.New(alg, sum)
	return Artifact{verify.Artifact{Digests: []digest.Digest{d}}, err}
}

// Content is the artifact with the given content, which is not copied and must
// not change meanwhile. Whatever digest a signature is over is computed.
func Content(data []byte) Artifact {
	if data == nil {
		data = []byte{}
	}
	return Artifact{artifact: verify.Artifact{Content: data}}
}

// Policy says whose signatures are accepted, on what evidence. The zero Policy
// accepts nothing.
type Policy struct{ policy verify.Policy }

// SignedBy accepts certificates for any of the identities: with one SCT, one
// log entry and one authority that vouches for the time, at least.
func SignedBy(identities ...Identity) Policy {
	p := verify.DefaultPolicy()
	for _, id := range identities {
		p.Identities = append(p.Identities, id.identity)
	}
	return Policy{p}
}

// SignedByKey accepts signatures by a managed key (ECDSA on P-256, P-384 or
// P-521, RSA, or Ed25519) that are in at least one log.
func SignedByKey(key crypto.PublicKey) Policy {
	p := verify.DefaultPolicy()
	p.Key, p.Timestamps = key, 0
	return Policy{p}
}

// WithPredicateType also demands an in-toto statement of exactly this predicate
// type. Without it message signatures and every statement are accepted, so an
// attestation about the artifact passes for a signature on it.
func (p Policy) WithPredicateType(predicateType string) Policy {
	p.policy.PredicateType = predicateType
	return p
}

// WithThresholds sets how many CT logs, logs and time authorities must vouch.
// A managed key needs no SCT; everything else needs at least one authority for
// the time.
func (p Policy) WithThresholds(scts, logEntries, timestamps int) Policy {
	p.policy.SCTs, p.policy.LogEntries, p.policy.Timestamps = scts, logEntries, timestamps
	return p
}

// Verify decides whether the bundle (JSON, v0.1 to v0.3) shows that somebody
// whom the policy accepts signed the artifact. Every refusal is an *[Error].
func Verify(bundleJSON []byte, artifact Artifact, root *TrustRoot, policy Policy) (*Verified, error) {
	if artifact.err != nil {
		return nil, &Error{Code: CodeArtifactMissing, Err: artifact.err}
	}
	if root == nil {
		return nil, &Error{Code: CodePolicy, Err: errors.New("no trust root: nothing is trusted")}
	}
	b, err := bundle.Parse(bundleJSON)
	if err != nil {
		return nil, &Error{Code: CodeBundle, Err: err}
	}
	v, err := root.memo.Check(b, artifact.artifact, root.root, policy.policy)
	if err != nil {
		return nil, wrap(err)
	}
	return newVerified(v, b), nil
}

// Verified is a signature that passed [Verify]. Only this package makes one; it
// holds what was proven and nothing else.
type Verified struct {
	// Identity is the signer's e-mail address or URI, as in the certificate.
	// It is "" for a managed key.
	Identity string
	// Issuer is the URL of the identity provider that vouched for the signer.
	Issuer string
	// Source is where a CI job's code came from; zero for others.
	Source Source
	// Times are when the signature existed, by the word of authorities.
	Times []Timestamp
	// Entries are where it is logged.
	Entries []LogEntry
	// Statement is the signed in-toto statement (JSON); nil for a message
	// signature.
	Statement []byte
	// PredicateType is that statement's; "" for a message signature.
	PredicateType string
}

// Source is a CI job's origin, from the certificate's extensions
// (https://github.com/sigstore/fulcio/blob/main/docs/oid-info.md).
type Source struct {
	Repository string // URL
	Digest     string // commit
	Ref        string
	Workflow   string // URL of the build configuration
	Run        string // URL of the run
}

// Timestamp is a moment at which the signature existed.
type Timestamp struct {
	Time      time.Time
	Authority string // URI of the timestamp authority, or URL of the log
}

// LogEntry is where a transparency log holds the signature.
type LogEntry struct {
	Origin string
	Index  int64
}

func newVerified(v *verify.Verified, b *bundle.Bundle) *Verified {
	signer := v.Signer()
	out := &Verified{Identity: signer.SAN.Value, Issuer: signer.Extensions.IssuerURL(), Source: Source{
		Repository: signer.Extensions.SourceRepositoryURI, Digest: signer.Extensions.SourceRepositoryDigest,
		Ref: signer.Extensions.SourceRepositoryRef, Workflow: signer.Extensions.BuildConfigURI, Run: signer.Extensions.RunInvocationURI,
	}}
	for _, t := range v.Times() {
		out.Times = append(out.Times, Timestamp{t.Time, t.URI})
	}
	for _, e := range v.Entries() {
		out.Entries = append(out.Entries, LogEntry{e.Origin, e.LogIndex})
	}
	if s := v.Statement(); s != nil {
		out.PredicateType = s.PredicateType
		out.Statement = slices.Clone(b.Envelope.Payload) // which is what was parsed and verified
	}
	return out
}

// String says who signed, on one line.
func (v *Verified) String() string {
	if v.Identity == "" {
		return "signed by the given key"
	}
	return fmt.Sprintf("signed by %s (%s)", v.Identity, v.Issuer)
}
