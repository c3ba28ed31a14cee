// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"hallmark/internal/base/durable"
)

// mirrorLock marks a folder as a mirror and is held by whoever writes to it.
const mirrorLock = ".hallmark-mirror.lock"

// claimMirrorDir makes dir if it is not there, and refuses a folder that holds
// something else.
func claimMirrorDir(dir string) error {
	if dir == "" {
		return errors.New("no folder to write to")
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return durable.MkdirAll(dir, 0o755)
	}
	if err != nil {
		return err
	}
	ours := len(entries) == 0
	for _, e := range entries {
		ours = ours || e.Name() == mirrorLock || e.Name() == "timestamp.json"
	}
	if !ours {
		return fmt.Errorf("%s holds other files than a TUF repository's: give an empty or a new folder", dir)
	}
	return nil
}

// mirrorState is what a folder serves.
type mirrorState struct {
	roots  map[int64][]byte
	latest int64 // version of the latest root; 0 without any
	// Byte for byte; nil where there is none yet.
	timestamp, snapshot, targets []byte
}

// readMirror reads the metadata in dir. Its signatures are not checked here:
// clients would, and what is wrong is replaced, all but a timestamp that cannot
// be read, without which a rollback would not be noticed.
func readMirror(dir string) (*mirrorState, error) {
	st := &mirrorState{roots: map[int64][]byte{}}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		version, ok := rootVersion("tuf/" + e.Name())
		if !ok || !e.Type().IsRegular() {
			continue
		}
		if len(st.roots) > maxFiles {
			return nil, fmt.Errorf("more than %d roots", maxFiles)
		}
		data, err := readFile(filepath.Join(dir, e.Name()), maxRoot)
		if err != nil {
			return nil, err
		}
		st.roots[version], st.latest = data, max(st.latest, version)
	}
	read := func(name string) ([]byte, error) {
		data, err := readFile(filepath.Join(dir, name), maxStored)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return data, err
	}
	if st.timestamp, err = read("timestamp.json"); err != nil || st.timestamp == nil {
		return st, err
	}
	ts, err := metadata.Timestamp().FromBytes(st.timestamp)
	if err != nil || ts.Signed.Meta["snapshot.json"] == nil {
		return nil, errors.New("timestamp.json cannot be read")
	}
	if st.snapshot, err = read(versioned(ts.Signed.Meta["snapshot.json"].Version, "snapshot")); err != nil || st.snapshot == nil {
		return st, err
	}
	sn, err := metadata.Snapshot().FromBytes(st.snapshot)
	if err != nil || sn.Signed.Meta["targets.json"] == nil {
		return st, nil //nolint:nilerr // replaced by a good one
	}
	st.targets, err = read(versioned(sn.Signed.Meta["targets.json"].Version, "targets"))
	return st, err
}

// metadata is the state under the names that a generation has.
func (st *mirrorState) metadata() map[string][]byte {
	files := map[string][]byte{}
	for name, data := range map[string][]byte{tufTimestamp: st.timestamp, tufSnapshot: st.snapshot, tufTargets: st.targets} {
		if data != nil {
			files[name] = data
		}
	}
	return files
}

// lastSeen writes the newest known metadata to a folder for go-tuf to compare
// with.
func (m *mirror) lastSeen() (dir string, remove func(), err error) {
	if dir, err = os.MkdirTemp("", "hallmark-mirror-"); err != nil {
		return "", nil, err
	}
	remove = func() { os.RemoveAll(dir) }
	if err := os.Mkdir(filepath.Join(dir, "tuf"), 0o700); err != nil {
		remove()
		return "", nil, err
	}
	for _, name := range []string{tufTimestamp, tufSnapshot, tufTargets} {
		if data := m.seen[name]; data != nil {
			if err := os.WriteFile(filepath.Join(dir, filepath.FromSlash(name)), data, 0o600); err != nil {
				remove()
				return "", nil, err
			}
		}
	}
	return dir, remove, nil
}

// rootChain is every root that leads to the latest.
type rootChain struct {
	first int64
	roots map[int64][]byte
}

