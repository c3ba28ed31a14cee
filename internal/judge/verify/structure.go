// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"bytes"
	"crypto/x509"
	"errors"
	"slices"

	"hallmark/internal/format/bundle"
	"hallmark/internal/format/certext"
	"hallmark/internal/format/logentry"
)

// structure checks that the bundle is whole, without any cryptography, and
// takes it apart. The parser has checked most of it already, but a bundle may
// also have been put together by hand.
func (c *check) structure() error {
	b := c.bundle
	switch {
	case b == nil:
		return fail(CodeBundle, "there is no bundle")
	case c.root == nil:
		return fail(CodePolicy, "there is no trusted root")
	case (b.Message == nil) == (b.Envelope == nil):
		return fail(CodeBundle, "expected either a message signature or an envelope")
	case b.Version != bundle.V01 && b.Version != bundle.V02 && b.Version != bundle.V03:
		return fail(CodeUnsupported, "bundle media type %q is not supported: expected version 0.1 to 0.3", b.MediaType)
	case len(b.Entries) > maxLogEntries:
		return fail(CodeBundle, "%d log entries; at most %d are looked at", len(b.Entries), maxLogEntries)
	case len(b.Timestamps) > maxTimestamps:
		return fail(CodeBundle, "%d timestamps; at most %d are looked at", len(b.Timestamps), maxTimestamps)
	}
	if b.Message != nil {
		c.signature = b.Message.Signature
	} else {
		if n := len(b.Envelope.Signatures); n != 1 {
			return fail(CodeBundle, "envelope has %d signatures, expected exactly one", n)
		}
		c.signature = b.Envelope.Signatures[0].Sig
		if err := envelopeText(b.Envelope); err != nil {
			return err
		}
	}
	if len(c.signature) == 0 {
		return fail(CodeBundle, "the signature is empty")
	}
	if err := c.wantArtifact(); err != nil {
		return err
	}
	if err := c.signingKey(); err != nil {
		return err
	}
	return c.sortEntries()
}

// wantArtifact refuses early a call that could bind the signature to nothing.
func (c *check) wantArtifact() error {
	for i, d := range c.artifact.Digests {
		if d.IsZero() {
			return fail(CodeArtifactMissing, "digest %d of the artifact is empty", i)
		}
		for _, other := range c.artifact.Digests[:i] {
			if other.Algorithm() == d.Algorithm() && other != d {
				return fail(CodeArtifactMissing, "the artifact has two %s digests, %s and %s; give those of one artifact", d.Algorithm(), other.Hex(), d.Hex())
			}
		}
	}
	given := len(c.artifact.Digests) > 0 || c.artifact.Content != nil
	if !given && (c.bundle.Message != nil || !c.artifact.AnySubjectUnsafe) {
		return fail(CodeArtifactMissing, "no digest of the artifact was given")
	}
	if c.artifact.SimpleSigning != nil {
		return c.wantPayload()
	}
	return nil
}

// signingKey finds the key that the bundle has to be signed with.
func (c *check) signingKey() error {
	b := c.bundle
	if c.policy.Key != nil {
		if len(b.Certificates) > 0 || !b.HasKeyHint {
			return fail(CodeSignerKind, "the policy accepts a managed key, but the bundle is signed with a certificate")
		}
		c.key = c.policy.Key
		c.signer = Signer{Key: c.key}
		return nil
	}
	switch n := len(b.Certificates); {
	case b.HasKeyHint && n > 0:
		return fail(CodeBundle, "both a certificate and a key hint")
	case b.HasKeyHint:
		return fail(CodeSignerKind, "the policy accepts identities, but the bundle is signed with a managed key; give that key")
	case n == 0:
		return fail(CodeBundle, "neither a certificate nor a key hint")
	case n > 1 && b.Version == bundle.V03:
		return fail(CodeBundle, "%d certificates; version 0.3 holds only the signing certificate", n)
	}
	leaf, err := parseLeaf(b.Certificates[0])
	if err != nil {
		return err
	}
	for i, der := range b.Certificates[1:] {
		// They are never used, since paths are built from the trusted root
		// alone, but the specification forbids these.
		ca, err := x509.ParseCertificate(der)
		switch {
		case err != nil:
			return fail(CodeBundle, "certificate %d of the chain: %w", i+1, err)
		case bytes.Equal(ca.RawSubject, ca.RawIssuer):
			return fail(CodeBundle, "certificate %d of the chain is a root (%s); roots come from the trusted root only", i+1, ca.Subject)
		case !ca.IsCA:
			return fail(CodeBundle, "certificate %d of the chain (%s) is no certificate authority", i+1, ca.Subject)
		}
	}
	c.leaf, c.key = leaf, leaf.PublicKey
	c.signer, err = describeLeaf(leaf)
	return err
}

