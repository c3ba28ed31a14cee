// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"fmt"
	"os"

	"hallmark/internal/format/bundle"
)

// alterProof copies a bundle with one bit turned over in the proof that the log
// holds the signature. The tree's root hash stands in for a proof that has no
// other hashes, as the first entry's.
func alterProof(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	b, err := bundle.Parse(data)
	if err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	proof := b.Entries[0].Proof
	if len(proof.Hashes) > 0 {
		proof.Hashes[0][0] ^= 1
	} else {
		proof.RootHash[0] ^= 1
	}
	altered, err := b.Marshal()
	if err != nil {
		return err
	}
	return os.WriteFile(to, altered, 0o600)
}
