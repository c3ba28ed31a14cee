// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"

	"hallmark/internal/format/trustroot"
)

// Refresh brings the trust root up to date by TUF; "" is the default one. When
// it fails, the copy on disk stays as it was and in use. Of many processes that
// refresh one trust root at once, those that waited for another's result take
// that.
func (s *Store) Refresh(ctx context.Context, name string) (Info, error) {
	name, err := s.resolve(name)
	if err != nil {
		return Info{}, err
	}
	before, err := s.readRecord(name)
	if err != nil && (name != PublicGood || !errors.Is(err, ErrNotFound)) {
		return Info{}, err
	}
	if before != nil && before.Kind == KindStatic {
		return Info{}, fmt.Errorf("trust root %q was imported from a file: there is no server to refresh it from, import a newer file", name)
	}
	l, waited, err := s.lock(ctx, name)
	if err != nil {
		return Info{}, err
	}
	defer l.Unlock()
	now, err := s.readRecord(name)
	if err != nil && (name != PublicGood || !errors.Is(err, ErrNotFound)) {
		return Info{}, err
	}
	if now == nil {
		return s.refreshBuiltin(ctx)
	}
	return s.refreshSince(ctx, before, now, waited)
}

// refreshSince takes what another process fetched while this one waited for
// the lock, and otherwise refreshes. before is what the record was before that,
// now is the current one.
func (s *Store) refreshSince(ctx context.Context, before, now *record, waited bool) (Info, error) {
	if waited && (before == nil || now.Refreshed.After(before.Refreshed)) {
		return s.stored(now), nil
	}
	return s.refreshLocked(ctx, now)
}

// refreshLocked updates what prev describes. The caller holds the lock.
func (s *Store) refreshLocked(ctx context.Context, prev *record) (Info, error) {
	_, seen, err := s.read(prev.Name)
	if err != nil {
		return Info{}, err
	}
	r := *prev
	if prev.Files[instanceFile] != "" {
		if document, ok := s.instance(ctx, prev.URL); ok {
			seen[instanceFile] = document
		}
	}
	return s.update(ctx, &r, prev, seen[tufRoot], seen, s.generation(prev))
}

// instance is the current instance document, if it can be had.
func (s *Store) instance(ctx context.Context, url string) ([]byte, bool) {
	resp, err := s.client().Do(ctx, http.MethodGet, url+InstancePath, nil, nil)
	if err != nil || resp.Status != http.StatusOK {
		return nil, false
	}
	_, err = ParseInstance(resp.Body)
	return resp.Body, err == nil
}

// update runs the TUF workflow and stores its result. seen is what the last
// generation had, in dir; a hallmark.json among it is kept unless the
// repository has one, which then counts.
func (s *Store) update(ctx context.Context, r, prev *record, root []byte, seen map[string][]byte, dir string) (Info, error) {
	u := &update{mirror: r.Mirror, root: root, seen: maps.Clone(seen), dir: dir, now: s.now(), fetch: s.fetcher(ctx)}
	files, tuf, err := u.run()
	if err != nil {
		return Info{}, fmt.Errorf("trust root %q: %w", r.Name, err)
	}
	if document := seen[instanceFile]; files[instanceFile] == nil && len(document) > 0 {
		files[instanceFile] = document
	}
	if err := checkFiles(files); err != nil {
		return Info{}, fmt.Errorf("trust root %q: from %s: %w", r.Name, r.Mirror, err)
	}
	r.TUF, r.Refreshed = tuf, s.now().UTC()
	if err := s.commit(r, prev, files); err != nil {
		return Info{}, err
	}
	return s.stored(r), nil
}

// checkFiles is whether files can be loaded again.
func checkFiles(files map[string][]byte) error {
	if _, err := trustroot.Parse(files[rootFile]); err != nil {
		return err
	}
	if data := files[configFile]; data != nil {
		if _, err := trustroot.ParseSigningConfig(data); err != nil {
			return err
		}
	}
	if data := files[instanceFile]; data != nil {
		if _, err := ParseInstance(data); err != nil {
			return err
		}
	}
	return nil
}

// stored is r's Info.
func (s *Store) stored(r *record) Info {
	in := r.info(s.generation(r))
	def, err := s.Default()
	in.Default = err == nil && def == r.Name
	return in
}
