// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"hallmark/internal/format/bundle"
	"hallmark/internal/format/dsse"
	"hallmark/internal/format/legacysig"
	"hallmark/internal/format/pubkey"
	"hallmark/internal/judge/verify"
)

func (s *setup) v1Intoto1() { s.attest(); s.inV1("intoto 0.0.1"); s.recipe.noToken = true }

// asLegacy makes the bundle one of version 0.1 that was stored as stored.
func (s *setup) asLegacy(stored func(*dsse.Envelope) []byte) {
	s.v1Intoto1()
	s.finish = func(b *bundle.Bundle) {
		old, err := legacysig.ParseAttestation(stored(b.Envelope), legacyAnnotations(s.in.tb, b))
		s.in.ok(err)
		*b = *old
	}
}

// The texts of an envelope, written without the code under test.

func goText(e *dsse.Envelope) []byte {
	b64 := base64.StdEncoding.EncodeToString
	s := e.Signatures[0]
	return fmt.Appendf(nil, `{"payloadType":"%s","payload":"%s","signatures":[{"keyid":"%s","sig":"%s"}]}`, e.PayloadType, b64(e.Payload), s.KeyID, b64(s.Sig))
}

func briefText(e *dsse.Envelope) []byte {
	return bytes.Replace(goText(e), []byte(`"keyid":"",`), nil, 1)
}

// ownText is no client's, and yet the same envelope.
func ownText(e *dsse.Envelope) []byte {
	return append(bytes.Replace(goText(e), []byte(`{`), []byte("{ \"x\": null,\n "), 1), '\n')
}

func TestIntoto1Accepts(t *testing.T) {
	in := newInstance(t)
	for name, vary := range map[string]func(*setup){
		"bundle":                 (*setup).v1Intoto1,
		"bundle, keyid left out": func(s *setup) { s.v1Intoto1(); s.recipe.text = briefText },
		"bundle, key named": func(s *setup) {
			s.v1Intoto1()
			id, err := pubkey.Fingerprint(s.recipe.key.Public())
			s.in.ok(err)
			name := func(e *dsse.Envelope) { e.Signatures[0].KeyID = id }
			s.recipe.text = func(e *dsse.Envelope) []byte { name(e); return goText(e) }
			s.finish = func(b *bundle.Bundle) { name(b.Envelope) }
		},
		"bundle, managed key":         func(s *setup) { s.v1Intoto1(); s.managed() },
		"bundle, old entry":           func(s *setup) { s.v1Intoto1(); s.recipe.v1Body = func(c *v1Content) { c.noPayload = true } },
		"bundle, read again":          func(s *setup) { s.v1Intoto1(); s.finish = func(b *bundle.Bundle) { *b = *reread(in, b) } },
		"legacy":                      func(s *setup) { s.asLegacy(goText) },
		"legacy, written in some way": func(s *setup) { s.asLegacy(ownText); s.recipe.text = ownText },
		"legacy, as this package writes": func(s *setup) {
			own := func(e *dsse.Envelope) []byte {
				text, err := json.Marshal(e)
				in.ok(err)
				return text
			}
			s.asLegacy(own)
			s.recipe.text = own
		},
		"legacy, managed key": func(s *setup) { s.asLegacy(goText); s.managed() },
		"legacy, old entry": func(s *setup) {
			s.asLegacy(goText)
			s.recipe.v1Body = func(c *v1Content) { c.noPayload = true }
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSetup(in)
			vary(s)
			v, err := s.check()
			if err != nil {
				t.Fatal(err)
			}
			if !v.Proven() || v.Subject() != s.artifact.Digests[0] || len(v.Entries()) != 1 || v.Entries()[0].Version != "0.0.1" {
				t.Errorf("verified %+v", v)
			}
		})
	}
}

func reread(in *instance, b *bundle.Bundle) *bundle.Bundle {
	data, err := b.Marshal()
	in.ok(err)
	again, err := bundle.Parse(data)
	in.ok(err)
	return again
}

