// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"hallmark/internal/format/bundle"
	"hallmark/internal/format/digest"
	"hallmark/internal/format/intoto"
	"hallmark/internal/format/logentry"
	"hallmark/internal/format/pubkey"
	"hallmark/internal/judge/verify"
)

func logFaults() []fault {
	rekord := func(f func(*setup, *logentry.HashedRekord)) func(*setup) {
		return func(s *setup) { s.recipe.rekord = func(h *logentry.HashedRekord) { f(s, h) } }
	}
	entry := func(f func(*logentry.Entry)) func(*setup) { return func(s *setup) { s.recipe.entry = f } }
	head := func(f func(*setup, *treeHead)) func(*setup) {
		return func(s *setup) { s.recipe.treeHead = func(h *treeHead) { f(s, h) } }
	}
	return []fault{
		{"other signature", rekord(func(s *setup, h *logentry.HashedRekord) { h.Signature = s.otherSig() }), verify.CodeLogEntryMismatch},
		{"other digest", rekord(func(s *setup, h *logentry.HashedRekord) { h.Digest = digest.Of(digest.SHA256, []byte("other")) }), verify.CodeLogEntryMismatch},
		{"other certificate", rekord(func(s *setup, h *logentry.HashedRekord) { h.Certificate = s.in.certificate(s.recipe) }), verify.CodeLogEntryMismatch},
		{"key instead of certificate", rekord(func(s *setup, h *logentry.HashedRekord) {
			spki, err := pubkey.MarshalPKIX(s.recipe.key.Public())
			s.in.ok(err)
			h.Certificate, h.PublicKey = nil, spki
		}), verify.CodeLogEntryMismatch},
		{"other key details", rekord(func(s *setup, h *logentry.HashedRekord) { h.Details = pubkey.LegacyECDSAP256HMAC }), verify.CodeLogEntryMismatch},
		{"not canonical", func(s *setup) {
			s.recipe.body = func(b []byte) []byte { return []byte(strings.Replace(string(b), ":", ": ", 1)) }
		}, verify.CodeLogEntryMismatch},
		{"of an envelope: other payload", func(s *setup) {
			s.attest()
			s.recipe.rekord = func(h *logentry.HashedRekord) { h.Digest = digest.Of(digest.SHA256, s.recipe.artifact) }
		}, verify.CodeLogEntryMismatch},
		{"of a managed key: other key", func(s *setup) {
			s.managed()
			s.recipe.rekord = func(h *logentry.HashedRekord) {
				spki, err := pubkey.MarshalPKIX(s.in.p256().Public())
				s.in.ok(err)
				h.PublicKey = spki
			}
		}, verify.CodeLogEntryMismatch},
		{"bad entry beside a good one", func(s *setup) {
			s.finish = func(b *bundle.Bundle) {
				other := *b.Entries[0]
				other.LogIndex, other.Body = 3, []byte("rubbish")
				b.Entries = append(b.Entries, &other)
			}
		}, verify.CodeLogEntryMismatch},

		{"log no longer trusted", func(s *setup) { s.root.Logs[0].Valid = s.in.window(-time.Hour, -time.Second) }, verify.CodeLogWindow},
		{"log not yet trusted", func(s *setup) { s.root.Logs[0].Valid = s.in.window(time.Second, time.Hour) }, verify.CodeLogWindow},

		{"rubbish", func(s *setup) {
			s.finish = func(b *bundle.Bundle) { b.Entries[0].Proof.Checkpoint = "rubbish" }
		}, verify.CodeCheckpoint},
		{"other origin", head(func(s *setup, h *treeHead) { h.origin = "other.example.test" }), verify.CodeCheckpoint},
		{"origin with a port", func(s *setup) {
			s.recipe.treeHead = func(h *treeHead) { h.origin, h.name = logHost+":8080", logHost+":8080" }
			s.root.Logs[0].BaseURL = "https://" + logHost + ":8080"
		}, verify.CodeCheckpoint},
		{"v1 origin of a v2 log", head(func(s *setup, h *treeHead) { h.origin += " - 17" }), verify.CodeCheckpoint},
		{"size", head(func(s *setup, h *treeHead) { h.size++ }), verify.CodeCheckpoint},
		{"size beyond all trees", head(func(s *setup, h *treeHead) { h.size = 1<<64 - 1 }), verify.CodeCheckpoint},
		{"root hash", head(func(s *setup, h *treeHead) { h.root[0] ^= 1 }), verify.CodeCheckpoint},

		{"hash changed", entry(func(e *logentry.Entry) { e.Proof.Hashes[1] = flip(e.Proof.Hashes[1]) }), verify.CodeInclusionProof},
		{"hash missing", entry(func(e *logentry.Entry) { e.Proof.Hashes = e.Proof.Hashes[1:] }), verify.CodeInclusionProof},
		{"hash too many", entry(func(e *logentry.Entry) { e.Proof.Hashes = append(e.Proof.Hashes, e.Proof.RootHash) }), verify.CodeInclusionProof},
		{"two indices", entry(func(e *logentry.Entry) { e.LogIndex++ }), verify.CodeInclusionProof},
		{"other index", entry(func(e *logentry.Entry) { e.LogIndex, e.Proof.LogIndex = 4, 4 }), verify.CodeInclusionProof},
		{"of another tree", func(s *setup) {
			s.recipe.entry = func(e *logentry.Entry) { e.Proof.RootHash = flip(e.Proof.RootHash) }
			s.recipe.treeHead = func(h *treeHead) { h.root[31] ^= 1 }
		}, verify.CodeInclusionProof},

		{"by another key", head(func(s *setup, h *treeHead) { _, h.key = s.in.ed25519() }), verify.CodeCheckpointSignature},
		{"by another name", head(func(s *setup, h *treeHead) { h.name = "other.example.test" }), verify.CodeCheckpointSignature},
		{"wrong signature", func(s *setup) {
			s.finish = func(b *bundle.Bundle) {
				cp := []byte(b.Entries[0].Proof.Checkpoint)
				at := len(cp) - 12 // in the base64 of the signature's tail
				cp[at] = 'A' + (cp[at]-'A'+1)%26
				b.Entries[0].Proof.Checkpoint = string(cp)
			}
		}, verify.CodeCheckpointSignature},

		{"unknown log", func(s *setup) { s.root.Logs = s.root.Logs[1:] }, verify.CodeLogThreshold},
		{"no entry", func(s *setup) { s.recipe.noEntry = true }, verify.CodeLogThreshold},
		{"one log twice", func(s *setup) {
			s.policy.LogEntries = 2
			r := *s.recipe
			s.finish = func(b *bundle.Bundle) {
				r.treeHead = nil
				again := s.in.logged(&r, b, b.Message.Signature)
				again.LogIndex, again.Proof.LogIndex = leafIndex, leafIndex
				again.LogID = append([]byte(nil), again.LogID...)
				b.Entries = append(b.Entries, again)
			}
		}, verify.CodeBundle},
		{"one of two", func(s *setup) { s.policy.LogEntries = 2 }, verify.CodeLogThreshold},
	}
}

