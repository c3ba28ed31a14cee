// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/config"
	"github.com/theupdateframework/go-tuf/v2/metadata/updater"

	"hallmark/internal/base/fetch"
	"hallmark/internal/format/trustroot"
)

// The stored TUF metadata. Besides these there is the chain of roots, each as
// tuf/N.root.json.
const (
	tufRoot      = "tuf/root.json" // the latest
	tufTimestamp = "tuf/timestamp.json"
	tufSnapshot  = "tuf/snapshot.json"
	tufTargets   = "tuf/targets.json"
)

const (
	maxRotations = 256      // new roots in one update
	maxDownload  = 64 << 20 // bytes in one update
)

// update is the TUF client workflow (section 5 of the specification): from the
// trusted root, and the metadata seen last if any, to the repository's current
// metadata and targets. It writes nothing; it returns the files of the next
// generation.
type update struct {
	mirror string
	root   []byte            // the latest trusted root.json
	seen   map[string][]byte // the files of the last generation
	dir    string            // where those lie; "" at first
	now    time.Time
	fetch  *fetcher
}

func (u *update) run() (files map[string][]byte, tuf *recordTUF, err error) {
	defer u.malformed(&err)
	up, err := u.refresh()
	if err != nil {
		return nil, nil, err
	}
	files = map[string][]byte{}
	if err := u.targets(up, files); err != nil {
		return nil, nil, err
	}
	return files, u.keep(up, files), nil
}

// malformed is deferred around go-tuf, which follows fields that a repository's
// signers may leave out.
func (u *update) malformed(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("TUF repository %s: malformed metadata: %v", u.mirror, p)
	}
}

// refresh brings the metadata of the four roles up to date.
func (u *update) refresh() (*updater.Updater, error) {
	cfg, err := config.New(u.mirror, u.root)
	if err != nil {
		return nil, fmt.Errorf("TUF repository %s: %w", u.mirror, err)
	}
	cfg.Fetcher = u.fetch
	cfg.MaxRootRotations = maxRotations
	cfg.DisableLocalCache = true // go-tuf's writes are not durable: the store writes
	cfg.LocalMetadataDir = filepath.Join(os.DevNull, "none")
	if u.dir != "" {
		cfg.LocalMetadataDir = filepath.Join(u.dir, "tuf") // read all the same, against rollback
	}
	up, err := updater.New(cfg)
	if err != nil {
		return nil, fmt.Errorf("TUF root for %s: %w: expected a root.json that is signed by its own keys", u.mirror, explainKind(err))
	}
	up.UnsafeSetRefTime(u.now.UTC()) // the store's clock, not another one
	if err := up.Refresh(); err != nil {
		return nil, u.explain(up, err)
	}
	return up, nil
}

// targets adds the target files that this store wants.
func (u *update) targets(up *updater.Updater, files map[string][]byte) error {
	for _, name := range []string{rootFile, configFile, instanceFile} {
		info := up.GetTopLevelTargets()[name]
		if info == nil && name == rootFile {
			var err error
			if info, err = up.GetTargetInfo(name); err != nil { // perhaps delegated
				return fmt.Errorf("TUF repository %s: %w: expected a Sigstore repository with a target %s", u.mirror, err, name)
			}
		}
		if info == nil {
			continue
		}
		if old, ok := u.seen[name]; ok && info.VerifyLengthHashes(old) == nil {
			files[name] = old
			continue
		}
		if info.Length > trustroot.MaxSize {
			return fmt.Errorf("TUF repository %s: target %s has %d bytes: expected at most %d", u.mirror, name, info.Length, trustroot.MaxSize)
		}
		_, data, err := up.DownloadTarget(info, "", "")
		if err != nil {
			return fmt.Errorf("TUF repository %s: target %s: %w", u.mirror, name, explainKind(err))
		}
		files[name] = data
	}
	return nil
}

// keep adds the metadata that led to the targets, byte for byte as it was
// signed: fetched now, or seen before and still current.
func (u *update) keep(up *updater.Updater, files map[string][]byte) *recordTUF {
	set := up.GetTrustedMetadataSet()
	tuf := &recordTUF{
		Root: set.Root.Signed.Version, Timestamp: set.Timestamp.Signed.Version,
		Snapshot: set.Snapshot.Signed.Version, Targets: set.Targets[metadata.TARGETS].Signed.Version,
		Expires: set.Timestamp.Signed.Expires,
	}
	for name, data := range u.seen {
		if isNumberedRoot(name) {
			files[name] = data
		}
	}
	files[tufRoot] = u.root
	if first, err := metadata.Root().FromBytes(u.root); err == nil {
		files[numberedRoot(first.Signed.Version)] = u.root
	}
	for v := int64(1); v <= tuf.Root; v++ { // had one been refused, there would be no result
		if data, ok := u.fetch.files[path.Base(numberedRoot(v))]; ok {
			files[numberedRoot(v)], files[tufRoot] = data, data
		}
	}
	// A timestamp of the version seen before is not taken by go-tuf; a
	// snapshot or targets role is only fetched when it is.
	files[tufTimestamp] = u.fetch.files["timestamp.json"]
	if old, ok := u.seen[tufTimestamp]; ok && sameTimestamp(old, set.Timestamp) {
		files[tufTimestamp] = old
	}
	for name, role := range map[string]string{tufSnapshot: metadata.SNAPSHOT, tufTargets: metadata.TARGETS} {
		files[name] = u.seen[name]
		if data, ok := u.fetch.role(role); ok {
			files[name] = data
		}
	}
	return tuf
}

