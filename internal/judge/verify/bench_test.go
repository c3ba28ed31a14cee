// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"testing"

	"hallmark/internal/format/bundle"
	"hallmark/internal/format/digest"
	"hallmark/internal/format/trustroot"
	"hallmark/internal/judge/verify"
)

// BenchmarkCheck verifies one bundle in process: of the public instance (v0.3,
// Rekor v1) and of its staging instance (Rekor v2 and a TSA), both of which use
// P-384 for certificates and tokens, and one like those this product makes, with
// P-256. "first" knows nothing, "next" has judged a bundle of the same instance
// before, "parse" reads the JSON, and "whole" reads and judges it as the next.
func BenchmarkCheck(b *testing.B) {
	for name, folder := range map[string]string{
		"v0.3-public-good": "happy-path-v0.3",
		"rekor-v2-tsa":     "rekor2-happy-path",
		"dsse-rekor-v1":    "happy-path-intoto-in-dsse-v3",
		"dsse-rekor-v2":    "rekor2-dsse-happy-path",
	} {
		v := readVector(b, corpus(b), folder)
		benchmark(b, name, v.bundle, v.artifact, v.root, v.policy)
	}
	s := newSetup(newInstance(b))
	data, err := s.in.sign(s.recipe).Marshal()
	if err != nil {
		b.Fatal(err)
	}
	id, err := verify.NewIdentity(s.identity)
	if err != nil {
		b.Fatal(err)
	}
	s.policy.Identities = []verify.Identity{id}
	benchmark(b, "own", data, s.recipe.artifact, s.root, s.policy)
}

func benchmark(b *testing.B, name string, data, content []byte, root *trustroot.Root, p verify.Policy) {
	artifact := verify.Artifact{Digests: []digest.Digest{digest.Of(digest.SHA256, content)}}
	parsed, err := bundle.Parse(data)
	if err != nil {
		b.Fatal(err)
	}
	memo := new(verify.Memo)
	for _, step := range []struct {
		name string
		run  func() error
	}{
		{"first", func() error { _, err := verify.Check(parsed, artifact, root, p); return err }},
		{"next", func() error { _, err := memo.Check(parsed, artifact, root, p); return err }},
		{"parse", func() error { _, err := bundle.Parse(data); return err }},
		{"whole", func() error {
			parsed, err := bundle.Parse(data)
			if err == nil {
				_, err = memo.Check(parsed, artifact, root, p)
			}
			return err
		}},
	} {
		b.Run(name+"/"+step.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := step.run(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
