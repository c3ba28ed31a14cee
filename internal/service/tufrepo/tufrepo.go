// SPDX-License-Identifier: Apache-2.0

// Package tufrepo publishes a TUF repository (https://theupdateframework.github.io/specification/latest/)
// from a folder: the way clients learn which keys and certificates to trust.
//
// On disk it is what a static web server could serve:
//
//	N.root.json  N.targets.json  N.snapshot.json  timestamp.json
//	targets/<sha256>.<name>
//
// The root and targets keys are needed to make or change a repository and are
// offline otherwise; the snapshot and timestamp keys re-sign what expires.
//
// Invariants:
//   - consistent snapshots: no file but timestamp.json ever changes once it has
//     been served; timestamp.json is replaced last, after everything it leads
//     to is durable, so a process killed at any instant leaves a whole repository;
//   - a reader sees the files of one state: the handler serves from memory, and
//     a new state replaces the old one at once, keeping its files;
//   - files that no served state leads to (left by a crash) are never served;
//   - versions only grow; expiry times are whole seconds of UTC.
package tufrepo

import (
	"crypto"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// ErrExists says that a folder already holds a repository: [Open] it.
var ErrExists = errors.New("a TUF repository exists already")

// Default lifetimes of the roles' metadata.
const (
	DefaultRootValidity      = 3 * 365 * 24 * time.Hour
	DefaultTargetsValidity   = 3 * 365 * 24 * time.Hour
	DefaultSnapshotValidity  = 90 * 24 * time.Hour
	DefaultTimestampValidity = 7 * 24 * time.Hour
)

// Config says how long metadata lives and when what can be re-signed online is
// re-signed. Zero fields get the defaults.
type Config struct {
	RootValidity      time.Duration `yaml:"root-validity" json:"root-validity"`
	TargetsValidity   time.Duration `yaml:"targets-validity" json:"targets-validity"`
	SnapshotValidity  time.Duration `yaml:"snapshot-validity" json:"snapshot-validity"`
	TimestampValidity time.Duration `yaml:"timestamp-validity" json:"timestamp-validity"`

	// SnapshotRenewBelow and TimestampRenewBelow are the remaining lifetimes
	// below which Refresh signs anew: by default a third of the snapshot's
	// validity, and six sevenths of the timestamp's, so that a daemon that
	// runs re-signs daily and one that stops is noticed after a week.
	SnapshotRenewBelow  time.Duration `yaml:"snapshot-renew-below" json:"snapshot-renew-below"`
	TimestampRenewBelow time.Duration `yaml:"timestamp-renew-below" json:"timestamp-renew-below"`
}

func (c Config) withDefaults() (Config, error) {
	set := func(d *time.Duration, def time.Duration) {
		if *d == 0 {
			*d = def
		}
	}
	set(&c.RootValidity, DefaultRootValidity)
	set(&c.TargetsValidity, DefaultTargetsValidity)
	set(&c.SnapshotValidity, DefaultSnapshotValidity)
	set(&c.TimestampValidity, DefaultTimestampValidity)
	set(&c.SnapshotRenewBelow, c.SnapshotValidity/3)
	set(&c.TimestampRenewBelow, c.TimestampValidity/7*6)
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"root-validity", c.RootValidity}, {"targets-validity", c.TargetsValidity},
		{"snapshot-validity", c.SnapshotValidity}, {"timestamp-validity", c.TimestampValidity},
	} {
		if d.value < time.Second {
			return c, fmt.Errorf("tuf: %s is %s: expected at least a second", d.name, d.value)
		}
	}
	if c.SnapshotRenewBelow < 0 || c.SnapshotRenewBelow >= c.SnapshotValidity {
		return c, fmt.Errorf("tuf: snapshot-renew-below is %s: expected less than snapshot-validity, which is %s", c.SnapshotRenewBelow, c.SnapshotValidity)
	}
	if c.TimestampRenewBelow < 0 || c.TimestampRenewBelow >= c.TimestampValidity {
		return c, fmt.Errorf("tuf: timestamp-renew-below is %s: expected less than timestamp-validity, which is %s", c.TimestampRenewBelow, c.TimestampValidity)
	}
	return c, nil
}

