// SPDX-License-Identifier: Apache-2.0

package translog

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"hallmark/internal/base/store"
	"hallmark/internal/format/bundle"
	"hallmark/internal/format/digest"
	"hallmark/internal/format/intoto"
	"hallmark/internal/format/logentry"
)

const (
	// maxBundlesPerEntry bounds what one entry can make the log store: bundles of one entry
	// differ only in what the log does not vouch for, such as timestamps.
	maxBundlesPerEntry = 4
	// maxSubjects caps the subject digests of one statement.
	maxSubjects = 4096
)

var bundleSchema = []string{`
	CREATE TABLE bundle (idx INTEGER NOT NULL, sum BLOB NOT NULL, data BLOB NOT NULL, UNIQUE (idx, sum));
	CREATE TABLE subject (term BLOB NOT NULL, idx INTEGER NOT NULL, PRIMARY KEY (term, idx)) WITHOUT ROWID;
`}

const selectSubjects = "SELECT idx FROM subject WHERE term = ? AND idx < ? ORDER BY idx DESC LIMIT ?"

var errTooManyBundles = errors.New("other bundles of this entry are stored already, and no more are taken")

// bundleStore keeps bundles by the index of their entry. It is primary data: a stored bundle
// is fsynced.
type bundleStore struct {
	db       *sql.DB
	subjects *sql.Stmt
}

func openBundleStore(ctx context.Context, path string) (*bundleStore, error) {
	db, err := store.Open(ctx, path, store.Full, bundleSchema)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(readers)
	s := &bundleStore{db: db}
	if s.subjects, err = db.Prepare(selectSubjects); err != nil {
		db.Close()
		return nil, err
	}
	return s, nil
}

func (s *bundleStore) close() error { return s.db.Close() }

// put stores a bundle of the entry at idx; added is false if it was there.
func (s *bundleStore) put(ctx context.Context, idx uint64, data []byte, subjects []digest.Digest) (added bool, err error) {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return false, err
	}
	defer tx.Rollback()
	sum := sha256.Sum256(data)
	var same, all int
	err = tx.QueryRowContext(ctx, "SELECT count(*), count(CASE WHEN sum = ? THEN 1 END) FROM bundle WHERE idx = ?", sum[:], int64(idx)).Scan(&all, &same)
	switch {
	case err != nil:
		return false, err
	case same > 0:
		return false, nil
	case all >= maxBundlesPerEntry:
		return false, errTooManyBundles
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO bundle (idx, sum, data) VALUES (?, ?, ?)", int64(idx), sum[:], data); err != nil {
		return false, err
	}
	for _, d := range subjects {
		t := query{digest: d}.term()
		if _, err := tx.ExecContext(ctx, "INSERT OR IGNORE INTO subject (term, idx) VALUES (?, ?)", t[:], int64(idx)); err != nil {
			return false, err
		}
	}
	return true, tx.Commit()
}

// get returns the bundles of the entry at idx.
func (s *bundleStore) get(ctx context.Context, idx uint64) ([][]byte, error) {
	rows, err := s.db.QueryContext(ctx, "SELECT data FROM bundle WHERE idx = ? ORDER BY rowid", int64(idx))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out [][]byte
	for rows.Next() {
		var data []byte
		if err := rows.Scan(&data); err != nil {
			return nil, err
		}
		out = append(out, data)
	}
	return out, rows.Err()
}

// search returns the places of entries whose bundles have a subject, last first, unproven.
func (s *bundleStore) search(ctx context.Context, t term, before uint64, limit int) ([]uint64, error) {
	return queryPlaces(ctx, s.subjects, t, before, limit)
}

// ofEntry checks that a bundle is what the entry h records: the same signature over the same
// digest by the same verifier.
func ofEntry(b *bundle.Bundle, h logentry.HashedRekord) error {
	if !bytes.Equal(b.Signature(), h.Signature) {
		return errors.New("the bundle's signature is not the logged one")
	}
	switch {
	case len(b.Certificates) > 0 && !bytes.Equal(b.Certificates[0], h.Certificate):
		return errors.New("the bundle's certificate is not the logged one")
	case len(b.Certificates) == 0 && len(h.PublicKey) == 0:
		return errors.New("the bundle names a key, but a certificate is logged")
	}
	if b.Envelope != nil {
		if digest.Of(h.Digest.Algorithm(), b.Envelope.PAE()) != h.Digest {
			return errors.New("the hash of the envelope's pre-authentication encoding is not the logged digest")
		}
		return nil
	}
	if d := b.Message.Digest; !d.IsZero() && d != h.Digest {
		return errors.New("the bundle's message digest is not the logged one")
	}
	return nil
}

// subjectsOf lists the digests that a bundle's statement is about; nil unless it is in-toto.
func subjectsOf(b *bundle.Bundle) ([]digest.Digest, error) {
	if b.Envelope == nil || b.Envelope.PayloadType != intoto.PayloadType {
		return nil, nil
	}
	st, err := intoto.Parse(b.Envelope.Payload)
	if err != nil {
		return nil, err
	}
	var out []digest.Digest
	for _, s := range st.Subjects {
		for alg, hex := range s.Digests {
			d, err := digest.Parse(alg + ":" + hex)
			if err != nil {
				continue // a kind of digest nobody can search for here
			}
			out = append(out, d)
		}
	}
	slices.SortFunc(out, func(a, b digest.Digest) int { return bytes.Compare([]byte(a.String()), []byte(b.String())) })
	out = slices.Compact(out)
	if len(out) > maxSubjects {
		return nil, fmt.Errorf("the statement has %d subject digests: at most %d are indexed", len(out), maxSubjects)
	}
	return out, nil
}

// holds reports whether a stored bundle is of the entry h and, for a digest query, whether it
// speaks of that digest. Nothing that the database says is believed.
func holds(data []byte, h logentry.HashedRekord, q query) bool {
	b, err := bundle.Parse(data)
	if err != nil || ofEntry(b, h) != nil {
		return false
	}
	if q.digest.IsZero() || h.Digest == q.digest {
		return true
	}
	subjects, err := subjectsOf(b)
	return err == nil && slices.Contains(subjects, q.digest)
}

// compact removes white space from a bundle that has been parsed.
func compact(data []byte) ([]byte, error) {
	var out bytes.Buffer
	if err := json.Compact(&out, data); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