func logV1Faults() []fault {
	content := func(kind func(*setup), f func(*setup, *v1Content)) func(*setup) {
		return func(s *setup) {
			kind(s)
			s.recipe.v1Body = func(c *v1Content) { f(s, c) }
		}
	}
	message, envelope, old := (*setup).v1Message, (*setup).v1Envelope, (*setup).v1Intoto
	otherSig := func(s *setup, c *v1Content) { c.signature = s.otherSig() }
	otherCert := func(s *setup, c *v1Content) {
		c.verifier = []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
	}
	otherPayload := func(s *setup, c *v1Content) { c.payload[0] ^= 1 }
	ownKey := func(s *setup, c *v1Content) {
		var err error
		c.verifier, err = pubkey.MarshalPEM(s.recipe.key.Public())
		s.in.ok(err)
	}
	head := func(f func(*treeHead)) func(*setup) {
		return func(s *setup) { s.v1Message(); s.recipe.treeHead = f }
	}
	return []fault{
		{"v1 message: signature", content(message, otherSig), verify.CodeLogEntryMismatch},
		{"v1 message: certificate", content(message, otherCert), verify.CodeLogEntryMismatch},
		{"v1 message: key instead of certificate", content(message, ownKey), verify.CodeLogEntryMismatch},
		{"v1 message: digest", content(message, func(s *setup, c *v1Content) { c.artifact[0] ^= 1 }), verify.CodeLogEntryMismatch},
		{"v1 envelope: signature", content(envelope, otherSig), verify.CodeLogEntryMismatch},
		{"v1 envelope: certificate", content(envelope, otherCert), verify.CodeLogEntryMismatch},
		{"v1 envelope: payload", content(envelope, otherPayload), verify.CodeLogEntryMismatch},
		{"v1 intoto: signature", content(old, otherSig), verify.CodeLogEntryMismatch},
		{"v1 intoto: certificate", content(old, otherCert), verify.CodeLogEntryMismatch},
		{"v1 intoto: payload", content(old, otherPayload), verify.CodeLogEntryMismatch},
		{"v1 intoto: payload type", func(s *setup) {
			s.v1Intoto()
			s.recipe.body = func(b []byte) []byte {
				return []byte(strings.Replace(string(b), "vnd.in-toto+json", "vnd.other+json", 1))
			}
		}, verify.CodeLogEntryMismatch},
		{"v1 envelope: two signatures", func(s *setup) {
			s.v1Envelope()
			s.recipe.body = func(b []byte) []byte {
				text := string(b)
				from := strings.Index(text, `"signatures":[`) + len(`"signatures":[`)
				to := from + strings.Index(text[from:], "]")
				return []byte(text[:to] + "," + text[from:to] + text[to:])
			}
		}, verify.CodeLogEntryMismatch},
		{"v1 managed key: other key", func(s *setup) {
			s.managed()
			s.v1Message()
			s.recipe.v1Body = func(c *v1Content) {
				var err error
				c.verifier, err = pubkey.MarshalPEM(s.in.p256().Public())
				s.in.ok(err)
			}
		}, verify.CodeLogEntryMismatch},
		{"v1 body of another kind", func(s *setup) {
			s.v1Envelope()
			s.recipe.entry = func(e *logentry.Entry) { e.Kind, e.Version = "intoto", "0.0.2" }
		}, verify.CodeLogEntryMismatch},

		{"v1 envelope as hashedrekord", func(s *setup) { s.attest(); s.inV1("hashedrekord") }, verify.CodeUnsupported},
		{"v1 message as dsse", func(s *setup) { s.inV1("dsse") }, verify.CodeUnsupported},
		{"v1 kind", func(s *setup) {
			s.v1Message()
			s.recipe.entry = func(e *logentry.Entry) { e.Kind = "rpm" }
		}, verify.CodeUnsupported},

		{"v1 log no longer trusted", func(s *setup) {
			s.v1Message()
			s.root.Logs[1].Valid = s.in.window(-time.Hour, -time.Second)
		}, verify.CodeLogWindow},
		{"v1 log trusted at the token's time only", func(s *setup) {
			s.inV1("hashedrekord")
			s.recipe.tokenTime = s.in.at.Add(time.Minute)
			s.root.Logs[1].Valid = s.in.window(time.Second, time.Hour)
		}, verify.CodeLogWindow},
		{"v1 by another name", head(func(h *treeHead) { h.name = "other" }), verify.CodeCheckpointSignature},
		{"v1 by another key", func(s *setup) {
			s.v1Message()
			s.recipe.treeHead = func(h *treeHead) { h.key = s.in.p256() }
		}, verify.CodeCheckpointSignature},
		{"v1 origin without a tree", head(func(h *treeHead) { h.origin = logV1Host }), verify.CodeCheckpoint},
		{"v1 size", head(func(h *treeHead) { h.size++ }), verify.CodeCheckpoint},
		{"v1 root hash", head(func(h *treeHead) { h.root[0] ^= 1 }), verify.CodeCheckpoint},
		{"v1 hash changed", func(s *setup) {
			s.v1Message()
			s.recipe.entry = func(e *logentry.Entry) { e.Proof.Hashes[0] = flip(e.Proof.Hashes[0]) }
		}, verify.CodeInclusionProof},
		{"v1 other index", func(s *setup) {
			s.v1Message()
			s.recipe.entry = func(e *logentry.Entry) { e.Proof.LogIndex-- }
		}, verify.CodeInclusionProof},
	}
}

