// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// checkWritable says early whether writeNew will be able to make the file that
// a flag names.
func checkWritable(flag, path string) error {
	if fi, err := os.Stat(path); err == nil && fi.IsDir() {
		return fmt.Errorf("%s %s is a folder: expected a file", flag, path)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".hallmark-*")
	var reason *fs.PathError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s %s: its folder does not exist", flag, path)
	case errors.As(err, &reason):
		return fmt.Errorf("%s %s cannot be written: %w", flag, path, reason.Err)
	case err != nil:
		return fmt.Errorf("%s %s cannot be written: %w", flag, path, err)
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// writeNew makes a file with what write gives it. When write fails, an earlier
// file of that name stays as it was.
func writeNew(path string, perm os.FileMode, write func(*os.File) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".hallmark-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if err := f.Chmod(perm); err != nil {
		return err
	}
	if err := write(f); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
