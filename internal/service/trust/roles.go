// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"fmt"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// Role is what is stored of one TUF role.
type Role struct {
	Name    string // root, timestamp, snapshot or targets
	Version int64
	Expires time.Time
}

// Roles describes the TUF metadata stored for a trust root, "" being the
// default one: root, timestamp, snapshot and targets, in this order. There is
// none for a trust root that came from a file or was never refreshed.
func (s *Store) Roles(name string) ([]Role, error) {
	name, err := s.resolve(name)
	if err != nil {
		return nil, err
	}
	if in, err := s.Show(name); err != nil || !in.Stored || in.Kind == KindStatic {
		return nil, err
	}
	_, files, err := s.read(name, tufRoot, tufTimestamp, tufSnapshot, tufTargets)
	if err != nil {
		return nil, err
	}
	var roles []Role
	add := func(name string, version int64, expires time.Time) {
		roles = append(roles, Role{Name: name, Version: version, Expires: expires.UTC()})
	}
	root, err := metadata.Root().FromBytes(files[tufRoot])
	if err == nil {
		add("root", root.Signed.Version, root.Signed.Expires)
		var m *metadata.Metadata[metadata.TimestampType]
		if m, err = metadata.Timestamp().FromBytes(files[tufTimestamp]); err == nil {
			add("timestamp", m.Signed.Version, m.Signed.Expires)
		}
	}
	if err == nil {
		var m *metadata.Metadata[metadata.SnapshotType]
		if m, err = metadata.Snapshot().FromBytes(files[tufSnapshot]); err == nil {
			add("snapshot", m.Signed.Version, m.Signed.Expires)
		}
	}
	if err == nil {
		var m *metadata.Metadata[metadata.TargetsType]
		if m, err = metadata.Targets().FromBytes(files[tufTargets]); err == nil {
			add("targets", m.Signed.Version, m.Signed.Expires)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("trust root %q: %w: TUF metadata: %w", name, ErrDamaged, err)
	}
	return roles, nil
}
