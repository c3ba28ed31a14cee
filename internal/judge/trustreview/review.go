// SPDX-License-Identifier: Apache-2.0

package trustreview

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"hallmark/internal/format/trustroot"
)

// Code says what kind of thing was found. The set only grows.
type Code string

// The codes.
const (
	LogID            Code = "log-id"            // a log's identifier does not follow from its key
	LogOrigin        Code = "log-origin"        // the base URL gives no usable origin
	ChainSignature   Code = "chain-signature"   // a certificate is not signed by the next
	ChainUsage       Code = "chain-usage"       // a certificate is for something else
	TSALeaf          Code = "tsa-leaf"          // a TSA's chain does not begin with its signing certificate
	NoTSA            Code = "no-tsa"            // entries of a v2 log cannot be verified
	WindowNone       Code = "window-none"       // nobody is trusted now for a role
	WindowGap        Code = "window-gap"        // for a time, nobody was or will be
	WindowOverlap    Code = "window-overlap"    // two at one URL are trusted at once
	WindowOpen       Code = "window-open"       // a window has no start
	WindowUnusable   Code = "window-unusable"   // a certificate is never valid within the window
	CertificateEnded Code = "certificate-ended" // a certificate has expired, its window has not
	CertificateEnds  Code = "certificate-ends"  // a certificate is about to
	TUFEnded         Code = "tuf-ended"         // TUF metadata has expired
	TUFEnds          Code = "tuf-ends"          // TUF metadata is about to
	SameKey          Code = "same-key"          // two entries have one key
)

// Finding is something about a trust root that somebody should look at.
type Finding struct {
	Code    Code
	Field   string // where, such as tlogs[0]; a TUF role's is tuf.root
	Note    bool   // it may well be meant; otherwise it is a warning
	Message string
}

// Role expiry: how far ahead an end is worth a warning.
const (
	CertificateNear = 60 * 24 * time.Hour
	TUFNear         = 30 * 24 * time.Hour
)

// TUFRole is the stored metadata of one TUF role.
type TUFRole struct {
	Name    string // root, timestamp, snapshot or targets
	Expires time.Time
}

// Review looks for what is wrong, or soon will be, in a trust root that
// [trustroot.Parse] accepts. roles may be empty.
func Review(r *trustroot.Root, roles []TUFRole, now time.Time) []Finding {
	var out []Finding
	out = append(out, reviewLogs(r)...)
	out = append(out, reviewChains(r, now)...)
	entries := Entries(r)
	out = append(out, reviewKeys(entries)...)
	for _, role := range []Role{CA, Log, CTLog, TSA} {
		var list []Entry
		for _, e := range entries {
			if e.Role == role {
				list = append(list, e)
			}
		}
		out = append(out, reviewWindows(role, list, now)...)
	}
	return append(out, reviewTUF(roles, now)...)
}

// reviewKeys looks for keys that stand for two parties.
func reviewKeys(entries []Entry) []Finding {
	var out []Finding
	first := map[string]Entry{}
	for _, e := range entries {
		if e.Key == "" {
			continue
		}
		other, ok := first[e.Key]
		if !ok {
			first[e.Key] = e
			continue
		}
		out = append(out, Finding{SameKey, e.Field, false, fmt.Sprintf("has the key of %s (SHA-256 %s…): whoever holds it is trusted twice", other.Field, e.Key[:16])})
	}
	return out
}

// reviewWindows looks at the windows of all who have one role.
func reviewWindows(role Role, list []Entry, now time.Time) []Finding {
	var out []Finding
	trusted := false
	for i, e := range list {
		trusted = trusted || e.Valid.Contains(now)
		if e.Valid.Start.IsZero() || e.Valid.Start.Unix() <= 0 {
			out = append(out, Finding{WindowOpen, e.Field, true, "is trusted for all of the past: its window has no start"})
		}
		for _, earlier := range list[:i] {
			if from, to, ok := overlap(earlier.Valid, e.Valid); ok && e.URL != "" && earlier.URL == e.URL {
				out = append(out, Finding{WindowOverlap, e.Field, true, fmt.Sprintf("is trusted together with %s, at the same URL, %s", earlier.Field, span(from, to))})
			}
		}
	}
	if len(list) > 0 && !trusted {
		out = append(out, Finding{WindowNone, string(role), false, fmt.Sprintf("nobody is trusted as %s now: every window has ended or not begun", role)})
	}
	return append(out, gaps(role, list)...)
}

// gaps finds times between the first window and the last in which none is open.
func gaps(role Role, list []Entry) []Finding {
	var out []Finding
	sorted := slices.Clone(list)
	slices.SortStableFunc(sorted, func(a, b Entry) int { return a.Valid.Start.Compare(b.Valid.Start) })
	for i, e := range sorted {
		if i == 0 {
			continue
		}
		last := slices.MaxFunc(sorted[:i], func(a, b Entry) int { return compareEnds(a.Valid.End, b.Valid.End) })
		if !last.Valid.End.IsZero() && e.Valid.Start.After(last.Valid.End.Add(time.Second)) {
			out = append(out, Finding{WindowGap, e.Field, false, fmt.Sprintf("nobody is trusted as %s %s, after %s and before this one", role, span(last.Valid.End, e.Valid.Start), last.Field)})
		}
	}
	return out
}

// compareEnds orders ends of windows, an open one last.
func compareEnds(a, b time.Time) int {
	if a.IsZero() || b.IsZero() {
		return cmp.Compare(boolInt(a.IsZero()), boolInt(b.IsZero()))
	}
	return a.Compare(b)
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// overlap is the time in which both windows are open, if it is more than the
// instant of handing over.
func overlap(a, b trustroot.Window) (from, to time.Time, ok bool) {
	from = a.Start
	if b.Start.After(from) {
		from = b.Start
	}
	to = a.End
	if compareEnds(b.End, to) < 0 {
		to = b.End
	}
	return from, to, to.IsZero() || to.After(from)
}

func span(from, to time.Time) string {
	if to.IsZero() {
		return "from " + day(from) + " on"
	}
	return "from " + day(from) + " to " + day(to)
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02") }

// reviewTUF looks at what keeps the trust root fresh. A timestamp is short-lived
// by design, so it counts only once it has expired.
func reviewTUF(roles []TUFRole, now time.Time) []Finding {
	var out []Finding
	for _, r := range roles {
		where := "tuf." + r.Name
		switch {
		case now.After(r.Expires) && r.Name == "timestamp":
			out = append(out, Finding{TUFEnded, where, false, fmt.Sprintf("expired on %s: refresh the trust root; where that fails, its operator no longer signs it", day(r.Expires))})
		case now.After(r.Expires):
			out = append(out, Finding{TUFEnded, where, false, fmt.Sprintf("expired on %s: unless newer metadata has been published, refreshing fails", day(r.Expires))})
		case r.Name != "timestamp" && now.Add(TUFNear).After(r.Expires):
			out = append(out, Finding{TUFEnds, where, false, fmt.Sprintf("expires on %s: its operator has to sign a new one before, and clients to refresh", day(r.Expires))})
		}
	}
	return out
}
