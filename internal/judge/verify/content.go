// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"hallmark/internal/format/digest"
	"hallmark/internal/format/intoto"
	"hallmark/internal/format/logentry"
	"hallmark/internal/format/pubkey"
)

// content proves that the signer's key signed the artifact, or a statement
// about it.
func (c *check) content() error {
	if c.bundle.Envelope != nil {
		return c.envelope()
	}
	if err := c.message(); err != nil {
		return err
	}
	return c.simpleSigning()
}

// message judges a signature over the artifact itself. Which schemes come into
// question is decided by what is there, before any signature is checked.
func (c *check) message() error {
	if c.policy.PredicateType != "" {
		return fail(CodePredicateType, "expected a statement of type %q, found a message signature", c.policy.PredicateType)
	}
	claimed := c.bundle.Message.Digest
	if !claimed.IsZero() {
		given, ok := c.digestOf(claimed.Algorithm())
		switch {
		case !ok:
			return fail(CodeArtifactMissing, "the bundle is about a %s digest; give the artifact's, not only %s", claimed.Algorithm(), algorithms(c.artifact.Digests))
		case given != claimed:
			return fail(CodeArtifactMismatch, "the artifact is %s, the bundle is about %s", given, claimed)
		}
	}
	schemes, err := c.schemes()
	if err != nil {
		return err
	}
	if err := c.contentIsDigests(schemes); err != nil {
		return err
	}
	var reasons []error
	code := CodeArtifactMissing
	for _, d := range schemes {
		if d.Hash() != 0 && !claimed.IsZero() && claimed.Algorithm() != d.Digest() {
			continue
		}
		subject, err := c.messageBy(d)
		if err == nil {
			c.subject = subject
			return nil
		}
		reasons = append(reasons, err.Err)
		if err.Code != CodeArtifactMissing { // it could be tried, and failed
			code = err.Code
		}
	}
	if len(reasons) == 0 {
		return fail(CodeUnsupported, "a signature by a %s key cannot be over a %s digest", schemes[0], claimed.Algorithm())
	}
	return &Error{Code: code, Err: errors.Join(reasons...)}
}

// messageBy checks the message signature under one scheme and returns the
// digest that it is over.
func (c *check) messageBy(d pubkey.Details) (digest.Digest, *Error) {
	if d.Hash() == 0 {
		return c.messageByContent(d)
	}
	sum, ok := c.digestOf(d.Digest())
	if !ok {
		return digest.Digest{}, fail(CodeArtifactMissing, "a signature by a %s key is over a %s digest; give the artifact's, not only %s", d, d.Digest(), algorithms(c.artifact.Digests))
	}
	if err := pubkey.VerifyDigest(c.key, d, sum.Bytes(), c.signature); err != nil {
		return digest.Digest{}, fail(CodeSignature, "message signature over %s by the signer's %s key: %w", sum, d, err)
	}
	return sum, nil
}

// messageByContent is for keys that sign the message and not its digest.
func (c *check) messageByContent(d pubkey.Details) (digest.Digest, *Error) {
	content := c.artifact.Content
	if content == nil {
		return digest.Digest{}, fail(CodeArtifactMissing, "a %s key signs the content itself; give that, a digest is not enough", d)
	}
	if err := pubkey.Verify(c.key, d, content, c.signature); err != nil {
		return digest.Digest{}, fail(CodeSignature, "message signature by the signer's %s key: %w", d, err)
	}
	if len(c.artifact.Digests) > 0 {
		return c.artifact.Digests[0], nil
	}
	subject, _ := c.digestOf(digest.SHA256)
	return subject, nil
}

// contentIsDigests makes sure that what a signature over the content proves is
// also proven of the digests, where the caller gave both. Signatures over a
// digest do not look at the content.
func (c *check) contentIsDigests(schemes []pubkey.Details) error {
	if c.artifact.Content == nil || !slices.ContainsFunc(schemes, func(d pubkey.Details) bool { return d.Hash() == 0 }) {
		return nil
	}
	for _, given := range c.artifact.Digests {
		if digest.Of(given.Algorithm(), c.artifact.Content) != given {
			return fail(CodeArtifactMismatch, "the artifact's content is not what its digest %s says", given)
		}
	}
	return nil
}

// envelope judges a DSSE envelope with an in-toto statement.
func (c *check) envelope() error {
	env := c.bundle.Envelope
	if env.PayloadType != intoto.PayloadType {
		return fail(CodeUnsupported, "payload type is %q, expected %q", env.PayloadType, intoto.PayloadType)
	}
	if id := env.Signatures[0].KeyID; id != "" {
		if own, err := pubkey.Fingerprint(c.key); err != nil || id != own {
			return fail(CodeSignature, "envelope says that it is signed by the key %.100q, the signer's is %q", id, own)
		}
	}
	schemes, err := c.schemes()
	if err != nil {
		return err
	}
	for _, d := range schemes {
		if d.Hash() == 0 {
			err = pubkey.Verify(c.key, d, env.PAE(), c.signature)
		} else {
			err = pubkey.VerifyDigest(c.key, d, c.envelopeDigest(d.Digest()).Bytes(), c.signature)
		}
		if err == nil {
			break
		}
	}
	if err != nil {
		return fail(CodeSignature, "envelope signature by the signer's %s key: %w", schemes[0], err)
	}
	if c.statement, err = intoto.Parse(env.Payload); err != nil {
		return fail(CodeStatement, "%w", err)
	}
	if want := c.policy.PredicateType; want != "" && c.statement.PredicateType != want {
		return fail(CodePredicateType, "statement's predicate type is %q, expected %q", c.statement.PredicateType, want)
	}
	return c.statementSubject()
}

