// SPDX-License-Identifier: Apache-2.0

package bundle

import (
	"fmt"

	"hallmark/internal/format/digest"
)

// Validate checks the invariants of the package, for bundles that were put
// together from other forms of evidence; those from [Parse] hold them. A message
// signature may lack the digest, since such evidence does not repeat it.
func (b *Bundle) Validate() error {
	whole := *b
	if b.Message != nil && b.Message.Digest.IsZero() {
		whole.Message = &MessageSignature{Digest: digest.Of(digest.SHA256, nil), Signature: b.Message.Signature}
	}
	if err := whole.validate(); err != nil {
		return fmt.Errorf("bundle: %w", err)
	}
	return nil
}
