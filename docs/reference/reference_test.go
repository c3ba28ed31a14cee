// SPDX-License-Identifier: Apache-2.0

// Package reference_test writes the manual of both programs' command lines
// from the commands themselves, and fails when it is not what they are:
//
//	go test ./docs/reference -update
package reference_test

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"hallmark/internal/edge/cli"
	"hallmark/internal/edge/daemoncli"
)

var update = flag.Bool("update", false, "write the manuals anew")

func TestReference(t *testing.T) {
	for file, root := range map[string]*cobra.Command{
		"hallmark.md":  cli.Command(cli.World{Out: io.Discard, Err: io.Discard, Getenv: func(string) string { return "" }}),
		"hallmarkd.md": daemoncli.Command(daemoncli.Streams{Out: io.Discard, Err: io.Discard}),
	} {
		want := []byte(manual(root))
		if *update {
			if err := os.WriteFile(file, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("docs/reference/%s is not what the commands are: run go test ./docs/reference -update", file)
		}
	}
}

// Whoever reads a command's help should learn what it does and what each flag
// is for.
func TestEveryCommandIsExplained(t *testing.T) {
	for _, root := range []*cobra.Command{cli.Command(cli.World{}), daemoncli.Command(daemoncli.Streams{})} {
		for _, c := range commands(root) {
			if c.Short == "" || strings.HasSuffix(c.Short, ".") {
				t.Errorf("%s: the short text is %q: expected one line without a full stop", c.CommandPath(), c.Short)
			}
			c.LocalFlags().VisitAll(func(f *pflag.Flag) {
				if f.Usage == "" || strings.HasSuffix(f.Usage, ".") {
					t.Errorf("%s --%s: the text is %q: expected one line without a full stop", c.CommandPath(), f.Name, f.Usage)
				}
			})
		}
	}
}

// commands lists c and all below it that are ours, in order of their names.
func commands(c *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{c}
	for _, sub := range c.Commands() {
		if !sub.Hidden && sub.Name() != "help" && sub.Name() != "completion" {
			all = append(all, commands(sub)...)
		}
	}
	return all
}

func manual(root *cobra.Command) string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p("# %s\n", root.Name())
	p("<!-- Written by go test ./docs/reference -update: change the commands instead. -->\n")
	p("%s\n", prose(cmp(root.Long, root.Short+".")))
	p("| Command | |\n|---|---|")
	for _, c := range commands(root)[1:] {
		if c.HasSubCommands() {
			continue
		}
		p("| [`%s`](#%s) | %s |", c.CommandPath(), strings.ReplaceAll(c.CommandPath(), " ", "-"), cell(c.Short))
	}
	p("\n`%[1]s help COMMAND` shows the same in a terminal, `%[1]s completion SHELL` completes commands and flags there.", root.Name())
	if flags := table(root.PersistentFlags()); flags != "" {
		p("\nEvery command has these flags:\n\n%s", strings.TrimSuffix(flags, "\n"))
	}
	for _, c := range commands(root)[1:] {
		p("\n## %s\n", c.CommandPath())
		p("%s", prose(cmp(c.Long, c.Short+".")))
		if c.HasSubCommands() {
			continue
		}
		p("\n```\n%s\n```", strings.TrimSuffix(c.UseLine(), " [flags]"))
		if c.Example != "" {
			p("\nFor example:\n\n```sh\n%s\n```", unindent(c.Example))
		}
		if flags := table(c.NonInheritedFlags()); flags != "" {
			p("\n%s", strings.TrimSuffix(flags, "\n"))
		}
	}
	return b.String()
}

func cmp(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// prose is a help text as Markdown: indented lines are blocks of their own.
func prose(text string) string {
	var out []string
	inBlock := false
	for line := range strings.SplitSeq(text, "\n") {
		indented := strings.HasPrefix(line, "  ")
		if indented != inBlock && (line != "" || inBlock) {
			if !inBlock && len(out) > 0 && out[len(out)-1] != "" {
				out = append(out, "")
			}
			out = append(out, "```")
			if inBlock && line != "" {
				out = append(out, "")
			}
			inBlock = indented
		}
		if indented {
			line = strings.TrimPrefix(line, "  ")
		}
		out = append(out, line)
	}
	if inBlock {
		out = append(out, "```")
	}
	return strings.Join(out, "\n")
}

func unindent(text string) string {
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		lines[i] = strings.TrimPrefix(l, "  ")
	}
	return strings.Join(lines, "\n")
}

// zero are the defaults not worth a word.
var zero = []string{"", "false", "0", "0s", "[]"}

func table(flags *pflag.FlagSet) string {
	var b strings.Builder
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		value, usage := pflag.UnquoteUsage(f)
		if value != "" {
			name += " " + value
		}
		if !slices.Contains(zero, f.DefValue) && !strings.Contains(usage, "(default") {
			usage += fmt.Sprintf(" (default `%s`)", f.DefValue)
		}
		fmt.Fprintf(&b, "| `%s` | %s |\n", cell(name), cell(usage))
	})
	if b.Len() == 0 {
		return ""
	}
	return "| Flag | |\n|---|---|\n" + b.String()
}

// cell keeps a text from ending its table cell.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }
