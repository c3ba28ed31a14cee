// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"hallmark/internal/judge/trustreview"
)

func trustShow(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "show [NAME|FILE]", Short: "Show in short who a trust root trusts for what, and since when", Args: optionalArg,
	}
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		r, err := a.reportTrust(optional(args))
		if err != nil {
			return err
		}
		return r.short(a)
	}
	return cmd
}

func trustInspect(a *app) *cobra.Command {
	var out outputFlags
	cmd := &cobra.Command{
		Use: "inspect [NAME|FILE]", Short: "Show all of a trust root, and what is wrong with it or soon will be",
		Long: `Show who is trusted for what, from when to when, with every key and certificate,
and look for mistakes: identifiers that do not follow from a log's key and origin,
timestamp chains that do not begin with their signing certificate, broken chains,
windows that overlap or leave gaps, keys that stand for two, and what is about to
expire. FILE, which has a slash in it or ends in .json, is a trusted_root.json or a
client trust config.

A warning should be looked at; a note may well be meant. Neither changes the exit code.`,
		Args: optionalArg,
	}
	out.bind(cmd.Flags())
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		if err := out.check(); err != nil {
			return err
		}
		r, err := a.reportTrust(optional(args))
		if err != nil {
			return err
		}
		if out.format == "json" {
			return a.printJSON(r)
		}
		return r.long(a)
	}
	return cmd
}

// tablePrinter prints rows of a name and a value.
type tablePrinter struct{ w *tabwriter.Writer }

func newTable(a *app) tablePrinter { return tablePrinter{tabwriter.NewWriter(a.Out, 0, 0, 2, ' ', 0)} }

func (t tablePrinter) row(name, format string, args ...any) {
	fmt.Fprintf(t.w, "%s\t%s\n", name, printable(fmt.Sprintf(format, args...)))
}

// called is what each role is called in front of people.
func called(r trustreview.Role) string {
	switch r {
	case trustreview.CA:
		return "CA"
	case trustreview.Log:
		return "log"
	case trustreview.CTLog:
		return "CT log"
	case trustreview.TSA:
		return "TSA"
	case trustreview.SignCA:
		return "certificates from"
	case trustreview.SignOIDC:
		return "tokens from"
	case trustreview.SignLog:
		return "entries to"
	case trustreview.SignTSA:
		return "timestamps from"
	}
	return string(r)
}

// heading is where the trust root comes from.
func (r *trustReport) heading(a *app, t tablePrinter) {
	t.row("trust root", "%s", describeTrust(r.active, a.Now()))
	if r.Root.URL != "" {
		t.row("from", "%s", r.Root.URL)
	}
	if r.Root.RootSHA256 != "" {
		t.row("first root", "sha256:%s", r.Root.RootSHA256)
	}
}

// short is a line for each.
func (r *trustReport) short(a *app) error {
	t := newTable(a)
	r.heading(a, t)
	if r.Root.Expires != nil {
		t.row("TUF expires", "%s", day(*r.Root.Expires))
	}
	for _, e := range r.entries {
		who := fmt.Sprintf("%s, key %s, id %.16s", e.URL, e.Details, hex.EncodeToString(e.ID))
		if len(e.Chain) > 0 {
			who = fmt.Sprintf("%s, %s", e.Chain[len(e.Chain)-1].Subject, e.URL)
		}
		t.row(called(e.Role), "%s, %s", who, window(e.Valid))
	}
	if len(r.Services) == 0 {
		t.row("signing", "no signing config: this trust root can verify, not sign")
	}
	for _, s := range trustreview.Services(r.active.SigningConfig) {
		if s.Role == trustreview.SignCA {
			t.row("signs at", "%s, %s", s.URL, window(s.Valid))
		}
	}
	warnings := 0
	for _, f := range r.Findings {
		if f.Severity == "warning" {
			warnings++
		}
	}
	if warnings > 0 {
		t.row("warnings", "%d: run hallmark trust inspect %s", warnings, r.Root.Name)
	}
	return t.w.Flush()
}

// long is a block for each, and the findings.
func (r *trustReport) long(a *app) error {
	t := newTable(a)
	r.heading(a, t)
	for _, role := range r.TUF {
		t.row("TUF "+role.Role, "version %d, until %s", role.Version, day(role.Expires))
	}
	if err := t.w.Flush(); err != nil {
		return err
	}
	for i, e := range r.entries {
		fmt.Fprintf(a.Out, "\n%s  %s\n", called(e.Role), printable(e.Name()))
		t := newTable(a)
		now := ""
		if !r.Trusted[i].Now {
			now = " (not now)"
		}
		t.row("  trusted", "%s%s", window(e.Valid), now)
		if e.Subject.CommonName != "" || e.Subject.Organization != "" {
			t.row("  named", "%s", strings.Trim(e.Subject.Organization+", "+e.Subject.CommonName, ", "))
		}
		if len(e.ID) > 0 {
			t.row("  id", "%s", r.Trusted[i].ID)
			t.row("  key", "%s, SHA-256 %s", cmp.Or(string(e.Details), "?"), e.Key)
		}
		if e.Origin != "" {
			t.row("  origin", "%s", e.Origin)
		}
		for n, c := range r.Trusted[i].Certificates {
			label := "  chain"
			if n > 0 {
				label = ""
			}
			t.row(label, "%s", c.Subject)
			t.row("", "  %s, %s to %s, SHA-256 %s", c.KeyDetails, day(c.NotBefore), day(c.NotAfter), c.SHA256)
		}
		t.row("  at", "%s", e.Field)
		if err := t.w.Flush(); err != nil {
			return err
		}
	}
	if err := r.signing(a); err != nil {
		return err
	}
	return r.findings(a)
}

// signing lists the services.
func (r *trustReport) signing(a *app) error {
	if len(r.Services) == 0 {
		fmt.Fprintln(a.Out, "\nsigning  no signing config: this trust root can verify, not sign")
		return nil
	}
	fmt.Fprintln(a.Out, "\nsigning")
	t := newTable(a)
	for _, s := range trustreview.Services(r.active.SigningConfig) {
		t.row("  "+called(s.Role), "%s, API version %d, %s", s.URL, s.APIVersion, window(s.Valid))
	}
	return t.w.Flush()
}

func (r *trustReport) findings(a *app) error {
	if len(r.Findings) == 0 {
		return nil
	}
	fmt.Fprintln(a.Out)
	c := a.colours()
	for _, f := range r.Findings {
		colour := c.bad
		if f.Severity == "note" {
			colour = c.dim
		}
		fmt.Fprintf(a.Out, "%s%s%s  %s  %s: %s\n", colour, f.Severity, c.off, f.Code, f.Field, printable(f.Message))
	}
	return nil
}
