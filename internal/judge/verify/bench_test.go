// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"testing"

	"hallmark/internal/format/bundle"
	"hallmark/internal/format/digest"
	"hallmark/internal/judge/verify"
)

// BenchmarkCheck verifies one real bundle, without parsing it: of the public
// instance (v0.3, Rekor v1), and of its staging instance (Rekor v2 and a TSA).
// Parsing is measured apart.
func BenchmarkCheck(b *testing.B) {
	for name, folder := range map[string]string{
		"v0.3-public-good": "happy-path-v0.3",
		"rekor-v2-tsa":     "rekor2-happy-path",
		"dsse-rekor-v1":    "happy-path-intoto-in-dsse-v3",
		"dsse-rekor-v2":    "rekor2-dsse-happy-path",
	} {
		v := readVector(b, corpus(b), folder)
		artifact := verify.Artifact{Digests: []digest.Digest{digest.Of(digest.SHA256, v.artifact)}}
		parsed, err := bundle.Parse(v.bundle)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name+"/check", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := verify.Check(parsed, artifact, v.root, v.policy); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/memo", func(b *testing.B) {
			b.ReportAllocs()
			memo := new(verify.Memo)
			for b.Loop() {
				if _, err := memo.Check(parsed, artifact, v.root, v.policy); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/parse", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := bundle.Parse(v.bundle); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
