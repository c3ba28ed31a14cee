// SPDX-License-Identifier: Apache-2.0

package daemoncli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"hallmark/internal/edge/demo"
)

func demoCommand(s Streams) *cobra.Command {
	cfg := demo.Config{Out: s.Out}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show it all on this machine: sign and verify an image, and what is refused",
		Long: `Start the authority and a registry on free loopback ports in a temporary folder,
build a small image from this machine's own files, sign it as a GitHub workflow,
verify it, and show what is refused. Every command printed is run.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := demo.Run(cmd.Context(), cfg)
			if errors.Is(err, context.Canceled) {
				return nil // the user stopped it
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&cfg.Keep, "keep", false, "leave it running, and its files on disk, until Ctrl-C")
	return cmd
}