func numberedRoot(version int64) string {
	return "tuf/" + strconv.FormatInt(version, 10) + ".root.json"
}

// isNumberedRoot is whether name is one that numberedRoot makes.
func isNumberedRoot(name string) bool {
	digits := strings.TrimSuffix(strings.TrimPrefix(name, "tuf/"), ".root.json")
	version, err := strconv.ParseInt(digits, 10, 64)
	return err == nil && version > 0 && name == numberedRoot(version)
}

// sameTimestamp is whether data holds m.
func sameTimestamp(data []byte, m *metadata.Metadata[metadata.TimestampType]) bool {
	old, err := metadata.Timestamp().FromBytes(data)
	if err != nil {
		return false
	}
	a, errA := old.ToBytes(false)
	b, errB := m.ToBytes(false)
	return errA == nil && errB == nil && bytes.Equal(a, b)
}

// explain says which step of the workflow failed and what to do about it.
func (u *update) explain(up *updater.Updater, err error) error {
	if errors.Is(err, &metadata.ErrExpiredMetadata{}) {
		role, at := u.expired(up)
		return fmt.Errorf("TUF repository %s: %w: %s.json expired at %s, and it is %s: if the clocks are right, the repository is no longer re-signed (is its hallmarkd running?) or an old copy is being replayed; what was verified before stays in use",
			u.mirror, ErrExpired, role, at.UTC().Format(time.RFC3339), u.now.UTC().Format(time.RFC3339))
	}
	return fmt.Errorf("TUF repository %s: %w", u.mirror, explainKind(err))
}

// explainKind puts go-tuf's error under one of this package's.
func explainKind(err error) error {
	switch {
	case errors.Is(err, &metadata.ErrUnsignedMetadata{}):
		return fmt.Errorf("%w: %w: either this is another repository than the root is for, or it was tampered with", ErrSignature, err)
	case errors.Is(err, &metadata.ErrBadVersionNumber{}):
		return fmt.Errorf("%w: %w: refused, what was verified before stays in use", ErrRollback, err)
	case errors.Is(err, &metadata.ErrLengthOrHashMismatch{}), errors.Is(err, &metadata.ErrDownloadLengthMismatch{}):
		return fmt.Errorf("%w: %w: refused, what was verified before stays in use", ErrMixed, err)
	}
	return err
}

// expired is which role's expiry stopped the update, in the order in which
// they are checked.
func (u *update) expired(up *updater.Updater) (role string, at time.Time) {
	set := up.GetTrustedMetadataSet()
	switch {
	case u.now.After(set.Root.Signed.Expires):
		return metadata.ROOT, set.Root.Signed.Expires
	case set.Timestamp != nil && u.now.After(set.Timestamp.Signed.Expires):
		return metadata.TIMESTAMP, set.Timestamp.Signed.Expires
	case set.Snapshot != nil && u.now.After(set.Snapshot.Signed.Expires):
		return metadata.SNAPSHOT, set.Snapshot.Signed.Expires
	}
	if data, ok := u.fetch.role(metadata.TARGETS); ok {
		if m, err := metadata.Targets().FromBytes(data); err == nil {
			at = m.Signed.Expires
		}
	}
	return metadata.TARGETS, at
}

// fetcher downloads for go-tuf under this store's rules and remembers what
// came, by the last element of the URL's path. One per update.
type fetcher struct {
	ctx    context.Context // of the update: go-tuf's interface has no place for it
	client *fetch.Client
	left   int64 // bytes that may still come
	files  map[string][]byte
}

// DownloadFile implements go-tuf's fetcher.Fetcher.
func (f *fetcher) DownloadFile(url string, maxLength int64, _ time.Duration) ([]byte, error) {
	resp, err := f.client.Do(f.ctx, http.MethodGet, url, nil, nil)
	if err != nil {
		return nil, err
	}
	if resp.Status != http.StatusOK {
		return nil, fmt.Errorf("%w: %w", &metadata.ErrDownloadHTTP{StatusCode: resp.Status, URL: fetch.Redact(url)}, resp.Err(url))
	}
	n := int64(len(resp.Body))
	if n > maxLength {
		return nil, &metadata.ErrDownloadLengthMismatch{Msg: fmt.Sprintf("%s has %d bytes: expected at most %d", fetch.Redact(url), n, maxLength)}
	}
	if f.left -= n; f.left < 0 {
		return nil, fmt.Errorf("%s: the update needs more than %d bytes in all", fetch.Redact(url), maxDownload)
	}
	f.files[path.Base(url)] = resp.Body
	return resp.Body, nil
}

// role is the metadata of a role that was fetched, under its plain name or
// with a version before it.
func (f *fetcher) role(name string) ([]byte, bool) {
	for file, data := range f.files {
		version, ok := strings.CutSuffix(file, name+".json")
		if ok && strings.Trim(version, "0123456789") == strings.Repeat(".", min(1, len(version))) {
			return data, true
		}
	}
	return nil, false
}
