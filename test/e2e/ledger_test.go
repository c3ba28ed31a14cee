// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"

	"hallmark/internal/format/checkpoint"
	"hallmark/internal/format/digest"
	"hallmark/internal/format/logentry"
	"hallmark/internal/format/trustroot"
)

// ledger is what clients hold the log to: every entry it acknowledged, with its
// place, and every checkpoint it ever showed. It may be used concurrently.
type ledger struct {
	s    *server
	root *trustroot.Root

	mu        sync.Mutex
	acked     map[[32]byte]uint64
	order     [][32]byte          // the keys of acked, as they came
	roots     map[uint64][32]byte // of every checkpoint seen, by size
	seen      map[string]bool     // envelopes that have been verified
	certified map[uint64][32]byte // leaf hashes in the CT log, by the index in their SCT
	stored    []digest.Digest     // what the bundles that were taken in are about
}

// newLedger is for a server that has been started.
func newLedger(s *server) *ledger {
	s.t.Helper()
	return &ledger{s: s, root: s.trustedRoot(), acked: map[[32]byte]uint64{}, roots: map[uint64][32]byte{},
		seen: map[string]bool{}, certified: map[uint64][32]byte{}}
}

// checkpoint verifies a checkpoint's signature, and that it does not contradict
// an earlier one of the same size.
func (l *ledger) checkpoint(envelope string) (*checkpoint.Checkpoint, error) {
	cp, err := checkpoint.Parse([]byte(envelope))
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.seen[envelope] {
		trusted := l.root.Logs[0]
		if err := cp.VerifiedBy(trusted.Origin(), trusted.Key); err != nil {
			return nil, err
		}
		l.seen[envelope] = true
	}
	if root, ok := l.roots[cp.Size]; ok && root != cp.Root {
		return nil, fmt.Errorf("two checkpoints of size %d: roots %x and %x", cp.Size, root, cp.Root)
	}
	l.roots[cp.Size] = cp.Root
	return cp, nil
}

// proven checks an entry as a client does: it is the one submitted, and proven
// under a signed checkpoint.
func (l *ledger) proven(e *logentry.Entry, leaf [32]byte) error {
	if logentry.LeafHash(e.Body) != leaf {
		return fmt.Errorf("entry %d is another one than was submitted", e.LogIndex)
	}
	cp, err := l.checkpoint(e.Proof.Checkpoint)
	if err != nil {
		return err
	}
	return proof.VerifyInclusion(rfc6962.DefaultHasher, uint64(e.LogIndex), cp.Size, leaf[:], e.Proof.Hashes, cp.Root[:])
}

// acknowledged checks a 201 and remembers it.
func (l *ledger) acknowledged(e *logentry.Entry, leaf [32]byte) error {
	if err := l.proven(e, leaf); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if index, ok := l.acked[leaf]; ok {
		if index != uint64(e.LogIndex) {
			return fmt.Errorf("an entry was first said to be at %d and now at %d", index, e.LogIndex)
		}
		return nil
	}
	l.acked[leaf] = uint64(e.LogIndex)
	l.order = append(l.order, leaf)
	return nil
}

func (l *ledger) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acked)
}

// leaves reads the whole log from its tiles under the checkpoint it publishes
// now, and checks that every checkpoint ever seen is of the same tree.
func (l *ledger) leaves() ([][32]byte, error) {
	now, err := l.checkpoint(string(l.s.fetched("/api/v2/checkpoint")))
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	sizes := make([]uint64, 0, len(l.roots))
	for size := range l.roots {
		sizes = append(sizes, size)
	}
	l.mu.Unlock()
	slices.Sort(sizes)
	if last := sizes[len(sizes)-1]; last > now.Size {
		return nil, fmt.Errorf("the log publishes %d entries, but has published %d before", now.Size, last)
	}
	tree := (&compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}).NewEmptyRange(0)
	meet := func(size uint64) error {
		for len(sizes) > 0 && sizes[0] == size {
			sizes = sizes[1:]
			root, err := tree.GetRootHash(nil)
			if size == 0 {
				root = rfc6962.DefaultHasher.EmptyRoot()
			}
			if err != nil || [32]byte(root) != l.roots[size] {
				return fmt.Errorf("a checkpoint of size %d has root %x, but the entries make %x (%v)", size, l.roots[size], root, err)
			}
		}
		return nil
	}
	if err := meet(0); err != nil {
		return nil, err
	}
	var out [][32]byte
	for n := uint64(0); n*256 < now.Size; n++ {
		bodies, err := l.s.bundle(n, min(256, now.Size-n*256))
		if err != nil {
			return nil, err
		}
		for _, body := range bodies {
			leaf := logentry.LeafHash(body)
			out = append(out, leaf)
			if err := tree.Append(leaf[:], nil); err != nil {
				return nil, err
			}
			if err := meet(uint64(len(out))); err != nil {
				return nil, err
			}
		}
	}
	if len(sizes) > 0 {
		return nil, fmt.Errorf("%d checkpoints were not met", len(sizes))
	}
	return out, nil
}

