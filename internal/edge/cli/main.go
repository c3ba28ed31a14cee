// SPDX-License-Identifier: Apache-2.0

// Package cli is hallmark's command line: one file a command.
//
// Invariants: what a command is asked for goes to standard output, everything
// else (progress, hints, errors) to standard error; nothing but the error with
// --quiet; JSON on request in a documented, stable form; colours only on a
// terminal that has not set NO_COLOR (https://no-color.org/); exit codes are
// those of [ExitCodes]. Tokens and passwords are never printed.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hallmark/internal/base/buildinfo"
	"hallmark/internal/edge/commandtree"
)

// World is what a command line reads from and writes to.
type World struct {
	In       io.Reader
	Out, Err io.Writer
	Getenv   func(name string) string // the environment
	Now      func() time.Time         // nil is time.Now
	Open     func(url string) error   // opens a browser; nil is the desktop's
}

// The exit codes, of which 10 to 13 are cosign's.
const (
	ExitOK            = 0
	ExitFailed        = 1  // a failed check or an error
	ExitNoSignatures  = 10 // the image carries no signature
	ExitNoTag         = 11 // the image was not found
	ExitNoMatch       = 12 // signatures, but none that is accepted
	ExitNoCertificate = 13 // signatures, but none with a certificate
	ExitUsage         = 64 // a wrong command line
)

// usageError is a wrong command line.
type usageError struct{ error }

// exitError is an error with an exit code of its own.
type exitError struct {
	code int
	error
}

func (e exitError) Unwrap() error { return e.error }

// Main runs one command line, without the program's name, and returns the exit
// code. It ends soon after ctx does.
func Main(ctx context.Context, args []string, w World) int {
	if w.Now == nil {
		w.Now = time.Now
	}
	root := newRoot(&w)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return ExitOK
	}
	for line := range strings.SplitSeq(err.Error(), "\n") { // joined errors
		fmt.Fprintf(w.Err, "hallmark: %s\n", line)
	}
	var usage usageError
	var coded exitError
	switch {
	case errors.As(err, &usage):
		fmt.Fprintln(w.Err, "Run hallmark COMMAND --help for the usage.")
		return ExitUsage
	case errors.As(err, &coded):
		return coded.code
	}
	return ExitFailed
}

// Command is all the commands that [Main] runs, for who documents them.
func Command(w World) *cobra.Command { return newRoot(&w) }

// app is what every command shares: the world and the global flags.
type app struct {
	*World
	quiet bool
}

func newRoot(w *World) *cobra.Command {
	a := &app{World: w}
	root := &cobra.Command{
		Use:   "hallmark",
		Short: "Sign and verify software artifacts",
		Long: `Sign artifacts without long-lived keys, and verify who signed them.

Verification needs no network but the artifact's own registry: what is trusted
is kept on this machine by "hallmark trust".`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		DisableAutoGenTag: true,
	}
	root.SetIn(w.In)
	root.SetOut(w.Out)
	root.SetErr(w.Err)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.PersistentFlags().BoolVarP(&a.quiet, "quiet", "q", false, "print nothing but what was asked for and errors")
	root.AddCommand(
		signCommand(a), verifyCommand(a), signBlobCommand(a), verifyBlobCommand(a),
		logCommand(a), trustCommand(a), versionCommand(a),
	)
	commandtree.Complete(root, usage)
	return branch(root)
}

// usage marks err as a wrong command line.
func usage(err error) error { return usageError{err} }

// branch makes of cmd a command that only has others below it.
func branch(cmd *cobra.Command) *cobra.Command { return commandtree.Branch(cmd, usage) }

func versionCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: exactArgs(),
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(a.Out, buildinfo.Version())
			return err
		},
	}
}

// exactArgs wants one argument for each name.
func exactArgs(names ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return usageError{fmt.Errorf("missing argument %s", names[len(args)])}
		case len(args) > len(names):
			return usageError{fmt.Errorf("unexpected argument %q", args[len(names)])}
		}
		return nil
	}
}

// optionalArg wants at most one argument.
func optionalArg(_ *cobra.Command, args []string) error {
	if len(args) > 1 {
		return usageError{fmt.Errorf("unexpected argument %q", args[1])}
	}
	return nil
}

// someArgs wants at least one argument.
func someArgs(name string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usageError{fmt.Errorf("missing argument %s", name)}
		}
		return nil
	}
}

// home is the folder of everything hallmark keeps for this user.
func (a *app) home() (string, error) {
	if dir := a.Getenv("HALLMARK_HOME"); dir != "" {
		return dir, nil
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("no place for hallmark's files: %w: set HALLMARK_HOME", err)
	}
	return filepath.Join(dir, "hallmark"), nil
}

// note prints a line for people, unless --quiet.
func (a *app) note(format string, args ...any) {
	if !a.quiet {
		fmt.Fprintf(a.Err, format+"\n", args...)
	}
}
