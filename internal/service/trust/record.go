// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"hallmark/internal/format/strictjson"
)

const (
	recordFile   = "trust.json"
	recordFormat = 1
	maxRecord    = 256 << 10
	maxFiles     = 2048 // of a generation; a chain of roots is the most of it
)

// The files of a generation.
const (
	rootFile     = "trusted_root.json"
	configFile   = "signing_config.v0.2.json"
	instanceFile = "hallmark.json"
)

// record is trust.json.
type record struct {
	Version    int               `json:"version"`
	Name       string            `json:"name"`
	Kind       Kind              `json:"kind"`
	URL        string            `json:"url,omitempty"`
	Mirror     string            `json:"mirror,omitempty"`
	RootSHA256 string            `json:"rootSHA256,omitempty"`
	TOFU       bool              `json:"tofu,omitempty"`
	Created    time.Time         `json:"created"`
	Refreshed  time.Time         `json:"refreshed"`
	Generation int64             `json:"generation"`
	Files      map[string]string `json:"files"` // path in the generation → SHA-256, hexadecimal
	TUF        *recordTUF        `json:"tuf,omitempty"`
}

// recordTUF is what was seen of the TUF repository, for people to read; the
// metadata itself is among the files.
type recordTUF struct {
	Root      int64     `json:"root"` // versions
	Timestamp int64     `json:"timestamp"`
	Snapshot  int64     `json:"snapshot"`
	Targets   int64     `json:"targets"`
	Expires   time.Time `json:"expires"` // the timestamp's
}

// validFile is whether name is a file of a generation: at its top or in tuf/.
func validFile(name string) bool {
	name = strings.TrimPrefix(name, "tuf/")
	return len(name) <= 128 && plainName(name)
}

func parseRecord(data []byte) (*record, error) {
	if len(data) > maxRecord {
		return nil, fmt.Errorf("%d bytes: expected at most %d", len(data), maxRecord)
	}
	if _, err := strictjson.Parse(data); err != nil {
		return nil, err
	}
	var r record
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, err
	}
	if r.Version != recordFormat {
		return nil, fmt.Errorf("version is %d: expected %d (was it written by a newer hallmark?)", r.Version, recordFormat)
	}
	if err := CheckName(r.Name); err != nil {
		return nil, err
	}
	switch r.Kind {
	case KindTUF, KindBuiltin:
		if _, err := parseURL(r.Mirror); err != nil {
			return nil, fmt.Errorf("mirror: %w", err)
		}
		if _, err := parseSHA256(r.RootSHA256); err != nil {
			return nil, fmt.Errorf("rootSHA256: %w", err)
		}
		if r.TUF == nil || r.Files[tufRoot] == "" {
			return nil, errors.New("there is no TUF metadata")
		}
	case KindStatic:
	default:
		return nil, fmt.Errorf("kind %.40q: expected tuf, static or builtin", r.Kind)
	}
	if r.Generation < 1 {
		return nil, fmt.Errorf("generation is %d: expected a positive number", r.Generation)
	}
	if len(r.Files) > maxFiles || r.Files[rootFile] == "" {
		return nil, fmt.Errorf("files: expected %s and at most %d in all", rootFile, maxFiles)
	}
	for name, sum := range r.Files {
		if !validFile(name) {
			return nil, fmt.Errorf("files: unusable name %.140q", name)
		}
		if _, err := parseSHA256(sum); err != nil {
			return nil, fmt.Errorf("files: %s: %w", name, err)
		}
	}
	return &r, nil
}

// parseSHA256 reads 64 hexadecimal digits, in either case, with or without the
// prefix "sha256:", and returns them in lower case.
func parseSHA256(s string) (string, error) {
	digits := strings.ToLower(strings.TrimPrefix(s, "sha256:"))
	if sum, err := hex.DecodeString(digits); err != nil || len(sum) != 32 {
		return "", fmt.Errorf("%.80q: expected a SHA-256 of 64 hexadecimal digits", s)
	}
	return digits, nil
}

func (r *record) info(dir string) Info {
	in := Info{Name: r.Name, Kind: r.Kind, URL: r.URL, Mirror: r.Mirror, RootSHA256: r.RootSHA256, TOFU: r.TOFU,
		Created: r.Created, Refreshed: r.Refreshed, Stored: true, Dir: dir}
	if r.TUF != nil {
		in.Expires = r.TUF.Expires
	}
	return in
}
