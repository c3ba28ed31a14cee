// SPDX-License-Identifier: Apache-2.0

// Package scriptkit runs testscript scripts
// (https://pkg.go.dev/github.com/rogpeppe/go-internal/testscript) against both
// programs as a user would type them: each command line is a process of its own.
//
// Beside testscript's own commands, scripts have:
//
//	exits CODE PROGRAM ARG...     run it; it must end with exactly this code
//	until PATTERN PROGRAM ARG...  run it until it succeeds and prints a match
//	set NAME PROGRAM ARG...       run it; NAME becomes what it prints
//	serve DATA ARG...             run hallmarkd serve on a free loopback port; sets URL,
//	                              ADDR, ISSUER and ROOT_SHA256. With -as=P the names get
//	                              the prefix P_
//	terminate DATA                end it with SIGTERM; it must exit with 0
//	crash DATA                    end it with SIGKILL
//	registry [-no-referrers]      run an image registry; sets REGISTRY
//	push NAME IMAGE               push a random image; NAME becomes its digest
//	graft FROM TO                 copy what refers to one image to another
//	[!] field FILE PATH [VALUE]   the JSON field at PATH, such as a.0.b, is there (and
//	                              VALUE, a regular expression, matches all of it)
//	tamper FILE PATH              turn one bit over in the base64 field at PATH
//	flip FILE [OFFSET]            turn one bit over in a file; negative is from its end
//	cut FILE SIZE                 shorten a file
//	substitute FILE OLD NEW       replace every OLD
//	mode PERM FILE...             the files have exactly these permissions
//	resign NAME DATA CLAIM=VALUE... sign the token in NAME anew, with other claims, by the
//	                              development issuer of DATA; times are such as exp=-1h
//	imposter NAME ANSWER          run a server that answers every request with the file
//	                              ANSWER; NAME becomes its URL
//	index NAME IMAGE OS/ARCH=DIGEST... push an index of images of that repository; NAME
//	                              becomes its digest
//	legacy root FILE              write the trusted root of an instance of the old kind
//	legacy sign [-refer] [-in=REPO] [-about=DIGEST] IMAGE SAN ISSUER [KEY=VALUE...]
//	                              sign by it as cosign did, under the .sig tag of IMAGE, a
//	                              digest; or in a manifest that refers to it, or for another
//	                              repository, or about another image
//	legacy attest IMAGE SAN ISSUER TYPE attest, under the .att tag
//	legacy move [-swap] FROM TO   copy the .sig tag; -swap makes the payloads name TO
//
// Invariants: everything listens on 127.0.0.1 on ports of the system's choice;
// what a script started ends with it; only tests import this package.
package scriptkit

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"hallmark/internal/edge/cli"
	"hallmark/internal/edge/daemoncli"
)

// Main runs the tests of a package with scripts, and is both programs when one
// of the scripts runs them. It does not return.
func Main(m *testing.M) {
	testscript.Main(m, map[string]func(){"hallmark": hallmark, "hallmarkd": hallmarkd})
}

func hallmark() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cli.Main(ctx, os.Args[1:], cli.World{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Getenv: os.Getenv})
	stop()
	os.Exit(code)
}

func hallmarkd() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := daemoncli.Main(ctx, os.Args[1:], daemoncli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr})
	stop()
	os.Exit(code)
}

// limit ends scripts that hang, such as on a server that should have refused to
// start.
const limit = 5 * time.Minute

// Run runs every script in dir. With the test flag -update, what "cmp stdout
// FILE" expects is rewritten.
func Run(t *testing.T, dir string) {
	t.Helper()
	update := flag.Lookup("update")
	testscript.Run(t, testscript.Params{
		Dir:                dir,
		RequireUniqueNames: true,
		Deadline:           time.Now().Add(limit),
		UpdateScripts:      update != nil && update.Value.String() == "true",
		Setup: func(env *testscript.Env) error {
			env.Setenv("HALLMARK_HOME", filepath.Join(env.WorkDir, "home"))
			env.Setenv("NO_COLOR", "1")
			// Under the race detector a process would sleep a second before it ends.
			env.Setenv("GORACE", "atexit_sleep_ms=5")
			env.Values[authoritiesKey{}] = map[string]*authority{}
			env.Values[legacyKey{}] = new(legacyInstance)
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits": exits, "until": until, "set": set,
			"serve": serve, "terminate": terminate, "crash": crash,
			"registry": startRegistry, "push": push, "graft": graft,
			"field": field, "tamper": tamper, "flip": flip, "cut": cut, "substitute": substitute, "mode": mode,
			"resign": resign, "imposter": imposter,
			"legacy": legacy, "index": pushIndex,
		},
	})
}

