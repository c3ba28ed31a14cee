// SPDX-License-Identifier: Apache-2.0

// Package demo shows the whole product at work on this machine: it starts the
// authority and a registry on loopback, builds and pushes an image out of the
// host's own files, signs it as a GitHub workflow would, verifies it, and shows
// what is refused.
//
// Invariants: every command it prints is run, through the same entry point as
// the program's; a step whose outcome is not the promised one fails the demo;
// nothing is left behind unless asked for.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"hallmark/internal/edge/cli"
)

// Config is what the user can choose.
type Config struct {
	Keep bool      // leave everything running, and on disk, until ctx ends
	Out  io.Writer // where the story goes
}

// The identities of the story.
const (
	repository    = "acme/app"
	ref           = "refs/heads/main"
	rightIdentity = "https://github.com/acme/app/.github/workflows/release.yml@refs/heads/main"
	wrongIdentity = "https://github.com/mallory/app/.github/workflows/release.yml@refs/heads/main"
)

// Run plays the whole demo. An error means that a step did not go as promised.
func Run(ctx context.Context, cfg Config) (err error) {
	dir, err := os.MkdirTemp("", "hallmark-demo-")
	if err != nil {
		return err
	}
	d := &stage{out: cfg.Out, dir: dir, env: map[string]string{"HALLMARK_HOME": filepath.Join(dir, "home"), "NO_COLOR": "1"}}
	defer func() {
		err = errors.Join(err, d.strike(cfg.Keep))
	}()
	start := time.Now()
	for _, act := range []func(context.Context) error{
		d.startStack, d.pushImage, d.trust, d.signImage, d.verifyImage,
		d.refuseWrongIdentity, d.refuseTampered, d.refuseUnsigned, d.refuseAlteredProof, d.refuseOtherInstance,
	} {
		if err := act(ctx); err != nil {
			return err
		}
	}
	fmt.Fprintf(d.out, "All of it in %s: one authority, one registry, one image, five refusals.\n", round(time.Since(start)))
	if cfg.Keep {
		fmt.Fprintf(d.out, "\nStill running: the authority at %s, the registry at %s, files in %s.\nTo try it yourself: export HALLMARK_HOME=%s\nPress Ctrl-C to stop.\n",
			d.authority.URL(), d.registryHost, d.dir, d.env["HALLMARK_HOME"])
		<-ctx.Done()
	}
	return nil
}

// say opens a step.
func (d *stage) say(format string, args ...any) {
	d.step++
	fmt.Fprintf(d.out, "%d. %s\n", d.step, fmt.Sprintf(format, args...))
}

// done closes a step that needed no command.
func (d *stage) done(since time.Time, format string, args ...any) {
	fmt.Fprintf(d.out, "   %s (%s)\n\n", fmt.Sprintf(format, args...), round(time.Since(since)))
}

// hallmark types a command, runs it, and shows what it printed. want is the
// exit code that the step promises.
func (d *stage) hallmark(ctx context.Context, want int, args ...string) error {
	fmt.Fprintf(d.out, "   $ hallmark %s\n", shellQuote(args))
	var out strings.Builder
	start := time.Now()
	code := cli.Main(ctx, args, cli.World{
		In: strings.NewReader(""), Out: &out, Err: &out, Getenv: func(name string) string { return d.env[name] },
	})
	took := time.Since(start)
	for line := range strings.Lines(out.String()) {
		fmt.Fprintf(d.out, "     %s", line)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if code != want {
		return fmt.Errorf("step %d: exit code %d, expected %d", d.step, code, want)
	}
	fmt.Fprintf(d.out, "   exit code %d (%s)\n\n", code, round(took))
	return nil
}

// round keeps three digits or so.
func round(t time.Duration) time.Duration {
	if t > time.Second {
		return t.Round(10 * time.Millisecond)
	}
	return t.Round(100 * time.Microsecond)
}

// shellQuote is args as a person would type them; a long command breaks before
// each flag and before its last argument, which names the artifact.
func shellQuote(args []string) string {
	quoted := make([]string, len(args))
	total := 0
	for i, a := range args {
		quoted[i] = a
		if a == "" || strings.ContainsAny(a, " \t\n'\"\\$`&|;<>()*?[]#~!{}") {
			quoted[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		total += len(quoted[i]) + 1
	}
	if total <= 100 {
		return strings.Join(quoted, " ")
	}
	var b strings.Builder
	for i, q := range quoted {
		switch {
		case i == 0:
		case strings.HasPrefix(q, "--") || i == len(quoted)-1 && (args[i-1] == "--yes" || !strings.HasPrefix(args[i-1], "--")):
			b.WriteString(" \\\n       ")
		default:
			b.WriteString(" ")
		}
		b.WriteString(q)
	}
	return b.String()
}
