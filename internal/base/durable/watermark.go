// SPDX-License-Identifier: Apache-2.0

package durable

import (
	"fmt"
	"sync"
	"time"
)

// watermarkAge is how long one look at the free space counts.
const watermarkAge = 250 * time.Millisecond

// A Watermark tells writers to stop before the disk is full, while there is still room to
// finish what was accepted. It may be used concurrently.
type Watermark struct {
	path string
	min  uint64
	free func(path string) (uint64, error)

	mu   sync.Mutex
	seen time.Time
	err  error
}

// NewWatermark watches the file system of path for at least min free bytes; 0 never stops
// anyone. free is [FreeBytes], or a test's own.
func NewWatermark(path string, min uint64, free func(path string) (uint64, error)) *Watermark {
	if free == nil {
		free = FreeBytes
	}
	return &Watermark{path: path, min: min, free: free}
}

// A LowSpaceError says that writing stopped because the disk is nearly full.
type LowSpaceError struct {
	Free, Min uint64
}

// Error implements error.
func (e *LowSpaceError) Error() string {
	return fmt.Sprintf("read-only: %d MiB are free on the disk, and %d MiB must stay free; make room, or lower the limit", e.Free>>20, e.Min>>20)
}

// Check returns a *[LowSpaceError] when less than the minimum is free, or why that could not be
// told. It asks the file system at most four times a second.
func (w *Watermark) Check() error {
	if w.min == 0 {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	if !w.seen.IsZero() && now.Sub(w.seen) < watermarkAge {
		return w.err
	}
	w.seen, w.err = now, nil
	if free, err := w.free(w.path); err != nil {
		w.err = fmt.Errorf("free space of %s: %w", w.path, err)
	} else if free < w.min {
		w.err = &LowSpaceError{Free: free, Min: w.min}
	}
	return w.err
}
