// SPDX-License-Identifier: Apache-2.0

package daemoncli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"hallmark/internal/edge/daemon"
)

func fsckCommand(s Streams) *cobra.Command {
	var data string
	cmd := &cobra.Command{
		Use:   "fsck --data DIR",
		Short: "Check a data folder whole: logs, index, keys and trust root",
		Long: `Check a data folder that no hallmarkd serves: both logs' tiles against their entries
and signed checkpoints, the index against the log, keys and certificates against
trusted_root.json, and the TUF repository. Nothing is changed.`,
		Args: noArgs,
	}
	cmd.Flags().StringVar(&data, "data", "", "`DIR` to check")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if data == "" {
			return usageError{errors.New("no data folder: give --data DIR")}
		}
		problems, err := daemon.Fsck(cmd.Context(), data)
		if err != nil {
			return err
		}
		for _, p := range problems {
			fmt.Fprintln(s.Out, p)
		}
		switch len(problems) {
		case 0:
			_, err = fmt.Fprintf(s.Out, "%s is in order.\n", data)
			return err
		case 1:
			return fmt.Errorf("%s: 1 problem", data)
		}
		return fmt.Errorf("%s: %d problems", data, len(problems))
	}
	return cmd
}