// statementSubject finds the artifact among the statement's subjects. A
// subject that carries several of the given digests has to agree with all.
func (c *check) statementSubject() error {
	given := c.artifact.Digests
	if len(given) == 0 && c.artifact.Content != nil {
		for _, a := range []digest.Algorithm{digest.SHA256, digest.SHA384, digest.SHA512} {
			d, _ := c.digestOf(a)
			given = append(given, d)
		}
	}
	if len(given) == 0 {
		return nil // AnySubjectUnsafe, or the structure step would have failed
	}
	for _, s := range c.statement.Subjects {
		matched, differs := digest.Digest{}, false
		for _, d := range given {
			switch value, ok := s.Digests[d.Algorithm().String()]; {
			case !ok:
			case !strings.EqualFold(value, d.Hex()):
				differs = true
			case matched.IsZero():
				matched = d
			}
		}
		if !matched.IsZero() && !differs {
			c.subject = matched
			return nil
		}
	}
	return fail(CodeArtifactMismatch, "the artifact is %s, the signature is about %s", algorithmsAndSums(given), aboutText(c.statement.Subjects))
}

// aboutText says what a statement is about: its first subject, by name if it
// has one, and how many there are besides.
func aboutText(subjects []intoto.Subject) string {
	first := subjects[0]
	var sums []string
	for _, alg := range slices.Sorted(maps.Keys(first.Digests)) {
		sums = append(sums, fmt.Sprintf("%.20s:%.128s", alg, first.Digests[alg]))
	}
	text := strings.Join(sums, ", ")
	if first.Name != "" {
		text = fmt.Sprintf("%.200q (%s)", first.Name, text)
	}
	if more := len(subjects) - 1; more > 0 {
		text = fmt.Sprintf("%s and %d more, none of which it is", text, more)
	}
	return text
}

// rekordOf is the Rekor v2 entry that this bundle must have been logged as.
func (c *check) rekordOf() (logentry.HashedRekord, error) {
	details, err := pubkey.LogDetails(c.key)
	if err != nil {
		return logentry.HashedRekord{}, fail(CodeUnsupported, "signer's key: %w", err)
	}
	rekord := logentry.HashedRekord{Signature: c.signature, Details: details}
	if c.bundle.Envelope != nil {
		rekord.Digest = c.envelopeDigest(details.Digest())
	} else if rekord.Digest, err = c.messageDigest(details.Digest()); err != nil {
		return logentry.HashedRekord{}, err
	}
	if c.leaf != nil {
		rekord.Certificate = c.leaf.Raw
	} else if rekord.PublicKey, err = pubkey.MarshalPKIX(c.key); err != nil {
		return logentry.HashedRekord{}, fail(CodeUnsupported, "policy's key: %w", err)
	}
	return rekord, nil
}

// messageDigest is the digest under alg that the bundle claims to be about,
// else the artifact's. The content step proves that the two are one.
func (c *check) messageDigest(alg digest.Algorithm) (digest.Digest, error) {
	if claimed := c.bundle.Message.Digest; claimed.Algorithm() == alg {
		return claimed, nil
	}
	if d, ok := c.digestOf(alg); ok {
		return d, nil
	}
	return digest.Digest{}, fail(CodeArtifactMissing, "the log entry is about a %s digest; give the artifact's, not only %s", alg, algorithms(c.artifact.Digests))
}

// digestOf is the artifact's digest under alg, if the caller gave it or what to
// take it from. It is taken once.
func (c *check) digestOf(alg digest.Algorithm) (digest.Digest, bool) {
	for _, d := range c.artifact.Digests {
		if d.Algorithm() == alg {
			return d, true
		}
	}
	if c.artifact.Content == nil || alg.Size() == 0 {
		return digest.Digest{}, false
	}
	return once(&c.contentSums, alg, func() []byte { return c.artifact.Content }), true
}

// envelopeDigest is the digest of what the envelope's signature is over.
func (c *check) envelopeDigest(alg digest.Algorithm) digest.Digest {
	return once(&c.envelopeSums, alg, c.bundle.Envelope.PAE)
}

// sums remembers digests of one large text, by algorithm.
type sums []digest.Digest

func once(known *sums, alg digest.Algorithm, text func() []byte) digest.Digest {
	for _, d := range *known {
		if d.Algorithm() == alg {
			return d
		}
	}
	d := digest.Of(alg, text())
	*known = append(*known, d)
	return d
}

func algorithms(ds []digest.Digest) string {
	names := make([]string, len(ds))
	for i, d := range ds {
		names[i] = d.Algorithm().String()
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), ", ")
}

func algorithmsAndSums(ds []digest.Digest) string {
	all := make([]string, len(ds))
	for i, d := range ds {
		all[i] = d.String()
	}
	return strings.Join(all, ", ")
}
