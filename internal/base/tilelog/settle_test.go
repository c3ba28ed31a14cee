// SPDX-License-Identifier: Apache-2.0

package tilelog

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestRightEdge(t *testing.T) {
	for _, tc := range []struct {
		size, batch uint64
		ct          bool
		want        []string
	}{
		{0, 1, false, []string{"tile", "tile/0", "tile/0/000.p", "tile/entries", "tile/entries/000.p"}},
		{5, 1, true, []string{"tile", "tile/0", "tile/0/000.p", "tile/data", "tile/data/000.p"}},
		{255, 1, false, []string{"tile", "tile/0", "tile/0/000.p", "tile/0/001.p", "tile/1", "tile/1/000.p",
			"tile/entries", "tile/entries/000.p", "tile/entries/001.p"}},
		{255_999, 2, false, []string{"tile", "tile/0", "tile/0/999.p", "tile/0/x001", "tile/0/x001/000.p", "tile/1", "tile/1/003.p", "tile/2", "tile/2/000.p",
			"tile/entries", "tile/entries/999.p", "tile/entries/x001", "tile/entries/x001/000.p"}},
	} {
		if got := rightEdge(tc.size, tc.batch, tc.ct); !slices.Equal(got, tc.want) {
			t.Errorf("%d+%d:\n got %q\nwant %q", tc.size, tc.batch, got, tc.want)
		}
	}
}

// Every folder that appending makes is one that the next start would sync.
func TestRightEdgeHasEveryFolderThatAppendingMakes(t *testing.T) {
	k, dir := newKeys(t), t.TempDir()
	l := open(t, Config{Dir: dir, Signer: k.signer})
	for from, batch := 0, 250; from < 800; from, batch = from+batch, batch+40 {
		before := folders(t, dir)
		addAll(t, l, batch, strings.Repeat("e", from+1))
		edge := rightEdge(uint64(from), uint64(batch), false)
		for d := range folders(t, dir) {
			if !before[d] && !slices.Contains(edge, d) {
				t.Errorf("appending %d entries to %d made %s, which is not at the edge %q", batch, from, d, edge)
			}
		}
	}
	closeLog(t, l)
}

func folders(t *testing.T, dir string) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	err := filepath.WalkDir(filepath.Join(dir, "tile"), func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			rel, _ := filepath.Rel(dir, path)
			out[rel] = true
		}
		return nil
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return out
}

// A tree that lost entries which a checkpoint promises must not be appended to.
func TestOpenRefusesATreeBehindItsCheckpoint(t *testing.T) {
	k, dir := newKeys(t), t.TempDir()
	state := filepath.Join(dir, stateDir, "treeState")
	l := open(t, Config{Dir: dir, Signer: k.signer})
	addAll(t, l, 2, "a")
	old, err := os.ReadFile(state)
	if err != nil {
		t.Fatal(err)
	}
	addAll(t, l, 3, "b")
	closeLog(t, l)
	whole, err := os.ReadFile(state)
	if err != nil {
		t.Fatal(err)
	}
	checkpoint, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		set  func() error
		want string
	}{
		"older":   {func() error { return os.WriteFile(state, old, 0o644) }, "the tree has 2 entries, fewer than the 5 that its checkpoint promises: restore"},
		"absent":  {func() error { return os.Remove(state) }, "the tree has 0 entries, fewer than the 5"},
		"garbage": {func() error { return os.WriteFile(state, []byte("{"), 0o644) }, "treeState: not the JSON Tessera writes"},
	} {
		if err := tc.set(); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(context.Background(), Config{Dir: dir, Signer: k.signer}); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s tree state: %v, want %q", name, err, tc.want)
		}
		if now, err := os.ReadFile(filepath.Join(dir, "checkpoint")); err != nil || string(now) != string(checkpoint) {
			t.Fatalf("%s tree state: the checkpoint changed", name)
		}
		if err := os.WriteFile(state, whole, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	l = open(t, Config{Dir: dir, Signer: k.signer})
	defer closeLog(t, l)
	if tree, err := l.Current(t.Context()); err != nil || tree.Size != 5 {
		t.Fatalf("%+v, %v", tree, err)
	}
}
