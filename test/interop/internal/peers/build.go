// SPDX-License-Identifier: Apache-2.0

// Package peers builds and runs the programs that meet in the interop tests
// and in the benchmarks: ours, cosign, the Rekor v2 POSIX server and Fulcio.
// They run as a user would run them: as processes, on 127.0.0.1, with a home
// folder of their own and nothing of this machine's configuration.
//
// The peers are unmodified modules, pinned by the tool lines of this module
// and, for Fulcio alone, which wants other versions of cosign's dependencies,
// of the module in test/bench.
package peers

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// The names of the programs. [Rekor] is called after its package's folder.
const (
	Hallmark  = "hallmark"
	Hallmarkd = "hallmarkd"
	Cosign    = "cosign"
	Rekor     = "posix"
	Fulcio    = "fulcio"
	measure   = "measure" // ours, and only for measuring
)

// Programs is a folder with the built programs.
type Programs string

// Build makes our programs and the named peers in dir, which it makes. A
// program that cannot be built is an error: nothing is left out. The working
// folder must be inside this module. The go command caches the peers; a first
// build of cosign takes minutes.
func Build(ctx context.Context, dir string, names ...string) (Programs, error) {
	mod, err := run(ctx, ".", "go", "env", "GOMOD")
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	here := filepath.Dir(mod)
	if _, err := run(ctx, filepath.Join(here, "..", ".."), "go", "build", "-o", dir, "./cmd/hallmark", "./cmd/hallmarkd"); err != nil {
		return "", err
	}
	if _, err := run(ctx, here, "go", "build", "-o", dir, "./internal/measure"); err != nil {
		return "", err
	}
	p := Programs(dir)
	for _, name := range names {
		module := here
		if name == Fulcio {
			module = filepath.Join(here, "..", "bench")
		}
		built, err := run(ctx, module, "go", "tool", "-n", name)
		if err != nil {
			return "", err
		}
		if err := os.Symlink(built, p.path(name)); err != nil {
			return "", err
		}
	}
	return p, nil
}

// path is where a program is.
func (p Programs) path(name string) string { return filepath.Join(string(p), name) }

// run runs a command of the build and returns what it printed.
func run(ctx context.Context, dir string, argv ...string) (string, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = dir
	var errors bytes.Buffer
	cmd.Stderr = &errors
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s in %s: %w\n%s", strings.Join(argv, " "), dir, err, errors.String())
	}
	return strings.TrimSpace(string(out)), nil
}
