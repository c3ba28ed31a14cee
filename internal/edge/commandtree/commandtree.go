// SPDX-License-Identifier: Apache-2.0

// Package commandtree makes cobra's command trees
// (https://pkg.go.dev/github.com/spf13/cobra) as strict as our own commands.
//
// Invariants: an unknown command at any depth is a wrong command line, never
// the help text with exit code 0; both functions take the program's own way of
// marking an error as one of usage.
package commandtree

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// Branch makes of cmd a command that only has others below it, and gives it back.
// An argument that names none of them is an error, with the nearest name if any.
func Branch(cmd *cobra.Command, usage func(error) error) *cobra.Command {
	cmd.Args = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		_, path, _ := strings.Cut(c.CommandPath()+" ", " ")
		err := fmt.Errorf("unknown command %q", path+args[0])
		if known := c.SuggestionsFor(args[0]); len(known) > 0 {
			err = fmt.Errorf("%w: did you mean %s?", err, path+known[0])
		}
		return usage(err)
	}
	cmd.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	cmd.SuggestionsMinimumDistance = 2
	return cmd
}

// Complete adds cobra's own commands, and makes them as strict as the others.
func Complete(root *cobra.Command, usage func(error) error) {
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		if c.Name() == "completion" {
			Branch(c, usage)
		}
	}
	root.SetHelpCommand(&cobra.Command{
		Use: "help [COMMAND]", Short: "Show the help of a command", DisableFlagsInUseLine: true,
		RunE: func(_ *cobra.Command, args []string) error {
			c, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return usage(fmt.Errorf("unknown command %q", strings.Join(args, " ")))
			}
			c.InitDefaultHelpFlag()
			return c.Help()
		},
	})
}
