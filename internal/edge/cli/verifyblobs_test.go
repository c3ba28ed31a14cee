// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync/atomic"
	"testing"
	"time"
)

// missing gives pairs of files that do not exist, and counts them.
func missing(t *testing.T, n int, given *atomic.Int64) iter.Seq2[pair, error] {
	dir := t.TempDir()
	return func(yield func(pair, error) bool) {
		for i := range n {
			given.Add(1)
			if !yield(pair{fmt.Sprint(i), fmt.Sprintf("%s/%d", dir, i)}, nil) {
				return
			}
		}
	}
}

// TestVerifyAllKeepsTheOrder and holds few artifacts at a time, however long the list.
func TestVerifyAllKeepsTheOrder(t *testing.T) {
	const all, workers = 2000, 4
	var given atomic.Int64
	seen := 0
	b := &blobs{app: &app{World: &World{}}}
	err := b.verifyAll(t.Context(), workers, missing(t, all, &given), func(r *report) error {
		if r.Reference != fmt.Sprint(seen) || r.Verified || r.Candidates[0].Code != codeUnreadable {
			t.Fatalf("report %d is %+v", seen, r)
		}
		seen++
		if ahead := given.Load() - int64(seen); ahead > 16*workers {
			t.Fatalf("%d artifacts are read ahead of what is printed", ahead)
		}
		return nil
	})
	if err != nil || seen != all {
		t.Errorf("%d of %d reports, %v", seen, all, err)
	}
}

func TestVerifyAllStops(t *testing.T) {
	b := &blobs{app: &app{World: &World{}}}
	never := func(yield func(pair, error) bool) { // a list that nobody ends
		yield(pair{"a", "a"}, nil)
		<-t.Context().Done()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := b.verifyAll(ctx, 2, never, func(*report) error { return nil }); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("cancelled while waiting for the list: %v", err)
	}
	var given atomic.Int64
	full := errors.New("disk full")
	if err := b.verifyAll(t.Context(), 2, missing(t, 1000, &given), func(*report) error { return full }); !errors.Is(err, full) {
		t.Errorf("cannot print: %v", err)
	}
	broken := func(yield func(pair, error) bool) {
		if yield(pair{"a", "a"}, nil) {
			yield(pair{}, full)
		}
	}
	seen := 0
	if err := b.verifyAll(t.Context(), 2, broken, func(*report) error { seen++; return nil }); !errors.Is(err, full) || seen != 1 {
		t.Errorf("a broken list: %v after %d", err, seen)
	}
}
