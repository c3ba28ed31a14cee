// SPDX-License-Identifier: Apache-2.0

package tilelog

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/tessera/api/layout"
	"golang.org/x/mod/sumdb/note"

	"hallmark/internal/base/durable"
)

// tendInterval is how often the checkpoint file's time is compared with the clock while
// somebody waits for a checkpoint.
const tendInterval = 250 * time.Millisecond

// publisher knows which checkpoint is published and who waits for a larger one.
//
// Tessera has no publication hook. The only sign that a checkpoint is about to appear is that
// it is signed, so a signature for a size above a waiter's index starts a goroutine that
// watches the file until that checkpoint is there. Nobody waiting, nothing watched.
type publisher struct {
	l     *Log
	mends atomic.Uint64

	mu        sync.Mutex
	published *Tree                // the largest durable checkpoint seen; never nil after Open
	signed    uint64               // the largest size signed
	waiters   map[*waiter]struct{} // each is removed by whoever answers it
	watching  bool                 // one watch goroutine runs
	tending   bool                 // one tend timer is pending
	checked   time.Time            // when the clock was last checked
	nextAt    time.Time            // when Tessera may publish again; wall clock
	closed    bool
}

type waiter struct {
	index uint64
	tree  chan *Tree // buffered; closed without a value when the log closes
}

func newPublisher(l *Log) *publisher {
	return &publisher{l: l, waiters: map[*waiter]struct{}{}}
}

// watchedSigner passes signing on and tells the publisher what size was signed. It signs for a
// tree state only once that is durable: Tessera reads the state when it has its name, which may
// be a moment before its folder is synced, and what a log has signed it must never forget.
type watchedSigner struct {
	note.Signer
	pub *publisher
}

// Sign implements [note.Signer].
func (s watchedSigner) Sign(msg []byte) ([]byte, error) {
	if err := durable.SyncDir(filepath.Join(s.pub.l.cfg.Dir, stateDir)); err != nil {
		return nil, err
	}
	sig, err := s.Signer.Sign(msg)
	if err != nil {
		return nil, err
	}
	var cp log.Checkpoint
	if _, err := cp.Unmarshal(msg); err == nil {
		s.pub.onSigned(cp.Size)
	}
	return sig, nil
}

func (p *publisher) onSigned(size uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.signed = max(p.signed, size)
	p.nextAt = time.Now().Add(p.l.cfg.CheckpointInterval) // until refresh sees the file's time
	p.armLocked()
}

// untilNext is how long Tessera will not publish yet, because the last checkpoint is too young.
func (p *publisher) untilNext() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	wait := time.Until(p.nextAt)
	if wait > p.l.cfg.CheckpointInterval { // the clock stepped back
		return 0
	}
	return wait
}

// armLocked starts the watch if a signed checkpoint that is not yet published covers a waiter.
func (p *publisher) armLocked() {
	if !p.watching && p.dueLocked() {
		p.watching = true
		go p.watch()
	}
}

func (p *publisher) dueLocked() bool {
	if p.closed || p.published != nil && p.published.Size >= p.signed {
		return false
	}
	for w := range p.waiters {
		if w.index < p.signed {
			return true
		}
	}
	return false
}

// watch reads the checkpoint until it is the signed one: for a few milliseconds as a rule,
// and at a slackening pace if the disk is slow or publishing failed and will be tried again.
func (p *publisher) watch() {
	start := time.Now()
	for {
		p.refresh() // an error shows as nothing published; it is tried again
		p.mu.Lock()
		if !p.dueLocked() {
			p.watching = false
			p.mu.Unlock()
			return
		}
		p.mu.Unlock()
		switch waited := time.Since(start); {
		case waited < 50*time.Millisecond:
			time.Sleep(500 * time.Microsecond)
		case waited < time.Second:
			time.Sleep(5 * time.Millisecond)
		default:
			time.Sleep(50 * time.Millisecond)
		}
	}
}

