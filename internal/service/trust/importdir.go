// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/trustedmetadata"
)

// ImportDir stores a trust root from a folder, which is one of
//
//   - the TUF cache of cosign and other Sigstore clients (~/.sigstore/root, or
//     the folder of one mirror in it): stored together with the mirror's URL, so
//     that Refresh goes on from there;
//   - a folder that Mirror wrote, or a copy of one;
//   - a folder with trusted_root.json and, perhaps, signing_config.v0.2.json.
//
// TUF metadata has to be whole and signed, and the files the ones that it
// describes; that it has expired does not matter here. As with Import, an
// earlier import of that name is replaced, and a name that is refreshed by TUF
// is an error that wraps ErrExists.
func (s *Store) ImportDir(ctx context.Context, name, dir string) (Info, error) {
	if err := checkImportName(name); err != nil {
		return Info{}, err
	}
	f, err := readFolder(dir)
	if err != nil {
		return Info{}, fmt.Errorf("trust import %s: %s: %w", name, dir, err)
	}
	now := s.now().UTC()
	r := &record{Name: name, Kind: KindStatic, Created: now.Truncate(time.Second), Refreshed: now}
	if f.mirror != "" {
		r.Kind, r.URL, r.Mirror, r.TUF = KindTUF, f.mirror, f.mirror, f.tuf
		r.RootSHA256, r.Refreshed = hexSHA256(f.files[tufRoot]), f.refreshed.UTC()
		if r.Refreshed.After(now) {
			r.Refreshed = now
		}
	}
	return s.keepImport(ctx, r, f.files)
}

// folder is a trust root as it was found in a folder.
type folder struct {
	files     map[string][]byte // named as in a generation
	mirror    string            // where it came from; "" if that is not known
	refreshed time.Time
	tuf       *recordTUF
}

// readFolder recognises what dir is by the files in it.
func readFolder(dir string) (*folder, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	has, numbered := map[string]bool{}, false
	for _, e := range entries {
		has[e.Name()] = true
		numbered = numbered || isNumberedRoot("tuf/"+e.Name())
	}
	switch {
	case has["timestamp.json"] && numbered:
		return readMirrorFolder(dir)
	case has["root.json"] && has["timestamp.json"]:
		return readCache(dir, "")
	case has[rootFile]:
		return readPlain(dir)
	}
	return readCaches(dir, entries, has)
}

// readCaches picks one cache of several: the one that remote.json names, or the
// only one.
func readCaches(dir string, entries []fs.DirEntry, has map[string]bool) (*folder, error) {
	var caches []string
	for _, e := range entries {
		if _, err := os.Stat(filepath.Join(dir, e.Name(), "root.json")); err == nil {
			caches = append(caches, e.Name())
		}
	}
	mirror := ""
	if has["remote.json"] {
		var remote struct {
			Mirror string `json:"mirror"`
		}
		data, err := readFile(filepath.Join(dir, "remote.json"), maxRecord)
		if err == nil {
			err = json.Unmarshal(data, &remote)
		}
		if err != nil {
			return nil, fmt.Errorf("remote.json: %w", err)
		}
		mirror = strings.TrimRight(remote.Mirror, "/")
		for _, url := range []string{remote.Mirror, mirror} {
			if i := slices.Index(caches, cacheName(url)); i >= 0 {
				return readCache(filepath.Join(dir, caches[i]), mirror)
			}
		}
	}
	switch {
	case len(caches) == 1 && mirror == "":
		return readCache(filepath.Join(dir, caches[0]), "")
	case len(caches) > 0:
		return nil, fmt.Errorf("it is not clear which of its caches is meant: give the folder of one: %s", strings.Join(caches, ", "))
	case has["tuf.db"]:
		return nil, errors.New("it is the cache of an old cosign, which has no trusted_root.json: run cosign initialize with cosign 2.4 or later")
	}
	return nil, fmt.Errorf("expected the TUF cache of a Sigstore client (with root.json and targets/%s), a TUF repository (with 1.root.json), or a folder with %s", rootFile, rootFile)
}

// cacheName is the folder in which Sigstore clients cache a mirror.
func cacheName(mirror string) string {
	name := strings.TrimPrefix(strings.TrimPrefix(mirror, "https://"), "http://")
	return strings.ToLower(strings.NewReplacer("/", "-", ":", "-").Replace(name))
}

// readCache reads one mirror's cache. Without mirror, remote.json beside the
// folder may name it.
func readCache(dir, mirror string) (*folder, error) {
	f := &folder{files: map[string][]byte{}, mirror: mirror}
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	if f.mirror == "" {
		f.mirror = mirrorOfCache(dir)
	}
	if f.mirror != "" {
		if _, err := parseURL(f.mirror); err != nil {
			return nil, fmt.Errorf("remote.json: mirror: %w", err)
		}
	}
	for _, name := range []string{tufRoot, tufTimestamp, tufSnapshot, tufTargets} {
		data, err := readFile(filepath.Join(dir, filepath.Base(name)), maxStored)
		if err != nil {
			return nil, fmt.Errorf("the cache is not whole: %w", err)
		}
		f.files[name] = data
	}
	f.refreshed = cacheTime(dir)
	if err := f.verify(func(target string, _ *metadata.TargetFiles) ([]byte, error) {
		return readFile(filepath.Join(dir, "targets", target), maxStored)
	}); err != nil {
		return nil, err
	}
	f.files[numberedRoot(f.tuf.Root)] = f.files[tufRoot]
	return f, nil
}

