// SPDX-License-Identifier: Apache-2.0

package trustreview

import (
	"fmt"
	"time"

	"hallmark/internal/format/trustroot"
)

// Kind is what happened to an entry from one trust root to another.
type Kind string

// The kinds.
const (
	Added   Kind = "added"
	Removed Kind = "removed"
	Changed Kind = "changed"
)

// Change is one difference between two trust roots.
type Change struct {
	Kind   Kind
	Entry  Entry // as it is in the second one, or was in the first if it was removed
	Fields []FieldChange
}

// FieldChange is a field of an entry that is in both. Times are RFC 3339, "" is
// open.
type FieldChange struct{ Field, From, To string }

// Diff compares two trust roots. A log with the same identifier and key, or an
// authority with the same chain, is the same entry, whatever its URL, name and
// window; the order of the files does not matter. No change means that they
// trust the same evidence.
func Diff(a, b *trustroot.Root) []Change { return diff(Entries(a), Entries(b)) }

func diff(a, b []Entry) []Change {
	before := map[string][]Entry{}
	for _, e := range a {
		before[e.identity()] = append(before[e.identity()], e)
	}
	var changes []Change
	for _, e := range b {
		same := before[e.identity()]
		if len(same) == 0 {
			changes = append(changes, Change{Kind: Added, Entry: e})
			continue
		}
		// Of several entries for one chain, the one that did not change goes first.
		best := 0
		for i := range same {
			if len(fieldChanges(same[i], e)) < len(fieldChanges(same[best], e)) {
				best = i
			}
		}
		if fields := fieldChanges(same[best], e); len(fields) > 0 {
			changes = append(changes, Change{Kind: Changed, Entry: e, Fields: fields})
		}
		before[e.identity()] = append(append([]Entry{}, same[:best]...), same[best+1:]...)
	}
	for _, e := range a {
		if left := before[e.identity()]; len(left) > 0 {
			changes = append(changes, Change{Kind: Removed, Entry: left[0]})
			before[e.identity()] = left[1:]
		}
	}
	return changes
}

func fieldChanges(a, b Entry) []FieldChange {
	var out []FieldChange
	compare := func(field, from, to string) {
		if from != to {
			out = append(out, FieldChange{field, from, to})
		}
	}
	compare("start", stamp(a.Valid.Start), stamp(b.Valid.Start))
	compare("end", stamp(a.Valid.End), stamp(b.Valid.End))
	compare("url", a.URL, b.URL)
	compare("keyDetails", string(a.Details), string(b.Details))
	compare("subject", subject(a.Subject), subject(b.Subject))
	return out
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

func subject(s trustroot.Subject) string {
	if s == (trustroot.Subject{}) {
		return ""
	}
	return fmt.Sprintf("O=%s, CN=%s", s.Organization, s.CommonName)
}
