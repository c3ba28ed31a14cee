// SPDX-License-Identifier: Apache-2.0

package store

import (
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestOpenMigratesOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "with space?and#marks.sqlite")
	first := []string{"CREATE TABLE a (x INTEGER); INSERT INTO a VALUES (1);"}
	second := append(first, "INSERT INTO a VALUES (2);")
	for _, step := range []struct {
		migrations []string
		rows       int
	}{{first, 1}, {first, 1}, {second, 2}, {second, 2}} {
		db, err := Open(t.Context(), path, Full, step.migrations)
		if err != nil {
			t.Fatal(err)
		}
		if got := count(t, db); got != step.rows {
			t.Fatalf("%d rows, want %d", got, step.rows)
		}
		db.Close()
	}
	if _, err := Open(t.Context(), path, Full, first); err == nil || !strings.Contains(err.Error(), "newer than this program") {
		t.Fatalf("a newer schema: %v", err)
	}
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", fi, err)
	}
}

func TestOpeningACurrentDatabaseWritesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	schema := []string{"CREATE TABLE t (x)"}
	first, err := Open(t.Context(), path, Full, schema)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close() // keeps the write-ahead log in place
	before, err := os.Stat(path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	second, err := Open(t.Context(), path, Full, schema)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	after, err := os.Stat(path + "-wal")
	if err != nil || after.Size() != before.Size() || after.ModTime() != before.ModTime() {
		t.Fatalf("the write-ahead log grew from %d to %d bytes, %v", before.Size(), after.Size(), err)
	}
}

func TestOpeningWithoutRoomSaysSo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	schema := []string{"CREATE TABLE t (x)"}
	db, err := Open(t.Context(), path, Full, schema)
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	none := before
	none.Cur = 0 // no file of this process may grow
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &none); err != nil {
		t.Fatal(err)
	}
	db, err = Open(t.Context(), path, Full, schema)
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	if err == nil {
		db.Close()
		t.Fatal("opened, though the write-ahead log's index cannot be made")
	}
	if !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "is the disk full") {
		t.Errorf("%v", err)
	}
	if db, err = Open(t.Context(), path, Full, schema); err != nil {
		t.Fatalf("with room again: %v", err)
	}
	db.Close()
}

func TestAFailedMigrationChangesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	_, err := Open(t.Context(), path, Normal, []string{"CREATE TABLE a (x)", "CREATE TABLE a (x)"})
	if err == nil || !strings.Contains(err.Error(), "migration 2") || !strings.Contains(err.Error(), path) {
		t.Fatalf("error %v", err)
	}
	db, err := Open(t.Context(), path, Normal, []string{"CREATE TABLE a (x)"})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if got := count(t, db); got != 0 {
		t.Fatalf("%d rows", got)
	}
}

func TestPragmas(t *testing.T) {
	for sync, want := range map[Sync]int{Normal: 1, Full: 2} {
		db, err := Open(t.Context(), filepath.Join(t.TempDir(), "db"), sync, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		var mode string
		var level, keys int
		if err := db.QueryRow("PRAGMA journal_mode").Scan(&mode); err != nil || mode != "wal" {
			t.Errorf("journal_mode %q, %v", mode, err)
		}
		if err := db.QueryRow("PRAGMA synchronous").Scan(&level); err != nil || level != want {
			t.Errorf("synchronous %d, %v; want %d", level, err, want)
		}
		if err := db.QueryRow("PRAGMA foreign_keys").Scan(&keys); err != nil || keys != 1 {
			t.Errorf("foreign_keys %d, %v", keys, err)
		}
	}
}

func TestInMemory(t *testing.T) {
	db, err := Open(t.Context(), "", Normal, []string{"CREATE TABLE a (x); INSERT INTO a VALUES (1)"})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if count(t, db) != 1 {
		t.Fatal("no row")
	}
}

func count(t *testing.T, db *sql.DB) int {
	t.Helper()
	var n int
	if err := db.QueryRow("SELECT count(*) FROM a").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
