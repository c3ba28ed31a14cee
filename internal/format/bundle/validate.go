// SPDX-License-Identifier: Apache-2.0

package bundle

import "fmt"

// Validate checks the invariants of the package. Bundles from [Parse] hold
// them; it is for those that were put together from other forms of evidence.
func (b *Bundle) Validate() error {
	if err := b.validate(); err != nil {
		return fmt.Errorf("bundle: %w", err)
	}
	return nil
}
