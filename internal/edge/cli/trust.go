// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"hallmark/internal/service/trust"
)

func trustCommand(a *app) *cobra.Command {
	cmd := branch(&cobra.Command{
		Use:   "trust",
		Short: "Choose whom to trust: named trust roots, kept on this machine",
		Long: `A trust root says which certificate authorities, logs and timestamp authorities
count. Each has a name; exactly one is used at a time. The public Sigstore
instance's, "public-good", is built in. Only init, refresh and mirror use the network.`,
	})
	cmd.AddCommand(trustInit(a), trustList(a), trustShow(a), trustInspect(a), trustDiff(a),
		trustRefresh(a), trustUse(a), trustRemove(a), trustImport(a), trustExport(a), trustCreate(a), trustMirror(a))
	return cmd
}

func trustInit(a *app) *cobra.Command {
	var opts trust.InitOptions
	var rootFile string
	var use bool
	cmd := &cobra.Command{
		Use:   "init URL (--root-sha256 HEX | --root FILE | --tofu)",
		Short: "Trust a Hallmark instance, or any TUF mirror of a Sigstore trust root",
		Long: `Fetch a trust root and keep it under a name. What makes it trustworthy is the first
root.json: give its SHA-256 or the file itself, as its operator published it over a
channel that you trust already. The first trust root becomes the default.`,
		Example: "  hallmark trust init https://hallmark.example.com --root-sha256 4f2a…",
		Args:    exactArgs("URL"),
	}
	f := cmd.Flags()
	f.StringVar(&opts.Name, "name", "", "`NAME` to keep it under (default: the URL's host)")
	f.StringVar(&opts.RootSHA256, "root-sha256", "", "SHA-256 of the first root.json, in `HEX`")
	f.StringVar(&rootFile, "root", "", "`FILE` with the first root.json")
	f.BoolVar(&opts.TOFU, "tofu", false, "trust on first use: believe whatever the server offers now")
	f.BoolVar(&use, "use", false, "make it the default in any case")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		opts.URL = args[0]
		if err := oneOf(map[string]bool{"--root-sha256": opts.RootSHA256 != "", "--root": rootFile != "", "--tofu": opts.TOFU}); err != nil {
			return err
		}
		if rootFile != "" {
			data, err := readFile(rootFile, maxTrustFile)
			if err != nil {
				return fmt.Errorf("--root: %w", err)
			}
			opts.Root = data
		}
		store, err := a.trustStore()
		if err != nil {
			return err
		}
		info, err := store.Init(cmd.Context(), opts)
		if err != nil {
			return err
		}
		fmt.Fprintf(a.Out, "Trust root %s is kept in %s.\n", info.Name, info.Dir)
		if opts.TOFU {
			a.note("hallmark: warning: the first root.json, SHA-256 %s, was believed without a check", info.RootSHA256)
		}
		current, err := store.Default()
		if err != nil {
			return err
		}
		if use || current == trust.PublicGood {
			if err := store.Use(cmd.Context(), info.Name); err != nil {
				return err
			}
			fmt.Fprintf(a.Out, "It is now the default.\n")
		} else if current != info.Name {
			fmt.Fprintf(a.Out, "The default is still %s: use --trust %s, or run hallmark trust use %s.\n", current, info.Name, info.Name)
		}
		return nil
	}
	return cmd
}

// oneOf wants exactly one of the flags.
func oneOf(given map[string]bool) error {
	n := 0
	for _, set := range given {
		if set {
			n++
		}
	}
	if n != 1 {
		return usageError{errors.New("what makes the trust root trustworthy? Give exactly one of --root-sha256, --root and --tofu")}
	}
	return nil
}

