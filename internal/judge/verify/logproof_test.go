// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/transparency-dev/merkle/rfc6962"

	"hallmark/internal/format/bundle"
	"hallmark/internal/format/digest"
	"hallmark/internal/format/logentry"
	"hallmark/internal/format/pubkey"
	"hallmark/internal/judge/verify"
)

func TestCheckInclusion(t *testing.T) {
	in := newInstance(t)
	s := newSetup(in)
	b := in.sign(s.recipe)
	inc, err := verify.CheckInclusion(b.Entries[0], s.root)
	if err != nil {
		t.Fatal(err)
	}
	if inc.Tree().Size() != treeSize || inc.Tree().Log() != &s.root.Logs[0] || string(b.Entries[0].Proof.RootHash) != string(rootOf(inc)) || inc.Entry() != b.Entries[0] {
		t.Errorf("proven in %+v", inc.Tree())
	}
	if inc.Rekord().Digest != digest.Of(digest.SHA256, s.recipe.artifact) {
		t.Errorf("rekord is about %s", inc.Rekord().Digest)
	}
	signer, err := inc.Signer(s.root)
	if err != nil || signer.SAN != s.recipe.san || signer.Extensions.IssuerURL() != s.recipe.claims.IssuerV2 {
		t.Errorf("signer %+v, %v", signer, err)
	}
	if err := inc.Records(b); err != nil {
		t.Error(err)
	}
}

func rootOf(i *verify.Inclusion) []byte { root := i.Tree().Root(); return root[:] }

// Each case changes one thing about the entry or its proof.
func TestCheckInclusionOneFault(t *testing.T) {
	in := newInstance(t)
	entry := func(f func(*logentry.Entry)) func(*setup) { return func(s *setup) { s.recipe.entry = f } }
	head := func(f func(*treeHead)) func(*setup) { return func(s *setup) { s.recipe.treeHead = f } }
	finish := func(f func(*logentry.Entry)) func(*setup) {
		return func(s *setup) { s.finish = func(b *bundle.Bundle) { f(b.Entries[0]) } }
	}
	for _, tc := range []fault{
		{"malformed", finish(func(e *logentry.Entry) { e.Proof.RootHash = nil }), verify.CodeBundle},
		{"no proof", finish(func(e *logentry.Entry) { e.Proof, e.SET = nil, []byte{1} }), verify.CodeInclusionProof},
		{"not a checkpoint", finish(func(e *logentry.Entry) { e.Proof.Checkpoint = "rubbish" }), verify.CodeCheckpoint},
		{"Rekor v1", func(s *setup) { s.v1Message() }, verify.CodeUnsupported},
		{"body of another kind", func(s *setup) { s.recipe.body = func([]byte) []byte { return []byte(`{}`) } }, verify.CodeUnsupported},
		{"unknown log", func(s *setup) { s.root.Logs = s.root.Logs[1:] }, verify.CodeLogThreshold},
		{"hash changed", entry(func(e *logentry.Entry) { e.Proof.Hashes[1] = flip(e.Proof.Hashes[1]) }), verify.CodeInclusionProof},
		{"two indices", entry(func(e *logentry.Entry) { e.LogIndex++ }), verify.CodeInclusionProof},
		{"body changed", finish(func(e *logentry.Entry) { e.Body = flip(e.Body) }), verify.CodeInclusionProof},
		{"other origin", head(func(h *treeHead) { h.origin = "other.example.test" }), verify.CodeCheckpoint},
		{"other size", head(func(h *treeHead) { h.size++ }), verify.CodeCheckpoint},
		{"other root", head(func(h *treeHead) { h.root[0] ^= 1 }), verify.CodeCheckpoint},
		{"by another key", head(func(h *treeHead) { _, h.key = in.ed25519() }), verify.CodeCheckpointSignature},
	} {
		s := newSetup(in)
		tc.make(s)
		b := in.sign(s.recipe)
		if s.finish != nil {
			s.finish(b)
		}
		if _, err := verify.CheckInclusion(b.Entries[0], s.root); codeOf(err) != tc.want {
			t.Errorf("%s: %v; expected %s", tc.name, err, tc.want)
		}
	}
}

func TestInclusionSigner(t *testing.T) {
	in := newInstance(t)
	stranger := in.newCA("stranger", nil, nil)
	for name, tc := range map[string]struct {
		change func(*setup)
		code   verify.Code
	}{
		"certificate": {func(*setup) {}, ""},
		"managed key": {func(s *setup) { s.managed() }, ""},
		"attestation": {func(s *setup) { s.attest() }, ""},
		"other signature": {func(s *setup) {
			s.recipe.rekord = func(h *logentry.HashedRekord) { h.Digest = digest.Of(digest.SHA256, []byte("other")) }
		}, verify.CodeSignature},
		"unknown authority":           {func(s *setup) { s.recipe.issuer = &stranger }, verify.CodeCertificateChain},
		"authority no longer trusted": {func(s *setup) { s.root.CAs[0].Valid = in.window(-2*time.Hour, -time.Hour) }, verify.CodeCertificateChain},
		"no code signing certificate": {func(s *setup) {
			s.recipe.rekord = func(h *logentry.HashedRekord) {
				h.Certificate = in.ca.cert.Raw
				var err error
				h.Signature, err = pubkey.Sign(in.ca.key, pubkey.ECDSAP256SHA256, s.recipe.artifact)
				in.ok(err)
			}
		}, verify.CodeCertificate},
	} {
		s := newSetup(in)
		tc.change(s)
		b := in.sign(s.recipe)
		inc, err := verify.CheckInclusion(b.Entries[0], s.root)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		signer, err := inc.Signer(s.root)
		if codeOf(err) != tc.code || (err == nil) != (tc.code == "") {
			t.Errorf("%s: %v; expected %q", name, err, tc.code)
		}
		if (err == nil) != (signer.Key != nil) {
			t.Errorf("%s: signer %+v with error %v", name, signer, err)
		}
	}
}

