// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"testing"

	"hallmark/internal/format/bundle"
	"hallmark/internal/format/certext"
	"hallmark/internal/format/digest"
	"hallmark/internal/format/dsse"
	"hallmark/internal/format/intoto"
	"hallmark/internal/format/pubkey"
	"hallmark/internal/format/trustroot"
	"hallmark/internal/judge/verify"
)

// A setup is a bundle that verifies, in the making, with all that Check is
// given besides; a fault changes one thing of it.
type setup struct {
	in       *instance
	recipe   *recipe
	finish   func(*bundle.Bundle) // changes the finished bundle
	noBundle bool
	root     *trustroot.Root
	artifact verify.Artifact
	identity verify.Identity
	policy   verify.Policy
}

func newSetup(in *instance) *setup {
	r := in.recipe()
	return &setup{
		in: in, recipe: r, root: in.trusted(),
		artifact: verify.Artifact{Digests: []digest.Digest{digest.Of(digest.SHA256, r.artifact)}},
		identity: verify.Identity{SAN: r.san.Value, Issuer: r.claims.IssuerV2},
		policy:   verify.DefaultPolicy(),
	}
}

// The usual variations of what is signed.

func (s *setup) attest()       { s.recipe.statement = statementAbout(s.recipe.artifact) }
func (s *setup) inV1(k string) { s.recipe.v1 = k }
func (s *setup) v1Message()    { s.inV1("hashedrekord"); s.recipe.noToken = true }
func (s *setup) v1Envelope()   { s.attest(); s.inV1("dsse"); s.recipe.noToken = true }
func (s *setup) v1Intoto()     { s.attest(); s.inV1("intoto"); s.recipe.noToken = true }
func (s *setup) managed()      { s.recipe.managed = true; s.policy.Key = s.recipe.key.Public() }
func (s *setup) otherSig() []byte {
	sig, err := pubkey.Sign(s.recipe.key, pubkey.ECDSAP256SHA256, s.recipe.artifact)
	s.in.ok(err)
	return sig
}

func (s *setup) check() (*verify.Verified, error) {
	b := s.in.sign(s.recipe)
	if s.finish != nil {
		s.finish(b)
	}
	if s.noBundle {
		b = nil
	}
	if s.policy.Key == nil && s.policy.Identities == nil && !s.policy.AnyIdentityUnsafe {
		id, err := verify.NewIdentity(s.identity)
		if err != nil {
			return nil, err
		}
		s.policy.Identities = []verify.Identity{id}
	}
	v, err := verify.Check(b, s.artifact, s.root, s.policy)
	if _, again := s.in.memo.Check(b, s.artifact, s.root, s.policy); codeOf(again) != codeOf(err) {
		s.in.tb.Errorf("without a memory: %v; with one: %v", err, again)
	}
	return v, err
}

// flip returns a copy with the last bit changed, which keeps DER whole.
func flip(b []byte) []byte {
	b = bytes.Clone(b)
	b[len(b)-1] ^= 1
	return b
}

