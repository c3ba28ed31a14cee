// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"hallmark/internal/service/trust"
)

func trustMirror(a *app) *cobra.Command {
	var opts trust.MirrorOptions
	var rootFile string
	cmd := &cobra.Command{
		Use:   "mirror URL|NAME DIR",
		Short: "Copy a whole TUF repository into a folder that any static web server can serve",
		Long: `Copy the TUF repository of an instance (URL), or the one that a trust root on this
machine comes from (NAME), into DIR: every root of the chain, all metadata and every
target. All of it is verified first. Clients use DIR, served by any static web server,
as they would the original:

  hallmark trust init https://mirror.example/tuf --root-sha256 HEX
  cosign initialize --mirror https://mirror.example/tuf --root FILE

Run it again to bring DIR up to date: what clients read stays whole at every moment.
Older state than DIR has is refused. The first time, a URL needs one of --root-sha256,
--root and --tofu; later the root in DIR counts.`,
		Example: "  hallmark trust mirror public-good /srv/www/sigstore-tuf",
		Args:    exactArgs("URL|NAME", "DIR"),
	}
	f := cmd.Flags()
	f.StringVar(&opts.RootSHA256, "root-sha256", "", "SHA-256 of the first root.json, in `HEX`")
	f.StringVar(&rootFile, "root", "", "`FILE` with the first root.json")
	f.BoolVar(&opts.TOFU, "tofu", false, "trust on first use: believe whatever the server offers now")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		pinned := opts.RootSHA256 != "" || rootFile != "" || opts.TOFU
		if opts.URL, opts.Name = args[0], ""; !trust.IsURL(args[0]) {
			opts.URL, opts.Name = "", args[0]
			if pinned {
				return usageError{fmt.Errorf("%s is the name of a trust root, which has its root already: --root-sha256, --root and --tofu are for URLs", args[0])}
			}
		}
		if rootFile != "" {
			data, err := readFile(rootFile, maxTrustFile)
			if err != nil {
				return fmt.Errorf("--root: %w", err)
			}
			opts.Root = data
		}
		opts.Dir = args[1]
		store, err := a.trustStore()
		if err != nil {
			return err
		}
		m, err := store.Mirror(cmd.Context(), opts)
		if err != nil {
			return err
		}
		a.printMirrored(m, opts.TOFU)
		return nil
	}
	return cmd
}

func (a *app) printMirrored(m *trust.Mirrored, tofu bool) {
	roots := fmt.Sprintf("root %d", m.Root)
	if m.FirstRoot != m.Root {
		roots = fmt.Sprintf("roots %d to %d", m.FirstRoot, m.Root)
	}
	roles := ""
	if m.Roles > 0 {
		roles = ", " + count(m.Roles, "delegated role")
	}
	fmt.Fprintf(a.Out, "%s is in %s: %s, timestamp %d, snapshot %d, targets %d%s, %s; %s written.\n",
		printable(m.URL), m.Dir, roots, m.Timestamp, m.Snapshot, m.Targets, roles, count(m.Files, "target file"), count(m.Written, "file"))
	fmt.Fprintf(a.Out, "The latest root.json has SHA-256 %s.\n", m.RootSHA256)
	if tofu {
		a.note("hallmark: warning: this root.json was believed without a check")
	}
	a.note("Mirror it again before %s, when its timestamp expires.", m.Expires.UTC().Format("2006-01-02 15:04 UTC"))
}
