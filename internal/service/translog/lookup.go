// SPDX-License-Identifier: Apache-2.0

package translog

import (
	"context"
	"database/sql"
	"errors"
)

// maxLookups bounds the lookups of one read transaction.
const maxLookups = 256

// lookupRequest is one leaf to find. found and err are set before done is closed.
type lookupRequest struct {
	leaf  [32]byte
	index uint64
	found bool
	err   error
	done  chan struct{}
}

// finder looks leaves up, many at a time: most of the cost of one lookup is that of its
// transaction.
type finder struct {
	conn  *sql.Conn
	stmt  *sql.Stmt
	queue chan *lookupRequest
	stop  chan struct{}
	done  chan struct{}
}

func newFinder(db *sql.DB) (*finder, error) {
	conn, err := db.Conn(context.Background())
	if err != nil {
		return nil, err
	}
	stmt, err := conn.PrepareContext(context.Background(), selectLeaf)
	if err != nil {
		conn.Close()
		return nil, err
	}
	f := &finder{conn: conn, stmt: stmt, queue: make(chan *lookupRequest, maxLookups), stop: make(chan struct{}), done: make(chan struct{})}
	go f.run()
	return f, nil
}

func (f *finder) close() {
	close(f.stop)
	<-f.done
	f.conn.Close()
}

// find returns the place of a leaf, unproven.
func (f *finder) find(ctx context.Context, leaf [32]byte) (uint64, bool, error) {
	r := &lookupRequest{leaf: leaf, done: make(chan struct{})}
	select {
	case f.queue <- r:
	case <-ctx.Done():
		return 0, false, ctx.Err()
	case <-f.done:
		return 0, false, errIndexClosed
	}
	select {
	case <-r.done:
		return r.index, r.found, r.err
	case <-f.done:
		return 0, false, errIndexClosed
	}
}

var errIndexClosed = errors.New("the index is closed")

func (f *finder) run() {
	defer close(f.done)
	batch := make([]*lookupRequest, 0, maxLookups)
	for {
		batch = batch[:0]
		select {
		case r := <-f.queue:
			batch = append(batch, r)
		case <-f.stop:
			return
		}
		for more := true; more && len(batch) < maxLookups; {
			select {
			case r := <-f.queue:
				batch = append(batch, r)
			default:
				more = false
			}
		}
		f.answer(batch)
	}
}

// answer looks a batch up in one transaction; a single leaf needs none.
func (f *finder) answer(batch []*lookupRequest) {
	ctx := context.Background()
	grouped := false
	if len(batch) > 1 {
		_, err := f.conn.ExecContext(ctx, "BEGIN")
		grouped = err == nil
	}
	for _, r := range batch {
		var idx int64
		switch err := f.stmt.QueryRowContext(ctx, r.leaf[:]).Scan(&idx); {
		case err == nil:
			r.index, r.found = uint64(idx), true
		case !errors.Is(err, sql.ErrNoRows):
			r.err = err
		}
	}
	if grouped {
		f.conn.ExecContext(ctx, "COMMIT") // it only read
	}
	for _, r := range batch {
		close(r.done)
	}
}
