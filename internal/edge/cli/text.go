// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"hallmark/internal/service/trust"
)

// colours of a terminal; empty where there is none.
type colours struct{ good, bad, dim, off string }

func (a *app) colours() colours {
	f, ok := a.Out.(*os.File)
	if !ok || a.Getenv("NO_COLOR") != "" || a.Getenv("TERM") == "dumb" || !term.IsTerminal(int(f.Fd())) {
		return colours{}
	}
	return colours{good: "\x1b[32m", bad: "\x1b[31m", dim: "\x1b[2m", off: "\x1b[0m"}
}

// text prints a line for each candidate, then who signed, then the platforms.
func (r *report) text(a *app, active *trust.Active) {
	c := a.colours()
	name := r.Reference
	if r.Resolved != "" {
		name = r.Resolved
	}
	if r.Platform != "" {
		name += " " + r.Platform
	}
	fmt.Fprintln(a.Out, printable(name))
	for _, v := range r.Candidates {
		if v.Accepted {
			fmt.Fprintf(a.Out, "  %s✓ accepted%s  %s\n", c.good, c.off, printable(v.where()))
		} else {
			fmt.Fprintf(a.Out, "  %s✗ refused%s   %s  %s: %s\n", c.bad, c.off, printable(v.where()), v.Code, printable(v.Reason))
		}
	}
	if r.Code != "" {
		fmt.Fprintf(a.Out, "  %s✗ refused%s   %s: %s\n", c.bad, c.off, r.Code, printable(r.Reason))
	}
	for _, v := range r.Candidates {
		if v.Accepted {
			v.Signature.text(a, c)
		}
	}
	if r.Platform == "" {
		a.row(c, "trust", describeTrust(active, a.Now()))
	}
	for _, p := range r.Platforms {
		p.text(a, active)
	}
}

// where tells a candidate from the others.
func (v verdict) where() string {
	what := v.Source // of a source that could not be read
	switch {
	case v.File != "":
		what = v.File
	case v.Digest != "":
		what = short(v.Digest)
	}
	if v.Layer != nil {
		what = fmt.Sprintf("%s legacy, layer %d", what, *v.Layer)
	}
	return what
}

// row prints one fact, unless it is empty.
func (a *app) row(c colours, name, value string) {
	if value != "" {
		fmt.Fprintf(a.Out, "  %s%-9s%s  %s\n", c.dim, name, c.off, printable(value))
	}
}

func (s signer) text(a *app, c colours) {
	if s.ManagedKey {
		a.row(c, "signer", "the given key")
	}
	a.row(c, "signer", s.Identity)
	a.row(c, "issuer", s.Issuer)
	if s.Repository != "" {
		from := s.Repository
		if s.Workflow != "" {
			from = fmt.Sprintf("%s (%s)", from, s.Workflow)
		}
		a.row(c, "source", from)
		a.row(c, "commit", strings.TrimSpace(s.Commit+" "+s.Ref))
		a.row(c, "run", s.RunURL)
	}
}

func (s *signature) text(a *app, c colours) {
	s.signer.text(a, c)
	if s.DockerReference != "" {
		a.row(c, "said of", s.DockerReference+" (the signer's word, not checked)")
	}
	for _, t := range s.Times {
		a.row(c, "signed", fmt.Sprintf("%s (%s %s)", clock(t.Time), t.Source, t.URI))
	}
	for _, l := range s.Log {
		a.row(c, "logged", fmt.Sprintf("%s entry %d", l.Origin, l.Index))
	}
}

func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

func describeTrust(t *trust.Active, now time.Time) string {
	var notes []string
	if t.Instance != nil && t.Instance.Development {
		notes = append(notes, "DEV: proves nothing to anybody else")
	}
	switch {
	case t.Kind == trust.KindTUF && !t.Refreshed.IsZero():
		notes = append(notes, "refreshed "+ago(t.Age(now)))
	case t.Kind == trust.KindBuiltin && t.Refreshed.IsZero():
		notes = append(notes, "built in")
	case !t.Refreshed.IsZero():
		notes = append(notes, "as of "+t.Refreshed.UTC().Format("2006-01-02"))
	}
	if len(notes) == 0 {
		return printable(t.Name)
	}
	return fmt.Sprintf("%s (%s)", printable(t.Name), strings.Join(notes, ", "))
}

// ago says how long ago something was, in the unit that matters.
func ago(d time.Duration) string {
	switch {
	case d < time.Minute:
		return "just now"
	case d < 2*time.Hour:
		return count(int(d/time.Minute), "minute") + " ago"
	case d < 48*time.Hour:
		return count(int(d/time.Hour), "hour") + " ago"
	}
	return count(int(d/(24*time.Hour)), "day") + " ago"
}

// short is the first digits of a digest, enough to tell candidates apart.
func short(d string) string {
	if i := strings.IndexByte(d, ':'); i >= 0 && len(d) > i+13 {
		return d[:i+13]
	}
	return d
}

// printable keeps what a certificate or registry says from steering the
// terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f || r >= 0x80 && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return '�'
		}
		return r
	}, s)
}
