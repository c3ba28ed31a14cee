// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"hallmark/internal/base/durable"
)

// A rotation, like a first start, makes everything beside what is in use, in
// rotation.tmp: a changed copy of the instance folder, and the folders of new
// logs. A durable file marks it complete; what follows is renames that can each
// be repeated. Without the mark nothing has happened, with it everything will.

// replacedInstance is where the old instance folder goes, until it is removed.
const replacedInstance = "replaced"

type rename struct{ from, to string }

// finishRotation completes or discards what a rotation left behind, and says
// what it completed.
func finishRotation(l layout) (*Rotated, error) {
	if there, err := exists(l.rotation()); err != nil || !there {
		return nil, err
	}
	var done *Rotated
	mark, err := os.ReadFile(filepath.Join(l.rotation(), completeMark))
	switch {
	case err == nil:
		done = new(Rotated)
		if err := json.Unmarshal(mark, done); err != nil {
			return nil, fmt.Errorf("%s is damaged: %w", filepath.Join(l.rotation(), completeMark), err)
		}
		moves, err := rotationMoves(l)
		if err != nil {
			return nil, err
		}
		for _, m := range moves {
			if err := durable.Rename(m.from, m.to); err != nil {
				return nil, fmt.Errorf("finish rotation: %w", err)
			}
		}
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	if err := os.RemoveAll(l.rotation()); err != nil {
		return nil, err
	}
	return done, durable.SyncDir(l.root)
}

// rotationMoves is the renames that a complete rotation still has before it:
// logs first, then the old instance folder out of the way and the new one in.
func rotationMoves(l layout) ([]rename, error) {
	stage := layout{l.rotation()}
	var moves []rename
	shards, err := os.ReadDir(stage.logs())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, s := range shards {
		moves = append(moves, rename{stage.log(s.Name()), l.log(s.Name())})
	}
	others, err := os.ReadDir(stage.root)
	if err != nil {
		return nil, err
	}
	for _, o := range others {
		if strings.HasPrefix(o.Name(), keyCT+"-") {
			moves = append(moves, rename{stage.ct(o.Name()), l.ct(o.Name())})
		}
	}
	staged, err := exists(stage.instance())
	if err != nil || !staged {
		return moves, err
	}
	old, err := exists(l.instance())
	if err != nil {
		return nil, err
	}
	if old {
		moves = append(moves, rename{l.instance(), filepath.Join(stage.root, replacedInstance)})
	}
	return append(moves, rename{stage.instance(), l.instance()}), nil
}

// copyTree copies a folder of regular files, durably and with their modes.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		switch {
		case d.IsDir():
			return durable.MkdirAll(target, info.Mode().Perm())
		case strings.HasPrefix(d.Name(), ".tmp-"): // of a write that was cut off
			return nil
		case !d.Type().IsRegular():
			return fmt.Errorf("%s is not a regular file", path)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return durable.WriteFile(target, data, info.Mode().Perm())
	})
}