// chain completes the roots among files, which lead from the trusted one to the
// latest, with those before it, as far back as the repository has them: clients
// that pinned one of them must find the way. Each earlier root has to be signed
// by its own keys and to have signed the one after it.
func (m *mirror) chain(files map[string][]byte, latest int64) (*rootChain, error) {
	c := &rootChain{first: latest, roots: map[int64][]byte{}}
	for name, data := range files {
		if version, ok := rootVersion(name); ok {
			c.roots[version] = data
		}
	}
	for c.first > 1 && c.roots[c.first-1] != nil {
		c.first--
	}
	for c.first > 1 && len(c.roots) < maxRotations {
		version := c.first - 1
		data, err := m.earlierRoot(version)
		if err != nil {
			return nil, err
		}
		if data == nil || leadsTo(data, c.roots[c.first], version) != nil {
			break
		}
		c.roots[version], c.first = data, version
	}
	return c, m.sameRepository(c, latest)
}

// earlierRoot is the root of that version, nil where the repository has none.
func (m *mirror) earlierRoot(version int64) ([]byte, error) {
	if data := m.have.roots[version]; data != nil {
		return data, nil
	}
	if data := m.seen[numberedRoot(version)]; data != nil {
		return data, nil
	}
	data, err := m.fetchFrom(strings.TrimPrefix(numberedRoot(version), "tuf/"), maxRoot)
	if absent(err) {
		return nil, nil
	}
	return data, err
}

// leadsTo says whether root, of that version, is signed by its own keys and has
// signed next.
func leadsTo(root, next []byte, version int64) error {
	r, err := metadata.Root().FromBytes(root)
	if err != nil {
		return err
	}
	if r.Signed.Version != version {
		return fmt.Errorf("version is %d: expected %d", r.Signed.Version, version)
	}
	n, err := metadata.Root().FromBytes(next)
	if err != nil {
		return err
	}
	if err := r.VerifyDelegate(metadata.ROOT, r); err != nil {
		return err
	}
	return r.VerifyDelegate(metadata.ROOT, n)
}

// sameRepository refuses to mix two repositories in one folder, and to go back.
func (m *mirror) sameRepository(c *rootChain, latest int64) error {
	if m.have.latest == 0 {
		return nil
	}
	if m.have.latest > latest {
		return fmt.Errorf("%w: %s has root %d, %s offers %d: refused, the folder stays as it was", ErrRollback, m.dir, m.have.latest, m.url, latest)
	}
	for _, version := range slices.Sorted(maps.Keys(m.have.roots)) {
		if data := c.roots[version]; data == nil || !bytes.Equal(data, m.have.roots[version]) {
			return fmt.Errorf("%s is a copy of another repository: its root %d is not the one that leads to %s's root %d: give another folder", m.dir, version, m.url, latest)
		}
	}
	return nil
}

func (m *mirror) writeRoots(c *rootChain) error {
	for _, version := range slices.Sorted(maps.Keys(c.roots)) {
		if version < c.first {
			continue
		}
		if err := m.write(strings.TrimPrefix(numberedRoot(version), "tuf/"), c.roots[version]); err != nil {
			return err
		}
	}
	return nil
}

func (m *mirror) path(name string) string { return filepath.Join(m.dir, filepath.FromSlash(name)) }

// write makes name hold data, unless it does already.
func (m *mirror) write(name string, data []byte) error {
	path := m.path(name)
	if old, err := readFile(path, int64(len(data))); err == nil && bytes.Equal(old, data) {
		return nil
	}
	if err := durable.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	m.written++
	return durable.WriteFile(path, data, 0o644)
}

// versioned is the consistent-snapshot name of a role's metadata.
func versioned(version int64, role string) string {
	return strconv.FormatInt(version, 10) + "." + role + ".json"
}

// rootVersion is the version in a name that numberedRoot makes.
func rootVersion(name string) (int64, bool) {
	if !isNumberedRoot(name) {
		return 0, false
	}
	digits, _, _ := strings.Cut(strings.TrimPrefix(name, "tuf/"), ".")
	version, err := strconv.ParseInt(digits, 10, 64)
	return version, err == nil
}

// newerTimestamp says whether a is a timestamp.json of a higher version than b.
func newerTimestamp(a, b []byte) bool {
	x, err := metadata.Timestamp().FromBytes(a)
	if err != nil {
		return false
	}
	y, err := metadata.Timestamp().FromBytes(b)
	return err != nil || x.Signed.Version > y.Signed.Version
}