func contentFaults() []fault {
	// bad signs everything consistently, but not what it should.
	bad := func(s *setup) { s.recipe.signature = func([]byte) []byte { return s.otherKeySig() } }
	return []fault{
		{"artifact", func(s *setup) {
			s.artifact.Digests = []digest.Digest{digest.Of(digest.SHA256, []byte("another"))}
		}, verify.CodeArtifactMismatch},
		{"artifact by content", func(s *setup) { s.artifact = verify.Artifact{Content: []byte("another")} }, verify.CodeArtifactMismatch},
		{"artifact of a statement", func(s *setup) {
			s.attest()
			s.artifact.Digests = []digest.Digest{digest.Of(digest.SHA256, []byte("another"))}
		}, verify.CodeArtifactMismatch},
		{"artifact of a statement by content", func(s *setup) {
			s.attest()
			s.artifact = verify.Artifact{Content: []byte("another")}
		}, verify.CodeArtifactMismatch},
		{"statement knows no such digest", func(s *setup) {
			s.attest()
			s.artifact.Digests = []digest.Digest{digest.Of(digest.SHA384, s.recipe.artifact)}
		}, verify.CodeArtifactMismatch},
		{"subject agrees on one digest of two", func(s *setup) {
			s.attest()
			s.recipe.statement.Subjects[0].Digests["sha512"] = hex.EncodeToString(make([]byte, 64))
			s.artifact.Digests = append(s.artifact.Digests, digest.Of(digest.SHA512, s.recipe.artifact))
		}, verify.CodeArtifactMismatch},
		{"digests are of two subjects", func(s *setup) {
			s.attest()
			sums := s.recipe.statement.Subjects[0].Digests
			s.recipe.statement.Subjects = append(s.recipe.statement.Subjects, intoto.Subject{Name: "other", Digests: map[string]string{
				"sha256": digest.Of(digest.SHA256, []byte("other")).Hex(), "sha512": digest.Of(digest.SHA512, s.recipe.artifact).Hex()}})
			sums["sha512"] = digest.Of(digest.SHA512, []byte("other")).Hex()
			s.artifact.Digests = append(s.artifact.Digests, digest.Of(digest.SHA512, s.recipe.artifact))
		}, verify.CodeArtifactMismatch},
		{"Ed25519 content is not the digest's", func(s *setup) {
			s.ed25519()
			s.unlogged()
			s.artifact = verify.Artifact{Content: s.recipe.artifact, Digests: []digest.Digest{digest.Of(digest.SHA256, []byte("another"))}}
		}, verify.CodeArtifactMismatch},
		{"digest of the wrong kind", func(s *setup) {
			s.artifact.Digests = []digest.Digest{digest.Of(digest.SHA512, s.recipe.artifact)}
		}, verify.CodeArtifactMissing},
		{"Ed25519 content", func(s *setup) {
			s.ed25519()
			s.policy.KeyDetails = pubkey.Ed25519
			s.managed()
			s.unlogged()
		}, verify.CodeArtifactMissing},

		{"digest that the signature is over", func(s *setup) { s.undigested(); s.unlogged() }, verify.CodeArtifactMissing},
		{"digest that the log entry is about", (*setup).undigested, verify.CodeArtifactMissing},
		{"digest that the v1 log entry is about", func(s *setup) { s.v1Message(); s.undigested() }, verify.CodeArtifactMissing},

		{"Ed25519 content by another key", func(s *setup) {
			s.ed25519()
			s.managed()
			s.policy.KeyDetails = pubkey.Ed25519
			s.unlogged()
			s.artifact.Content = s.recipe.artifact
			bad(s)
		}, verify.CodeSignature},
		{"message by another key", func(s *setup) { bad(s) }, verify.CodeSignature},
		{"message without a digest", func(s *setup) {
			s.finish = func(b *bundle.Bundle) { b.Message.Digest = digest.Digest{} }
			bad(s)
		}, verify.CodeSignature},
		{"envelope names another key", func(s *setup) { s.attest(); s.named(s.in.p256()) }, verify.CodeSignature},
		{"envelope names no key", func(s *setup) {
			s.attest()
			s.finish = func(b *bundle.Bundle) { b.Envelope.Signatures[0].KeyID = "release key" }
		}, verify.CodeSignature},
		{"envelope by another key", func(s *setup) { s.attest(); bad(s) }, verify.CodeSignature},
		{"v1 message by another key", func(s *setup) { s.v1Message(); bad(s) }, verify.CodeSignature},
		{"v1 envelope by another key", func(s *setup) { s.v1Envelope(); bad(s) }, verify.CodeSignature},
		{"managed key", func(s *setup) { s.managed(); bad(s) }, verify.CodeSignature},
		{"Ed25519", func(s *setup) {
			s.ed25519()
			s.recipe.details = pubkey.Ed25519ph
			bad(s)
		}, verify.CodeSignature},

		{"key of an odd size", func(s *setup) { s.oddRSA(); s.unlogged() }, verify.CodeUnsupported},
		{"key of an odd size, envelope", func(s *setup) { s.oddRSA(); s.attest(); s.unlogged() }, verify.CodeUnsupported},
		{"key of an odd size, log", (*setup).oddRSA, verify.CodeUnsupported},
		{"digest hint of the wrong kind", func(s *setup) {
			s.finish = func(b *bundle.Bundle) { b.Message.Digest = digest.Of(digest.SHA384, s.recipe.artifact) }
			s.artifact.Digests = append(s.artifact.Digests, digest.Of(digest.SHA384, s.recipe.artifact))
		}, verify.CodeUnsupported},
		{"payload type", func(s *setup) {
			s.attest()
			s.recipe.payloadType = "application/json"
		}, verify.CodeUnsupported},
		{"no statement", func(s *setup) {
			s.attest()
			s.recipe.payload = func([]byte) []byte { return []byte(`{"_type":"https://in-toto.io/Statement/v2"}`) }
		}, verify.CodeStatement},
		{"other predicate", func(s *setup) { s.attest(); s.policy.PredicateType = "https://slsa.dev/provenance/v1" }, verify.CodePredicateType},
		{"message instead of a predicate", func(s *setup) { s.policy.PredicateType = intoto.CosignSignV1 }, verify.CodePredicateType},
	}
}

