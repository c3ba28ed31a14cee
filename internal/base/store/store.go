// SPDX-License-Identifier: Apache-2.0

// Package store opens SQLite databases (https://www.sqlite.org/) the one way
// this project uses them: write-ahead log, foreign keys, a busy timeout, and a
// schema that is migrated before the first query.
//
// Invariants: each migration runs exactly once, in a transaction, in order; a
// database from a newer version is refused, not damaged.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"

	"modernc.org/sqlite" // registers the driver "sqlite", which this package alone opens
	sqlite3 "modernc.org/sqlite/lib"
)

// Sync says what survives power loss (SQLite's PRAGMA synchronous).
type Sync int

const (
	// Normal loses no consistency, but may lose the last commits: for data
	// that is derived from elsewhere.
	Normal Sync = iota
	// Full loses nothing once a commit returned: for primary data.
	Full
)

// Open opens or creates the database file at path with mode 0600; "" is a
// private one in memory. Each migration is one or more SQL statements; the
// number of those that have run is kept in user_version. The database/sql pool
// serialises writers; readers run beside them.
func Open(ctx context.Context, path string, sync Sync, migrations []string) (*sql.DB, error) {
	db, err := open(path, sync)
	if err != nil {
		return nil, err
	}
	if err := migrate(ctx, db, migrations); err != nil {
		db.Close()
		return nil, fmt.Errorf("database %s: %w", path, explain(err))
	}
	return db, nil
}

// explain says what SQLite's "disk I/O error" means as a rule.
func explain(err error) error {
	var failed *sqlite.Error
	if errors.As(err, &failed) && failed.Code()&0xff == sqlite3.SQLITE_IOERR {
		return fmt.Errorf("%w: is the disk full or failing?", err)
	}
	return err
}

func open(path string, sync Sync) (*sql.DB, error) {
	level := "normal"
	if sync == Full {
		level = "full"
	}
	q := url.Values{"_pragma": {
		"busy_timeout(10000)", "foreign_keys(1)", "journal_mode(wal)", "synchronous(" + level + ")",
	}, "_txlock": {"immediate"}}
	if path == "" {
		db, err := sql.Open("sqlite", "file::memory:?"+q.Encode())
		if err != nil {
			return nil, err
		}
		db.SetMaxOpenConns(1) // a second connection would be a second, empty database
		return db, nil
	}
	// SQLite would create the file with the umask's mode.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	f.Close()
	return sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: url.PathEscape(path), RawQuery: q.Encode()}).String())
}

func migrate(ctx context.Context, db *sql.DB, migrations []string) error {
	// Look before writing: a full disk must not keep a database of today's schema closed.
	var done int
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&done); err != nil {
		return err
	}
	if done == len(migrations) {
		return nil
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&done); err != nil {
		return err
	}
	if done > len(migrations) {
		return fmt.Errorf("schema version %d is newer than this program's %d: run the version that wrote it, or a later one", done, len(migrations))
	}
	for i, m := range migrations[done:] {
		if _, err := tx.ExecContext(ctx, m); err != nil {
			return fmt.Errorf("migration %d: %w", done+i+1, err)
		}
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", len(migrations))); err != nil {
		return err
	}
	return tx.Commit()
}
