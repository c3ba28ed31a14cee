// SPDX-License-Identifier: Apache-2.0

package durable

import (
	"errors"
	"testing"
	"time"
)

func TestWatermark(t *testing.T) {
	free, asked := uint64(100), 0
	w := NewWatermark("/data", 50, func(string) (uint64, error) { asked++; return free, nil })
	for range 10 {
		if err := w.Check(); err != nil {
			t.Fatal(err)
		}
	}
	if asked != 1 {
		t.Fatalf("the file system was asked %d times", asked)
	}
	free = 49
	w.seen = time.Now().Add(-time.Second)
	var low *LowSpaceError
	if err := w.Check(); !errors.As(err, &low) || low.Free != 49 || low.Min != 50 {
		t.Fatalf("got %v", err)
	}
	free = 50
	w.seen = time.Now().Add(-time.Second)
	if err := w.Check(); err != nil {
		t.Fatalf("room again: %v", err)
	}
	broken := NewWatermark("/data", 1, func(string) (uint64, error) { return 0, errors.New("no such device") })
	if err := broken.Check(); err == nil {
		t.Fatal("an unknown amount of space counts as enough")
	}
	if err := NewWatermark("/data", 0, nil).Check(); err != nil {
		t.Fatal(err)
	}
}