func codeOf(err error) verify.Code {
	if e := new(verify.Error); errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// TestAccepts holds the other side of TestOneFault: without the fault, each
// kind of bundle verifies.
func TestAccepts(t *testing.T) {
	in := newInstance(t)
	for name, vary := range map[string]func(*setup){
		"message":                   func(*setup) {},
		"message by content":        func(s *setup) { s.artifact = verify.Artifact{Content: s.recipe.artifact} },
		"message without a digest":  func(s *setup) { s.finish = func(b *bundle.Bundle) { b.Message.Digest = digest.Digest{} } },
		"empty artifact":            func(s *setup) { s.recipe.artifact = []byte{}; s.artifact = verify.Artifact{Content: []byte{}} },
		"statement":                 (*setup).attest,
		"statement by content":      func(s *setup) { s.attest(); s.artifact = verify.Artifact{Content: s.recipe.artifact} },
		"statement, any subject":    func(s *setup) { s.attest(); s.artifact = verify.Artifact{AnySubjectUnsafe: true} },
		"statement, predicate type": func(s *setup) { s.attest(); s.policy.PredicateType = intoto.CosignSignV1 },
		"statement, key named":      func(s *setup) { s.attest(); s.named(s.recipe.key) },
		"v1 message":                (*setup).v1Message,
		"v1 envelope":               (*setup).v1Envelope,
		"v1 intoto":                 (*setup).v1Intoto,
		"v1 and a token":            func(s *setup) { s.inV1("hashedrekord"); s.policy.Timestamps = 2 },
		"v1 without a promise":      func(s *setup) { s.inV1("hashedrekord"); s.recipe.noSET = true },
		"v0.1 by promise alone": func(s *setup) {
			s.v1Message()
			s.finish = func(b *bundle.Bundle) { b.Version = bundle.V01; b.Entries[0].Proof = nil }
		},
		"v0.1 with an intermediate": func(s *setup) {
			s.v1Message()
			s.finish = func(b *bundle.Bundle) {
				b.Version = bundle.V01
				b.Certificates = append(b.Certificates, s.in.ca.cert.Raw)
			}
		},
		"managed key":              (*setup).managed,
		"managed key, v1":          func(s *setup) { s.managed(); s.v1Message() },
		"managed key, v1 envelope": func(s *setup) { s.managed(); s.v1Envelope() },
		"managed key, no time":     func(s *setup) { s.managed(); s.recipe.noToken = true; s.policy.Timestamps = 0 },
		"managed key, no log":      func(s *setup) { s.managed(); s.unlogged() },
		"no log asked for":         func(s *setup) { s.unlogged() },
		"no SCT asked for":         func(s *setup) { s.recipe.noSCT = true; s.policy.SCTs = 0 },
		"any identity": func(s *setup) {
			s.policy.AnyIdentityUnsafe = true
			s.recipe.san.Value = "https://whoever.example.test/"
		},
		"second identity": func(s *setup) {
			other, err := verify.NewIdentity(verify.Identity{SAN: "other", Issuer: "other"})
			s.in.ok(err)
			right, err := verify.NewIdentity(s.identity)
			s.in.ok(err)
			s.policy.Identities = []verify.Identity{other, right}
		},
		"identity by expression": func(s *setup) {
			s.identity = verify.Identity{SANRegexp: `^https://ci\.example\.test/`, IssuerRegexp: "issuer"}
		},
		"issuer in .1 only": func(s *setup) { s.recipe.claims.IssuerV2 = "" },
		"user name": func(s *setup) {
			s.recipe.san = certext.SAN{Kind: certext.OtherName, Value: "ann!example.test"}
			s.identity.SAN = "ann!example.test"
		},
		"GitHub workflow": func(s *setup) {
			s.identity.GitHubWorkflowTrigger, s.identity.GitHubWorkflowSHA = "push", "0123abcd"
			s.identity.GitHubWorkflowName, s.identity.GitHubWorkflowRepository = "build", "example/build"
			s.identity.GitHubWorkflowRef = "refs/heads/main"
		},
		"windows end at the very moment": func(s *setup) {
			w := trustroot.Window{Start: s.in.at, End: s.in.at}
			s.root.Logs[0].Valid, s.root.CTLogs[0].Valid, s.root.CAs[0].Valid, s.root.TSAs[0].Valid = w, w, w, w
			s.recipe.cert = func(c *x509.Certificate) { c.NotBefore, c.NotAfter = s.in.at, s.in.at }
		},
		"unknown log is skipped": func(s *setup) {
			s.finish = func(b *bundle.Bundle) {
				other := *b.Entries[0]
				other.LogID = bytes.Repeat([]byte{7}, 32)
				b.Entries = append(b.Entries, &other)
			}
		},
		"unknown TSA is skipped": func(s *setup) {
			s.finish = func(b *bundle.Bundle) {
				anchor := s.in.newCA("other anchor", nil, nil)
				tsa := s.in.newTSA("other", &anchor)
				r := *s.recipe
				r.tokenBy = &tsa
				b.Timestamps = append(b.Timestamps, s.in.token(&r, b.Message.Signature))
			}
		},
		"P-384":            func(s *setup) { s.sha384() },
		"P-384, SHA-256":   func(s *setup) { s.sha384(); s.recipe.details = pubkey.LegacyECDSAP384SHA256; s.inV1("hashedrekord") },
		"Ed25519ph":        func(s *setup) { s.ed25519(); s.recipe.details = pubkey.Ed25519ph },
		"Ed25519 envelope": func(s *setup) { s.ed25519(); s.attest(); s.unlogged() },
		"Ed25519 message": func(s *setup) {
			s.ed25519()
			s.unlogged()
			s.artifact.Content = s.recipe.artifact
		},
		"key details": func(s *setup) {
			s.recipe.key = s.in.rsa(2048)
			s.recipe.details, s.policy.KeyDetails = pubkey.RSAPSS_2048_SHA256, pubkey.RSAPSS_2048_SHA256
			s.managed()
			s.unlogged()
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSetup(in)
			vary(s)
			v, err := s.check()
			if err != nil {
				t.Fatal(err)
			}
			if !v.Proven() {
				t.Error("accepted, but nothing is proven")
			}
		})
	}
}

