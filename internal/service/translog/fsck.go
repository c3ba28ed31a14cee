// SPDX-License-Identifier: Apache-2.0

package translog

import (
	"context"
	"crypto"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"

	"hallmark/internal/base/store"
	"hallmark/internal/base/tilelog"
	"hallmark/internal/format/bundle"
	"hallmark/internal/format/checkpoint"
	"hallmark/internal/format/logentry"
)

// Fsck examines the folder of a log that is not open, and writes nothing: the checkpoint's
// signature by pub, every tile against the entries, every leaf's being there once, the index
// against the entries, and every stored bundle against its entry. An index that is absent or
// behind is no finding, since the next start completes it. A log in order has no findings; an
// error means that the check could not be done.
func Fsck(ctx context.Context, cfg Config, pub crypto.PublicKey) ([]tilelog.Finding, error) {
	findings, err := check(ctx, cfg, pub)
	if err != nil {
		return nil, fmt.Errorf("transparency log %s: %w", cfg.Dir, err)
	}
	return findings, nil
}

func check(ctx context.Context, cfg Config, pub crypto.PublicKey) ([]tilelog.Finding, error) {
	v, err := checkpoint.NewVerifier(cfg.Origin, pub)
	if err != nil {
		return nil, err
	}
	x, err := newIndexCheck(ctx, cfg.Dir)
	if err != nil {
		return nil, err
	}
	defer x.close()
	bundles, err := newBundleCheck(ctx, cfg.Dir)
	if err != nil {
		return nil, err
	}
	defer bundles.close()
	seen := map[[16]byte]uint64{} // half a leaf hash to its first index
	var repeats []tilelog.Finding
	rep, err := tilelog.Check{Dir: treeDir(cfg.Dir), Verifier: v, Visit: func(i uint64, entry []byte, leaf [32]byte) error {
		half := [16]byte(leaf[:16])
		if first, ok := seen[half]; ok {
			repeats = append(repeats, tilelog.Finding{Where: fmt.Sprintf("entry %d", i), Problem: fmt.Sprintf("repeats entry %d", first)})
		} else {
			seen[half] = i
		}
		body := entry[2:] // after the length
		if err := x.entry(ctx, i, body, leaf); err != nil {
			return err
		}
		return bundles.entry(ctx, i, body)
	}}.Run(ctx)
	if err != nil {
		return nil, err
	}
	if err := x.end(ctx, rep.Size); err != nil {
		return nil, err
	}
	if err := bundles.end(ctx, rep.Size); err != nil {
		return nil, err
	}
	out := append(rep.Findings, repeats...)
	out = append(out, x.findings...)
	return append(out, bundles.findings...), nil
}

// indexCheck walks the index beside the entries. db is nil when there is no index.
type indexCheck struct {
	db       *sql.DB
	hit      *sql.Stmt
	rows     *sql.Rows
	next     uint64 // rows there should be: one more than the largest
	terms    int64  // rows that the entries so far make in hit
	findings []tilelog.Finding
}

func (c *indexCheck) add(where, format string, args ...any) {
	c.findings = append(c.findings, tilelog.Finding{Where: where, Problem: fmt.Sprintf(format, args...) + "; delete index.db, and the next start makes it anew"})
}

