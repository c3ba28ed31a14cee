// SPDX-License-Identifier: Apache-2.0

package durable

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// FreeBytes is how many bytes an unprivileged process can still write on the
// file system that holds path.
func FreeBytes(path string) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", path, err)
	}
	return st.Bavail * uint64(st.Bsize), nil
}
