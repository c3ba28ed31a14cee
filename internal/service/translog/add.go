// SPDX-License-Identifier: Apache-2.0

package translog

import (
	"context"
	"errors"
	"time"

	"hallmark/internal/base/durable"
	"hallmark/internal/base/httpapi"
	"hallmark/internal/base/tilelog"
	"hallmark/internal/format/logentry"
)

// flight is one leaf on its way into the tree, or being looked for. The fields are set before
// done is closed.
type flight struct {
	done  chan struct{}
	index uint64
	dup   bool // the index already had it
	err   error
}

// Add verifies a signature, logs it unless it is in the log already, and returns the entry with
// a proof of inclusion under a durable, published checkpoint. dup tells that the entry was there
// before, or that an equal submission at the same time made it. Errors are *[Refusal]s.
func (l *Log) Add(ctx context.Context, h logentry.HashedRekord) (e *logentry.Entry, dup bool, err error) {
	if err := h.Validate(); err != nil {
		return nil, false, l.refuse(refusal("malformed", httpapi.InvalidArgument, err))
	}
	e, dup, r := l.addValid(ctx, h)
	if r != nil {
		return nil, false, l.refuse(r)
	}
	return e, dup, nil
}

// addValid is Add for an h that is valid by itself.
func (l *Log) addValid(ctx context.Context, h logentry.HashedRekord) (*logentry.Entry, bool, *Refusal) {
	terms, r := l.check(h)
	if r != nil {
		return nil, false, r
	}
	body := h.Body()
	leaf := logentry.LeafHash(body)
	index, dup, r := l.submit(ctx, leaf, body, terms)
	if r != nil {
		return nil, false, r
	}
	start := time.Now()
	e, r := l.published(ctx, index, leaf, body)
	if r != nil {
		return nil, false, r
	}
	if dup {
		l.stats.duplicates.Inc()
	} else {
		l.stats.entries.Inc()
		l.stats.wait.Observe(time.Since(start).Seconds())
	}
	return e, dup, nil
}

// submit brings a leaf into the tree and returns its index there.
func (l *Log) submit(ctx context.Context, leaf [32]byte, body []byte, terms []term) (uint64, bool, *Refusal) {
	l.mu.Lock()
	f, joined := l.flights[leaf]
	if !joined {
		if len(l.flights) >= l.cfg.MaxPending {
			l.mu.Unlock()
			return 0, false, refusalf("busy", httpapi.Unavailable, "%d entries are under way already: try again", l.cfg.MaxPending)
		}
		f = &flight{done: make(chan struct{})}
		l.flights[leaf] = f
	}
	l.mu.Unlock()
	if !joined {
		// Not the request's context: others may have joined by the time it is cancelled.
		go l.fly(f, leaf, body, terms)
	}
	select {
	case <-f.done:
	case <-ctx.Done():
		return 0, false, refusal("cancelled", httpapi.Unavailable, ctx.Err())
	}
	if f.err != nil {
		return 0, false, asRefusal(f.err)
	}
	return f.index, f.dup || joined, nil
}

// fly resolves a flight. One that made an entry stays registered until the index has that
// entry (see landed); the others are over at once.
func (l *Log) fly(f *flight, leaf [32]byte, body []byte, terms []term) {
	var added bool
	f.index, added, f.err = l.place(leaf, body)
	f.dup = !added
	if !added {
		l.landed([][32]byte{leaf}) // before anyone can see a failure and try again
	}
	close(f.done)
	if added {
		l.index.enqueue(row{index: f.index, leaf: leaf, terms: terms})
	}
}

// landed ends the flights of leaves that need no flight any more.
func (l *Log) landed(leaves [][32]byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, leaf := range leaves {
		delete(l.flights, leaf)
	}
}

// place finds a leaf in the index or adds it to the tree.
func (l *Log) place(leaf [32]byte, body []byte) (index uint64, added bool, err error) {
	ctx := context.Background()
	if err := l.enter(ctx); err != nil {
		return 0, false, err
	}
	defer l.gate.RUnlock()
	if index, found, err := l.lookup(ctx, leaf); err != nil || found {
		return index, false, err
	}
	if err := l.space.Check(); err != nil {
		var low *durable.LowSpaceError
		if errors.As(err, &low) {
			return 0, false, refusal("read_only", httpapi.Unavailable, err)
		}
		return 0, false, err
	}
	index, err = l.tiles.Add(ctx, body)()
	if err != nil {
		// The entry may be in the tree all the same; nothing may be looked up before that is clear.
		l.suspect.Store(true)
		l.deps.Log.Error("an entry could not be stored", "error", err)
		return 0, false, refusalf("storage", httpapi.Unavailable, "the entry could not be stored: try again")
	}
	return index, true, nil
}

