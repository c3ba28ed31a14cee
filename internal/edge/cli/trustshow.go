// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"hallmark/internal/format/trustroot"
	"hallmark/internal/service/trust"
)

func trustShow(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "show [NAME]", Short: "Show who a trust root trusts for what, and since when", Args: optionalArg,
	}
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		store, err := a.trustStore()
		if err != nil {
			return err
		}
		info, err := store.Show(optional(args))
		if err != nil {
			return err
		}
		active, err := store.Load(info.Name)
		if err != nil {
			return err
		}
		return showTrust(a, info, active)
	}
	return cmd
}

func showTrust(a *app, info trust.Info, active *trust.Active) error {
	w := tabwriter.NewWriter(a.Out, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%s\t%s\n", name, printable(fmt.Sprintf(format, args...)))
	}
	row("trust root", "%s", describeTrust(active, a.Now()))
	if info.URL != "" {
		row("from", "%s", info.URL)
	}
	if info.RootSHA256 != "" {
		row("first root", "sha256:%s", info.RootSHA256)
	}
	if !info.Expires.IsZero() {
		row("TUF expires", "%s", day(info.Expires))
	}
	for _, ca := range active.Root.CAs {
		row("CA", "%s, %s, %s", name(ca.Chain), ca.URI, window(ca.Valid))
	}
	for _, l := range active.Root.Logs {
		row("log", "%s, key %s, id %s, %s", l.BaseURL, l.Details, hex.EncodeToString(l.ID)[:16], window(l.Valid))
	}
	for _, l := range active.Root.CTLogs {
		row("CT log", "%s, key %s, id %s, %s", l.BaseURL, l.Details, hex.EncodeToString(l.ID)[:16], window(l.Valid))
	}
	for _, t := range active.Root.TSAs {
		row("TSA", "%s, %s, %s", name(t.Chain), t.URI, window(t.Valid))
	}
	if active.SigningConfig == nil {
		row("signing", "no signing config: this trust root can verify, not sign")
	} else {
		for _, s := range active.SigningConfig.CAs {
			row("signs at", "%s, %s", s.URL, window(s.Valid))
		}
	}
	return w.Flush()
}

func name(chain []*x509.Certificate) string {
	if len(chain) == 0 {
		return "?"
	}
	return chain[len(chain)-1].Subject.String()
}

func window(w trustroot.Window) string {
	if w.End.IsZero() {
		return "since " + day(w.Start)
	}
	return day(w.Start) + " to " + day(w.End)
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02") }