func (s *setup) sha384() {
	s.recipe.key = s.in.p384()
	s.artifact.Digests = append(s.artifact.Digests, digest.Of(digest.SHA384, s.recipe.artifact))
}

// oddRSA takes a key of a size that no scheme is for.
func (s *setup) oddRSA() {
	s.recipe.key = s.in.rsa(2560)
	s.recipe.details = pubkey.LegacyRSAPKCS1v15
}

// named puts the key's fingerprint into the envelope, which nothing covers.
func (s *setup) named(key crypto.Signer) {
	s.finish = func(b *bundle.Bundle) {
		var err error
		b.Envelope.Signatures[0].KeyID, err = pubkey.Fingerprint(key.Public())
		s.in.ok(err)
	}
}

// unlogged leaves the log out.
func (s *setup) unlogged() { s.recipe.noEntry, s.policy.LogEntries = true, 0 }

// undigested leaves out the digest that the bundle claims, and gives another
// one of the artifact than the signature is over.
func (s *setup) undigested() {
	s.finish = func(b *bundle.Bundle) { b.Message.Digest = digest.Digest{} }
	s.artifact.Digests = []digest.Digest{digest.Of(digest.SHA512, s.recipe.artifact)}
}

func (s *setup) ed25519() {
	_, s.recipe.key = s.in.ed25519()
	s.artifact.Digests = append(s.artifact.Digests, digest.Of(digest.SHA512, s.recipe.artifact))
}

type fault struct {
	name string
	make func(*setup)
	want verify.Code
}

// TestOneFault changes one thing at a time, before everything that is made
// over it, so that the check under test is the only one that fails.
func TestOneFault(t *testing.T) {
	in := newInstance(t)
	reached := make(map[verify.Code]bool)
	for _, faults := range [][]fault{
		policyFaults(), structureFaults(), certificateFaults(t), timeFaults(), sctFaults(),
		logFaults(), logV1Faults(), intoto1Faults(), contentFaults(), identityFaults(),
	} {
		for _, f := range faults {
			t.Run(string(f.want)+"/"+f.name, func(t *testing.T) {
				s := newSetup(in)
				f.make(s)
				v, err := s.check()
				if err == nil {
					t.Fatal("accepted")
				}
				if v != nil || v.Proven() {
					t.Error("refused, and yet there is a *Verified")
				}
				if codeOf(err) != f.want {
					t.Fatalf("refused with %v, want code %q", err, f.want)
				}
				t.Log(err)
			})
			reached[f.want] = true
		}
	}
	for _, c := range verify.Codes() {
		if !reached[c] {
			t.Errorf("no fault leads to %q", c)
		}
	}
}

