// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// programs is the folder that TestMain builds hallmarkd and hallmark into. It is
// set once, before any test runs.
var programs string

// insideVar names the folder of a test that was started again in a mount
// namespace of its own, see [inNamespace].
const insideVar = "HALLMARK_E2E_PROGRAMS"

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (int, error) {
	if programs = os.Getenv(insideVar); programs != "" {
		return m.Run(), nil
	}
	dir, err := os.MkdirTemp("", "hallmark-e2e-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	build := exec.Command("go", "build", "-C", "../..", "-o", dir, "./cmd/hallmarkd", "./cmd/hallmark")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		return 0, fmt.Errorf("build the programs: %w", err)
	}
	programs = dir
	return m.Run(), nil
}

func program(name string) string { return filepath.Join(programs, name) }