// want fails the script unless there are at least n arguments.
func want(ts *testscript.TestScript, neg bool, args []string, n int, usage string) {
	if neg || len(args) < n {
		ts.Fatalf("usage: %s", usage)
	}
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 2, "exits CODE PROGRAM ARG...")
	wanted, err := strconv.Atoi(args[0])
	ts.Check(err)
	if got := run(ts, args[1], args[2:]...); got != wanted {
		ts.Fatalf("exit code %d, expected %d", got, wanted)
	}
}

// run gives the exit code; what was printed is there for stdout and stderr.
func run(ts *testscript.TestScript, program string, args ...string) int {
	err := ts.Exec(program, args...)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	ts.Check(err)
	return 0
}

// patience is how long something may take that takes milliseconds on an idle
// machine.
const patience = 30 * time.Second

func until(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 2, "until PATTERN PROGRAM ARG...")
	pattern, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		code := run(ts, args[1], args[2:]...)
		if code == 0 && pattern.MatchString(ts.ReadFile("stdout")) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("exit code %d, and no match of %s on stdout", code, pattern)
		}
	}
}

func set(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 2, "set NAME PROGRAM ARG...")
	if code := run(ts, args[1], args[2:]...); code != 0 {
		ts.Fatalf("exit code %d", code)
	}
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile("stdout")))
}

func flip(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 1, "flip FILE [OFFSET]")
	edit(ts, args[0], func(data []byte) []byte {
		at := len(data) / 2
		if len(args) > 1 {
			var err error
			at, err = strconv.Atoi(args[1])
			ts.Check(err)
			if at < 0 {
				at += len(data)
			}
		}
		if at < 0 || at >= len(data) {
			ts.Fatalf("%s has %d bytes", args[0], len(data))
		}
		data[at] ^= 1
		return data
	})
}

func cut(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 2, "cut FILE SIZE")
	size, err := strconv.Atoi(args[1])
	ts.Check(err)
	edit(ts, args[0], func(data []byte) []byte { return data[:min(size, len(data))] })
}

func substitute(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 3, "substitute FILE OLD NEW")
	edit(ts, args[0], func(data []byte) []byte {
		out := bytes.ReplaceAll(data, []byte(args[1]), []byte(args[2]))
		if bytes.Equal(out, data) {
			ts.Fatalf("%s has no %q", args[0], args[1])
		}
		return out
	})
}

// edit changes a file in place, whatever its permissions.
func edit(ts *testscript.TestScript, name string, change func([]byte) []byte) {
	path := ts.MkAbs(name)
	data, err := os.ReadFile(path)
	ts.Check(err)
	fi, err := os.Stat(path)
	ts.Check(err)
	ts.Check(os.Chmod(path, 0o600))
	ts.Check(os.WriteFile(path, change(data), 0o600))
	ts.Check(os.Chmod(path, fi.Mode().Perm()))
}

func mode(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 2, "mode PERM FILE...")
	perm, err := strconv.ParseUint(args[0], 8, 32)
	ts.Check(err)
	for _, pattern := range args[1:] {
		files, err := filepath.Glob(ts.MkAbs(pattern))
		ts.Check(err)
		if len(files) == 0 {
			ts.Fatalf("no file %s", pattern)
		}
		for _, file := range files {
			fi, err := os.Stat(file)
			ts.Check(err)
			if got := fi.Mode().Perm(); got != os.FileMode(perm) {
				ts.Fatalf("%s has mode %04o, expected %04o", file, got, perm)
			}
		}
	}
}