func policyFaults() []fault {
	empty := func(s *setup) { s.policy.Identities = []verify.Identity{} }
	return []fault{
		{"nobody is accepted", empty, verify.CodePolicy},
		{"zero policy", func(s *setup) { s.policy = verify.Policy{Identities: []verify.Identity{}} }, verify.CodePolicy},
		{"identity and key", func(s *setup) { s.managed(); s.policy.AnyIdentityUnsafe = true }, verify.CodePolicy},
		{"any identity and one", func(s *setup) {
			id, err := verify.NewIdentity(s.identity)
			s.in.ok(err)
			s.policy.AnyIdentityUnsafe, s.policy.Identities = true, []verify.Identity{id}
		}, verify.CodePolicy},
		{"negative threshold", func(s *setup) { s.policy.SCTs = -1 }, verify.CodePolicy},
		{"no timestamp", func(s *setup) { s.policy.Timestamps = 0 }, verify.CodePolicy},
		{"key details without a key", func(s *setup) { s.policy.KeyDetails = pubkey.Ed25519 }, verify.CodePolicy},
		{"key details of another key", func(s *setup) { s.managed(); s.policy.KeyDetails = pubkey.Ed25519 }, verify.CodePolicy},
		{"identity not compiled", func(s *setup) { s.policy.Identities = []verify.Identity{s.identity} }, verify.CodePolicy},
		{"identity changed since", func(s *setup) {
			id, err := verify.NewIdentity(s.identity)
			s.in.ok(err)
			id.SAN = "another"
			s.policy.Identities = []verify.Identity{id}
		}, verify.CodePolicy},
		{"no SAN", func(s *setup) { s.identity.SAN = "" }, verify.CodePolicy},
		{"no issuer", func(s *setup) { s.identity.Issuer = "" }, verify.CodePolicy},
		{"two ways to say SAN", func(s *setup) { s.identity.SANRegexp = "." }, verify.CodePolicy},
		{"bad expression", func(s *setup) { s.identity.Issuer, s.identity.IssuerRegexp = "", "(" }, verify.CodePolicy},
		{"no trusted root", func(s *setup) { s.root = nil }, verify.CodePolicy},
	}
}

func structureFaults() []fault {
	after := func(f func(*bundle.Bundle)) func(*setup) { return func(s *setup) { s.finish = f } }
	return []fault{
		{"no content", after(func(b *bundle.Bundle) { b.Message = nil }), verify.CodeBundle},
		{"two contents", after(func(b *bundle.Bundle) { b.Envelope = &dsse.Envelope{} }), verify.CodeBundle},
		{"no signature", after(func(b *bundle.Bundle) { b.Message.Signature = nil }), verify.CodeBundle},
		{"no certificate", after(func(b *bundle.Bundle) { b.Certificates = nil }), verify.CodeBundle},
		{"certificate and key hint", after(func(b *bundle.Bundle) { b.HasKeyHint = true }), verify.CodeBundle},
		{"chain in v0.3", func(s *setup) {
			s.finish = func(b *bundle.Bundle) { b.Certificates = append(b.Certificates, s.in.ca.cert.Raw) }
		}, verify.CodeBundle},
		{"root certificate", func(s *setup) {
			s.v1Message()
			s.finish = func(b *bundle.Bundle) {
				b.Version = bundle.V01
				b.Certificates = append(b.Certificates, s.in.anchor.cert.Raw)
			}
		}, verify.CodeBundle},
		{"leaf as intermediate", func(s *setup) {
			s.v1Message()
			s.finish = func(b *bundle.Bundle) {
				b.Version = bundle.V01
				b.Certificates = append(b.Certificates, b.Certificates[0])
			}
		}, verify.CodeBundle},
		{"rubbish as intermediate", func(s *setup) {
			s.v1Message()
			s.finish = func(b *bundle.Bundle) {
				b.Version = bundle.V01
				b.Certificates = append(b.Certificates, []byte("rubbish"))
			}
		}, verify.CodeBundle},
		{"entry twice", after(func(b *bundle.Bundle) { b.Entries = append(b.Entries, b.Entries[0]) }), verify.CodeBundle},
		{"missing entry", after(func(b *bundle.Bundle) { b.Entries[0] = nil }), verify.CodeBundle},
		{"negative index", after(func(b *bundle.Bundle) { b.Entries[0].LogIndex = -1 }), verify.CodeBundle},
		{"no proof", after(func(b *bundle.Bundle) { b.Entries[0].Proof = nil }), verify.CodeBundle},
		{"no promise in v0.1", after(func(b *bundle.Bundle) { b.Version = bundle.V01 }), verify.CodeBundle},
		{"no bundle", func(s *setup) { s.noBundle = true }, verify.CodeBundle},
		{"too many entries", after(func(b *bundle.Bundle) {
			for i := range int64(32) {
				other := *b.Entries[0]
				other.LogID, other.LogIndex = bytes.Repeat([]byte{7}, 32), i
				b.Entries = append(b.Entries, &other)
			}
		}), verify.CodeBundle},
		{"too many timestamps", after(func(b *bundle.Bundle) { b.Timestamps = make([][]byte, 33) }), verify.CodeBundle},
		{"two signatures", func(s *setup) {
			s.attest()
			s.finish = func(b *bundle.Bundle) {
				b.Envelope.Signatures = append(b.Envelope.Signatures, dsse.Signature{Sig: []byte("another")})
			}
		}, verify.CodeBundle},
		{"version", after(func(b *bundle.Bundle) { b.Version = 9 }), verify.CodeUnsupported},
		{"certificate for a key", func(s *setup) { s.policy.Key = s.recipe.key.Public() }, verify.CodeSignerKind},
		{"key for an identity", func(s *setup) { s.recipe.managed = true }, verify.CodeSignerKind},
		{"no artifact", func(s *setup) { s.artifact = verify.Artifact{} }, verify.CodeArtifactMissing},
		{"no artifact for a statement", func(s *setup) { s.attest(); s.artifact = verify.Artifact{} }, verify.CodeArtifactMissing},
		{"any artifact for a message", func(s *setup) { s.artifact = verify.Artifact{AnySubjectUnsafe: true} }, verify.CodeArtifactMissing},
		{"zero digest for a statement", func(s *setup) { s.attest(); s.artifact.Digests = make([]digest.Digest, 1) }, verify.CodeArtifactMissing},
		{"zero digest", func(s *setup) { s.artifact.Digests = make([]digest.Digest, 1) }, verify.CodeArtifactMissing},
		{"two artifacts", func(s *setup) {
			s.artifact.Digests = append(s.artifact.Digests, digest.Of(digest.SHA256, []byte("another")))
		}, verify.CodeArtifactMissing},
	}
}

