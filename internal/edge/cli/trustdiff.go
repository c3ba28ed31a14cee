// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"encoding/hex"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"hallmark/internal/judge/trustreview"
)

// diffSchema names the JSON form of trustDiffReport. Fields are only ever added.
const diffSchema = "hallmark/trust-diff/v1" // trust diff

type trustDiffReport struct {
	Schema  string        `json:"schema"`
	A       string        `json:"a"`
	B       string        `json:"b"`
	Same    bool          `json:"same"`
	Changes []trustChange `json:"changes"`
}

// trustChange is one difference. Start and end are those of B, or of A if it
// was removed.
type trustChange struct {
	Kind    trustreview.Kind `json:"kind"` // added, removed or changed
	Role    trustreview.Role `json:"role"`
	Field   string           `json:"field,omitempty"`
	Name    string           `json:"name"`
	ID      string           `json:"id,omitempty"`
	Key     string           `json:"keySHA256,omitempty"`
	Start   *time.Time       `json:"start,omitempty"`
	End     *time.Time       `json:"end,omitempty"`
	Changed []fieldChange    `json:"changed,omitempty"`
}

type fieldChange struct {
	Field string `json:"field"`
	From  string `json:"from"`
	To    string `json:"to"`
}

func trustDiff(a *app) *cobra.Command {
	var out outputFlags
	cmd := &cobra.Command{
		Use: "diff A B", Short: "Compare two trust roots: who was added, removed, or has another window",
		Long: `Compare two trust roots, each the name of one or a file (which has a slash in it or
ends in .json). The order of the files does not matter. Where both have a signing
config, these are compared too.

Exit codes: 0 they are the same, 1 they differ (what differs is on standard output)
or could not be read (standard output is empty).`,
		Example: "  hallmark trust diff public-good ./trusted_root.json",
		Args:    exactArgs("A", "B"),
	}
	out.bind(cmd.Flags())
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		if err := out.check(); err != nil {
			return err
		}
		r, changes, err := a.diffTrust(args[0], args[1])
		if err != nil {
			return err
		}
		if out.format == "json" {
			err = a.printJSON(r)
		} else {
			r.text(a, changes)
		}
		if err == nil && !r.Same {
			err = exitError{ExitFailed, fmt.Errorf("%s and %s differ: %s", args[0], args[1], r.tally())}
		}
		return err
	}
	return cmd
}

func (a *app) diffTrust(x, y string) (*trustDiffReport, []trustreview.Change, error) {
	first, _, _, err := a.trustOf(x)
	if err != nil {
		return nil, nil, err
	}
	second, _, _, err := a.trustOf(y)
	if err != nil {
		return nil, nil, err
	}
	changes := trustreview.Diff(first.Root, second.Root)
	switch {
	case first.SigningConfig != nil && second.SigningConfig != nil:
		changes = append(changes, trustreview.DiffServices(first.SigningConfig, second.SigningConfig)...)
	case first.SigningConfig != nil:
		a.note("hallmark: only %s has a signing config, which is not compared", x)
	case second.SigningConfig != nil:
		a.note("hallmark: only %s has a signing config, which is not compared", y)
	}
	r := &trustDiffReport{Schema: diffSchema, A: x, B: y, Same: len(changes) == 0, Changes: []trustChange{}}
	for _, c := range changes {
		row := trustChange{Kind: c.Kind, Role: c.Entry.Role, Field: c.Entry.Field, Name: c.Entry.Name(), ID: hex.EncodeToString(c.Entry.ID), Key: c.Entry.Key}
		row.Start, row.End = bounds(c.Entry.Valid)
		for _, f := range c.Fields {
			row.Changed = append(row.Changed, fieldChange(f))
		}
		r.Changes = append(r.Changes, row)
	}
	return r, changes, nil
}

// tally counts the changes by kind.
func (r *trustDiffReport) tally() string {
	n := map[trustreview.Kind]int{}
	for _, c := range r.Changes {
		n[c.Kind]++
	}
	return fmt.Sprintf("%d added, %d removed, %d changed", n[trustreview.Added], n[trustreview.Removed], n[trustreview.Changed])
}

func (r *trustDiffReport) text(a *app, changes []trustreview.Change) {
	signs := map[trustreview.Kind]string{trustreview.Added: "+", trustreview.Removed: "-", trustreview.Changed: "~"}
	for _, c := range changes {
		e := c.Entry
		what := e.Name()
		if len(e.ID) > 0 && e.URL != "" {
			what = fmt.Sprintf("%s, id %.16s", what, hex.EncodeToString(e.ID))
		} else if len(e.Chain) > 0 && e.URL != "" {
			what = fmt.Sprintf("%s, %s, key %.16s", what, certName(e.Chain[0]), e.Key)
		}
		if c.Kind != trustreview.Changed {
			what += ", " + window(e.Valid)
		}
		fmt.Fprintf(a.Out, "%s %s  %s\n", signs[c.Kind], called(e.Role), printable(what))
		for _, f := range c.Fields {
			fmt.Fprintf(a.Out, "    %s: %s → %s\n", f.Field, orOpen(f.From), orOpen(f.To))
		}
	}
}

// orOpen shows a value that is not there.
func orOpen(s string) string {
	if s == "" {
		return "(none)"
	}
	return printable(s)
}
