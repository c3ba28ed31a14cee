// SPDX-License-Identifier: Apache-2.0

// Package trust keeps named trust roots on the client's disk: for each the
// keys and certificates to verify with, where to sign, and how to learn of
// changes by TUF (https://theupdateframework.github.io/specification/latest/).
//
// [Store.Init] and [Store.Refresh] use the network, nothing else does: a
// verification reads the last verified copy, however old, and says its age.
//
// On disk, below the folder given to [New]:
//
//	trust/default                 the name of the default trust root
//	trust/NAME/trust.json         what it is, and which generation is current
//	trust/NAME/gN/                generation N: trusted_root.json,
//	                              signing_config.v0.2.json, hallmark.json, tuf/
//	trust/.NAME.lock              held by whoever writes below trust/NAME
//
// Invariants:
//   - a generation's files never change; trust.json, which names one generation
//     and the SHA-256 of each of its files, is replaced atomically and last. A
//     reader therefore sees one generation whole, without a lock, and a process
//     killed at any instant leaves the old one or the new one;
//   - nothing is stored that did not verify, parse and fit together;
//   - a name means one trust root: two are never merged;
//   - what TUF refuses (expired, older than what was seen, mixed from several
//     states, not signed by the roles' keys) changes nothing on disk.
package trust

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"hallmark/internal/base/fetch"
	"hallmark/internal/format/trustroot"
)

// PublicGood is the name of the public Sigstore instance's trust root, which
// is built in.
const PublicGood = "public-good"

// Errors that callers tell apart with errors.Is; each comes wrapped in one that
// says what happened and what to do.
var (
	ErrNotFound  = errors.New("no such trust root")
	ErrExists    = errors.New("the trust root exists already")
	ErrDamaged   = errors.New("the stored trust root is damaged")
	ErrChecksum  = errors.New("root checksum mismatch")
	ErrExpired   = errors.New("TUF metadata has expired")
	ErrRollback  = errors.New("TUF metadata is older than what was seen or announced")
	ErrMixed     = errors.New("a TUF file is not the one that the signed metadata describes")
	ErrSignature = errors.New("TUF metadata is not signed by the keys that are trusted for it")
)

// Kind is how a trust root came about, and so how it is kept fresh.
type Kind string

// The kinds.
const (
	KindTUF     Kind = "tuf"     // from a TUF mirror, by Init
	KindStatic  Kind = "static"  // from a file, by Import
	KindBuiltin Kind = "builtin" // compiled in; refreshed by TUF all the same
)

// Deps is what a [Store] works with. The zero Deps is for production.
type Deps struct {
	Fetch *fetch.Client    // nil is one with the default rules, made when needed
	Now   func() time.Time // nil is time.Now
}

// Store is the trust roots below one folder. Making one touches no disk. Safe
// for concurrent use, and by many processes at once.
type Store struct {
	dir   string // …/trust
	fetch *fetch.Client
	now   func() time.Time
}

// New is the store below dir, which need not exist until something is written.
func New(dir string, deps Deps) *Store {
	if deps.Now == nil {
		deps.Now = time.Now
	}
	return &Store{dir: filepath.Join(dir, "trust"), fetch: deps.Fetch, now: deps.Now}
}

// Active is one trust root, loaded.
type Active struct {
	Name          string
	Kind          Kind
	Root          *trustroot.Root
	SigningConfig *trustroot.SigningConfig // nil when the trust root has none: it can verify, not sign
	Instance      *Instance                // nil unless it came from a Hallmark instance
	Refreshed     time.Time                // when the copy was last known to be current
}

// Age is how long ago the copy was last known to be current; never negative.
func (a *Active) Age(now time.Time) time.Duration { return max(0, now.Sub(a.Refreshed)) }

// Info describes a stored trust root without loading it.
type Info struct {
	Name       string
	Kind       Kind
	URL        string    // the instance's, or the mirror's
	Mirror     string    // the TUF mirror; "" for KindStatic
	RootSHA256 string    // of the TUF root it began with, hexadecimal
	TOFU       bool      // that root was accepted without a check
	Created    time.Time // zero when never stored
	Refreshed  time.Time
	Expires    time.Time // when the TUF timestamp last seen expires; zero without TUF
	Default    bool
	Stored     bool   // false for a built-in one that was never refreshed
	Dir        string // the folder with its files; "" unless Stored
	Problem    error  // why it could not be read, in a list
}

// maxName keeps a name usable as a file name with a prefix and a suffix.
const maxName = 100

// CheckName is whether name can name a trust root: lower-case letters, digits,
// '.', '_' and '-', beginning with a letter or digit.
func CheckName(name string) error {
	if len(name) > maxName || !plainName(name) || name != strings.ToLower(name) || name == defaultFile {
		return fmt.Errorf("trust root name %.120q: expected at most %d lower-case letters, digits, '.', '_' or '-', beginning with a letter or digit, and not \"default\"", name, maxName)
	}
	return nil
}

// plainName is whether s is a file name of ASCII letters, digits, '.', '_' and
// '-' that begins with a letter or digit.
func plainName(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && (i == 0 || c != '.' && c != '_' && c != '-') {
			return false
		}
	}
	return s != ""
}

// nameOf is the name a trust root gets from its URL's host and port.
func nameOf(host string) string {
	return strings.TrimLeft(strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '.', r == '_', r == '-':
			return r
		case r == '[' || r == ']':
			return -1
		}
		return '-'
	}, strings.ToLower(host)), "._-")
}