// refresh reads the checkpoint file and, if it is new, makes it durable, remembers it and
// wakes the waiters it covers.
func (p *publisher) refresh() (*Tree, error) {
	raw, err := os.ReadFile(p.checkpointPath())
	if err != nil {
		return nil, fmt.Errorf("read checkpoint: %w", err)
	}
	p.mu.Lock()
	known := p.published
	p.mu.Unlock()
	if known != nil && known.Checkpoint == string(raw) {
		return known, nil
	}
	var cp log.Checkpoint
	if _, err := cp.Unmarshal(raw); err != nil {
		return nil, fmt.Errorf("checkpoint %s: %w", p.checkpointPath(), err)
	}
	if len(cp.Hash) != hashSize {
		return nil, fmt.Errorf("checkpoint %s: root of %d bytes, expected %d", p.checkpointPath(), len(cp.Hash), hashSize)
	}
	// The content is on disk, its name perhaps not yet: the rename may be a moment old.
	if err := durable.SyncDir(p.l.cfg.Dir); err != nil {
		return nil, err
	}
	fi, err := os.Stat(p.checkpointPath())
	if err != nil {
		return nil, fmt.Errorf("read checkpoint: %w", err)
	}
	t := &Tree{Size: cp.Size, Root: [hashSize]byte(cp.Hash), Checkpoint: string(raw), l: p.l}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.published != nil && p.published.Size > t.Size {
		return p.published, nil // read before a concurrent refresh
	}
	p.published = t
	p.nextAt = fi.ModTime().Add(p.l.cfg.CheckpointInterval)
	p.signed = max(p.signed, t.Size)
	for w := range p.waiters {
		if w.index < t.Size {
			delete(p.waiters, w)
			w.tree <- t
		}
	}
	return t, nil
}

func (p *publisher) checkpointPath() string {
	return filepath.Join(p.l.cfg.Dir, layout.CheckpointPath)
}

func (p *publisher) await(ctx context.Context, index uint64) (*Tree, error) {
	p.mu.Lock()
	if p.published != nil && index < p.published.Size {
		t := p.published
		p.mu.Unlock()
		return t, nil
	}
	if p.closed {
		p.mu.Unlock()
		return nil, ErrClosed
	}
	w := &waiter{index: index, tree: make(chan *Tree, 1)}
	p.waiters[w] = struct{}{}
	p.armLocked()
	p.tendLocked()
	p.mu.Unlock()
	select {
	case t, ok := <-w.tree:
		if !ok {
			return nil, ErrClosed
		}
		return t, nil
	case <-ctx.Done():
		p.mu.Lock()
		delete(p.waiters, w)
		p.mu.Unlock()
		return nil, fmt.Errorf("wait for a checkpoint over entry %d: %w", index, ctx.Err())
	}
}

// tendLocked keeps checking the clock for as long as somebody waits.
func (p *publisher) tendLocked() {
	if p.tending || p.closed || len(p.waiters) == 0 {
		return
	}
	p.tending = true
	time.AfterFunc(tendInterval, func() {
		p.checkClock()
		p.mu.Lock()
		defer p.mu.Unlock()
		p.tending = false
		p.tendLocked()
	})
}

// checkClock sets the checkpoint file's time back if it lies in the future. Tessera publishes
// once that time is a checkpoint interval ago, so after a clock has stepped back it would
// publish nothing until the old time is reached again. It looks at most once per interval.
func (p *publisher) checkClock() {
	now := time.Now()
	p.mu.Lock()
	if now.Sub(p.checked) < p.l.cfg.CheckpointInterval && !p.checked.IsZero() {
		p.mu.Unlock()
		return
	}
	p.checked = now
	p.mu.Unlock()
	fi, err := os.Stat(p.checkpointPath())
	if err != nil || !fi.ModTime().After(now.Add(p.l.cfg.CheckpointInterval)) {
		return
	}
	past := now.Add(-2 * p.l.cfg.CheckpointInterval)
	if err := os.Chtimes(p.checkpointPath(), past, past); err != nil {
		p.l.cfg.Log.Error("the checkpoint's time lies in the future and cannot be set back; nothing is published until then",
			"time", fi.ModTime(), "error", err)
		return
	}
	p.mends.Add(1)
	p.l.cfg.Log.Warn("the clock stepped back: set the checkpoint's time back so that publishing goes on",
		"was", fi.ModTime(), "now", now)
}

func (p *publisher) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for w := range p.waiters {
		close(w.tree)
	}
	clear(p.waiters)
}
