// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"io/fs"
	"path/filepath"
	"testing"
)

func TestOpenReadOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a b?.db")
	if _, err := OpenReadOnly(path); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("an absent file: %v", err)
	}
	rw, err := Open(t.Context(), path, Full, []string{"CREATE TABLE t (x)", "INSERT INTO t VALUES (7)"})
	if err != nil {
		t.Fatal(err)
	}
	rw.Close()
	db, err := OpenReadOnly(path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var x int
	if err := db.QueryRow("SELECT x FROM t").Scan(&x); err != nil || x != 7 {
		t.Fatalf("%d, %v", x, err)
	}
	if _, err := db.Exec("INSERT INTO t VALUES (8)"); err == nil {
		t.Fatal("a read-only database was written to")
	}
}