func TestInclusionRecords(t *testing.T) {
	in := newInstance(t)
	for name, change := range map[string]func(*setup){"message": func(*setup) {}, "attestation": (*setup).attest, "managed key": (*setup).managed} {
		s := newSetup(in)
		change(s)
		b := in.sign(s.recipe)
		inc, err := verify.CheckInclusion(b.Entries[0], s.root)
		if err != nil {
			t.Fatal(err)
		}
		if err := inc.Records(b); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		// The same signer and artifact, signed once more, is another entry.
		if err := inc.Records(in.sign(s.recipe)); codeOf(err) != verify.CodeLogEntryMismatch {
			t.Errorf("%s: another bundle: %v", name, err)
		}
	}
}

func TestCheckTree(t *testing.T) {
	in := newInstance(t)
	_, stranger := in.ed25519()
	log := &in.root.Logs[0]
	good := treeHead{origin: logHost, name: logHost, size: 3, root: [32]byte{1}, key: in.log}
	for name, tc := range map[string]struct {
		change func(*treeHead)
		code   verify.Code
	}{
		"right":          {func(*treeHead) {}, ""},
		"other log":      {func(h *treeHead) { h.origin = "other.example.test" }, verify.CodeCheckpoint},
		"by another key": {func(h *treeHead) { h.key = stranger }, verify.CodeCheckpointSignature},
	} {
		head := good
		tc.change(&head)
		tree, err := verify.CheckTree([]byte(in.checkpoint(head)), log)
		if codeOf(err) != tc.code {
			t.Errorf("%s: %v; expected %q", name, err, tc.code)
		}
		if err == nil && (tree.Size() != 3 || tree.Root() != [32]byte{1} || tree.Log() != log) {
			t.Errorf("%s: %+v", name, tree)
		}
	}
	if _, err := verify.CheckTree([]byte("rubbish"), log); codeOf(err) != verify.CodeCheckpoint {
		t.Errorf("rubbish: %v", err)
	}
}

func TestTreeExtends(t *testing.T) {
	in := newInstance(t)
	leaves := make([][]byte, 11)
	for i := range leaves {
		leaves[i] = rfc6962.DefaultHasher.HashLeaf(fmt.Appendf(nil, "entry %d", i))
	}
	rootAt := func(n int) [32]byte { return [32]byte(treeRoot(leaves[:n])) }
	tree, err := verify.CheckTree([]byte(in.checkpoint(treeHead{origin: logHost, name: logHost, size: 11, root: rootAt(11), key: in.log})), &in.root.Logs[0])
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= 11; n++ {
		if err := tree.Extends(uint64(n), rootAt(n), consistency(leaves, n)); err != nil {
			t.Errorf("from %d: %v", n, err)
		}
		other := rootAt(n)
		other[0] ^= 1
		if err := tree.Extends(uint64(n), other, consistency(leaves, n)); err == nil || !strings.Contains(err.Error(), "rewritten") {
			t.Errorf("from %d with another root: %v", n, err)
		}
		if hashes := consistency(leaves, n); len(hashes) > 0 {
			hashes[0] = flip(hashes[0])
			if tree.Extends(uint64(n), rootAt(n), hashes) == nil {
				t.Errorf("from %d with a wrong hash: accepted", n)
			}
			if tree.Extends(uint64(n), rootAt(n), nil) == nil {
				t.Errorf("from %d without a proof: accepted", n)
			}
		}
	}
	if err := tree.Extends(12, rootAt(11), nil); err == nil || !strings.Contains(err.Error(), "taken out") {
		t.Errorf("a smaller tree: %v", err)
	}
}

// consistency is PROOF of RFC 6962 §2.1.2 from the first m leaves to all.
func consistency(leaves [][]byte, m int) [][]byte { return subproof(leaves, m, true) }

func subproof(leaves [][]byte, m int, whole bool) [][]byte {
	if m == len(leaves) {
		if whole {
			return nil
		}
		return [][]byte{treeRoot(leaves)}
	}
	k := split(len(leaves))
	if m <= k {
		return append(subproof(leaves[:k], m, whole), treeRoot(leaves[k:]))
	}
	return append(subproof(leaves[k:], m-k, false), treeRoot(leaves[:k]))
}
