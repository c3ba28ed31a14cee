// SPDX-License-Identifier: Apache-2.0

package tufrepo

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/trustedmetadata"
)

const (
	maxFile  = 8 << 20 // bytes of one file of the repository
	maxRoots = 1024    // length of the chain of roots
)

// state is one whole, verified repository in memory. It never changes.
type state struct {
	set   *trustedmetadata.TrustedMetadata
	files map[string]file // by the path they are served under
}

// file is one file as it is served.
type file struct {
	data []byte
	etag string
}

func newFile(data []byte) file {
	sum := sha256.Sum256(data)
	return file{data: data, etag: `"` + hex.EncodeToString(sum[:]) + `"`}
}

func (st *state) rootName() string { return versioned(st.set.Root.Signed.Version, "root") }

func (st *state) rootSHA256() string {
	sum := sha256.Sum256(st.files[st.rootName()].data)
	return hex.EncodeToString(sum[:])
}

func (st *state) expiry() Expiry {
	return Expiry{
		Root:      st.set.Root.Signed.Expires,
		Targets:   st.set.Targets["targets"].Signed.Expires,
		Snapshot:  st.set.Snapshot.Signed.Expires,
		Timestamp: st.set.Timestamp.Signed.Expires,
	}
}

// load reads and verifies what timestamp.json leads to, and adds the earlier
// versions that readers may still be on their way to.
func load(dir string) (*state, error) {
	st := &state{files: map[string]file{}}
	if err := st.loadRoots(dir); err != nil {
		return nil, err
	}
	timestamp, err := st.read(dir, "timestamp.json")
	if err != nil {
		return nil, err
	}
	if err := st.loadTop(dir, timestamp); err != nil {
		return nil, err
	}
	st.loadEarlier(dir)
	return st, nil
}

// read reads one file and adds it to the served ones.
func (st *state) read(dir, name string) ([]byte, error) {
	data, err := readFile(filepath.Join(dir, filepath.FromSlash(name)))
	if err != nil {
		return nil, err
	}
	st.files[name] = newFile(data)
	return data, nil
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, maxFile)
	}
	return data, nil
}

func (st *state) loadRoots(dir string) error {
	first, err := st.read(dir, versioned(1, "root"))
	if err != nil {
		return err
	}
	st.set, err = trustedmetadata.New(first)
	if err != nil {
		return fmt.Errorf("1.root.json: %w", err)
	}
	st.set.RefTime = time.Time{} // what has expired is still what is published
	for version := int64(2); version <= maxRoots; version++ {
		name := versioned(version, "root")
		data, err := st.read(dir, name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if _, err := st.set.UpdateRoot(data); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return fmt.Errorf("more than %d roots", maxRoots)
}

// loadTop verifies timestamp, snapshot, targets and the target files.
func (st *state) loadTop(dir string, timestamp []byte) error {
	if _, err := st.set.UpdateTimestamp(timestamp); err != nil {
		return fmt.Errorf("timestamp.json: %w", err)
	}
	meta := st.set.Timestamp.Signed.Meta["snapshot.json"]
	if meta == nil {
		return errors.New("timestamp.json: names no snapshot.json")
	}
	name := versioned(meta.Version, "snapshot")
	data, err := st.read(dir, name)
	if err != nil {
		return err
	}
	if _, err := st.set.UpdateSnapshot(data, false); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if meta = st.set.Snapshot.Signed.Meta["targets.json"]; meta == nil {
		return fmt.Errorf("%s: names no targets.json", name)
	}
	name = versioned(meta.Version, "targets")
	if data, err = st.read(dir, name); err != nil {
		return err
	}
	targets, err := st.set.UpdateTargets(data)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return st.loadTargetFiles(dir, name, targets)
}

func (st *state) loadTargetFiles(dir, role string, targets *metadata.Metadata[metadata.TargetsType]) error {
	for name, info := range targets.Signed.Targets {
		if !validTarget(name) || len(info.Hashes["sha256"]) != sha256.Size {
			return fmt.Errorf("%s: target %q has an unusable name or no SHA-256", role, name)
		}
		path := targetPath(name, info.Hashes["sha256"])
		data, err := st.read(dir, path)
		if err != nil {
			return err
		}
		if err := info.VerifyLengthHashes(data); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}

// loadEarlier adds versions below the current ones. One that is missing or
// damaged is left out: nothing leads there any more, and [Verify] reports it.
func (st *state) loadEarlier(dir string) {
	for v := range st.set.Snapshot.Signed.Version {
		st.read(dir, versioned(v, "snapshot"))
	}
	for v := range st.set.Targets["targets"].Signed.Version {
		name := versioned(v, "targets")
		data, err := st.read(dir, name)
		if err != nil {
			continue
		}
		if role, err := metadata.Targets().FromBytes(data); err == nil {
			st.loadTargetFiles(dir, name, role)
		}
	}
}

// with is the state that has further files, which replace those of the same
// name, and is verified like one read from disk.
func (st *state) with(files map[string][]byte) (*state, error) {
	next := &state{files: maps.Clone(st.files)}
	for name, data := range files {
		next.files[name] = newFile(data)
	}
	set, err := trustedmetadata.New(next.files[st.rootName()].data)
	if err != nil {
		return nil, err
	}
	set.RefTime = time.Time{}
	next.set = set
	if data, ok := files[versioned(st.set.Root.Signed.Version+1, "root")]; ok {
		if _, err := set.UpdateRoot(data); err != nil {
			return nil, err
		}
	}
	if _, err := set.UpdateTimestamp(next.files["timestamp.json"].data); err != nil {
		return nil, err
	}
	snapshot := set.Timestamp.Signed.Meta["snapshot.json"].Version
	if _, err := set.UpdateSnapshot(next.files[versioned(snapshot, "snapshot")].data, false); err != nil {
		return nil, err
	}
	targets := set.Snapshot.Signed.Meta["targets.json"].Version
	if _, err := set.UpdateTargets(next.files[versioned(targets, "targets")].data); err != nil {
		return nil, err
	}
	return next, nil
}
