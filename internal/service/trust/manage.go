// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"hallmark/internal/base/durable"
	"hallmark/internal/format/trustroot"
)

const defaultFile = "default"

// Default is the name that "" stands for: the one set by Use, or PublicGood.
func (s *Store) Default() (string, error) {
	data, err := readFile(s.path(defaultFile), maxName+1)
	if errors.Is(err, fs.ErrNotExist) {
		return PublicGood, nil
	}
	if err != nil {
		return "", fmt.Errorf("default trust root: %w", err)
	}
	name := strings.TrimSuffix(string(data), "\n")
	if err := CheckName(name); err != nil {
		return "", fmt.Errorf("default trust root: %s: %w: run hallmark trust use NAME", s.path(defaultFile), err)
	}
	return name, nil
}

func (s *Store) resolve(name string) (string, error) {
	if name == "" {
		return s.Default()
	}
	return name, CheckName(name)
}

// Use makes name the default.
func (s *Store) Use(ctx context.Context, name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	l, _, err := s.lock(ctx, name) // so that nobody removes it meanwhile
	if err != nil {
		return err
	}
	defer l.Unlock()
	if name != PublicGood {
		if _, err := s.readRecord(name); err != nil {
			return err
		}
	}
	if err := durable.WriteFile(s.path(defaultFile), []byte(name+"\n"), 0o644); err != nil {
		return fmt.Errorf("default trust root: %w", err)
	}
	return nil
}

// Load reads a trust root; "" is the default one. It uses no network and takes
// no lock.
func (s *Store) Load(name string) (*Active, error) {
	name, err := s.resolve(name)
	if err != nil {
		return nil, err
	}
	r, files, err := s.read(name, rootFile, configFile, instanceFile)
	if name == PublicGood && errors.Is(err, ErrNotFound) {
		return loadBuiltin()
	}
	if err != nil {
		return nil, err
	}
	a := &Active{Name: r.Name, Kind: r.Kind, Refreshed: r.Refreshed}
	if err := a.parse(files); err != nil {
		return nil, fmt.Errorf("trust root %q: %w: %w", name, ErrDamaged, err)
	}
	return a, nil
}

func (a *Active) parse(files map[string][]byte) (err error) {
	if a.Root, err = trustroot.Parse(files[rootFile]); err != nil {
		return err
	}
	if data := files[configFile]; data != nil {
		if a.SigningConfig, err = trustroot.ParseSigningConfig(data); err != nil {
			return err
		}
	}
	if data := files[instanceFile]; data != nil {
		a.Instance, err = ParseInstance(data)
	}
	return err
}

// Show describes a trust root; "" is the default one.
func (s *Store) Show(name string) (Info, error) {
	name, err := s.resolve(name)
	if err != nil {
		return Info{}, err
	}
	r, err := s.readRecord(name)
	if name == PublicGood && errors.Is(err, ErrNotFound) {
		return s.builtinInfo(), nil
	}
	if err != nil {
		return Info{}, err
	}
	return s.stored(r), nil
}

// List describes all trust roots by name, the built-in one included. One that
// cannot be read is listed with its Problem.
func (s *Store) List() ([]Info, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("trust store: %w", err)
	}
	list := []Info{}
	builtin := false
	for _, e := range entries {
		if !e.IsDir() || CheckName(e.Name()) != nil {
			continue
		}
		r, err := s.readRecord(e.Name())
		if errors.Is(err, ErrNotFound) { // an Init that did not finish
			continue
		}
		builtin = builtin || e.Name() == PublicGood
		if err != nil {
			list = append(list, Info{Name: e.Name(), Stored: true, Problem: err})
			continue
		}
		list = append(list, s.stored(r))
	}
	if !builtin {
		list = append(list, s.builtinInfo())
	}
	slices.SortFunc(list, func(a, b Info) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// Remove deletes a trust root. Removing the default one makes PublicGood the
// default; removing PublicGood brings back the copy that is built in.
func (s *Store) Remove(ctx context.Context, name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	if _, err := os.Stat(s.path(name)); errors.Is(err, fs.ErrNotExist) {
		if name == PublicGood {
			return fmt.Errorf("trust root %q is built in, and nothing newer is stored: there is nothing to remove", name)
		}
		_, err := s.readRecord(name)
		return err
	}
	l, _, err := s.lock(ctx, name)
	if err != nil {
		return err
	}
	defer l.Unlock()
	if def, err := s.Default(); err == nil && def == name {
		if err := removeDurably(s.path(defaultFile)); err != nil {
			return fmt.Errorf("default trust root: %w", err)
		}
	}
	// Without trust.json it does not exist, whatever else is still there.
	if err := removeDurably(filepath.Join(s.path(name), recordFile)); err != nil {
		return fmt.Errorf("trust root %q: %w", name, err)
	}
	if err := os.RemoveAll(s.path(name)); err != nil {
		return fmt.Errorf("trust root %q: %w", name, err)
	}
	return nil
}

func removeDurably(path string) error {
	if err := os.Remove(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	return durable.SyncDir(filepath.Dir(path))
}