func trustList(a *app) *cobra.Command {
	var out outputFlags
	cmd := &cobra.Command{Use: "list", Short: "List the trust roots on this machine", Args: exactArgs()}
	out.bind(cmd.Flags())
	cmd.RunE = func(*cobra.Command, []string) error {
		store, err := a.trustStore()
		if err != nil {
			return err
		}
		if err := out.check(); err != nil {
			return err
		}
		list, err := store.List()
		if err != nil {
			return err
		}
		current, err := store.Default()
		if err != nil {
			return err
		}
		if out.format == "json" {
			rows := []trustRow{}
			for _, info := range list {
				rows = append(rows, rowOf(info, current))
			}
			return a.printJSON(struct {
				Schema string     `json:"schema"`
				Roots  []trustRow `json:"trustRoots"`
			}{listSchema, rows})
		}
		w := tabwriter.NewWriter(a.Out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "\tNAME\tKIND\tREFRESHED\tFROM")
		for _, info := range list {
			mark, when, from := " ", "-", info.URL
			if info.Name == current {
				mark = "*"
			}
			if !info.Refreshed.IsZero() {
				when = ago(max(0, a.Now().Sub(info.Refreshed)))
			}
			if info.Problem != nil {
				from = info.Problem.Error()
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", mark, info.Name, info.Kind, when, printable(from))
		}
		return w.Flush()
	}
	return cmd
}

// listSchema names the JSON form that list prints. Fields are only ever added.
const listSchema = "hallmark/trust-list/v1" // trust list

// trustRow is a trust root in JSON.
type trustRow struct {
	Name       string     `json:"name"`
	Kind       trust.Kind `json:"kind"`
	Default    bool       `json:"default"`
	URL        string     `json:"url,omitempty"`
	Mirror     string     `json:"mirror,omitempty"`
	RootSHA256 string     `json:"rootSHA256,omitempty"` // of the first root.json
	TOFU       bool       `json:"tofu,omitempty"`       // believed without a check
	Refreshed  *time.Time `json:"refreshed,omitempty"`
	Expires    *time.Time `json:"expires,omitempty"` // TUF's timestamp
	Dir        string     `json:"dir,omitempty"`
	Problem    string     `json:"problem,omitempty"` // why it cannot be read
}

func rowOf(i trust.Info, current string) trustRow {
	row := trustRow{Name: i.Name, Kind: i.Kind, Default: i.Name == current, URL: i.URL, Mirror: i.Mirror, RootSHA256: i.RootSHA256, TOFU: i.TOFU, Dir: i.Dir}
	if !i.Refreshed.IsZero() {
		row.Refreshed = &i.Refreshed
	}
	if !i.Expires.IsZero() {
		row.Expires = &i.Expires
	}
	if i.Problem != nil {
		row.Problem = i.Problem.Error()
	}
	return row
}

func trustRefresh(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "refresh [NAME]", Short: "Bring a trust root up to date by TUF", Args: optionalArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			store, err := a.trustStore()
			if err != nil {
				return err
			}
			info, err := store.Refresh(cmd.Context(), optional(args))
			if err != nil {
				return err
			}
			fmt.Fprintf(a.Out, "Trust root %s is up to date.\n", info.Name)
			return nil
		},
	}
}

func optional(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

// onTrust is a command that does one thing to one named trust root.
func onTrust(a *app, use, short, done string, do func(ctx context.Context, s *trust.Store, name string) error) *cobra.Command {
	return &cobra.Command{
		Use: use + " NAME", Short: short, Args: exactArgs("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			store, err := a.trustStore()
			if err != nil {
				return err
			}
			if err := do(cmd.Context(), store, args[0]); err != nil {
				return err
			}
			fmt.Fprintf(a.Out, done+"\n", args[0])
			return nil
		},
	}
}

func trustUse(a *app) *cobra.Command {
	return onTrust(a, "use", "Make a trust root the default", "%s is now the default trust root.",
		func(ctx context.Context, s *trust.Store, name string) error { return s.Use(ctx, name) })
}

func trustRemove(a *app) *cobra.Command {
	return onTrust(a, "remove", "Forget a trust root", "Trust root %s is removed.",
		func(ctx context.Context, s *trust.Store, name string) error {
			before, err := s.Default()
			if err != nil {
				return err
			}
			if err := s.Remove(ctx, name); err != nil {
				return err
			}
			if after, err := s.Default(); err == nil && after != before {
				a.note("hallmark: %s was the default, which now is %s", before, after)
			}
			return nil
		})
}

func trustImport(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "import NAME FILE|DIR", Short: "Keep a trust root from a file or folder under a name",
		Long: `Keep a trust root that is on this machine already, without any network. FILE is a
trusted_root.json or what hallmark trust export wrote. DIR is

  the TUF cache of cosign, such as ~/.sigstore/root: hallmark trust refresh goes on
  from there;
  a folder that hallmark trust mirror wrote, or a copy of one;
  a folder with trusted_root.json and, perhaps, signing_config.v0.2.json.`,
		Args: exactArgs("NAME", "FILE|DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			store, err := a.trustStore()
			if err != nil {
				return err
			}
			var info trust.Info
			if fi, serr := os.Stat(args[1]); serr == nil && fi.IsDir() {
				info, err = store.ImportDir(cmd.Context(), args[0], args[1])
			} else {
				var data []byte
				if data, err = readFile(args[1], maxTrustFile); err != nil {
					return err
				}
				if info, err = store.Import(cmd.Context(), args[0], data); err != nil {
					err = fmt.Errorf("%s: %w", args[1], err)
				}
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(a.Out, "Trust root %s is kept in %s.\n", info.Name, info.Dir)
			if info.Mirror != "" {
				a.note("hallmark trust refresh %s brings it up to date from %s.", info.Name, printable(info.Mirror))
			}
			return nil
		},
	}
}

func trustExport(a *app) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "export [NAME]", Short: "Write a trust root as one file, for machines without network", Args: optionalArg,
	}
	cmd.Flags().StringVar(&file, "out", "", "`FILE` to write (default: standard output)")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		store, err := a.trustStore()
		if err != nil {
			return err
		}
		if file == "" {
			return store.Export(optional(args), a.Out)
		}
		if err := checkWritable("--out", file); err != nil {
			return err
		}
		return writeNew(file, 0o644, func(f *os.File) error { return store.Export(optional(args), f) })
	}
	return cmd
}