func (s *setup) otherKeySig() []byte {
	sig, err := pubkey.Sign(s.in.p256(), pubkey.ECDSAP256SHA256, s.recipe.artifact)
	s.in.ok(err)
	return sig
}

// TestVerified looks at what an accepted bundle proves.
func TestVerified(t *testing.T) {
	s := newSetup(newInstance(t))
	s.attest()
	s.inV1("dsse")
	v, err := s.check()
	if err != nil {
		t.Fatal(err)
	}
	if got := v.Signer().SAN; got != s.recipe.san {
		t.Errorf("signer is %v, want %v", got, s.recipe.san)
	}
	if got := v.Signer().Extensions.GitHubRepository; got != "example/build" {
		t.Errorf("repository is %q", got)
	}
	if v.Signer().Certificate == nil || v.Signer().Key == nil {
		t.Error("the signer has no certificate or key")
	}
	times := v.Times()
	if len(times) != 2 || times[0].Source != verify.SourceLog || times[1].Source != verify.SourceTSA {
		t.Fatalf("times are %v, want one by the log and one by the TSA", times)
	}
	for _, at := range times {
		if !at.Time.Equal(s.in.at) {
			t.Errorf("%s says %s, want %s", at.Source, at.Time, s.in.at)
		}
	}
	if got := v.Entries(); len(got) != 1 || got[0].Origin != logV1Host+" - 123456789" || got[0].LogIndex != v1Offset+leafIndex {
		t.Errorf("entries are %v", got)
	}
	if v.Statement() == nil || v.Statement().PredicateType != intoto.CosignSignV1 {
		t.Errorf("statement is %v", v.Statement())
	}
	if got, want := v.Subject(), s.artifact.Digests[0]; got != want {
		t.Errorf("subject is %s, want %s", got, want)
	}
	var none verify.Verified
	if none.Proven() || (*verify.Verified)(nil).Proven() {
		t.Error("a Verified that Check did not make says it is proven")
	}
}