// parseLeaf reads a signing certificate and checks its profile: everything
// that depends on neither its issuer nor the time.
func parseLeaf(der []byte) (*x509.Certificate, error) {
	leaf, err := x509.ParseCertificate(der)
	switch {
	case err != nil:
		return nil, fail(CodeCertificate, "signing certificate: %w", err)
	case leaf.IsCA:
		return nil, fail(CodeCertificate, "signing certificate is a certificate authority's")
	case leaf.KeyUsage != 0 && leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		return nil, fail(CodeCertificate, "signing certificate's key usage does not include digital signatures")
	case !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageCodeSigning):
		return nil, fail(CodeCertificate, "signing certificate's extended key usage does not include code signing")
	}
	return leaf, nil
}

func describeLeaf(leaf *x509.Certificate) (Signer, error) {
	sans, err := certext.ParseSANs(leaf)
	if err != nil {
		return Signer{}, fail(CodeCertificate, "signing certificate's subject alternative name: %w", err)
	}
	if len(sans) != 1 {
		return Signer{}, fail(CodeCertificate, "signing certificate has %d subject alternative names, expected exactly one", len(sans))
	}
	ext, err := certext.ParseExtensions(leaf)
	if err != nil {
		return Signer{}, fail(CodeCertificate, "signing certificate: %w", err)
	}
	if ext.Issuer != "" && ext.IssuerV2 != "" && ext.Issuer != ext.IssuerV2 {
		return Signer{}, fail(CodeCertificate, "signing certificate names two issuers: %q in extension .1 and %q in .8", ext.Issuer, ext.IssuerV2)
	}
	return Signer{SAN: sans[0], Extensions: ext, Key: leaf.PublicKey, Certificate: leaf}, nil
}

// sortEntries checks each entry's form and keeps those of known logs.
func (c *check) sortEntries() error {
	type place struct {
		id    string
		index int64
	}
	seen := make(map[place]bool, len(c.bundle.Entries))
	for i, e := range c.bundle.Entries {
		if err := c.entryForm(e); err != nil {
			return fail(CodeBundle, "log entry %d: %w", i, err)
		}
		at := place{string(e.LogID), e.LogIndex}
		if seen[at] {
			return fail(CodeBundle, "log entry %d (index %d) is there twice", i, e.LogIndex)
		}
		seen[at] = true
		if c.policy.LogEntries == 0 {
			continue
		}
		if log := c.root.LogByID(e.LogID); log != nil {
			c.entries = append(c.entries, entry{Entry: e, log: log, v2: e.IsV2()})
		}
	}
	return nil
}

func (c *check) entryForm(e *logentry.Entry) error {
	if e == nil {
		return errors.New("is missing")
	}
	if err := e.Validate(); err != nil {
		return err
	}
	switch {
	case c.bundle.Version == bundle.V01 && len(e.SET) == 0:
		return errors.New("has no inclusion promise, which version 0.1 requires")
	case c.bundle.Version != bundle.V01 && e.Proof == nil:
		return errors.New("has no inclusion proof, which versions 0.2 and 0.3 require")
	}
	return nil
}
