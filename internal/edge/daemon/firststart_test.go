// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hallmark/internal/base/keyring"
)

func testAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8484} }

// stage makes a complete, unmoved first start in a new data folder.
func stage(t *testing.T) (layout, *Config) {
	t.Helper()
	l := layout{t.TempDir()}
	cfg := &Config{Listen: "127.0.0.1:8484", Data: l.root}
	if err := stageInstance(l, cfg, testAddr(), time.Now()); err != nil {
		t.Fatal(err)
	}
	return l, cfg
}

// A first start that was cut off at any of its steps must be finished, or
// begun anew, by the next one, and what results must fit together.
func TestAFirstStartCutOffIsRecovered(t *testing.T) {
	move := func(names ...string) func(*testing.T, layout) {
		return func(t *testing.T, l layout) {
			for _, n := range names {
				if err := os.Rename(filepath.Join(l.staging(), n), filepath.Join(l.root, n)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	unmark := func(t *testing.T, l layout) {
		if err := os.Remove(filepath.Join(l.staging(), completeMark)); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		name string
		cut  func(*testing.T, layout)
		kept bool // the staged keys live on
	}{
		{"before the mark", unmark, false},
		{"before the mark, some keys missing", func(t *testing.T, l layout) {
			unmark(t, l)
			os.RemoveAll(filepath.Join(l.staging(), "offline"))
		}, false},
		{"after the mark", func(*testing.T, layout) {}, true},
		{"after the first move", move("offline"), true},
		{"after the second", move("offline", "log"), true},
		{"after the third", move("offline", "log", "ct"), true},
		{"after the last", move("offline", "log", "ct", "instance"), true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l, cfg := stage(t)
			before, err := keyring.Load(instanceFiles{layout{l.staging()}.instance()}.key(keyCA))
			if err != nil {
				t.Fatal(err)
			}
			tc.cut(t, l)
			m, err := ensureInstance(l, cfg, testAddr(), time.Now())
			if err != nil {
				t.Fatal(err)
			}
			after, err := keyring.Load(instanceFiles{l.instance()}.key(keyCA))
			if err != nil {
				t.Fatal(err)
			}
			if kept := sameKey(before.Public(), after.Public()); kept != tc.kept {
				t.Errorf("the staged key lives on: %v, want %v", kept, tc.kept)
			}
			if _, err := os.Stat(l.staging()); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the staging folder is still there: %v", err)
			}
			if err := requireLogs(l, m); err != nil {
				t.Error(err)
			}
			for _, name := range []string{keyCARoot, keyTSARoot, keyTUFRoot, keyTUFTargets} {
				if _, err := keyring.Load(filepath.Join(l.offline(), name+".pem")); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func TestFirstStartRefusesAFolderWithOtherThings(t *testing.T) {
	l := layout{t.TempDir()}
	if err := os.WriteFile(filepath.Join(l.root, "thesis.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := ensureInstance(l, &Config{Data: l.root, Listen: "127.0.0.1:1"}, testAddr(), time.Now())
	if err == nil || !strings.Contains(err.Error(), "thesis.txt") {
		t.Fatalf("error %v", err)
	}
	if entries, _ := os.ReadDir(l.root); len(entries) != 1 {
		t.Fatalf("something was written: %v", entries)
	}
}

func TestWhatTheFirstStartFixedStays(t *testing.T) {
	l, cfg := stage(t)
	m, err := ensureInstance(l, cfg, testAddr(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		cfg  Config
		want string
	}{
		{"the same", *cfg, ""},
		{"without the dev issuer", Config{}, ""},
		{"the URL said again", Config{ExternalURL: "http://127.0.0.1:8484"}, ""},
		{"another URL", Config{ExternalURL: "http://127.0.0.1:9999"}, "--external-url"},
		{"another origin", Config{LogOrigin: "log.example.com"}, "--log-origin"},
		{"another organization", Config{Organization: "Acme"}, "--organization"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := m.agree(&tc.cfg)
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Fatalf("error %v, want %q", err, tc.want)
			}
		})
	}
	if err := m.agree(&Config{DevIssuer: true}); err == nil || !strings.Contains(err.Error(), "not created for development") {
		t.Errorf("a production instance took the dev issuer: %v", err)
	}
}

func TestALostLogIsNotReplacedByAnEmptyOne(t *testing.T) {
	l, cfg := stage(t)
	m, err := ensureInstance(l, cfg, testAddr(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(l.log(m.LogOrigin)); err != nil {
		t.Fatal(err)
	}
	if err := requireLogs(l, m); err == nil || !strings.Contains(err.Error(), "backup") {
		t.Fatalf("error %v", err)
	}
}

func TestADamagedManifestIsNamed(t *testing.T) {
	for name, content := range map[string]string{"truncated": `{"version":1,`, "another version": `{"version":99}`, "unknown field": `{"version":1,"x":2}`} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "instance.json")
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := readManifest(path); err == nil || !strings.Contains(err.Error(), path) {
				t.Fatalf("error %v", err)
			}
		})
	}
}
