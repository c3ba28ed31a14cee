// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"hallmark/internal/format/digest"
	"hallmark/internal/format/legacysig"
)

// This file judges signatures as cosign stored them before there were bundles.
// Such a signature is over a payload that names an image by digest. To the
// other steps the payload is the artifact; that it names the image is checked
// once the signature over it holds.

// simpleSigned is what a check knows of a legacy signature; zero for others.
type simpleSigned struct {
	image   []digest.Digest    // that the payload has to name; from the structure step
	payload *legacysig.Payload // proven by the content step
}

// wantPayload makes the payload the artifact of all other steps, and keeps the
// image aside. The digests have been checked.
func (c *check) wantPayload() error {
	a := c.artifact
	switch {
	case c.bundle.Message == nil:
		return fail(CodeBundle, "expected a message signature over a simple signing payload, found an envelope")
	case len(a.Digests) == 0:
		return fail(CodeArtifactMissing, "no digest of the image was given; the payload is only the signer's word for it")
	case a.Content != nil:
		return fail(CodeArtifactMissing, "both content and a simple signing payload were given; the signature can be over one of them")
	case len(a.SimpleSigning) > legacysig.MaxPayload:
		return fail(CodeBundle, "simple signing payload has %d bytes; at most %d are looked at", len(a.SimpleSigning), legacysig.MaxPayload)
	}
	c.legacy.image = a.Digests
	c.artifact = Artifact{Content: a.SimpleSigning}
	return nil
}

// simpleSigning proves, after the signature over it, that the payload is
// cosign's and is about the image.
func (c *check) simpleSigning() error {
	if c.legacy.image == nil {
		return nil
	}
	p, err := legacysig.ParsePayload(c.artifact.Content)
	if err != nil {
		return fail(CodeStatement, "%w", err)
	}
	if p.Kind != legacysig.PayloadKind {
		return fail(CodeStatement, "simple signing payload: critical.type is %.100q, expected %q", p.Kind, legacysig.PayloadKind)
	}
	var same digest.Digest
	for _, d := range c.legacy.image {
		if d.Algorithm() == p.Image.Algorithm() {
			same = d
		}
	}
	if same.IsZero() {
		return fail(CodeArtifactMissing, "the signature is about a %s digest; give the image's, not only %s", p.Image.Algorithm(), algorithms(c.legacy.image))
	}
	if same != p.Image {
		return fail(CodeArtifactMismatch, "the image is %s, the signature is about %s", same, p.Image)
	}
	c.legacy.payload, c.subject = p, p.Image
	return nil
}

// SimpleSigning returns the signed payload of a legacy signature, or nil. Its
// reference is what the signer called the image, which proves nothing about
// where the image came from.
func (v *Verified) SimpleSigning() *legacysig.Payload { return v.payload }
