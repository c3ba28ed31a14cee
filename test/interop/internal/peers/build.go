// SPDX-License-Identifier: Apache-2.0

// Package peers builds and runs the programs that meet in the interop tests
// and in the benchmarks: ours, cosign and the Rekor v2 POSIX server. They run
// as a user would run them: as processes, on 127.0.0.1, with a home folder of
// their own and nothing of this machine's configuration.
//
// The peers are the unmodified modules that this module's tool lines pin.
package peers

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// The programs that Build makes. [Rekor] is named by its package's folder.
const (
	Hallmark  = "hallmark"
	Hallmarkd = "hallmarkd"
	Cosign    = "cosign"
	Rekor     = "posix"
)

// Programs is the folder of the built programs.
type Programs string

// Build makes every program in dir, which must exist. A program that cannot
// be built is an error: nothing is left out. The working folder must be inside
// this module. A cold build of cosign takes minutes.
func Build(ctx context.Context, dir string) (Programs, error) {
	mod, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOMOD: %w", err)
	}
	here := filepath.Dir(strings.TrimSpace(string(mod)))
	main := filepath.Join(here, "..", "..")
	for _, args := range [][]string{
		{"build", "-C", main, "-o", dir, "./cmd/hallmark", "./cmd/hallmarkd"},
		{"build", "-C", here, "-o", dir, "tool"},
	} {
		if out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput(); err != nil {
			return "", fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
		}
	}
	p := Programs(dir)
	for _, name := range []string{Hallmark, Hallmarkd, Cosign, Rekor} {
		if _, err := os.Stat(p.Path(name)); err != nil {
			return "", fmt.Errorf("built no %s: %w", name, err)
		}
	}
	return p, nil
}

// Path is where the named program is.
func (p Programs) Path(name string) string { return filepath.Join(string(p), name) }
