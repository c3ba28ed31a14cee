// SPDX-License-Identifier: Apache-2.0

package tilelog

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/tessera/api/layout"

	"hallmark/internal/base/durable"
)

// stateDir is Tessera's own folder; treeState in it says what has been integrated.
const stateDir = ".state"

type treeState struct {
	Size uint64 `json:"size"`
	Root []byte `json:"root"`
}

func readTreeState(dir string) (treeState, error) {
	var s treeState
	path := filepath.Join(dir, stateDir, "treeState")
	raw, err := os.ReadFile(path)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(raw, &s); err != nil {
		return s, fmt.Errorf("%s: not the JSON Tessera writes: %w", path, err)
	}
	return s, nil
}

// settle readies a folder for being built on, before Tessera opens it.
//
// A process that was killed may have made a folder or renamed a file without having synced the
// folder around it. Tessera takes what it finds for durable; acknowledging entries on top of it
// would lose them if the power failed. Such names can only be at the tree's right edge, so
// the folders there are synced.
//
// A tree that is smaller than its checkpoint is refused: going on from there would sign a second
// history.
func settle(dir string, ct bool, batch uint) error {
	state, err := readTreeState(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := covered(dir, state.Size); err != nil {
		return err
	}
	for _, d := range append([]string{"..", ".", stateDir}, rightEdge(state.Size, uint64(batch), ct)...) {
		if err := durable.SyncDir(filepath.Join(dir, d)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// covered checks that a tree of size entries holds all that the published checkpoint promises.
func covered(dir string, size uint64) error {
	path := filepath.Join(dir, layout.CheckpointPath)
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var cp log.Checkpoint
	if _, err := cp.Unmarshal(raw); err != nil {
		return fmt.Errorf("checkpoint %s: %w", path, err)
	}
	if cp.Size > size {
		return fmt.Errorf("the tree has %d entries, fewer than the %d that its checkpoint promises: restore the whole folder from a backup", size, cp.Size)
	}
	return nil
}

// rightEdge is the folders, relative to the log's, of every file that appending up to batch
// entries to a tree of the given size writes or makes, outermost first.
func rightEdge(size, batch uint64, ct bool) []string {
	dirs := map[string]bool{}
	add := func(path string) {
		for d := filepath.Dir(path); d != "."; d = filepath.Dir(d) {
			dirs[d] = true
		}
	}
	for n := size / layout.EntryBundleWidth; n <= (size+batch)/layout.EntryBundleWidth; n++ {
		add(entriesPath(n, 1, ct))
	}
	for level, from, to := uint64(0), size, size+batch; to > 0; level++ {
		from, to = from/layout.TileWidth, to/layout.TileWidth
		for n := from; n <= to; n++ {
			add(layout.TilePath(level, n, 1))
		}
	}
	return slices.Sorted(maps.Keys(dirs))
}

// entriesPath is where entry bundle n is.
func entriesPath(n uint64, partial uint8, ct bool) string {
	if ct {
		return "tile/data/" + layout.NWithSuffix(0, n, partial)
	}
	return layout.EntriesPath(n, partial)
}