// bundle reads the first width entries of entry bundle n, in the layout of
// https://c2sp.org/tlog-tiles.
func (s *server) bundle(n, width uint64) ([][]byte, error) {
	path := fmt.Sprintf("/api/v2/tile/entries/%03d", n)
	for rest := n / 1000; rest > 0; rest /= 1000 {
		return nil, fmt.Errorf("bundle %d: tests make smaller logs", n)
	}
	if width < 256 {
		path += fmt.Sprintf(".p/%d", width)
	}
	status, raw, err := s.get(path)
	if err != nil || status != 200 {
		return nil, fmt.Errorf("GET %s: %d %v", path, status, err)
	}
	var bodies [][]byte
	for len(raw) > 0 {
		if len(raw) < 2 || len(raw)-2 < int(binary.BigEndian.Uint16(raw)) {
			return nil, fmt.Errorf("GET %s: truncated", path)
		}
		size := int(binary.BigEndian.Uint16(raw))
		bodies = append(bodies, raw[2:2+size])
		raw = raw[2+size:]
	}
	if uint64(len(bodies)) != width {
		return nil, fmt.Errorf("GET %s: %d entries", path, len(bodies))
	}
	return bodies, nil
}

// kept checks that the log has kept all its promises: every acknowledged leaf at
// its place, each leaf once, one tree. A sample of entries is asked for one by
// one, with proofs.
func (l *ledger) kept() {
	l.s.t.Helper()
	leaves, err := l.leaves()
	if err != nil {
		l.s.t.Fatal(err)
	}
	places := map[[32]byte]int{}
	for i, leaf := range leaves {
		if first, ok := places[leaf]; ok {
			l.s.t.Fatalf("entry %d repeats entry %d", i, first)
		}
		places[leaf] = i
	}
	for leaf, index := range l.acked {
		if index >= uint64(len(leaves)) || leaves[index] != leaf {
			l.s.t.Fatalf("entry %d was acknowledged, but the log has %d entries and another one there, if any", index, len(leaves))
		}
	}
	for range min(30, len(l.order)) {
		leaf := l.order[rand.IntN(len(l.order))]
		if err := l.shown(l.acked[leaf], leaf); err != nil {
			l.s.t.Fatal(err)
		}
	}
	for range min(30, len(l.roots)) {
		if err := l.consistent(); err != nil {
			l.s.t.Fatal(err)
		}
	}
}

// shown fetches one entry with its inclusion proof.
func (l *ledger) shown(index uint64, leaf [32]byte) error {
	e, err := logentry.Parse(l.s.fetched(fmt.Sprintf("/hallmark/v1/log/entries/%d", index)))
	if err != nil {
		return err
	}
	if uint64(e.LogIndex) != index {
		return fmt.Errorf("asked for entry %d, got %d", index, e.LogIndex)
	}
	return l.proven(e, leaf)
}

// consistent fetches the log's own proof that a checkpoint seen before is of the
// tree that it publishes now.
func (l *ledger) consistent() error {
	sizes := make([]uint64, 0, len(l.roots))
	for size := range l.roots {
		if size > 0 {
			sizes = append(sizes, size)
		}
	}
	if len(sizes) == 0 {
		return nil
	}
	from := sizes[rand.IntN(len(sizes))]
	var answer struct {
		Checkpoint string
		Hashes     [][]byte
	}
	if err := json.Unmarshal(l.s.fetched(fmt.Sprintf("/hallmark/v1/log/consistency?from=%d", from)), &answer); err != nil {
		return err
	}
	now, err := l.checkpoint(answer.Checkpoint)
	if err != nil {
		return err
	}
	root := l.roots[from]
	if err := proof.VerifyConsistency(rfc6962.DefaultHasher, from, now.Size, answer.Hashes, root[:], now.Root[:]); err != nil {
		return fmt.Errorf("consistency of %d with %d: %w", from, now.Size, err)
	}
	return nil
}
