// SPDX-License-Identifier: Apache-2.0

package tufrepo

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// Verify checks a repository folder whole, without changing it: every file
// parses and belongs there, signatures, hashes and versions hold, and each
// target in want is published with exactly these bytes. It judges no expiry,
// see [Repo.Expiry]: a daemon that was stopped for a week re-signs when it
// starts. The error joins everything found.
func Verify(dir string, want map[string][]byte) error {
	st, err := load(dir)
	if err != nil {
		return fmt.Errorf("tuf: %s: %w", dir, err)
	}
	var problems []error
	report := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf("tuf: %s: "+format, append([]any{dir}, args...)...))
	}
	current := st.set.Targets["targets"].Signed
	for name, data := range want {
		info, ok := current.Targets[name]
		if !ok {
			report("target %s is not published", name)
		} else if !bytes.Equal(st.files[targetPath(name, info.Hashes["sha256"])].data, data) {
			report("target %s is published with other content than this instance's", name)
		}
	}
	st.verifyEarlier(report)
	if err := st.verifyListing(dir, report); err != nil {
		report("%v", err)
	}
	return errors.Join(problems...)
}

// verifyEarlier checks the versions before the current ones, which are still
// served. Their signers may have been replaced since, so what holds them is
// that they parse and carry their own version number.
func (st *state) verifyEarlier(report func(string, ...any)) {
	for v := int64(1); v < st.set.Snapshot.Signed.Version; v++ {
		name := versioned(v, "snapshot")
		m, err := metadata.Snapshot().FromBytes(st.files[name].data)
		if err != nil {
			report("%s: %v", name, err)
		} else if m.Signed.Version != v {
			report("%s: says version %d", name, m.Signed.Version)
		}
	}
	for v := int64(1); v < st.set.Targets["targets"].Signed.Version; v++ {
		name := versioned(v, "targets")
		m, err := metadata.Targets().FromBytes(st.files[name].data)
		if err != nil {
			report("%s: %v", name, err)
			continue
		}
		if m.Signed.Version != v {
			report("%s: says version %d", name, m.Signed.Version)
		}
		for target, info := range m.Signed.Targets {
			path := targetPath(target, info.Hashes["sha256"])
			if err := info.VerifyLengthHashes(st.files[path].data); err != nil {
				report("%s: %v", path, err)
			}
		}
	}
}

// verifyListing reports files that nothing accounts for. What a crash can
// leave is accounted for: temporary files, the next versions of snapshot and
// targets, and target files under their own hash.
func (st *state) verifyListing(dir string, report func(string, ...any)) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	next := map[string]int64{
		"root":     st.set.Root.Signed.Version,
		"targets":  st.set.Targets["targets"].Signed.Version + 1,
		"snapshot": st.set.Snapshot.Signed.Version + 1,
	}
	for _, e := range entries {
		name := e.Name()
		version, role, ok := parseVersioned(name)
		switch {
		case name == "timestamp.json", name == "targets" && e.IsDir(), isTemporary(name):
		case ok && next[role] > 0:
			if version > next[role] {
				report("%s: a version from the future", name)
			}
		default:
			report("%s does not belong here", name)
		}
	}
	targets, err := os.ReadDir(filepath.Join(dir, "targets"))
	if err != nil {
		return err
	}
	for _, e := range targets {
		name := e.Name()
		if _, ok := st.files["targets/"+name]; ok || isTemporary(name) {
			continue
		}
		if len(name) < 66 || name[64] != '.' {
			report("targets/%s does not belong here", name)
			continue
		}
		data, err := readFile(filepath.Join(dir, "targets", name))
		if err != nil {
			report("%v", err)
		} else if f := newFile(data); f.etag[1:65] != name[:64] {
			report("targets/%s: content does not match the hash in its name", name)
		}
	}
	return nil
}

// parseVersioned is the inverse of versioned.
func parseVersioned(name string) (version int64, role string, ok bool) {
	number, rest, _ := strings.Cut(name, ".")
	version, err := strconv.ParseInt(number, 10, 64)
	role = strings.TrimSuffix(rest, ".json")
	return version, role, err == nil && version > 0 && name == versioned(version, role)
}

func isTemporary(name string) bool { return strings.HasPrefix(name, ".tmp-") }
