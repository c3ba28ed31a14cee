// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"os"
	"slices"

	"hallmark/internal/base/keyring"
	"hallmark/internal/format/pubkey"
	"hallmark/internal/service/tufrepo"
)

// TUFRotation says which of TUF's keys a [Rotation] replaces. The zero value
// replaces those of snapshot, timestamp and targets.
type TUFRotation struct {
	// Roles is any of snapshot, timestamp and targets, each of which gets one
	// new key.
	Roles []string
	// RootKeys are files with the keys that may sign roots from now on, private
	// or public; Threshold of them have to.
	RootKeys  []string
	Threshold int
}

const maxKeyFile = 64 << 10

// replaceTUF makes the next root, signed by the keys that the current one asks
// for and by the new ones, and signs everything below it anew.
func (w *rotation) replaceTUF() error {
	online, err := loadKeys(w.files, keyTUFSnapshot, keyTUFTimestamp)
	if err != nil {
		return err
	}
	current := tufrepo.Online{Snapshot: online[keyTUFSnapshot], Timestamp: online[keyTUFTimestamp]}
	repo, err := tufrepo.Open(w.files.tuf(), current, tufrepo.Config{})
	if err != nil {
		return err
	}
	version, _, _, _ := repo.Versions()
	change, err := w.tufChange(int(version) + 1)
	if err != nil {
		return err
	}
	signers, err := w.rootSigners(repo, change)
	if err != nil {
		return err
	}
	if err := os.RemoveAll(w.files.tuf()); err != nil {
		return err
	}
	liveTUF := instanceFiles{w.live.instance()}.tuf()
	if err := tufrepo.Rotate(liveTUF, w.files.tuf(), change, current, signers, tufrepo.Config{}, w.now); err != nil {
		return fmt.Errorf("%w (keys were looked for in %v)", err, w.OfflineKeys)
	}
	w.done.Name, w.done.TUFRoot, w.done.Made = fmt.Sprintf("TUF root version %d", version+1), version+1, w.offline.made()
	w.done.From = w.now.UTC()
	return nil
}

// tufChange makes or reads the new keys; n is the new root's version.
func (w *rotation) tufChange(n int) (tufrepo.Change, error) {
	var c tufrepo.Change
	roles := w.TUF.Roles
	if len(roles) == 0 && len(w.TUF.RootKeys) == 0 {
		roles = []string{"snapshot", "timestamp", "targets"}
	}
	for _, role := range roles {
		if slices.Contains(w.done.Replaced, role) {
			return c, fmt.Errorf("--roles: %s is given twice", role)
		}
		var err error
		switch role {
		case "snapshot":
			c.Snapshot, err = w.replaceOnline(keyTUFSnapshot)
		case "timestamp":
			c.Timestamp, err = w.replaceOnline(keyTUFTimestamp)
		case "targets":
			c.Targets, err = w.offline.make(keyTUFTargets, n)
		default:
			err = fmt.Errorf("--roles %s: expected snapshot, timestamp or targets; who signs roots is said with --root-keys", role)
		}
		if err != nil {
			return c, err
		}
		w.done.Replaced = append(w.done.Replaced, role)
	}
	if len(w.TUF.RootKeys) == 0 {
		if w.TUF.Threshold != 0 {
			return c, errors.New("--threshold goes with --root-keys")
		}
		return c, nil
	}
	c.Threshold = w.TUF.Threshold
	if c.Threshold == 0 {
		if len(w.TUF.RootKeys) > 1 {
			return c, fmt.Errorf("--root-keys names %d keys: say with --threshold how many of them have to sign a root", len(w.TUF.RootKeys))
		}
		c.Threshold = 1
	}
	for _, path := range w.TUF.RootKeys {
		pub, err := w.rootKey(path)
		if err != nil {
			return c, fmt.Errorf("--root-keys: %w", err)
		}
		c.Root = append(c.Root, pub)
	}
	w.done.Replaced = append(w.done.Replaced, "root")
	return c, nil
}

// replaceOnline makes a new key in the place of an old one.
func (w *rotation) replaceOnline(name string) (crypto.Signer, error) {
	key, err := keyring.GenerateP256()
	if err != nil {
		return nil, err
	}
	if err := os.Remove(w.files.key(name)); err != nil {
		return nil, err
	}
	return key, keyring.Save(w.files.key(name), key)
}

// rootKey reads a public key, or a private one that can then sign.
func (w *rotation) rootKey(path string) (crypto.PublicKey, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if len(data) > maxKeyFile {
		return nil, fmt.Errorf("%s has %d bytes: expected a PEM key", path, len(data))
	}
	if bytes.Contains(data, []byte("BEGIN PUBLIC KEY")) {
		pub, err := pubkey.ParsePEM(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return pub, nil
	}
	if err := w.offline.load(path); err != nil {
		return nil, err
	}
	key, err := keyring.Load(path)
	if err != nil {
		return nil, err
	}
	return key.Public(), nil
}

// rootSigners is every private key at hand that the current or the next root
// role names.
func (w *rotation) rootSigners(repo *tufrepo.Repo, c tufrepo.Change) ([]crypto.Signer, error) {
	named, _, err := repo.Signers("root")
	if err != nil {
		return nil, err
	}
	var signers []crypto.Signer
	for _, pub := range slices.Concat(named, c.Root) {
		k, ok := w.offline.get(pub)
		if !ok || slices.Contains(w.done.Signed, k.path) {
			continue
		}
		w.done.Signed = append(w.done.Signed, k.path)
		signers = append(signers, k.signer)
	}
	return signers, nil
}
