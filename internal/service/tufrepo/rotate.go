// SPDX-License-Identifier: Apache-2.0

package tufrepo

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"hallmark/internal/base/durable"
)

// Change is what [Rotate] replaces. What is nil stays as it is.
type Change struct {
	Root      []crypto.PublicKey // who may sign further roots
	Threshold int                // how many of them have to; with Root only

	Targets   crypto.Signer
	Snapshot  crypto.Signer
	Timestamp crypto.Signer
}

// Rotate makes the repository folder to from the one in dir, with new keys: the
// next root, which names them, and what they sign, with the same targets. The
// new root is signed by those of the signers that the old or the new root role
// names; it is an error, which says how many signatures lack, if they do not
// reach both thresholds. online are the keys of dir's repository.
//
// dir is not changed, and to appears whole or not at all.
func Rotate(dir, to string, c Change, online Online, signers []crypto.Signer, cfg Config, now time.Time) error {
	r, err := Open(dir, online, cfg)
	if err != nil {
		return err
	}
	files, err := r.rotated(c, signers, now)
	if err != nil {
		return fmt.Errorf("tuf: %w", err)
	}
	st := r.state.Load()
	next, err := st.with(files)
	if err != nil {
		return fmt.Errorf("tuf: new metadata would not verify: %w", err)
	}
	if entries, err := os.ReadDir(to); err == nil && len(entries) > 0 {
		return fmt.Errorf("tuf: %s: %w", to, ErrExists)
	}
	all := map[string][]byte{}
	for name, f := range next.files {
		all[name] = f.data
	}
	return writeRepository(to, all)
}

// Signers is the keys of a role that the current root names, and how many of
// them have to sign.
func (r *Repo) Signers(role string) (keys []crypto.PublicKey, threshold int, err error) {
	return signersOf(r.state.Load().set.Root, role)
}

func signersOf(root *metadata.Metadata[metadata.RootType], role string) (keys []crypto.PublicKey, threshold int, err error) {
	named := root.Signed.Roles[role]
	if named == nil {
		return nil, 0, fmt.Errorf("tuf: root version %d has no role %s", root.Signed.Version, role)
	}
	for _, id := range named.KeyIDs {
		key := root.Signed.Keys[id]
		if key == nil {
			return nil, 0, fmt.Errorf("tuf: root version %d does not hold the key %.16s… of role %s", root.Signed.Version, id, role)
		}
		pub, err := key.ToPublicKey()
		if err != nil {
			return nil, 0, fmt.Errorf("tuf: root version %d: key %.16s…: %w", root.Signed.Version, id, err)
		}
		keys = append(keys, pub)
	}
	return keys, named.Threshold, nil
}

// rotated is the files that a change adds.
func (r *Repo) rotated(c Change, signers []crypto.Signer, now time.Time) (map[string][]byte, error) {
	st := r.state.Load()
	root, err := st.nextRoot(c, r.cfg, now)
	if err != nil {
		return nil, err
	}
	data, err := st.signRoot(root, signers)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	if c.Targets != nil {
		targets := st.set.Targets["targets"].Signed
		contents := map[string][]byte{}
		for name, info := range targets.Targets {
			contents[name] = st.files[targetPath(name, info.Hashes["sha256"])].data
		}
		if files, err = targetsFiles(targets.Version+1, c.Targets, contents, r.cfg, now); err != nil {
			return nil, err
		}
	}
	files[versioned(root.Signed.Version, "root")] = data
	signing := Repo{cfg: r.cfg, online: r.online}
	if c.Snapshot != nil {
		signing.online.Snapshot = c.Snapshot
	}
	if c.Timestamp != nil {
		signing.online.Timestamp = c.Timestamp
	}
	return files, signing.sign(st, files, true, now)
}

// nextRoot is the root to follow the current one, unsigned.
func (st *state) nextRoot(c Change, cfg Config, now time.Time) (*metadata.Metadata[metadata.RootType], error) {
	root, err := metadata.Root().FromBytes(st.files[st.rootName()].data)
	if err != nil {
		return nil, err
	}
	root.ClearSignatures()
	root.Signed.Version++
	root.Signed.Expires = expires(now, cfg.RootValidity)
	if c.Root != nil {
		if c.Threshold < 1 || c.Threshold > len(c.Root) {
			return nil, fmt.Errorf("a threshold of %d of %d root keys: expected 1 to %d", c.Threshold, len(c.Root), len(c.Root))
		}
		if err := assign(root, "root", c.Root...); err != nil {
			return nil, err
		}
		root.Signed.Roles["root"].Threshold = c.Threshold
	}
	for role, key := range map[string]crypto.Signer{"targets": c.Targets, "snapshot": c.Snapshot, "timestamp": c.Timestamp} {
		if key == nil {
			continue
		}
		if err := assign(root, role, key.Public()); err != nil {
			return nil, err
		}
	}
	return root, separate(root)
}

