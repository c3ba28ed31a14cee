// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"bytes"

	"hallmark/internal/format/logentry"
	"hallmark/internal/format/pubkey"
)

// matchV1 checks that a Rekor v1 entry is about this bundle. Its body cannot be
// rebuilt, since it may hold what a bundle does not (the hash of an envelope's
// JSON text), so everything that the bundle has is compared.
func (c *check) matchV1(e *entry) error {
	switch kind := e.Kind + " " + e.Version; {
	case c.bundle.Message != nil && kind == "hashedrekord 0.0.1":
	case c.bundle.Envelope != nil && (kind == "dsse 0.0.1" || kind == "intoto 0.0.1" || kind == "intoto 0.0.2"):
	default:
		return fail(CodeUnsupported, "log entry %d is of kind %s; expected hashedrekord 0.0.1 for a message signature, dsse 0.0.1, intoto 0.0.1 or 0.0.2 for an envelope, or hashedrekord 0.0.2", e.LogIndex, kind)
	}
	body, err := e.V1Body()
	if err != nil {
		return fail(CodeLogEntryMismatch, "log entry %d: %w", e.LogIndex, err)
	}
	if n := len(body.Signatures); n != 1 {
		return fail(CodeLogEntryMismatch, "log entry %d is about %d signatures, expected exactly one", e.LogIndex, n)
	}
	if body.Kind == "intoto" && body.Version == "0.0.1" {
		return c.matchIntoto1(e, body)
	}
	if !bytes.Equal(body.Signatures[0].Signature, c.signature) {
		return fail(CodeLogEntryMismatch, "log entry %d is about another signature than the bundle's", e.LogIndex)
	}
	if err := c.matchV1Signer(e, body.Signatures[0]); err != nil {
		return err
	}
	if c.bundle.Message != nil {
		want, err := c.messageDigest(body.Artifact.Algorithm())
		if err != nil {
			return err
		}
		if body.Artifact != want {
			return fail(CodeLogEntryMismatch, "log entry %d is about digest %s, the bundle about %s", e.LogIndex, body.Artifact, want)
		}
		return nil
	}
	if err := c.matchV1Payload(e, body); err != nil {
		return err
	}
	if e.Kind == "intoto" && body.PayloadType != c.bundle.Envelope.PayloadType {
		return fail(CodeLogEntryMismatch, "log entry %d is about a payload of type %q, the bundle's is %q", e.LogIndex, body.PayloadType, c.bundle.Envelope.PayloadType)
	}
	return nil
}

// matchV1Signer checks that the entry's certificate or key is the signer's.
func (c *check) matchV1Signer(e *entry, logged logentry.V1Signature) error {
	if c.leaf != nil {
		if !bytes.Equal(logged.Certificate, c.leaf.Raw) {
			return fail(CodeLogEntryMismatch, "log entry %d names another certificate than the bundle", e.LogIndex)
		}
		return nil
	}
	spki, err := pubkey.MarshalPKIX(c.key)
	if err != nil {
		return fail(CodeUnsupported, "policy's key: %w", err)
	}
	if !bytes.Equal(logged.PublicKey, spki) {
		return fail(CodeLogEntryMismatch, "log entry %d names another key than the policy", e.LogIndex)
	}
	return nil
}
