// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strconv"

	"hallmark/internal/base/durable"
	"hallmark/internal/format/trustroot"
)

// maxStored caps each file read back.
const maxStored = trustroot.MaxSize + 1<<20

func (s *Store) path(name string) string { return filepath.Join(s.dir, name) }

func (s *Store) generation(r *record) string {
	return filepath.Join(s.dir, r.Name, "g"+strconv.FormatInt(r.Generation, 10))
}

// readRecord reads trust.json of name. Absent, it is an error that wraps
// ErrNotFound.
func (s *Store) readRecord(name string) (*record, error) {
	path := filepath.Join(s.path(name), recordFile)
	data, err := readFile(path, maxRecord)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("trust root %q: %w: run hallmark trust list to see those there are, or hallmark trust init URL to get one", name, ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("trust root %q: %w", name, err)
	}
	r, err := parseRecord(data)
	if err == nil && r.Name != name {
		err = fmt.Errorf("it is for %q", r.Name)
	}
	if err != nil {
		return nil, fmt.Errorf("trust root %q: %w: %s: %w: run hallmark trust remove %s, then add it again", name, ErrDamaged, path, err, name)
	}
	return r, nil
}

// read reads the record of name and those of the wanted files that it lists
// (all of them if none is named), of one generation.
func (s *Store) read(name string, want ...string) (*record, map[string][]byte, error) {
	for try := 0; ; try++ {
		r, err := s.readRecord(name)
		if err != nil {
			return nil, nil, err
		}
		files, err := s.readFiles(r, want)
		if err == nil {
			return r, files, nil
		}
		// Writers delete generations before the last one. If this one was
		// deleted, trust.json names another by now.
		if now, rerr := s.readRecord(name); try >= 100 || rerr == nil && now.Generation == r.Generation {
			return nil, nil, fmt.Errorf("trust root %q: %w: %w: run hallmark trust remove %s, then add it again", name, ErrDamaged, err, name)
		}
	}
}

func (s *Store) readFiles(r *record, want []string) (map[string][]byte, error) {
	files := map[string][]byte{}
	read := func(name, sum string) error {
		path := filepath.Join(s.generation(r), filepath.FromSlash(name))
		data, err := readFile(path, maxStored)
		if err != nil {
			return err
		}
		if got := hexSHA256(data); got != sum {
			return fmt.Errorf("%s has SHA-256 %s: expected %s", path, got, sum)
		}
		files[name] = data
		return nil
	}
	if len(want) == 0 {
		for name, sum := range r.Files {
			if err := read(name, sum); err != nil {
				return nil, err
			}
		}
	}
	for _, name := range want {
		if sum, ok := r.Files[name]; ok {
			if err := read(name, sum); err != nil {
				return nil, err
			}
		}
	}
	return files, nil
}

func hexSHA256(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func readFile(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, limit)
	}
	return data, nil
}

// lock takes the write lock of name and says whether somebody else held it
// first.
func (s *Store) lock(ctx context.Context, name string) (l *durable.FileLock, waited bool, err error) {
	if err := durable.MkdirAll(s.dir, 0o755); err != nil {
		return nil, false, fmt.Errorf("trust store: %w", err)
	}
	path := filepath.Join(s.dir, "."+name+".lock")
	l, err = durable.TryLock(path)
	if errors.Is(err, durable.ErrLocked) {
		waited = true
		l, err = durable.Lock(ctx, path)
	}
	if err != nil {
		return nil, waited, fmt.Errorf("trust store: %w", err)
	}
	return l, waited, nil
}

// commit makes files the current generation of r.Name; it fills in what r says
// about them. The caller holds the lock. prev is the current record, or nil.
func (s *Store) commit(r, prev *record, files map[string][]byte) error {
	r.Version = recordFormat
	r.Files = map[string]string{}
	for name, data := range files {
		r.Files[name] = hexSHA256(data)
	}
	dir := s.path(r.Name)
	if prev != nil && maps.Equal(prev.Files, r.Files) {
		r.Generation = prev.Generation
	} else {
		r.Generation = 1
		keep := ""
		if prev != nil {
			r.Generation, keep = prev.Generation+1, filepath.Base(s.generation(prev))
		}
		if err := tidy(dir, keep); err != nil {
			return fmt.Errorf("trust root %q: %w", r.Name, err)
		}
		if err := writeGeneration(s.generation(r), files); err != nil {
			return fmt.Errorf("trust root %q: %w", r.Name, err)
		}
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("trust root %q: %w", r.Name, err)
	}
	if _, err := parseRecord(data); err != nil {
		return fmt.Errorf("trust root %q: would not be readable: %w", r.Name, err)
	}
	if err := durable.WriteFile(filepath.Join(dir, recordFile), data, 0o644); err != nil {
		return fmt.Errorf("trust root %q: %w", r.Name, err)
	}
	return nil
}

// writeGeneration makes the new folder dir with files, durably. Nobody reads it
// until trust.json names it, so each folder is synced only once.
func writeGeneration(dir string, files map[string][]byte) error {
	folders := map[string]bool{dir: true}
	if err := durable.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, data := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if folder := filepath.Dir(path); !folders[folder] {
			folders[folder] = true
			if err := durable.MkdirAll(folder, 0o755); err != nil {
				return err
			}
		}
		if err := writeNew(path, data); err != nil {
			return err
		}
	}
	for folder := range folders {
		if err := durable.SyncDir(folder); err != nil {
			return err
		}
	}
	return nil
}

func writeNew(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		f.Close()
		return err
	}
	if err := f.Sync(); err != nil {
		f.Close()
		return fmt.Errorf("fsync %s: %w", path, err)
	}
	return f.Close()
}

// tidy removes from a trust root's folder what earlier writers left: all but
// trust.json and the generation to keep.
func tidy(dir, keep string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == recordFile || e.Name() == keep {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}