// mirrorOfCache is the mirror that remote.json beside dir names, if it is dir's.
func mirrorOfCache(dir string) string {
	var remote struct {
		Mirror string `json:"mirror"`
	}
	data, err := readFile(filepath.Join(filepath.Dir(dir), "remote.json"), maxRecord)
	if err != nil || json.Unmarshal(data, &remote) != nil {
		return ""
	}
	mirror := strings.TrimRight(remote.Mirror, "/")
	if base := filepath.Base(dir); base != cacheName(mirror) && base != cacheName(remote.Mirror) {
		return ""
	}
	return mirror
}

// cacheTime is when the cache in dir was last refreshed, as far as its owner
// wrote that down.
func cacheTime(dir string) time.Time {
	var note struct {
		LastTimestamp time.Time `json:"lastTimestamp"`
	}
	if data, err := readFile(dir+".json", maxRecord); err == nil && json.Unmarshal(data, &note) == nil && !note.LastTimestamp.IsZero() {
		return note.LastTimestamp
	}
	if fi, err := os.Stat(filepath.Join(dir, "timestamp.json")); err == nil {
		return fi.ModTime()
	}
	return time.Time{}
}

// readMirrorFolder reads a TUF repository with consistent snapshots.
func readMirrorFolder(dir string) (*folder, error) {
	st, err := readMirror(dir)
	if err != nil {
		return nil, err
	}
	if st.snapshot == nil || st.targets == nil {
		return nil, errors.New("the repository is not whole: the metadata that timestamp.json leads to is not there")
	}
	for version := st.latest; st.roots[version-1] != nil; version-- {
		if err := leadsTo(st.roots[version-1], st.roots[version], version-1); err != nil {
			return nil, fmt.Errorf("%d.root.json: %w", version, explainKind(err))
		}
	}
	f := &folder{files: st.metadata()}
	f.files[tufRoot] = st.roots[st.latest]
	err = f.verify(func(name string, info *metadata.TargetFiles) ([]byte, error) {
		var data []byte
		err := error(fs.ErrNotExist)
		for _, file := range targetNames(name, info) {
			if data, err = readFile(filepath.Join(dir, filepath.FromSlash(file)), maxStored); err == nil {
				return data, nil
			}
		}
		return nil, err
	})
	for name := range f.files { // where it came from is not known, so it cannot be refreshed
		if strings.HasPrefix(name, "tuf/") {
			delete(f.files, name)
		}
	}
	return f, err
}

// readPlain reads the two files by their names.
func readPlain(dir string) (*folder, error) {
	f := &folder{files: map[string][]byte{}}
	for _, name := range []string{rootFile, configFile} {
		data, err := readFile(filepath.Join(dir, name), maxStored)
		if errors.Is(err, fs.ErrNotExist) && name != rootFile {
			continue
		}
		if err != nil {
			return nil, err
		}
		f.files[name] = data
	}
	return f, nil
}

// verify checks the metadata among f's files, whatever its age, and adds the
// target files that it describes.
func (f *folder) verify(read func(name string, info *metadata.TargetFiles) ([]byte, error)) (err error) {
	defer func() {
		if p := recover(); p != nil { // as in update.malformed
			err = fmt.Errorf("malformed TUF metadata: %v", p)
		}
	}()
	set, err := trustedmetadata.New(f.files[tufRoot])
	if err != nil {
		return fmt.Errorf("root.json: %w", explainKind(err))
	}
	set.RefTime = time.Time{} // nothing has expired
	for _, step := range []struct {
		name string
		do   func(data []byte) error
	}{
		{tufTimestamp, func(b []byte) error { _, err := set.UpdateTimestamp(b); return err }},
		{tufSnapshot, func(b []byte) error { _, err := set.UpdateSnapshot(b, false); return err }},
		{tufTargets, func(b []byte) error { _, err := set.UpdateTargets(b); return err }},
	} {
		if err := step.do(f.files[step.name]); err != nil {
			return fmt.Errorf("%s: %w", strings.TrimPrefix(step.name, "tuf/"), explainKind(err))
		}
	}
	for _, name := range []string{rootFile, configFile, instanceFile} {
		info := set.Targets[metadata.TARGETS].Signed.Targets[name]
		if info == nil && name == rootFile {
			return fmt.Errorf("the repository has no target %s: expected a Sigstore repository", rootFile)
		}
		if info == nil {
			continue
		}
		data, err := read(name, info)
		if errors.Is(err, fs.ErrNotExist) && name != rootFile {
			continue // clients cache what they used
		}
		if err != nil {
			return err
		}
		if err := info.VerifyLengthHashes(data); err != nil {
			return fmt.Errorf("target %s: %w", name, explainKind(err))
		}
		f.files[name] = data
	}
	f.tuf = &recordTUF{Root: set.Root.Signed.Version, Timestamp: set.Timestamp.Signed.Version, Snapshot: set.Snapshot.Signed.Version,
		Targets: set.Targets[metadata.TARGETS].Signed.Version, Expires: set.Timestamp.Signed.Expires}
	return nil
}
