// SPDX-License-Identifier: Apache-2.0

package tilelog

import (
	"context"
	"crypto/sha256"
	"fmt"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/api/layout"
)

const hashSize = 32

// hasher is RFC 6962's, without the library's allocations: proofs hash a lot.
type hasher struct{ *rfc6962.Hasher }

// HashChildren implements [merkle.LogHasher].
func (hasher) HashChildren(l, r []byte) []byte {
	var node [1 + 2*hashSize]byte
	node[0] = rfc6962.RFC6962NodeHashPrefix
	copy(node[1:], l)
	copy(node[1+hashSize:], r)
	sum := sha256.Sum256(node[:])
	return sum[:]
}

// Tree is the log as one published checkpoint shows it. It is immutable and shares the log's
// cache of tiles: a proof costs a few map lookups and hashes, not file reads.
type Tree struct {
	Size       uint64
	Root       [hashSize]byte
	Checkpoint string // the signed note, as published

	l *Log
}

// Prove returns the inclusion proof of leafHash at index, having checked that it leads to
// Root. It fails if another leaf is there.
func (t *Tree) Prove(ctx context.Context, index uint64, leafHash [hashSize]byte) ([][]byte, error) {
	if index >= t.Size {
		return nil, fmt.Errorf("entry %d is not covered by the checkpoint of size %d", index, t.Size)
	}
	nodes, err := proof.Inclusion(index, t.Size)
	if err != nil {
		return nil, err
	}
	hashes, err := t.hashes(ctx, nodes)
	if err != nil {
		return nil, fmt.Errorf("inclusion proof of entry %d in %d: %w", index, t.Size, err)
	}
	if err := proof.VerifyInclusion(hasher{rfc6962.DefaultHasher}, index, t.Size, leafHash[:], hashes, t.Root[:]); err != nil {
		return nil, fmt.Errorf("entry %d is not the leaf %x under the checkpoint of size %d: %w", index, leafHash, t.Size, err)
	}
	return hashes, nil
}

// Consistency returns the proof that the tree of the first from entries is a prefix of the tree
// of the first to entries, 0 < from ≤ to ≤ Size.
func (t *Tree) Consistency(ctx context.Context, from, to uint64) ([][]byte, error) {
	if from == 0 || from > to || to > t.Size {
		return nil, fmt.Errorf("consistency from %d to %d: expected 0 < from ≤ to ≤ %d, the checkpoint's size", from, to, t.Size)
	}
	nodes, err := proof.Consistency(from, to)
	if err != nil {
		return nil, err
	}
	return t.hashes(ctx, nodes)
}

func (t *Tree) hashes(ctx context.Context, nodes proof.Nodes) ([][]byte, error) {
	hashes := make([][]byte, len(nodes.IDs))
	for i, id := range nodes.IDs {
		h, err := t.node(ctx, id)
		if err != nil {
			return nil, err
		}
		hashes[i] = h
	}
	return nodes.Rehash(hashes, hasher{rfc6962.DefaultHasher}.HashChildren)
}

// node returns the hash of a complete subtree. The result must not be changed.
func (t *Tree) node(ctx context.Context, id compact.NodeID) ([]byte, error) {
	level, index, nodeLevel, nodeIndex := layout.NodeCoordsToTileAddress(uint64(id.Level), id.Index)
	tl, err := t.l.cache.get(ctx, level, index, layout.PartialTileSize(level, index, t.Size))
	if err != nil {
		return nil, err
	}
	return tl.node(nodeLevel, nodeIndex)
}

// LeafHash returns the hash of the leaf at index as the tiles have it, unproven.
func (t *Tree) LeafHash(ctx context.Context, index uint64) ([hashSize]byte, error) {
	if index >= t.Size {
		return [hashSize]byte{}, fmt.Errorf("entry %d is beyond size %d", index, t.Size)
	}
	h, err := t.node(ctx, compact.NodeID{Level: 0, Index: index})
	if err != nil {
		return [hashSize]byte{}, err
	}
	return [hashSize]byte(h), nil
}

// Entry reads the entry at index as the bundles have it, unproven. Not for CTLayout.
func (t *Tree) Entry(ctx context.Context, index uint64) ([]byte, error) {
	if index >= t.Size {
		return nil, fmt.Errorf("entry %d is beyond size %d", index, t.Size)
	}
	var data []byte
	err := t.l.Entries(ctx, index, index+1, t.Size, func(_ uint64, d []byte) error {
		data = d
		return nil
	})
	return data, err
}

// Entries calls fn for the entries in [from, to) of a tree of the given size, in order. The
// tree must have been integrated, not necessarily published. data is fn's to keep. Not for
// CTLayout.
func (l *Log) Entries(ctx context.Context, from, to, size uint64, fn func(index uint64, data []byte) error) error {
	if from > to || to > size {
		return fmt.Errorf("entries [%d, %d) are not within size %d", from, to, size)
	}
	for r := range layout.Range(from, to-from, size) {
		if err := ctx.Err(); err != nil {
			return err
		}
		raw, err := l.reader.ReadEntryBundle(ctx, r.Index, r.Partial)
		if err != nil {
			return fmt.Errorf("entry bundle %d: %w", r.Index, err)
		}
		var b api.EntryBundle
		if err := b.UnmarshalText(raw); err != nil {
			return fmt.Errorf("entry bundle %d: %w", r.Index, err)
		}
		if uint(len(b.Entries)) < r.First+r.N {
			return fmt.Errorf("entry bundle %d has %d entries, expected %d at least", r.Index, len(b.Entries), r.First+r.N)
		}
		for i, data := range b.Entries[r.First : r.First+r.N] {
			if err := fn(r.Index*layout.EntryBundleWidth+uint64(r.First)+uint64(i), data); err != nil {
				return err
			}
		}
	}
	return nil
}