// intoto1Faults change one thing each; TestOneFault runs them.
func intoto1Faults() []fault {
	inBundle := func(s *setup) { s.v1Intoto1() }
	inLegacy := func(s *setup) { s.asLegacy(goText) }
	var all []fault
	for name, kind := range map[string]func(*setup){"bundle": inBundle, "legacy": inLegacy} {
		body := func(f func(*setup, *v1Content)) func(*setup) {
			return func(s *setup) {
				kind(s)
				s.recipe.v1Body = func(c *v1Content) { f(s, c) }
			}
		}
		text := func(f func(*dsse.Envelope) []byte) func(*setup) {
			return func(s *setup) { kind(s); s.recipe.text = f }
		}
		mismatch := func(what string, f func(*setup)) {
			all = append(all, fault{"intoto 0.0.1, " + name + ": " + what, f, verify.CodeLogEntryMismatch})
		}
		mismatch("other text of this envelope", text(ownText))
		mismatch("white space after the text", text(func(e *dsse.Envelope) []byte { return append(goText(e), '\n') }))
		mismatch("text with another signature", text(func(e *dsse.Envelope) []byte {
			other := *e
			other.Signatures = []dsse.Signature{{Sig: flip(e.Signatures[0].Sig)}}
			return goText(&other)
		}))
		mismatch("text with another payload", text(func(e *dsse.Envelope) []byte {
			other := *e
			other.Payload = append(bytes.Clone(e.Payload), ' ')
			return goText(&other)
		}))
		mismatch("hash of the text", body(func(_ *setup, c *v1Content) { c.envelope[0] ^= 1 }))
		mismatch("hash of the text, old entry", body(func(_ *setup, c *v1Content) { c.envelope[31] ^= 1; c.noPayload = true }))
		mismatch("hash of the payload", body(func(_ *setup, c *v1Content) { c.payload[0] ^= 1 }))
		mismatch("key instead of certificate", body(func(s *setup, c *v1Content) {
			var err error
			c.verifier, err = pubkey.MarshalPEM(s.recipe.key.Public())
			s.in.ok(err)
		}))
		mismatch("other certificate", body(func(_ *setup, c *v1Content) {
			c.verifier = []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
		}))
		mismatch("other key", func(s *setup) {
			body(func(s *setup, c *v1Content) {
				var err error
				c.verifier, err = pubkey.MarshalPEM(s.in.p256().Public())
				s.in.ok(err)
			})(s)
			s.managed()
		})
		all = append(all, fault{"intoto 0.0.1, " + name + ": by another key", func(s *setup) {
			kind(s)
			s.recipe.signature = func([]byte) []byte { return s.otherKeySig() }
		}, verify.CodeSignature})
	}
	after := func(f func(*dsse.Envelope)) func(*setup) {
		return func(s *setup) {
			inLegacy(s)
			stored := s.finish
			s.finish = func(b *bundle.Bundle) { stored(b); f(b.Envelope) }
		}
	}
	return append(all,
		// The log holds one way to write the envelope, the registry another.
		fault{"intoto 0.0.1, legacy: stored otherwise", func(s *setup) { s.asLegacy(briefText) }, verify.CodeLogEntryMismatch},
		fault{"intoto 0.0.1 for a message", func(s *setup) { s.inV1("intoto 0.0.1"); s.recipe.noToken = true }, verify.CodeUnsupported},
		fault{"text of another signature", after(func(e *dsse.Envelope) { e.Signatures[0].Sig = flip(e.Signatures[0].Sig) }), verify.CodeBundle},
		fault{"text of another key ID", after(func(e *dsse.Envelope) { e.Signatures[0].KeyID = "k" }), verify.CodeBundle},
		fault{"text of another payload", after(func(e *dsse.Envelope) { e.Payload = append(e.Payload, ' ') }), verify.CodeBundle},
		fault{"text of another payload type", after(func(e *dsse.Envelope) { e.PayloadType = "application/json" }), verify.CodeBundle},
		fault{"text is none", after(func(e *dsse.Envelope) { e.Text = []byte{} }), verify.CodeBundle},
	)
}

// storedAttestation is a legacy attestation that verifies, with how to verify it.
func storedAttestation(tb testing.TB) (layer []byte, judge func(tb testing.TB, layer []byte) error) {
	tb.Helper()
	in := newInstance(tb)
	s := newSetup(in)
	s.v1Intoto1()
	made := in.sign(s.recipe)
	id, err := verify.NewIdentity(s.identity)
	in.ok(err)
	s.policy.Identities = []verify.Identity{id}
	annotations := legacyAnnotations(tb, made)
	return goText(made.Envelope), func(tb testing.TB, layer []byte) error {
		b, err := legacysig.ParseAttestation(layer, annotations)
		if err != nil {
			return err
		}
		_, err = verify.Check(b, s.artifact, s.root, s.policy)
		if err != nil && codeOf(err) == "" {
			tb.Errorf("refused without a code: %v", err)
		}
		return err
	}
}

// TestEveryByteOfTheLayerMatters: an intoto 0.0.1 entry is about one text.
func TestEveryByteOfTheLayerMatters(t *testing.T) {
	layer, judge := storedAttestation(t)
	if err := judge(t, layer); err != nil {
		t.Fatal(err)
	}
	for at := range layer {
		for _, put := range []string{"", " ", string(layer[at] ^ 1)} {
			if other := splice(layer, uint32(at), 1, put); !bytes.Equal(other, layer) && judge(t, other) == nil {
				t.Errorf("a change at %d to %q went unnoticed", at, put)
			}
		}
		if judge(t, splice(layer, uint32(at), 0, " ")) == nil {
			t.Errorf("a space at %d went unnoticed", at)
		}
	}
}

// FuzzStoredAttestation: no change of the layer is accepted.
func FuzzStoredAttestation(f *testing.F) {
	layer, judge := storedAttestation(f)
	f.Add(uint32(0), uint16(0), "")
	f.Add(uint32(len(layer)), uint16(0), "\n")
	f.Add(uint32(1), uint16(0), `"x":1,`)
	f.Add(uint32(strings.Index(string(layer), `"keyid"`)), uint16(len(`"keyid":"",`)), "")
	f.Add(uint32(strings.Index(string(layer), `"payload":"`)+11), uint16(4), "AAAA")
	f.Add(uint32(len(layer)-2), uint16(0), `,{"keyid":"","sig":"c2ln"}`)
	f.Fuzz(func(t *testing.T, at uint32, cut uint16, put string) {
		other := splice(layer, at, cut, put)
		if err := judge(t, other); (err == nil) != bytes.Equal(other, layer) {
			t.Errorf("%q: %v", other, err)
		}
	})
}
