// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"crypto"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"hallmark/internal/base/keyring"
	"hallmark/internal/format/pubkey"
)

// offlineKeys is the private keys found in some folders. Which key is whose is
// told by the key, never by the file's name.
type offlineKeys struct {
	dirs   []string
	keys   map[[32]byte]offlineKey
	broken []error // files that could not be read as keys
	fresh  map[string]crypto.Signer
}

type offlineKey struct {
	path   string
	signer crypto.Signer
}

// loadOffline reads every NAME.pem in the folders. A file that is no private
// key is only complained about when a key is missing.
func loadOffline(dirs []string) (*offlineKeys, error) {
	o := &offlineKeys{dirs: dirs, keys: map[[32]byte]offlineKey{}, fresh: map[string]crypto.Signer{}}
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, fmt.Errorf("--offline-keys %s: %w", dir, err)
		}
		for _, e := range entries {
			if strings.HasSuffix(e.Name(), ".pem") {
				if err := o.load(filepath.Join(dir, e.Name())); err != nil {
					o.broken = append(o.broken, err)
				}
			}
		}
	}
	return o, nil
}

// load adds the key in a file.
func (o *offlineKeys) load(path string) error {
	key, err := keyring.Load(path)
	if err != nil {
		return err
	}
	id, err := pubkey.KeyID(key.Public())
	if err != nil {
		return fmt.Errorf("key file %s: %w", path, err)
	}
	if _, known := o.keys[id]; !known {
		o.keys[id] = offlineKey{path, key}
	}
	return nil
}

// get is the private key of pub, if it was found.
func (o *offlineKeys) get(pub crypto.PublicKey) (offlineKey, bool) {
	id, err := pubkey.KeyID(pub)
	k, ok := o.keys[id]
	return k, err == nil && ok
}

// find is the private key of any of pubs, which sign for what whose names. The
// first start wrote it as usual.pem.
func (o *offlineKeys) find(whose, usual string, pubs ...crypto.PublicKey) (crypto.Signer, error) {
	for _, pub := range pubs {
		if k, ok := o.get(pub); ok {
			return k.signer, nil
		}
	}
	where := strings.Join(o.dirs, ", ")
	for _, k := range o.keys {
		if name := filepath.Base(k.path); name == usual+".pem" || strings.HasPrefix(name, usual+"-") {
			return nil, fmt.Errorf("%s does not hold the key of %s: it is the key of another instance, or one that was replaced; expected this instance's offline keys in %s", k.path, whose, where)
		}
	}
	err := fmt.Errorf("no key in %s is the one of %s: expected it as %s.pem, among the offline keys that this instance's first start made", where, whose, usual)
	return nil, errors.Join(append([]error{err}, o.broken...)...)
}

// make is a new key that save will write as the nth of its name into the first
// folder. A file of that name that is there already, prepared or left by a
// rotation that was cut off, is taken instead.
func (o *offlineKeys) make(name string, n int) (crypto.Signer, error) {
	path := filepath.Join(o.dirs[0], fmt.Sprintf("%s-%d.pem", name, n))
	key, err := keyring.Load(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if key, err = keyring.GenerateP256(); err != nil {
		return nil, err
	}
	o.fresh[path] = key
	return key, nil
}

// made lists the files that save writes.
func (o *offlineKeys) made() []string {
	var paths []string
	for path := range o.fresh {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	return paths
}

func (o *offlineKeys) save() error {
	for _, path := range o.made() {
		if err := keyring.Save(path, o.fresh[path]); err != nil {
			return fmt.Errorf("a new offline key could not be written, so nothing was changed: %w", err)
		}
	}
	return nil
}
