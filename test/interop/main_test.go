// SPDX-License-Identifier: Apache-2.0

// Package interop shows that Hallmark and Sigstore's own programs accept each
// other's work: unmodified cosign against hallmarkd, each client verifying
// what the other signed, sigstore-go reading our bundles. Every program runs as
// a process of its own, as its users run it. Nothing is skipped: a peer that
// cannot be built fails the tests.
package interop

import (
	"context"
	"fmt"
	"os"
	"testing"

	"hallmark/test/interop/internal/peers"
)

// programs are built once, by TestMain.
var programs peers.Programs

func TestMain(m *testing.M) {
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "hallmark-interop-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if programs, err = peers.Build(context.Background(), dir, peers.Cosign, peers.Rekor); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}
