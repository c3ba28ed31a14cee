// SPDX-License-Identifier: Apache-2.0

package store

import (
	"database/sql"
	"net/url"
	"os"
)

// OpenReadOnly opens an existing database to look at it: nothing in it is changed, no migration
// runs, and an absent file is an error matching fs.ErrNotExist. It is for databases that no
// process has open; SQLite may make its -wal and -shm files beside it.
func OpenReadOnly(path string) (*sql.DB, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, err
	}
	q := url.Values{"mode": {"ro"}, "_pragma": {"busy_timeout(10000)", "query_only(1)"}}
	return sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: url.PathEscape(path), RawQuery: q.Encode()}).String())
}
