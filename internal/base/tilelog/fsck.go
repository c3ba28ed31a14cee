// SPDX-License-Identifier: Apache-2.0

package tilelog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api/layout"
	"golang.org/x/mod/sumdb/note"
)

// Finding is one thing wrong with a log folder.
type Finding struct {
	Where   string // a path relative to the folder, or "checkpoint"
	Problem string
}

// String joins the two.
func (f Finding) String() string { return f.Where + ": " + f.Problem }

// Check describes a log folder to examine. Verifier's name must be the origin.
type Check struct {
	Dir      string
	Verifier note.Verifier
	CTLayout bool
	// Visit, if set, sees every entry in order: its bundle bytes and its leaf hash.
	Visit func(index uint64, entry []byte, leafHash [hashSize]byte) error
}

// Report is what a check found. Size is the integrated size, Published the checkpoint's.
type Report struct {
	Size, Published uint64
	Findings        []Finding
}

// Run reads the whole folder, and writes nothing: it verifies the checkpoint's signature,
// rebuilds every tile from the entry bundles, compares each with the file that has it, and
// compares the roots with the checkpoint and with the tree state. Unlike Tessera's own fsck it
// goes on after a finding. An error means that the check itself could not be done.
func (c Check) Run(ctx context.Context) (*Report, error) {
	f := &fsck{Check: c, rep: &Report{}, pending: map[tileAt][]byte{}}
	f.tree = (&compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}).NewEmptyRange(0)
	if err := f.loadTargets(); err != nil {
		return nil, err
	}
	for n := uint64(0); n*layout.EntryBundleWidth < f.rep.Size; n++ {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		whole, err := f.bundle(n)
		if err != nil {
			return nil, err
		}
		if !whole {
			return f.rep, nil // nothing after this entry can be rebuilt
		}
	}
	return f.rep, nil
}

type tileAt struct {
	level uint
	index uint64
}

type fsck struct {
	Check
	rep     *Report
	tree    *compact.Range
	pending map[tileAt][]byte
	cpRoot  []byte // nil when there is no valid checkpoint
	root    []byte // nil when there is no tree state
}

func (f *fsck) add(where, format string, args ...any) {
	f.rep.Findings = append(f.rep.Findings, Finding{where, fmt.Sprintf(format, args...)})
}

// loadTargets reads the checkpoint and the tree state: the sizes and roots to be met.
func (f *fsck) loadTargets() error {
	if _, err := os.Stat(f.Dir); err != nil {
		return err
	}
	raw, err := os.ReadFile(filepath.Join(f.Dir, layout.CheckpointPath))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err != nil {
		f.add("checkpoint", "is missing; the daemon publishes one when it starts")
	} else if cp, _, _, err := log.ParseCheckpoint(raw, f.Verifier.Name(), f.Verifier); err != nil {
		f.add("checkpoint", "is not signed by this log's key for origin %q: %v", f.Verifier.Name(), err)
	} else {
		f.cpRoot, f.rep.Published, f.rep.Size = cp.Hash, cp.Size, cp.Size
	}
	const statePath = stateDir + "/treeState"
	state, err := readTreeState(f.Dir)
	switch {
	case err != nil:
		f.add(statePath, "cannot be read: %v", err)
	case state.Size < f.rep.Published:
		f.add(statePath, "has %d entries, fewer than the %d the checkpoint promises", state.Size, f.rep.Published)
	default:
		f.rep.Size, f.root = state.Size, state.Root
	}
	f.meet(0)
	return nil
}

// bundle reads entry bundle n, feeds its leaves to the tree, and reports whether all were there.
func (f *fsck) bundle(n uint64) (bool, error) {
	partial := layout.PartialTileSize(0, n, f.rep.Size)
	path := entriesPath(n, partial, f.CTLayout)
	raw, err := f.read(path, entriesPath(n, 0, f.CTLayout))
	if err != nil {
		f.add(path, "cannot be read: %v", err)
		return false, nil
	}
	index, bad := n*layout.EntryBundleWidth, error(nil)
	err = splitBundle(raw, tileWidth(partial), f.CTLayout, func(entry, preimage []byte) {
		if bad != nil {
			return
		}
		h := leafHash(preimage)
		if f.Visit != nil {
			bad = f.Visit(index, entry, h)
		}
		if bad == nil {
			bad = f.tree.Append(h[:], f.node)
		}
		index++
		f.meet(index)
	})
	if err != nil {
		f.add(path, "%v", err)
	}
	return err == nil, bad
}

func (f *fsck) read(path, full string) ([]byte, error) {
	raw, err := os.ReadFile(filepath.Join(f.Dir, path))
	if errors.Is(err, fs.ErrNotExist) && full != path {
		raw, err = os.ReadFile(filepath.Join(f.Dir, full))
	}
	return raw, err
}

// node receives each completed subtree's hash and collects those that tiles store.
func (f *fsck) node(id compact.NodeID, h []byte) {
	if id.Level%layout.TileHeight != 0 {
		return
	}
	at := tileAt{id.Level / layout.TileHeight, id.Index / layout.TileWidth}
	f.pending[at] = append(f.pending[at], h...)
	if len(f.pending[at]) == layout.TileWidth*hashSize {
		f.tile(at, f.pending[at])
		delete(f.pending, at)
	}
}

func (f *fsck) tile(at tileAt, want []byte) {
	partial := uint8(len(want) / hashSize) // 256 is 0: a full tile
	path := layout.TilePath(uint64(at.level), at.index, partial)
	raw, err := f.read(path, layout.TilePath(uint64(at.level), at.index, 0))
	switch {
	case err != nil:
		f.add(path, "cannot be read: %v", err)
	case len(raw) < len(want) || !bytes.Equal(raw[:len(want)], want):
		f.add(path, "differs from what the entries make")
	}
}

// meet compares roots and partial tiles when the tree has the checkpoint's or the state's size.
func (f *fsck) meet(size uint64) {
	published, integrated := f.cpRoot != nil && size == f.rep.Published, f.root != nil && size == f.rep.Size
	if !published && !integrated {
		return
	}
	root, err := f.tree.GetRootHash(nil)
	if size == 0 {
		root = rfc6962.DefaultHasher.EmptyRoot()
	}
	if err != nil {
		f.add("tree", "%v", err)
		return
	}
	if published && !bytes.Equal(root, f.cpRoot) {
		f.add("checkpoint", "promises root %x over %d entries, but they make %x", f.cpRoot, size, root)
	}
	if integrated && !bytes.Equal(root, f.root) {
		f.add(".state/treeState", "has root %x over %d entries, but they make %x", f.root, size, root)
	}
	for at, hashes := range f.pending {
		f.tile(at, hashes)
	}
}
