// SPDX-License-Identifier: Apache-2.0

package cli

import "github.com/spf13/cobra"

func logGet(a *app) *cobra.Command {
	var flags logFlags
	cmd := &cobra.Command{
		Use:     "get INDEX",
		Short:   "Show the entry at a place in the log",
		Long:    `Show the log entry at INDEX, counted from 0, and who made it.`,
		Example: "  hallmark log get 42",
		Args:    exactArgs("INDEX"),
	}
	flags.bind(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		index, err := parseIndex(args[0])
		if err != nil {
			return err
		}
		q, err := flags.open(cmd.Context(), a)
		if err != nil {
			return err
		}
		defer q.done()
		e, err := q.client.Entry(q.ctx, index)
		if err != nil {
			return err
		}
		r, err := reportEntry(e)
		if err != nil {
			return err
		}
		if q.out.format == "json" {
			return a.printJSON(struct {
				Schema string    `json:"schema"`
				Trust  trustNote `json:"trust"`
				Entry  *logEntry `json:"entry"`
			}{logEntrySchema, noteOf(q.active), r})
		}
		c := a.colours()
		r.text(a, c)
		a.row(c, "trust", describeTrust(q.active, a.Now()))
		return nil
	}
	return cmd
}
