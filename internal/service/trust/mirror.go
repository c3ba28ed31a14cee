// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"hallmark/internal/base/durable"
	"hallmark/internal/base/fetch"
)

// MirrorOptions says which TUF repository to copy, and where to: either the one
// that a stored trust root is refreshed from (Name), or the one at URL. For a
// URL, at most one of Root, RootSHA256 and TOFU says why to believe it; with
// none of them Dir has to be an earlier copy, whose latest root then counts.
type MirrorOptions struct {
	Name string
	URL  string // of a Hallmark instance, or of a TUF repository

	Root       []byte
	RootSHA256 string
	TOFU       bool

	Dir string
}

// Mirrored is what [Store.Mirror] found and wrote.
type Mirrored struct {
	URL        string // of the TUF repository
	Dir        string
	FirstRoot  int64  // the chain of roots in Dir begins with this version
	RootSHA256 string // of the latest root.json, hexadecimal
	Root       int64  // versions
	Timestamp  int64
	Snapshot   int64
	Targets    int64
	Expires    time.Time // when the timestamp does
	Roles      int       // delegated roles
	Files      int       // target files
	Written    int       // files that were new or different, metadata included
}

// Mirror copies a whole TUF repository into a folder that any static web server
// can serve: every root of the chain, timestamp, snapshot, targets, delegated
// roles, and every target under its consistent-snapshot names.
//
// Everything is verified by the rules of TUF before it is written, and nothing
// that clients could reach is written before all that it leads to is durable:
// timestamp.json comes last. So a run that fails or is killed leaves the folder
// serving its last good state. Files of earlier states stay, for clients that
// are reading them. Running it again brings the folder up to date; state older
// than the folder's, or than the stored trust root's, is refused (ErrRollback).
func (s *Store) Mirror(ctx context.Context, opts MirrorOptions) (*Mirrored, error) {
	m := &mirror{opts: opts, dir: opts.Dir, now: s.now()}
	if err := m.begin(ctx); err != nil {
		return nil, fmt.Errorf("trust mirror: %w", err)
	}
	defer m.lock.Unlock()
	if err := m.choose(ctx, s); err != nil {
		return nil, fmt.Errorf("trust mirror: %w", err)
	}
	out, err := m.run()
	if err != nil {
		return nil, fmt.Errorf("trust mirror: %w", err)
	}
	return out, nil
}

// mirror is one run of Mirror.
type mirror struct {
	opts  MirrorOptions
	dir   string
	now   time.Time
	lock  *durable.FileLock
	have  *mirrorState // what the folder serves now
	url   string
	root  []byte            // the root to begin from
	seen  map[string][]byte // the newest metadata known, named as in a generation
	fetch *fetcher

	written int
}

// begin takes the folder and reads what is in it.
func (m *mirror) begin(ctx context.Context) error {
	if err := claimMirrorDir(m.dir); err != nil {
		return err
	}
	var err error
	if m.lock, err = durable.Lock(ctx, m.path(mirrorLock)); err != nil {
		return err
	}
	if m.have, err = readMirror(m.dir); err != nil {
		m.lock.Unlock()
		return fmt.Errorf("%s: %w: it is no longer what an earlier run wrote: remove it and mirror anew", m.dir, err)
	}
	return nil
}

// choose finds out where to copy from and which root to begin with.
func (m *mirror) choose(ctx context.Context, s *Store) error {
	m.fetch = s.fetcher(ctx)
	m.fetch.left = maxMirror
	m.seen = m.have.metadata()
	if m.opts.Name != "" {
		return m.chooseStored(s)
	}
	o := InitOptions{Name: "mirror", URL: m.opts.URL, Root: m.opts.Root, RootSHA256: m.opts.RootSHA256, TOFU: m.opts.TOFU}
	pinned := len(o.Root) > 0 || o.RootSHA256 != "" || o.TOFU
	if !pinned && m.have.latest > 0 {
		o.Root = m.have.roots[m.have.latest]
	}
	o, err := o.check()
	if err != nil {
		return err
	}
	if m.url, _, err = s.discover(ctx, o.URL); err != nil {
		return err
	}
	if sum := o.RootSHA256; sum != "" && len(o.Root) == 0 {
		for _, data := range m.have.roots { // no need to look for it at the server
			if hexSHA256(data) == sum {
				o.Root = data
			}
		}
	}
	m.root, err = s.firstRoot(ctx, m.url, o)
	return err
}