func newIndexCheck(ctx context.Context, dir string) (*indexCheck, error) {
	c := &indexCheck{}
	db, err := store.OpenReadOnly(indexPath(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return nil, err
	}
	var last sql.NullInt64
	err = db.QueryRowContext(ctx, "SELECT max(idx) FROM entry").Scan(&last)
	if err == nil {
		c.hit, err = db.PrepareContext(ctx, "SELECT count(*) FROM hit WHERE term = ? AND idx = ?")
	}
	if err == nil {
		c.rows, err = db.QueryContext(ctx, "SELECT idx, leaf FROM entry ORDER BY idx")
	}
	if err != nil {
		db.Close()
		c.add("index.db", "cannot be read: %v", err)
		return c, nil
	}
	c.db = db
	if last.Valid {
		c.next = uint64(last.Int64) + 1
	}
	return c, nil
}

func (c *indexCheck) close() {
	if c.db != nil {
		c.rows.Close()
		c.db.Close()
	}
}

// entry compares the next row with the entry at i.
func (c *indexCheck) entry(ctx context.Context, i uint64, body []byte, leaf [32]byte) error {
	if c.db == nil || i >= c.next {
		return nil
	}
	var idx int64
	var have []byte
	if !c.rows.Next() {
		return c.rows.Err()
	}
	if err := c.rows.Scan(&idx, &have); err != nil {
		return err
	}
	if uint64(idx) != i || string(have) != string(leaf[:]) {
		c.add("index.db", "has the leaf %x at %d where the tree has %x at %d", have, idx, leaf, i)
		c.next = 0 // out of step: what follows says nothing
		return nil
	}
	terms, err := termsOf(body)
	if err != nil {
		return nil // such an entry is not searchable
	}
	c.terms += int64(len(terms))
	for _, t := range terms {
		var n int
		if err := c.hit.QueryRowContext(ctx, t[:], int64(i)).Scan(&n); err != nil {
			return err
		}
		if n == 0 {
			c.add("index.db", "does not find entry %d by one of its search terms", i)
		}
	}
	return nil
}

// end checks that the index has nothing that the tree has not.
func (c *indexCheck) end(ctx context.Context, size uint64) error {
	if c.db == nil || c.next == 0 {
		return nil
	}
	if c.next > size {
		c.add("index.db", "has %d entries, the tree %d", c.next, size)
		return nil
	}
	var hits int64
	if err := c.db.QueryRowContext(ctx, "SELECT count(*) FROM hit").Scan(&hits); err != nil {
		return err
	}
	if hits > c.terms {
		c.add("index.db", "has %d search terms that no entry has", hits-c.terms)
	}
	return nil
}

// bundleCheck compares stored bundles with the entries they are stored under. db is nil when
// there are none.
type bundleCheck struct {
	db       *sql.DB
	store    *bundleStore
	due      map[uint64]bool // indexes with bundles, until their entries were seen
	findings []tilelog.Finding
}

func (c *bundleCheck) add(format string, args ...any) {
	c.findings = append(c.findings, tilelog.Finding{Where: "bundles.db", Problem: fmt.Sprintf(format, args...)})
}

func newBundleCheck(ctx context.Context, dir string) (*bundleCheck, error) {
	c := &bundleCheck{due: map[uint64]bool{}}
	db, err := store.OpenReadOnly(bundlesPath(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return nil, err
	}
	rows, err := db.QueryContext(ctx, "SELECT DISTINCT idx FROM bundle")
	if err != nil {
		db.Close()
		c.add("cannot be read: %v", err)
		return c, nil
	}
	defer rows.Close()
	for rows.Next() {
		var idx int64
		if err := rows.Scan(&idx); err != nil {
			db.Close()
			return nil, err
		}
		c.due[uint64(idx)] = true
	}
	c.db, c.store = db, &bundleStore{db: db}
	return c, rows.Err()
}

func (c *bundleCheck) close() {
	if c.db != nil {
		c.db.Close()
	}
}

func (c *bundleCheck) entry(ctx context.Context, i uint64, body []byte) error {
	if !c.due[i] {
		return nil
	}
	delete(c.due, i)
	h, err := logentry.ParseHashedRekord(body)
	if err != nil {
		c.add("holds a bundle for entry %d, which is of another kind", i)
		return nil
	}
	stored, err := c.store.get(ctx, i)
	if err != nil {
		return err
	}
	for _, data := range stored {
		b, err := bundle.Parse(data)
		if err == nil {
			err = ofEntry(b, h)
		}
		if err != nil {
			c.add("holds a bundle that is not of entry %d: %v", i, err)
		}
	}
	return nil
}

func (c *bundleCheck) end(ctx context.Context, size uint64) error {
	for i := range c.due {
		c.add("holds a bundle for entry %d, but the tree has %d entries", i, size)
	}
	if c.db == nil {
		return nil
	}
	var verdict string
	if err := c.db.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&verdict); err != nil {
		return err
	}
	if verdict != "ok" {
		c.add("is damaged: %s", verdict)
	}
	return nil
}