// Keys are the signers of a new repository, one per role, each ECDSA P-256 or
// Ed25519. Root and Targets belong offline afterwards.
type Keys struct{ Root, Targets, Snapshot, Timestamp crypto.Signer }

// Online are the signers a running daemon holds.
type Online struct{ Snapshot, Timestamp crypto.Signer }

// Expiry is when each role's current metadata expires.
type Expiry struct{ Root, Targets, Snapshot, Timestamp time.Time }

// First is the role that expires first, and when.
func (e Expiry) First() (role string, at time.Time) {
	role, at = "root", e.Root
	for _, r := range []struct {
		role string
		at   time.Time
	}{{"targets", e.Targets}, {"snapshot", e.Snapshot}, {"timestamp", e.Timestamp}} {
		if r.at.Before(at) {
			role, at = r.role, r.at
		}
	}
	return role, at
}

// Create makes the repository folder dir with version 1 of everything and the
// given target files, valid from now. The folder appears whole or not at all:
// it is built beside dir and renamed. A dir that is not empty is an error that
// wraps [ErrExists].
func Create(dir string, keys Keys, targets map[string][]byte, cfg Config, now time.Time) error {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return err
	}
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return fmt.Errorf("tuf: %s: %w", dir, ErrExists)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("tuf: %w", err)
	}
	files, err := firstFiles(keys, targets, cfg, now)
	if err != nil {
		return fmt.Errorf("tuf: %w", err)
	}
	return writeRepository(dir, files)
}

// Repo is an open repository. Safe for concurrent use by one process; two
// processes must not open one folder for writing (the daemon locks its data
// folder).
type Repo struct {
	dir    string
	cfg    Config
	online Online

	write sync.Mutex            // held while a new state is made
	state atomic.Pointer[state] // replaced under write; a state never changes
}

// Open reads the repository in dir and checks all signatures, hashes and
// versions, and that the online signers are the ones its root names. Metadata
// that has expired is no error: see [Repo.Refresh].
func Open(dir string, online Online, cfg Config) (*Repo, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	st, err := load(dir)
	if err != nil {
		return nil, fmt.Errorf("tuf: %s: %w", dir, err)
	}
	if err := st.checkSigner("snapshot", online.Snapshot); err != nil {
		return nil, fmt.Errorf("tuf: %s: %w", dir, err)
	}
	if err := st.checkSigner("timestamp", online.Timestamp); err != nil {
		return nil, fmt.Errorf("tuf: %s: %w", dir, err)
	}
	r := &Repo{dir: dir, cfg: cfg, online: online}
	r.state.Store(st)
	return r, nil
}

// RootSHA256 is the lower-case hexadecimal SHA-256 of the latest root.json:
// what a new client pins.
func (r *Repo) RootSHA256() string { return r.state.Load().rootSHA256() }

// Root is the latest root.json.
func (r *Repo) Root() []byte {
	st := r.state.Load()
	return append([]byte(nil), st.files[st.rootName()].data...)
}

// Expiry is when the current metadata expires.
func (r *Repo) Expiry() Expiry { return r.state.Load().expiry() }

// Target is the current content of the target file name, or nil.
func (r *Repo) Target(name string) []byte {
	st := r.state.Load()
	info, ok := st.set.Targets["targets"].Signed.Targets[name]
	if !ok {
		return nil
	}
	return append([]byte(nil), st.files[targetPath(name, info.Hashes["sha256"])].data...)
}

// Versions are the current version numbers of the four roles.
func (r *Repo) Versions() (root, targets, snapshot, timestamp int64) {
	set := r.state.Load().set
	return set.Root.Signed.Version, set.Targets["targets"].Signed.Version, set.Snapshot.Signed.Version, set.Timestamp.Signed.Version
}