// enter takes the gate for reading, after whatever recovery is due.
func (l *Log) enter(ctx context.Context) error {
	for {
		l.gate.RLock()
		if l.closing {
			l.gate.RUnlock()
			return refusalf("closed", httpapi.Unavailable, "the log is shutting down")
		}
		if !l.suspect.Load() && !l.rebuild.Load() {
			return nil
		}
		l.gate.RUnlock()
		if err := l.recover(ctx); err != nil {
			l.deps.Log.Error("the index could not be brought up to the tree", "error", err)
			return refusalf("storage", httpapi.Unavailable, "the log is recovering from a failed write: try again")
		}
	}
}

// recover waits until no entry is under way and brings the index up to the tree.
func (l *Log) recover(ctx context.Context) error {
	l.gate.Lock()
	defer l.gate.Unlock()
	if l.closing || !l.suspect.Load() && !l.rebuild.Load() {
		return nil
	}
	if err := l.index.catchUp(ctx, l.rebuild.Load()); err != nil {
		return err
	}
	l.suspect.Store(false)
	l.rebuild.Store(false)
	return nil
}

// lookup asks the index for a leaf and believes it only if the tiles agree.
func (l *Log) lookup(ctx context.Context, leaf [32]byte) (uint64, bool, error) {
	index, found, err := l.index.lookup(ctx, leaf)
	if err != nil || !found {
		return 0, false, err
	}
	if tree, err := l.tiles.Current(ctx); err == nil && index < tree.Size {
		if at, err := tree.LeafHash(ctx, index); err == nil && at != leaf {
			l.indexFault("the index names another entry's place", "index", index)
			l.rebuild.Store(true)
			return 0, false, refusalf("storage", httpapi.Unavailable, "the log's index is being rebuilt: try again")
		}
	}
	return index, true, nil
}

// find is lookup for entries that may still be in flight.
func (l *Log) find(ctx context.Context, leaf [32]byte) (uint64, bool, error) {
	l.mu.Lock()
	f := l.flights[leaf]
	l.mu.Unlock()
	if f != nil {
		select {
		case <-f.done:
			if f.err == nil {
				return f.index, true, nil
			}
		case <-ctx.Done():
			return 0, false, ctx.Err()
		}
	}
	return l.lookup(ctx, leaf)
}

// published waits for a checkpoint over an entry and proves it.
func (l *Log) published(ctx context.Context, index uint64, leaf [32]byte, body []byte) (*logentry.Entry, *Refusal) {
	ctx, cancel := context.WithTimeout(ctx, awaitTimeout)
	defer cancel()
	tree, err := l.tiles.Await(ctx, index)
	switch {
	case errors.Is(err, tilelog.ErrClosed):
		return nil, refusalf("closed", httpapi.Unavailable, "the log is shutting down; the entry is stored: submit it again for its proof")
	case err != nil:
		return nil, refusalf("unpublished", httpapi.Unavailable, "no checkpoint covers the entry yet; it is stored: submit it again for its proof")
	}
	e, err := l.entry(ctx, tree, index, leaf, body)
	if err != nil {
		l.deps.Log.Error("an entry in the log cannot be proven", "index", index, "error", err)
		return nil, refusalf("internal", httpapi.Internal, "entry %d cannot be proven: the log's files are damaged", index)
	}
	return e, nil
}

// entry is the log entry at index with its checked proof under tree.
func (l *Log) entry(ctx context.Context, tree *tilelog.Tree, index uint64, leaf [32]byte, body []byte) (*logentry.Entry, error) {
	hashes, err := tree.Prove(ctx, index, leaf)
	if err != nil {
		return nil, err
	}
	return &logentry.Entry{
		LogIndex: int64(index),
		LogID:    l.id[:],
		Kind:     "hashedrekord",
		Version:  "0.0.2",
		Proof: &logentry.InclusionProof{
			LogIndex:   int64(index),
			TreeSize:   int64(tree.Size),
			RootHash:   tree.Root[:],
			Hashes:     hashes,
			Checkpoint: tree.Checkpoint,
		},
		Body: body,
	}, nil
}

func (l *Log) indexFault(msg string, args ...any) {
	l.stats.indexFaults.Inc()
	l.deps.Log.Error(msg, args...)
}
