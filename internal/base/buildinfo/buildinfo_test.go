// SPDX-License-Identifier: Apache-2.0

package buildinfo

import "testing"

func TestVersionIsNeverEmpty(t *testing.T) {
	if Version() == "" {
		t.Fatal("empty")
	}
}
