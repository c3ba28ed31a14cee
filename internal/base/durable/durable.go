// SPDX-License-Identifier: Apache-2.0

// Package durable writes files so that they survive power loss.
//
// A write is: create a temporary file in the target's folder, write, fsync,
// rename over the target, fsync the folder. A reader therefore sees the old
// file or the new one, whole, at every instant; after the call returns it is
// the new one even if the power fails. See rename(2) and fsync(2):
// https://man7.org/linux/man-pages/man2/fsync.2.html ("Calling fsync() does not
// necessarily ensure that the entry in the directory containing the file has
// also reached disk").
//
// Invariants: no function leaves a half-written target; temporary files carry
// the prefix ".tmp-" and may be deleted at any time.
package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// WriteFile replaces path with data, atomically and durably. The file gets
// exactly perm, whatever the umask.
func WriteFile(path string, data []byte, perm fs.FileMode) (err error) {
	dir := filepath.Dir(path)
	tmp, err := os.CreateTemp(dir, ".tmp-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			tmp.Close()
			os.Remove(tmp.Name())
		}
	}()
	if err := tmp.Chmod(perm); err != nil {
		return err
	}
	if _, err := tmp.Write(data); err != nil {
		return err
	}
	if err := tmp.Sync(); err != nil {
		return fmt.Errorf("fsync %s: %w", tmp.Name(), err)
	}
	if err := tmp.Close(); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return err
	}
	return SyncDir(dir)
}

// MkdirAll makes path and its missing parents with perm, and fsyncs every
// folder that gained an entry.
func MkdirAll(path string, perm fs.FileMode) error {
	path = filepath.Clean(path)
	if fi, err := os.Stat(path); err == nil {
		if !fi.IsDir() {
			return fmt.Errorf("%s is a file: expected a folder", path)
		}
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(path)
	if parent != path {
		if err := MkdirAll(parent, perm); err != nil {
			return err
		}
	}
	if err := os.Mkdir(path, perm); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return SyncDir(parent)
}

// Rename moves a file or folder within one file system and makes both folders'
// entries durable.
func Rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	if err := SyncDir(filepath.Dir(to)); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(from))
}

// SyncDir makes the entries of the folder at path durable.
func SyncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("fsync folder %s: %w", path, err)
	}
	return nil
}