// chooseStored begins from a stored trust root.
func (m *mirror) chooseStored(s *Store) error {
	r, files, err := s.read(m.opts.Name)
	switch {
	case m.opts.Name == PublicGood && errors.Is(err, ErrNotFound):
		m.url, m.root = publicGoodMirror, publicGoodRoot
		return nil
	case err != nil:
		return err
	case r.Kind == KindStatic:
		return fmt.Errorf("trust root %q was imported from a file: there is no repository to mirror", r.Name)
	}
	m.url, m.root = r.Mirror, files[tufRoot]
	if newerTimestamp(files[tufTimestamp], m.seen[tufTimestamp]) {
		for _, name := range []string{tufTimestamp, tufSnapshot, tufTargets} {
			m.seen[name] = files[name]
		}
	}
	for name, data := range files { // what is known already need not be fetched
		if version, ok := rootVersion(name); ok && m.have.roots[version] == nil {
			m.seen[name] = data
		}
	}
	return nil
}

// run verifies the repository and writes what is new of it.
func (m *mirror) run() (out *Mirrored, err error) {
	dir, remove, err := m.lastSeen()
	if err != nil {
		return nil, err
	}
	defer remove()
	u := &update{mirror: m.url, root: m.root, seen: m.seen, dir: dir, now: m.now, fetch: m.fetch}
	defer u.malformed(&err)
	up, err := u.refresh()
	if err != nil {
		return nil, err
	}
	set := up.GetTrustedMetadataSet()
	if !set.Root.Signed.ConsistentSnapshot {
		return nil, fmt.Errorf("TUF repository %s has no consistent snapshots: a copy that is updated while it is served would break its clients", m.url)
	}
	files := map[string][]byte{}
	tuf := u.keep(up, files)
	roots, err := m.chain(files, tuf.Root)
	if err != nil {
		return nil, err
	}
	delegated, err := m.delegated(&set)
	if err != nil {
		return nil, err
	}
	if err := m.writeRoots(roots); err != nil {
		return nil, err
	}
	count, err := m.targets(&set)
	if err != nil {
		return nil, err
	}
	delegated[versioned(tuf.Targets, "targets")] = files[tufTargets]
	for name, data := range delegated {
		if err := m.write(name, data); err != nil {
			return nil, err
		}
	}
	if err := m.publish(tuf, files); err != nil {
		return nil, err
	}
	return &Mirrored{URL: m.url, Dir: m.dir, FirstRoot: roots.first, RootSHA256: hexSHA256(files[tufRoot]),
		Root: tuf.Root, Timestamp: tuf.Timestamp, Snapshot: tuf.Snapshot, Targets: tuf.Targets, Expires: tuf.Expires,
		Roles: len(delegated) - 1, Files: count, Written: m.written}, nil
}

// publish writes what leads to everything else, timestamp.json last. root.json,
// which TUF clients never read, is for those who pin or fetch the latest root.
func (m *mirror) publish(tuf *recordTUF, files map[string][]byte) error {
	if err := m.write(versioned(tuf.Snapshot, "snapshot"), files[tufSnapshot]); err != nil {
		return err
	}
	if err := m.write("root.json", files[tufRoot]); err != nil {
		return err
	}
	return m.write("timestamp.json", files[tufTimestamp])
}

// IsURL says whether s, an argument that may also be a name, is a URL.
func IsURL(s string) bool { return strings.Contains(s, "://") }

// fetchFrom downloads a file of the repository.
func (m *mirror) fetchFrom(name string, limit int64) ([]byte, error) {
	return m.fetch.DownloadFile(m.url+"/"+name, limit, 0)
}

// absent says that the server has no such file; object stores say 403.
func absent(err error) bool {
	var status *fetch.StatusError
	return errors.As(err, &status) && status.Status < 500
}
