// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/trustedmetadata"
)

// Caps of one mirror run. That of a single file is the HTTP client's too.
const (
	maxMirror        = 512 << 20 // bytes downloaded
	maxMirrorFile    = 8 << 20   // bytes of one metadata or target file
	maxMirrorRoles   = 256       // delegated roles
	maxMirrorTargets = 10_000
)

// delegated follows the delegations of the targets role and returns the
// verified metadata of every role it leads to, by its name in the repository.
func (m *mirror) delegated(set *trustedmetadata.TrustedMetadata) (map[string][]byte, error) {
	files := map[string][]byte{}
	queue := []string{metadata.TARGETS}
	for len(queue) > 0 {
		parent := queue[0]
		queue = queue[1:]
		names, err := delegations(set.Targets[parent])
		if err != nil {
			return nil, fmt.Errorf("TUF repository %s: role %q: %w", m.url, parent, err)
		}
		for _, role := range names {
			if set.Targets[role] != nil {
				continue
			}
			if len(set.Targets) > maxMirrorRoles {
				return nil, fmt.Errorf("TUF repository %s has more than %d delegated roles", m.url, maxMirrorRoles)
			}
			info := set.Snapshot.Signed.Meta[role+".json"]
			if info == nil {
				return nil, fmt.Errorf("TUF repository %s: its snapshot does not name the delegated role %q", m.url, role)
			}
			name := versioned(info.Version, role)
			if err := servable(name); err != nil {
				return nil, fmt.Errorf("TUF repository %s: role %q: %w", m.url, role, err)
			}
			if files[name], err = m.role(set, parent, role, name, info); err != nil {
				return nil, fmt.Errorf("TUF repository %s: role %q: %w", m.url, role, explainKind(err))
			}
			queue = append(queue, role)
		}
	}
	return files, nil
}

// role is the verified metadata of a delegated role: the folder's where it has
// it, else the server's.
func (m *mirror) role(set *trustedmetadata.TrustedMetadata, parent, role, name string, info *metadata.MetaFiles) ([]byte, error) {
	if data, err := readFile(m.path(name), maxMirrorFile); err == nil {
		if _, err := set.UpdateDelegatedTargets(data, role, parent); err == nil {
			return data, nil
		}
	}
	limit := info.Length
	if limit <= 0 || limit > maxMirrorFile {
		limit = maxMirrorFile
	}
	data, err := m.fetchFrom(versioned(info.Version, url.PathEscape(role)), limit)
	if err != nil {
		return nil, err
	}
	_, err = set.UpdateDelegatedTargets(data, role, parent)
	return data, err
}

// delegations lists the roles that t delegates to.
func delegations(t *metadata.Metadata[metadata.TargetsType]) ([]string, error) {
	d := t.Signed.Delegations
	if d == nil {
		return nil, nil
	}
	var names []string
	for _, r := range d.Roles {
		names = append(names, r.Name)
	}
	if bins := d.SuccinctRoles; bins != nil {
		if bins.BitLength < 1 || bins.BitLength > 8 {
			return nil, fmt.Errorf("delegates to 2^%d hash bins: expected at most %d roles", bins.BitLength, maxMirrorRoles)
		}
		names = append(names, bins.GetRoles()...)
	}
	return names, nil
}

// targets fetches and writes every target file of every role, and counts them.
func (m *mirror) targets(set *trustedmetadata.TrustedMetadata) (int, error) {
	total := 0
	for _, t := range set.Targets {
		if total += len(t.Signed.Targets); total > maxMirrorTargets {
			return 0, fmt.Errorf("TUF repository %s has more than %d targets", m.url, maxMirrorTargets)
		}
	}
	for _, t := range set.Targets {
		for name, info := range t.Signed.Targets {
			if err := m.target(name, info); err != nil {
				return 0, fmt.Errorf("TUF repository %s: target %q: %w", m.url, name, explainKind(err))
			}
		}
	}
	return total, nil
}

// target makes the folder hold one target file under each of its names: the
// clients choose one of its hashes.
func (m *mirror) target(name string, info *metadata.TargetFiles) error {
	if info == nil {
		return errors.New("the metadata does not describe it")
	}
	if err := servable(name); err != nil {
		return err
	}
	if info.Length > maxMirrorFile {
		return fmt.Errorf("%d bytes: expected at most %d", info.Length, maxMirrorFile)
	}
	names := targetNames(name, info)
	if len(names) == 0 {
		return errors.New("the metadata has no hash for it")
	}
	data := m.localTarget(names, info)
	if data == nil {
		var err error
		for _, file := range names {
			if data, err = m.fetchFrom(file, info.Length); !absent(err) {
				break
			}
		}
		if err != nil {
			return err
		}
		if err := info.VerifyLengthHashes(data); err != nil {
			return err
		}
	}
	for _, file := range names {
		if err := m.write(file, data); err != nil {
			return err
		}
	}
	return nil
}

// localTarget is the target's content if the folder has it under one of its
// names, unchanged.
func (m *mirror) localTarget(names []string, info *metadata.TargetFiles) []byte {
	for _, file := range names {
		if data, err := readFile(m.path(file), info.Length); err == nil && info.VerifyLengthHashes(data) == nil {
			return data
		}
	}
	return nil
}

// targetNames are the consistent-snapshot names of a target, SHA-256 first.
func targetNames(name string, info *metadata.TargetFiles) []string {
	var names []string
	for alg, sum := range info.Hashes {
		if len(sum) > 0 {
			names = append(names, alg+" "+path.Join("targets", path.Dir(name), sum.String()+"."+path.Base(name)))
		}
	}
	slices.Sort(names)
	for i, n := range names {
		_, names[i], _ = strings.Cut(n, " ")
	}
	return names
}

// servable refuses names that a path in a URL or in a folder could not hold as
// they are.
func servable(name string) error {
	odd := func(r rune) bool {
		plain := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		return !plain && !strings.ContainsRune("/._-+@=~", r)
	}
	if len(name) > 512 || !fs.ValidPath(name) || name == "." || strings.ContainsFunc(name, odd) || strings.HasPrefix(name, ".") || strings.Contains(name, "/.") {
		return errors.New("unusable name: expected a path of ASCII letters, digits and . _ - + @ = ~, no element of which begins with a dot")
	}
	return nil
}
