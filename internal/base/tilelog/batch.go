// SPDX-License-Identifier: Apache-2.0

package tilelog

import (
	"sync"
	"time"

	"github.com/transparency-dev/tessera"
)

// tesseraAge is the age at which Tessera writes a batch out: long enough to hand over a whole
// batch of ours, so that it is not split.
const tesseraAge = time.Millisecond

// batcher hands entries to Tessera in groups, one group at a time: whatever arrives while one
// is being written makes the next. Tessera's own queue starts a batch per age, whether or not
// the last one has been written; when writing takes longer than that, it piles up small batches,
// each of which costs as many file writes as a large one.
type batcher struct {
	interval time.Duration        // least time between the starts of two batches
	hold     func() time.Duration // further time to gather, asked when there is something to write
	max      int

	mu      sync.Mutex
	pending []*addition
	closed  bool
	wake    chan struct{} // capacity 1
	done    chan struct{} // closed when run has returned
}

// addition is one entry on its way. index and err are set before done is closed.
type addition struct {
	start func() tessera.IndexFuture
	done  chan struct{}
	index uint64
	err   error
}

func newBatcher(interval time.Duration, hold func() time.Duration, max int) *batcher {
	b := &batcher{interval: interval, hold: hold, max: max, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go b.run()
	return b
}

// add queues an entry; the future may be called from any goroutine, any number of times.
func (b *batcher) add(start func() tessera.IndexFuture) func() (uint64, error) {
	a := &addition{start: start, done: make(chan struct{})}
	b.mu.Lock()
	if b.closed {
		a.err = ErrClosed
		close(a.done)
	} else {
		b.pending = append(b.pending, a)
	}
	b.mu.Unlock()
	b.signal()
	return func() (uint64, error) {
		<-a.done
		return a.index, a.err
	}
}

func (b *batcher) signal() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// run writes batches until the batcher is closed and everything queued has been written.
func (b *batcher) run() {
	defer close(b.done)
	var last time.Time
	for {
		waiting, closed := b.state()
		if waiting == 0 {
			if closed {
				return
			}
			<-b.wake
			continue
		}
		b.gather(max(b.interval-time.Since(last), b.hold()))
		last = time.Now()
		write(b.take())
	}
}

func (b *batcher) state() (waiting int, closed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.pending), b.closed
}

// gather waits for a while, or until there is a full batch or the batcher is closed.
func (b *batcher) gather(pause time.Duration) {
	if pause <= 0 {
		return
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		if waiting, closed := b.state(); waiting >= b.max || closed {
			return
		}
		select {
		case <-timer.C:
			return
		case <-b.wake:
		}
	}
}

// take removes up to max entries from the queue.
func (b *batcher) take() []*addition {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := min(len(b.pending), b.max)
	batch := b.pending[:n:n]
	b.pending = b.pending[n:]
	return batch
}

func write(batch []*addition) {
	futures := make([]tessera.IndexFuture, len(batch))
	for i, a := range batch {
		futures[i] = a.start()
	}
	for i, a := range batch {
		var idx tessera.Index
		idx, a.err = futures[i]()
		a.index = idx.Index
		close(a.done)
	}
}

// close refuses further entries and returns when those queued have been written.
func (b *batcher) close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.signal()
	<-b.done
}
