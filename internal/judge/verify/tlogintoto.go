// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"slices"

	"hallmark/internal/format/digest"
	"hallmark/internal/format/dsse"
	"hallmark/internal/format/logentry"
)

// This file matches entries of the kind intoto 0.0.1, which old clients made
// for attestations. Such an entry does not hold the signature. It is bound to
// one only by the hash of the envelope's JSON text as it was sent to the log:
// Rekor verified that text's signature with the entry's key and hashed it byte
// by byte. So a text has to be there that has this hash and says what the
// bundle's envelope says.

// matchIntoto1 checks that an entry of kind intoto 0.0.1 is about this bundle.
// "PayloadHash is not present for old entries"; the text's hash covers the
// payload too.
func (c *check) matchIntoto1(e *entry, body *logentry.V1Body) error {
	if err := c.matchV1Signer(e, body.Signatures[0]); err != nil {
		return err
	}
	if !body.PayloadHash.IsZero() {
		if err := c.matchV1Payload(e, body); err != nil {
			return err
		}
	}
	env, want := c.bundle.Envelope, body.EnvelopeHash
	if env.Text != nil {
		if got := once(&c.textSums[0], want.Algorithm(), func() []byte { return env.Text }); got != want {
			return fail(CodeLogEntryMismatch, "log entry %d is about an envelope whose text has digest %s, this one's has %s", e.LogIndex, want, got)
		}
		return nil // the structure step has checked that the text is this envelope's
	}
	for i, write := range clientTexts {
		if once(&c.textSums[i], want.Algorithm(), func() []byte { return write(env) }) == want {
			return nil
		}
	}
	return fail(CodeLogEntryMismatch, "log entry %d is about an envelope whose text had digest %s; a bundle does not hold that text, and in none of the %d ways in which known clients write this envelope it has that digest",
		e.LogIndex, want, len(clientTexts))
}

// clientTexts are all the ways in which an envelope is written again to find
// the text that was logged: as Go's encoding/json writes the members
// payloadType, payload and signatures, each of keyid and sig, with an empty
// keyid and without. The list is closed, and each of them says all that the
// envelope says, its signature too.
var clientTexts = [...]func(*dsse.Envelope) []byte{
	func(e *dsse.Envelope) []byte {
		return clientText(e, func(s clientSignature) any { return s })
	},
	func(e *dsse.Envelope) []byte {
		return clientText(e, func(s clientSignature) any { return briefSignature(s) })
	},
}

type clientSignature struct {
	KeyID string `json:"keyid"`
	Sig   string `json:"sig"`
}

type briefSignature struct {
	KeyID string `json:"keyid,omitempty"`
	Sig   string `json:"sig"`
}

func clientText(e *dsse.Envelope, written func(clientSignature) any) []byte {
	text := struct {
		PayloadType string `json:"payloadType"`
		Payload     string `json:"payload"`
		Signatures  []any  `json:"signatures"`
	}{PayloadType: e.PayloadType, Payload: base64.StdEncoding.EncodeToString(e.Payload)}
	for _, s := range e.Signatures {
		text.Signatures = append(text.Signatures, written(clientSignature{s.KeyID, base64.StdEncoding.EncodeToString(s.Sig)}))
	}
	out, _ := json.Marshal(text) // cannot fail on strings
	return out
}

// envelopeText checks that the text which an envelope came with is its own,
// since a bundle may also have been put together by hand.
func envelopeText(e *dsse.Envelope) error {
	if e.Text == nil {
		return nil
	}
	said, err := dsse.Parse(e.Text)
	if err != nil {
		return fail(CodeBundle, "the envelope's text: %w", err)
	}
	if said.PayloadType != e.PayloadType || !bytes.Equal(said.Payload, e.Payload) || !slices.EqualFunc(said.Signatures, e.Signatures, sameSignature) {
		return fail(CodeBundle, "the envelope is not what its text says")
	}
	return nil
}

func sameSignature(a, b dsse.Signature) bool {
	return a.KeyID == b.KeyID && bytes.Equal(a.Sig, b.Sig)
}

// matchV1Payload checks the entry's payload hash.
func (c *check) matchV1Payload(e *entry, body *logentry.V1Body) error {
	if want := digest.Of(body.PayloadHash.Algorithm(), c.bundle.Envelope.Payload); body.PayloadHash != want {
		return fail(CodeLogEntryMismatch, "log entry %d is about a payload with digest %s, the bundle's has %s", e.LogIndex, body.PayloadHash, want)
	}
	return nil
}
