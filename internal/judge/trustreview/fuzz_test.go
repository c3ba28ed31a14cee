// SPDX-License-Identifier: Apache-2.0

package trustreview_test

import (
	"testing"

	"hallmark/internal/format/trustroot"
	"hallmark/internal/judge/trustreview"
)

// FuzzReview: whatever Parse accepts can be reviewed and compared, and is the
// same as itself.
func FuzzReview(f *testing.F) {
	f.Add(must(sound().Marshal()))
	old := sound()
	old.TSAs, old.Logs[1].BaseURL = nil, "old.example - 123"
	old.CAs[0].Valid.Start = old.CAs[0].Valid.End
	f.Add(must(old.Marshal()))
	other := sound()
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := trustroot.Parse(data)
		if err != nil {
			return
		}
		for _, finding := range trustreview.Review(r, nil, start.AddDate(1, 0, 0)) {
			if finding.Code == "" || finding.Field == "" || finding.Message == "" {
				t.Errorf("%+v", finding)
			}
		}
		if c := trustreview.Diff(r, r); len(c) != 0 {
			t.Errorf("differs from itself: %+v", c)
		}
		there, back := trustreview.Diff(r, other), trustreview.Diff(other, r)
		if len(there) != len(back) {
			t.Errorf("%d differences one way, %d the other", len(there), len(back))
		}
	})
}
