// SPDX-License-Identifier: Apache-2.0

// Command bench measures the programs side by side with their peers, in one
// run on one machine, and prints a table with the figures that are aimed at.
// The load it makes goes to servers that it starts itself on 127.0.0.1, and
// shares the processors with them. It fails when something does not work, never
// because something is slow.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"hallmark/test/interop/internal/peers"
)

func main() {
	short := flag.Bool("short", false, "measure little and roughly, in well under a minute: shows that it works")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	effort := whole
	if *short {
		effort = quick
	}
	if err := run(ctx, effort); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// effort is how much is measured.
type effort struct {
	starts, verifications, signatures int // processes of each kind and program

	spaced, backToBack int           // log entries of ours
	rekorEntries       int           // of Rekor's log at its defaults, of a second to eleven each; 0 leaves it out
	rekorSecond        int           // of Rekor's log at a checkpoint interval of a second
	warmUp, load       time.Duration // of a server under load: before counting, and counting
	entries, certs     int           // requests to have ready for that, which end it when used up
}

var (
	whole = effort{
		starts: 30, verifications: 20, signatures: 20,
		spaced: 60, backToBack: 100, rekorEntries: 4, rekorSecond: 12,
		warmUp: 3 * time.Second, load: 12 * time.Second, entries: 150_000, certs: 40_000,
	}
	quick = effort{
		starts: 5, verifications: 3, signatures: 3,
		spaced: 5, backToBack: 20, rekorSecond: 2,
		warmUp: time.Second / 2, load: 2 * time.Second, entries: 20_000, certs: 6_000,
	}
)

// bench is a run.
type bench struct {
	effort
	programs peers.Programs
	dir      string // for everything that the run makes
	table    table
}

// run measures everything.
func run(ctx context.Context, e effort) error {
	dir, err := os.MkdirTemp("", "hallmark-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{effort: e, dir: dir}
	say("building the programs")
	if b.programs, err = peers.Build(ctx, b.path("bin"), peers.Cosign, peers.Rekor, peers.Fulcio); err != nil {
		return err
	}
	begin := time.Now()
	var others []string
	for _, part := range []struct {
		name    string
		measure func(context.Context) error
	}{
		{"client processes", b.processes},
		{"log latency", b.logLatency},
		{"log load", b.logLoad},
		{"certificate load", b.certificateLoad},
	} {
		watch, err := startWatch()
		if err != nil {
			return err
		}
		if err := part.measure(ctx); err != nil {
			return err
		}
		share, err := watch.others()
		if err != nil {
			return err
		}
		others = append(others, fmt.Sprintf("%s %d %%", part.name, share))
	}
	say("done in %v", time.Since(begin).Round(time.Second))
	fmt.Printf("%d processors, %s, %s/%s. Taken meanwhile by other processes: %s.\n\n",
		runtime.NumCPU(), runtime.Version(), runtime.GOOS, runtime.GOARCH, strings.Join(others, ", "))
	return b.table.print(os.Stdout)
}

// path is a folder of the run.
func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }

// with runs f while an authority runs, with its data in a new folder.
func (b *bench) with(ctx context.Context, name string, args []string, f func(*peers.Authority) error) error {
	authority, err := b.programs.StartAuthority(ctx, b.path(name), args...)
	if err != nil {
		return err
	}
	return errors.Join(f(authority), authority.Stop())
}

// say tells whoever waits what happens.
func say(format string, args ...any) {
	fmt.Fprintln(os.Stderr, strings.TrimSpace(fmt.Sprintf("bench: "+format, args...)))
}
