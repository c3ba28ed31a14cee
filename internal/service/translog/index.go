// SPDX-License-Identifier: Apache-2.0

package translog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"hallmark/internal/base/store"
	"hallmark/internal/base/tilelog"
	"hallmark/internal/format/logentry"
)

const (
	// linger gathers rows into one transaction. Nobody waits for it: an entry not yet in the
	// index is still a flight.
	linger = 20 * time.Millisecond
	// maxRows bounds one transaction.
	maxRows = 4096
	// retryInterval is the pause after a failed transaction.
	retryInterval = 500 * time.Millisecond
	// readers bounds the connections that look things up.
	readers = 4
)

var indexSchema = []string{`
	CREATE TABLE entry (idx INTEGER PRIMARY KEY, leaf BLOB NOT NULL UNIQUE);
	CREATE TABLE hit (term BLOB NOT NULL, idx INTEGER NOT NULL, PRIMARY KEY (term, idx)) WITHOUT ROWID;
`}

const (
	insertEntry = "INSERT OR IGNORE INTO entry (idx, leaf) VALUES (?, ?)"
	insertHit   = "INSERT OR IGNORE INTO hit (term, idx) VALUES (?, ?)"
	insertHits3 = insertHit + ", (?, ?), (?, ?)" // the usual digest, key and one name
	selectLeaf  = "SELECT idx FROM entry WHERE leaf = ?"
	selectHits  = "SELECT idx FROM hit WHERE term = ? AND idx < ? ORDER BY idx DESC LIMIT ?"
)

// row is what the index stores about one entry.
type row struct {
	index uint64
	leaf  [32]byte
	terms []term
}

// index maps leaf hashes and search terms to places in the tree. It always holds a prefix of
// the tree: rows are committed in the order of their index, without gaps, so that the largest
// one says what is missing. One goroutine writes.
type index struct {
	path   string
	tiles  *tilelog.Log
	log    *slog.Logger
	landed func(leaves [][32]byte) // told what has been committed

	db     *sql.DB
	leaves *finder
	hits   *sql.Stmt

	writing sync.Mutex // held for each transaction
	conn    *sql.Conn  // guarded by writing, as are the statements and next
	putRow  *sql.Stmt
	putHit  *sql.Stmt
	putHit3 *sql.Stmt
	next    uint64 // entries [0, next) are committed

	mu      sync.Mutex
	pending map[uint64]row // guarded by mu: waiting for its turn
	closed  bool           // guarded by mu

	wake chan struct{} // capacity 1
	stop chan struct{}
	done chan struct{}
}

