// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"crypto"

	"hallmark/internal/format/digest"
	"hallmark/internal/format/pubkey"
)

// An Artifact is what the caller wants to know to be signed.
//
// Digests are digests of one and the same artifact, in one or several
// algorithms. A message signature needs the digest that its key signs over
// (SHA-256 for P-256 and RSA, SHA-384 for P-384, SHA-512 for P-521 and
// Ed25519ph); an in-toto statement needs any that its subjects carry. Content
// may be given instead or as well: digests are taken from it when they are
// needed, and pure Ed25519 message signatures cannot be checked without it.
type Artifact struct {
	Digests []digest.Digest
	Content []byte

	// SimpleSigning is the payload of a signature as cosign stored them before
	// there were bundles. The signature then has to be over these bytes, and they
	// have to name the image that Digests are of. Nothing in them is believed
	// before. It is for message signatures, and excludes Content.
	SimpleSigning []byte

	// AnySubjectUnsafe accepts a statement whatever its subject is. The caller
	// has to look at the subjects itself: without that, a signature for one
	// artifact passes for every other. It has no effect on message signatures.
	AnySubjectUnsafe bool
}

// A Policy says whose signatures are accepted, on what evidence. The zero
// Policy accepts nothing; start from [DefaultPolicy].
type Policy struct {
	// Identities are the accepted signers of certificates; any of them will do.
	Identities []Identity
	// AnyIdentityUnsafe accepts everybody to whom a trusted authority gave a
	// certificate: for public instances that is everybody with an e-mail address.
	AnyIdentityUnsafe bool

	// Key accepts signatures by this managed key instead of certificates. The
	// bundle then has to name a key, whatever its hint says.
	Key crypto.PublicKey
	// KeyDetails is how Key signs; "" means the default of its type (and for
	// P-384 and P-521 also SHA-256, as old clients signed; for Ed25519 both
	// the pure and the prehashed form).
	KeyDetails pubkey.Details

	// SCTs is how many trusted CT logs must have seen the certificate.
	// Managed keys have no certificate, so it means nothing to them.
	SCTs int
	// LogEntries is how many distinct trusted logs must hold the signature.
	// With 0 no log evidence is looked at, not even for the time.
	LogEntries int
	// Timestamps is how many distinct authorities (timestamp authorities, and
	// logs that sign their entries' time) must vouch for the time. At least 1
	// unless the policy has a managed key.
	Timestamps int

	// PredicateType demands an in-toto statement with exactly this predicate
	// type; "" accepts any and message signatures as well.
	PredicateType string
}

// DefaultPolicy asks for one SCT, one log entry and one timestamp. It accepts
// nobody until an identity or a key is added.
func DefaultPolicy() Policy {
	return Policy{SCTs: 1, LogEntries: 1, Timestamps: 1}
}

func (p *Policy) validate() error {
	if p.SCTs < 0 || p.LogEntries < 0 || p.Timestamps < 0 {
		return fail(CodePolicy, "negative threshold: %d SCTs, %d log entries, %d timestamps", p.SCTs, p.LogEntries, p.Timestamps)
	}
	if p.Key != nil {
		if len(p.Identities) > 0 || p.AnyIdentityUnsafe {
			return fail(CodePolicy, "both a key and identities are accepted; a bundle is judged by one or the other")
		}
		if p.KeyDetails != "" {
			if err := p.KeyDetails.Check(p.Key); err != nil {
				return fail(CodePolicy, "key does not fit %s: %w", p.KeyDetails, err)
			}
		}
		return nil
	}
	if len(p.Identities) > 0 && p.AnyIdentityUnsafe {
		return fail(CodePolicy, "both any identity and %d identities are accepted; say which", len(p.Identities))
	}
	if p.KeyDetails != "" {
		return fail(CodePolicy, "key details %s without a key", p.KeyDetails)
	}
	if len(p.Identities) == 0 && !p.AnyIdentityUnsafe {
		return fail(CodePolicy, "no identity and no key is accepted; name at least one")
	}
	for i := range p.Identities {
		if !p.Identities[i].ready() {
			return fail(CodePolicy, "identity %d was not made by NewIdentity, or was changed since", i)
		}
	}
	if p.Timestamps == 0 {
		return fail(CodePolicy, "no timestamp is asked for; certificates are short-lived and cannot be judged without a verified time")
	}
	return nil
}