// assign gives a role these keys and no others.
func assign(root *metadata.Metadata[metadata.RootType], role string, pubs ...crypto.PublicKey) error {
	for _, old := range slices.Clone(root.Signed.Roles[role].KeyIDs) {
		if err := root.Signed.RevokeKey(old, role); err != nil {
			return err
		}
	}
	for _, pub := range pubs {
		key, err := tufPublicKey(role, pub)
		if err != nil {
			return err
		}
		id, err := key.ID()
		if err != nil {
			return err
		}
		if slices.Contains(root.Signed.Roles[role].KeyIDs, id) {
			return fmt.Errorf("one %s key is given twice: a threshold counts different keys", role)
		}
		if err := root.Signed.AddKey(key, role); err != nil {
			return err
		}
	}
	return nil
}

// separate refuses an offline key that is also online, and one key for both
// offline roles.
func separate(root *metadata.Metadata[metadata.RootType]) error {
	seen := map[string]string{}
	for _, role := range []string{"root", "targets", "snapshot", "timestamp"} {
		for _, id := range root.Signed.Roles[role].KeyIDs {
			if other, ok := seen[id]; ok && (role != "timestamp" || other != "snapshot") {
				return fmt.Errorf("the %s and %s keys are the same: expected separate keys", other, role)
			}
			seen[id] = role
		}
	}
	return nil
}

// signRoot signs next with those signers that the current root role or its own
// names, and checks that both thresholds are reached.
func (st *state) signRoot(next *metadata.Metadata[metadata.RootType], signers []crypto.Signer) ([]byte, error) {
	old, new := st.set.Root.Signed.Roles["root"], next.Signed.Roles["root"]
	var signing []crypto.Signer
	byOld, byNew := map[string]bool{}, map[string]bool{}
	for _, s := range signers {
		key, err := tufPublicKey("root", s.Public())
		if err != nil {
			continue // of a kind that no root can name
		}
		id, err := key.ID()
		if err != nil {
			return nil, err
		}
		inOld, inNew := slices.Contains(old.KeyIDs, id), slices.Contains(new.KeyIDs, id)
		if !inOld && !inNew || byOld[id] || byNew[id] {
			continue
		}
		byOld[id], byNew[id] = inOld, inNew
		signing = append(signing, s)
	}
	count := func(m map[string]bool) (n int) {
		for _, named := range m {
			if named {
				n++
			}
		}
		return n
	}
	name := versioned(next.Signed.Version, "root")
	if n := count(byOld); n < old.Threshold {
		return nil, fmt.Errorf("%s: %d of the %d keys that root version %d names were given, and %d have to sign: give the folders of the others too", name, n, len(old.KeyIDs), next.Signed.Version-1, old.Threshold)
	}
	if n := count(byNew); n < new.Threshold {
		return nil, fmt.Errorf("%s: %d of the %d new root keys were given, and %d have to sign: give the private keys of the others too", name, n, len(new.KeyIDs), new.Threshold)
	}
	return seal(next, "root", signing...)
}

// tufPublicKey is pub as TUF writes it.
func tufPublicKey(role string, pub crypto.PublicKey) (*metadata.Key, error) {
	switch pub := pub.(type) {
	case nil:
		return nil, fmt.Errorf("no %s key", role)
	case *ecdsa.PublicKey:
		if pub.Curve != elliptic.P256() {
			return nil, fmt.Errorf("%s key is on %s: expected P-256", role, pub.Curve.Params().Name)
		}
	case ed25519.PublicKey:
	default:
		return nil, fmt.Errorf("%s key is a %T: expected ECDSA P-256 or Ed25519", role, pub)
	}
	return metadata.KeyFromPublicKey(pub)
}

// writeRepository makes the folder dir with these files, whole or not at all:
// it is built beside dir and renamed. dir is empty or does not exist.
func writeRepository(dir string, files map[string][]byte) error {
	write := func() error {
		if err := durable.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
			return err
		}
		building := dir + ".new" // left by a crash, it is of no use to anybody
		if err := os.RemoveAll(building); err != nil {
			return err
		}
		if err := durable.MkdirAll(filepath.Join(building, "targets"), 0o755); err != nil {
			return err
		}
		for _, name := range slices.Sorted(maps.Keys(files)) {
			if err := durable.WriteFile(filepath.Join(building, filepath.FromSlash(name)), files[name], 0o644); err != nil {
				return err
			}
		}
		if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) { // an empty one
			return err
		}
		return durable.Rename(building, dir)
	}
	if err := write(); err != nil {
		return fmt.Errorf("tuf: %w", err)
	}
	return nil
}
