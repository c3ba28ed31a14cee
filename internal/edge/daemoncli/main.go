// SPDX-License-Identifier: Apache-2.0

// Package daemoncli is hallmarkd's command line.
//
// Invariants: what people read goes to standard output when they asked for it
// and to standard error otherwise; the log goes to standard error; the exit
// code is 0 for success, 1 for a failure and 64 for a wrong command line.
package daemoncli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"hallmark/internal/base/buildinfo"
	"hallmark/internal/edge/commandtree"
)

// Streams is what a command reads and writes.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

const (
	exitFailure = 1
	exitUsage   = 64
)

// usageError is a wrong command line.
type usageError struct{ error }

// Main runs one command line, without the program's name, and returns the exit
// code. It ends soon after ctx does.
func Main(ctx context.Context, args []string, s Streams) int {
	root := newRoot(s)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	for line := range strings.SplitSeq(err.Error(), "\n") { // joined errors
		fmt.Fprintf(s.Err, "hallmarkd: %s\n", line)
	}
	var usage usageError
	if errors.As(err, &usage) {
		fmt.Fprintln(s.Err, "Run hallmarkd --help, or hallmarkd COMMAND --help, for the usage.")
		return exitUsage
	}
	return exitFailure
}

// Command is all the commands that [Main] runs, for who documents them.
func Command(s Streams) *cobra.Command { return newRoot(s) }

func newRoot(s Streams) *cobra.Command {
	root := &cobra.Command{
		Use:               "hallmarkd",
		Short:             "The Hallmark authority: CA, transparency logs, timestamps and trust root in one process",
		SilenceErrors:     true,
		SilenceUsage:      true,
		DisableAutoGenTag: true,
	}
	root.SetIn(s.In)
	root.SetOut(s.Out)
	root.SetErr(s.Err)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(serveCommand(s), demoCommand(s), devTokenCommand(s), fsckCommand(s), trustCommand(s), versionCommand(s))
	commandtree.Complete(root, usage)
	return branch(root)
}

// usage marks err as a wrong command line.
func usage(err error) error { return usageError{err} }

// branch makes of cmd a command that only has others below it.
func branch(cmd *cobra.Command) *cobra.Command { return commandtree.Branch(cmd, usage) }

func versionCommand(s Streams) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(s.Out, buildinfo.Version())
			return err
		},
	}
}

func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("unexpected argument %q", args[0])}
	}
	return nil
}