// openIndex opens the index, which is made anew if its file cannot be used.
func openIndex(ctx context.Context, path string, tiles *tilelog.Log, log *slog.Logger, landed func([][32]byte)) (*index, error) {
	x := &index{path: path, tiles: tiles, log: log, landed: landed, pending: map[uint64]row{},
		wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
	err := x.connect(ctx)
	if err != nil && ctx.Err() == nil {
		log.Warn("the log's index cannot be used; it is made anew from the tiles", "path", path, "error", err)
		x.disconnect()
		if err := removeDatabase(path); err != nil {
			return nil, err
		}
		err = x.connect(ctx)
	}
	if err != nil {
		x.disconnect()
		return nil, fmt.Errorf("index %s: %w", path, err)
	}
	go x.run()
	return x, nil
}

func removeDatabase(path string) error {
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (x *index) connect(ctx context.Context) (err error) {
	if x.db, err = store.Open(ctx, x.path, store.Normal, indexSchema); err != nil {
		return err
	}
	x.db.SetMaxOpenConns(readers + 2) // the writer's and the finder's stay in use
	x.db.SetMaxIdleConns(readers + 2)
	// Statements and the connection outlive ctx.
	if x.leaves, err = newFinder(x.db); err != nil {
		return err
	}
	if x.hits, err = x.db.Prepare(selectHits); err != nil {
		return err
	}
	if x.conn, err = x.db.Conn(context.Background()); err != nil {
		return err
	}
	if x.putRow, err = x.conn.PrepareContext(context.Background(), insertEntry); err != nil {
		return err
	}
	if x.putHit, err = x.conn.PrepareContext(context.Background(), insertHit); err != nil {
		return err
	}
	if x.putHit3, err = x.conn.PrepareContext(context.Background(), insertHits3); err != nil {
		return err
	}
	var last sql.NullInt64
	if err := x.conn.QueryRowContext(ctx, "SELECT max(idx) FROM entry").Scan(&last); err != nil {
		return err
	}
	x.next = 0
	if last.Valid {
		x.next = uint64(last.Int64) + 1
	}
	return nil
}

func (x *index) disconnect() error {
	if x.leaves != nil {
		x.leaves.close()
		x.leaves = nil
	}
	if x.conn != nil {
		x.conn.Close()
		x.conn = nil
	}
	if x.db == nil {
		return nil
	}
	return x.db.Close()
}

// enqueue hands over the row of an entry that is durably in the tree.
func (x *index) enqueue(r row) {
	x.mu.Lock()
	x.pending[r.index] = r
	x.mu.Unlock()
	select {
	case x.wake <- struct{}{}:
	default:
	}
}

func (x *index) run() {
	defer close(x.done)
	for {
		select {
		case <-x.wake:
		case <-x.stop:
			x.flush()
			return
		}
		select {
		case <-time.After(linger):
		case <-x.stop:
		}
		for x.flush() != nil {
			select {
			case <-time.After(retryInterval):
			case <-x.stop:
				return // the rows are derived: the next start reads them from the tiles
			}
		}
	}
}

// flush commits the pending rows whose turn it is.
func (x *index) flush() error {
	x.writing.Lock()
	defer x.writing.Unlock()
	for {
		rows, known := x.turn()
		if len(known) > 0 {
			x.landed(known)
		}
		if len(rows) == 0 {
			return nil
		}
		if err := x.commit(rows); err != nil {
			x.log.Error("the log's index cannot be written; it is tried again", "error", err)
			return err
		}
		leaves := make([][32]byte, len(rows))
		x.mu.Lock()
		for i, r := range rows {
			delete(x.pending, r.index)
			leaves[i] = r.leaf
		}
		x.mu.Unlock()
		x.landed(leaves)
	}
}

// turn returns the rows that continue the committed ones, and drops those a catch-up has overtaken.
func (x *index) turn() (rows []row, known [][32]byte) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for n := x.next; len(rows) < maxRows; n++ {
		r, ok := x.pending[n]
		if !ok {
			break
		}
		rows = append(rows, r)
	}
	if len(rows) < len(x.pending) {
		for n, r := range x.pending {
			if n < x.next {
				known = append(known, r.leaf)
				delete(x.pending, n)
			}
		}
	}
	return rows, known
}

// commit writes rows that continue the committed ones. Called with writing held.
func (x *index) commit(rows []row) error {
	ctx := context.Background()
	if _, err := x.conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	err := x.put(ctx, rows)
	if err == nil {
		_, err = x.conn.ExecContext(ctx, "COMMIT")
	}
	if err != nil {
		x.conn.ExecContext(ctx, "ROLLBACK") // fails if there is no transaction any more, which is as good
		return err
	}
	x.next = rows[len(rows)-1].index + 1
	return nil
}

func (x *index) put(ctx context.Context, rows []row) error {
	for _, r := range rows {
		if _, err := x.putRow.ExecContext(ctx, int64(r.index), r.leaf[:]); err != nil {
			return err
		}
		if t := r.terms; len(t) == 3 {
			if _, err := x.putHit3.ExecContext(ctx, t[0][:], int64(r.index), t[1][:], int64(r.index), t[2][:], int64(r.index)); err != nil {
				return err
			}
			continue
		}
		for _, t := range r.terms {
			if _, err := x.putHit.ExecContext(ctx, t[:], int64(r.index)); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkTail compares the last row with the tree and empties the index if it is of another tree.
// An index that is ahead of the tree is an error: it is only ever written for entries that are
// durably in the tree, so the tree has lost what this log acknowledged.
func (x *index) checkTail(ctx context.Context) error {
	x.writing.Lock()
	defer x.writing.Unlock()
	if x.next == 0 {
		return nil
	}
	size, err := x.tiles.IntegratedSize(ctx)
	if err != nil {
		return err
	}
	if x.next > size {
		return fmt.Errorf("the tree holds %d entries, but index.db says that there were %d: the tree was lost or is an old copy, and signing it would contradict what the log has acknowledged; restore the tree from a newer backup", size, x.next)
	}
	fits := false
	var leaf []byte
	if err := x.conn.QueryRowContext(ctx, "SELECT leaf FROM entry WHERE idx = ?", int64(x.next-1)).Scan(&leaf); err != nil {
		return err
	}
	if err := x.tiles.Entries(ctx, x.next-1, x.next, size, func(_ uint64, body []byte) error {
		h := logentry.LeafHash(body)
		fits = string(h[:]) == string(leaf)
		return nil
	}); err != nil {
		return err
	}
	if fits {
		return nil
	}
	x.log.Warn("the log's index is not of this tree; it is made anew from the tiles", "index", x.next, "tree", size)
	return x.empty(ctx)
}

// empty deletes all rows. Called with writing held.
func (x *index) empty(ctx context.Context) error {
	if _, err := x.conn.ExecContext(ctx, "DELETE FROM hit; DELETE FROM entry"); err != nil {
		return err
	}
	x.next = 0
	return nil
}

// catchUp reads the entries that the index misses from the tiles; with rebuild, all of them. No
// entry may be on its way into the tree meanwhile.
func (x *index) catchUp(ctx context.Context, rebuild bool) error {
	x.writing.Lock()
	defer x.writing.Unlock()
	if rebuild {
		if err := x.empty(ctx); err != nil {
			return err
		}
	}
	size, err := x.tiles.IntegratedSize(ctx)
	if err != nil {
		return err
	}
	if x.next >= size {
		return nil
	}
	if behind := size - x.next; behind > 1000 {
		x.log.Info("reading entries into the log's index", "entries", behind)
	}
	var rows []row
	put := func() error {
		if len(rows) == 0 {
			return nil
		}
		err := x.commit(rows)
		rows = rows[:0]
		return err
	}
	err = x.tiles.Entries(ctx, x.next, size, size, func(i uint64, body []byte) error {
		terms, err := termsOf(body)
		if err != nil {
			x.log.Warn("an entry cannot be searched for", "index", i, "error", err)
		}
		rows = append(rows, row{index: i, leaf: logentry.LeafHash(body), terms: terms})
		if len(rows) < maxRows {
			return nil
		}
		return put()
	})
	if err != nil {
		return err
	}
	return put()
}

// lookup returns the place of a leaf, unproven.
func (x *index) lookup(ctx context.Context, leaf [32]byte) (uint64, bool, error) {
	return x.leaves.find(ctx, leaf)
}

// search returns the places of up to limit entries below before that have a term, last first,
// unproven.
func (x *index) search(ctx context.Context, t term, before uint64, limit int) ([]uint64, error) {
	return queryPlaces(ctx, x.hits, t, before, limit)
}

func queryPlaces(ctx context.Context, stmt *sql.Stmt, t term, before uint64, limit int) ([]uint64, error) {
	rows, err := stmt.QueryContext(ctx, t[:], int64(before), limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []uint64
	for rows.Next() {
		var idx int64
		if err := rows.Scan(&idx); err != nil {
			return nil, err
		}
		out = append(out, uint64(idx))
	}
	return out, rows.Err()
}

// close commits what is pending and closes the database.
func (x *index) close() error {
	x.mu.Lock()
	closed := x.closed
	x.closed = true
	x.mu.Unlock()
	if closed {
		return nil
	}
	close(x.stop)
	<-x.done
	return x.disconnect()
}