func identityFaults() []fault {
	identity := func(f func(*verify.Identity)) func(*setup) { return func(s *setup) { f(&s.identity) } }
	return []fault{
		{"name", identity(func(id *verify.Identity) { id.SAN += "x" }), verify.CodeNoMatchingIdentity},
		{"name in another case", identity(func(id *verify.Identity) { id.SAN = "HTTPS" + id.SAN[5:] }), verify.CodeNoMatchingIdentity},
		{"name by expression", identity(func(id *verify.Identity) { id.SAN, id.SANRegexp = "", "^ci" }), verify.CodeNoMatchingIdentity},
		{"issuer", identity(func(id *verify.Identity) { id.Issuer += "/" }), verify.CodeNoMatchingIdentity},
		{"issuer by expression", identity(func(id *verify.Identity) { id.Issuer, id.IssuerRegexp = "", "^issuer" }), verify.CodeNoMatchingIdentity},
		{"no issuer", func(s *setup) {
			s.identity.Issuer, s.identity.IssuerRegexp = "", ".*"
			s.recipe.claims.Issuer, s.recipe.claims.IssuerV2 = "", ""
		}, verify.CodeNoMatchingIdentity},
		{"trigger", identity(func(id *verify.Identity) { id.GitHubWorkflowTrigger = "pull_request" }), verify.CodeNoMatchingIdentity},
		{"SHA", identity(func(id *verify.Identity) { id.GitHubWorkflowSHA = "4567" }), verify.CodeNoMatchingIdentity},
		{"workflow", identity(func(id *verify.Identity) { id.GitHubWorkflowName = "Build" }), verify.CodeNoMatchingIdentity},
		{"repository", identity(func(id *verify.Identity) { id.GitHubWorkflowRepository = "example/other" }), verify.CodeNoMatchingIdentity},
		{"ref", identity(func(id *verify.Identity) { id.GitHubWorkflowRef = "refs/heads/other" }), verify.CodeNoMatchingIdentity},
		{"no workflow at all", func(s *setup) {
			s.identity.GitHubWorkflowRef = "refs/heads/main"
			s.recipe.claims.GitHubRef = ""
		}, verify.CodeNoMatchingIdentity},
	}
}
