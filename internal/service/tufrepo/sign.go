// SPDX-License-Identifier: Apache-2.0

package tufrepo

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// Caps on what is published, well below what TUF clients accept.
const (
	maxTargets    = 64
	maxTargetSize = 4 << 20
)

// validTarget is whether name means the same on every file system and in every
// URL: ASCII letters, digits, '.', '_' and '-', the first a letter or digit.
func validTarget(name string) bool {
	for i := range len(name) {
		c := name[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && (i == 0 || c != '.' && c != '_' && c != '-') {
			return false
		}
	}
	return len(name) > 0 && len(name) <= 128
}

// signer lets go-tuf sign with any crypto.Signer.
type signer struct{ key crypto.Signer }

func (s signer) PublicKey(...signature.PublicKeyOption) (crypto.PublicKey, error) {
	return s.key.Public(), nil
}

func (s signer) SignMessage(message io.Reader, _ ...signature.SignOption) ([]byte, error) {
	data, err := io.ReadAll(message)
	if err != nil {
		return nil, err
	}
	if _, ok := s.key.Public().(ed25519.PublicKey); ok {
		return s.key.Sign(rand.Reader, data, crypto.Hash(0))
	}
	sum := sha256.Sum256(data)
	return s.key.Sign(rand.Reader, sum[:], crypto.SHA256)
}

// tufKey is key's public half as TUF writes it. go-tuf would name the P-256
// scheme for any curve.
func tufKey(role string, key crypto.Signer) (*metadata.Key, error) {
	if key == nil {
		return nil, fmt.Errorf("no %s key", role)
	}
	return tufPublicKey(role, key.Public())
}

// seal signs m and encodes it.
func seal[T metadata.Roles](m *metadata.Metadata[T], role string, keys ...crypto.Signer) ([]byte, error) {
	m.ClearSignatures()
	for _, key := range keys {
		if _, err := m.Sign(signer{key}); err != nil {
			return nil, fmt.Errorf("sign %s: %w", role, err)
		}
	}
	return m.ToBytes(false)
}

// expires is when something signed now for validity expires.
func expires(now time.Time, validity time.Duration) time.Time {
	return now.UTC().Truncate(time.Second).Add(validity)
}

// metaFile is how one metadata file is named in the one above it.
func metaFile(version int64, data []byte) *metadata.MetaFiles {
	sum := sha256.Sum256(data)
	return &metadata.MetaFiles{Version: version, Length: int64(len(data)), Hashes: metadata.Hashes{"sha256": sum[:]}}
}

func versioned(version int64, role string) string {
	return strconv.FormatInt(version, 10) + "." + role + ".json"
}

// targetPath is where a target of the given SHA-256 is published.
func targetPath(name string, sum []byte) string {
	return "targets/" + hex.EncodeToString(sum) + "." + name
}

// firstFiles is version 1 of everything.
func firstFiles(keys Keys, targets map[string][]byte, cfg Config, now time.Time) (map[string][]byte, error) {
	root := metadata.Root(expires(now, cfg.RootValidity))
	for _, r := range []struct {
		role string
		key  crypto.Signer
	}{{"root", keys.Root}, {"targets", keys.Targets}, {"snapshot", keys.Snapshot}, {"timestamp", keys.Timestamp}} {
		key, err := tufKey(r.role, r.key)
		if err != nil {
			return nil, err
		}
		if err := root.Signed.AddKey(key, r.role); err != nil {
			return nil, err
		}
	}
	// The online pair may share a key; an offline key that is also online
	// would not be offline.
	if err := separate(root); err != nil {
		return nil, err
	}
	rootData, err := seal(root, "root", keys.Root)
	if err != nil {
		return nil, err
	}
	files, err := targetsFiles(1, keys.Targets, targets, cfg, now)
	if err != nil {
		return nil, err
	}
	files[versioned(1, "root")] = rootData
	snapshot, err := snapshotFile(1, keys.Snapshot, 1, files[versioned(1, "targets")], cfg, now)
	if err != nil {
		return nil, err
	}
	files[versioned(1, "snapshot")] = snapshot
	files["timestamp.json"], err = timestampFile(1, keys.Timestamp, 1, snapshot, cfg, now)
	return files, err
}

// targetsFiles is the signed targets role and the target files themselves, by
// the paths they are published under.
func targetsFiles(version int64, key crypto.Signer, targets map[string][]byte, cfg Config, now time.Time) (map[string][]byte, error) {
	if len(targets) == 0 || len(targets) > maxTargets {
		return nil, fmt.Errorf("%d targets: expected between 1 and %d", len(targets), maxTargets)
	}
	files := map[string][]byte{}
	role := metadata.Targets(expires(now, cfg.TargetsValidity))
	role.Signed.Version = version
	for name, data := range targets {
		if !validTarget(name) {
			return nil, fmt.Errorf("target name %q: expected letters, digits, '.', '_' and '-' only", name)
		}
		if len(data) == 0 || len(data) > maxTargetSize {
			return nil, fmt.Errorf("target %s has %d bytes: expected between 1 and %d", name, len(data), maxTargetSize)
		}
		sum := sha256.Sum256(data)
		role.Signed.Targets[name] = &metadata.TargetFiles{Length: int64(len(data)), Hashes: metadata.Hashes{"sha256": sum[:]}, Path: name}
		files[targetPath(name, sum[:])] = data
	}
	data, err := seal(role, "targets", key)
	if err != nil {
		return nil, err
	}
	files[versioned(version, "targets")] = data
	return files, nil
}

func snapshotFile(version int64, key crypto.Signer, targetsVersion int64, targets []byte, cfg Config, now time.Time) ([]byte, error) {
	role := metadata.Snapshot(expires(now, cfg.SnapshotValidity))
	role.Signed.Version = version
	role.Signed.Meta["targets.json"] = metaFile(targetsVersion, targets)
	return seal(role, "snapshot", key)
}

func timestampFile(version int64, key crypto.Signer, snapshotVersion int64, snapshot []byte, cfg Config, now time.Time) ([]byte, error) {
	role := metadata.Timestamp(expires(now, cfg.TimestampValidity))
	role.Signed.Version = version
	role.Signed.Meta["snapshot.json"] = metaFile(snapshotVersion, snapshot)
	return seal(role, "timestamp", key)
}

// checkSigner is whether key alone can sign for role.
func (st *state) checkSigner(role string, key crypto.Signer) error {
	k, err := tufKey(role, key)
	if err != nil {
		return err
	}
	id, err := k.ID()
	if err != nil {
		return err
	}
	r := st.set.Root.Signed.Roles[role]
	if r == nil || r.Threshold != 1 {
		return fmt.Errorf("root version %d does not let one key sign %s", st.set.Root.Signed.Version, role)
	}
	for _, known := range r.KeyIDs {
		if known == id {
			return nil
		}
	}
	return fmt.Errorf("the %s key (id %.16s…) is not among those that root version %d names: the key files and the repository do not belong together", role, id, st.set.Root.Signed.Version)
}
