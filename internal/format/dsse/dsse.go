// SPDX-License-Identifier: Apache-2.0

// Package dsse is the Dead Simple Signing Envelope, v1.0:
// https://github.com/secure-systems-lab/dsse/blob/master/envelope.md and
// https://github.com/secure-systems-lab/dsse/blob/master/protocol.md.
//
// Invariants of an [Envelope] that [Parse] returned: the payload type is not
// empty, the payload is at most [MaxPayload] bytes, there are 1 to
// [MaxSignatures] signatures and none of them is empty. Nothing is verified.
//
// Reading is strict where two readers could differ: names are matched exactly,
// a name twice or data after the envelope is an error. Base64 is taken in the
// standard or the URL alphabet ("Either standard or URL-safe encoding is
// allowed"), with or without padding as protojson does, never with line breaks.
// Unknown fields are ignored ("Consumers MUST ignore unrecognized fields").
package dsse

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"

	"hallmark/internal/format/strictjson"
)

// Caps on what [Parse] accepts. Sizes are in bytes.
const (
	MaxPayload     = 128 << 20
	MaxPayloadType = 1 << 10
	MaxSignatures  = 64
	MaxSignature   = 64 << 10
	MaxKeyID       = 4 << 10
	// MaxSize is what a whole envelope may take as JSON: the payload in base64,
	// and room for the rest.
	MaxSize = MaxPayload/3*4 + 8<<20
)

// Envelope is a payload with signatures over its [PAE].
type Envelope struct {
	PayloadType string
	Payload     []byte
	Signatures  []Signature
	// Text is the JSON text that the envelope was stored as, byte by byte, for
	// logs that hold its hash; nil where it is not known. [Parse] leaves it to
	// its caller, and [Envelope.MarshalJSON] does not look at it.
	Text []byte
}

// Signature is one signature. KeyID is an unauthenticated hint: it may help to
// find a key and must never decide anything.
type Signature struct {
	KeyID string
	Sig   []byte
}

// PAE is the pre-authentication encoding, the bytes that are signed:
// "DSSEv1" SP LEN(type) SP type SP LEN(payload) SP payload.
func PAE(payloadType string, payload []byte) []byte {
	out := make([]byte, 0, len(payload)+len(payloadType)+64)
	out = append(out, "DSSEv1 "...)
	out = strconv.AppendInt(out, int64(len(payloadType)), 10)
	out = append(out, ' ')
	out = append(out, payloadType...)
	out = append(out, ' ')
	out = strconv.AppendInt(out, int64(len(payload)), 10)
	out = append(out, ' ')
	return append(out, payload...)
}

// PAE is the pre-authentication encoding of e's type and payload.
func (e *Envelope) PAE() []byte { return PAE(e.PayloadType, e.Payload) }

// Parse reads an envelope in its JSON form.
func Parse(data []byte) (*Envelope, error) {
	e, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("DSSE envelope: %w", err)
	}
	return e, nil
}

func parse(data []byte) (*Envelope, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("larger than %d bytes", MaxSize)
	}
	doc, err := strictjson.Parse(data)
	if err != nil {
		return nil, err
	}
	m, err := doc.Open("payloadType", "payload", "signatures")
	if err != nil {
		return nil, err
	}
	e := new(Envelope)
	v, _ := m.Get("payloadType")
	if e.PayloadType, err = v.Text(); err != nil {
		return nil, fmt.Errorf("payloadType: %w", err)
	}
	v, _ = m.Get("payload")
	if e.Payload, err = v.Base64(); err != nil {
		return nil, fmt.Errorf("payload: %w", err)
	}
	v, _ = m.Get("signatures")
	sigs, err := v.Elements(MaxSignatures)
	if err != nil {
		return nil, fmt.Errorf("signatures: %w", err)
	}
	for i, sig := range sigs {
		s, err := parseSignature(sig)
		if err != nil {
			return nil, fmt.Errorf("signatures[%d]%w", i, err)
		}
		e.Signatures = append(e.Signatures, s)
	}
	return e, e.Validate()
}

// parseSignature returns errors that go on after "signatures[i]".
func parseSignature(v strictjson.Value) (Signature, error) {
	m, err := v.Open("keyid", "sig")
	if err != nil {
		return Signature{}, fmt.Errorf(": %w", err)
	}
	var s Signature
	sig, _ := m.Get("sig")
	if s.Sig, err = sig.Base64(); err != nil {
		return Signature{}, fmt.Errorf(".sig: %w", err)
	}
	if id, ok := m.Get("keyid"); ok {
		if s.KeyID, err = id.Text(); err != nil {
			return Signature{}, fmt.Errorf(".keyid: %w", err)
		}
	}
	return s, nil
}

// Validate checks the invariants of the package. Envelopes from [Parse] hold
// them; it is for those that were put together otherwise.
func (e *Envelope) Validate() error {
	switch {
	case e.PayloadType == "":
		return errors.New("payloadType is empty")
	case len(e.PayloadType) > MaxPayloadType:
		return fmt.Errorf("payloadType is longer than %d bytes", MaxPayloadType)
	case len(e.Payload) > MaxPayload:
		return fmt.Errorf("payload is larger than %d bytes", MaxPayload)
	case len(e.Signatures) == 0:
		return errors.New("signatures is empty: expected at least one")
	case len(e.Signatures) > MaxSignatures:
		return fmt.Errorf("more than %d signatures", MaxSignatures)
	}
	for i, s := range e.Signatures {
		switch {
		case len(s.Sig) == 0:
			return fmt.Errorf("signatures[%d].sig is empty", i)
		case len(s.Sig) > MaxSignature:
			return fmt.Errorf("signatures[%d].sig is longer than %d bytes", i, MaxSignature)
		case len(s.KeyID) > MaxKeyID:
			return fmt.Errorf("signatures[%d].keyid is longer than %d bytes", i, MaxKeyID)
		}
	}
	return nil
}

// MarshalJSON writes e with standard padded base64, without white space, in the
// order payload, payloadType, signatures. An empty keyid is left out.
func (e *Envelope) MarshalJSON() ([]byte, error) {
	out := make([]byte, 0, base64.StdEncoding.EncodedLen(len(e.Payload))+len(e.PayloadType)+256)
	out = append(out, `{"payload":"`...)
	out = base64.StdEncoding.AppendEncode(out, e.Payload)
	out = append(out, `","payloadType":`...)
	out = strictjson.AppendString(out, e.PayloadType)
	out = append(out, `,"signatures":[`...)
	for i, s := range e.Signatures {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, `{"sig":"`...)
		out = base64.StdEncoding.AppendEncode(out, s.Sig)
		out = append(out, '"')
		if s.KeyID != "" {
			out = append(out, `,"keyid":`...)
			out = strictjson.AppendString(out, s.KeyID)
		}
		out = append(out, '}')
	}
	return append(out, ']', '}'), nil
}
