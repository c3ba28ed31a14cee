// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// row is a line of the table. The other side is left empty where there is
// none, and the target where nothing is aimed at.
type row struct {
	what, other, ours, target string
	met                       bool
}

// table is what was measured.
type table []row

func (t *table) add(r row) { *t = append(*t, r) }

// print writes the table as Markdown, aligned.
func (t table) print(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 1, ' ', 0)
	fmt.Fprintln(tw, "| what\t| peer\t| hallmark\t| target\t| met\t|")
	fmt.Fprintln(tw, "|---\t|---\t|---\t|---\t|---\t|")
	for _, r := range t {
		met := ""
		if r.target != "" {
			met = map[bool]string{true: "yes", false: "no"}[r.met]
		}
		fmt.Fprintf(tw, "| %s\t| %s\t| %s\t| %s\t| %s\t|\n", r.what, r.other, r.ours, r.target, met)
	}
	return tw.Flush()
}

// median is the middle one; of an even number, the upper.
func median[T cmp.Ordered](all []T) T {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2]
}

// ms prints a duration as people compare them.
func ms(d time.Duration) string {
	if d >= time.Second {
		return fmt.Sprintf("%.2f s", d.Seconds())
	}
	if d >= 100*time.Millisecond {
		return fmt.Sprintf("%d ms", d.Round(time.Millisecond).Milliseconds())
	}
	if d >= time.Millisecond {
		return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
	}
	return fmt.Sprintf("%d µs", d.Microseconds())
}

// mb prints bytes as megabytes.
func mb(n int64) string { return fmt.Sprintf("%.0f MB", float64(n)/1e6) }
