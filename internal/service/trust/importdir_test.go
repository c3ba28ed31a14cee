// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hallmark/internal/base/durable"
)

// writeCache writes srv's state the way cosign caches it, below root.
func writeCache(t *testing.T, srv *server, root string) string {
	t.Helper()
	mirror := srv.url + "/tuf"
	dir := filepath.Join(root, cacheName(mirror))
	state, err := readMirror(srv.dir)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"root.json": srv.repo.Root(), "timestamp.json": state.timestamp, "snapshot.json": state.snapshot, "targets.json": state.targets,
		"targets/" + rootFile: srv.repo.Target(rootFile), "targets/" + configFile: srv.repo.Target(configFile),
		"../remote.json":                  fmt.Appendf(nil, `{"mirror":%q}`, mirror),
		"../" + cacheName(mirror+".json"): fmt.Appendf(nil, `{"lastTimestamp":%q}`, start.Format(time.RFC3339Nano)),
	} {
		put(t, filepath.Join(dir, filepath.FromSlash(name)), data)
	}
	return dir
}

func put(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := durable.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestImportCache(t *testing.T) {
	srv := newServer(t)
	root := filepath.Join(t.TempDir(), "root")
	dir := writeCache(t, srv, root)
	for i, from := range []string{root, dir} {
		s, c, _ := newStore(t)
		c.set(start.Add(time.Hour))
		name := fmt.Sprintf("cache%d", i)
		in, err := s.ImportDir(t.Context(), name, from)
		if err != nil {
			t.Fatal(err)
		}
		if in.Kind != KindTUF || in.Mirror != srv.url+"/tuf" || !in.Refreshed.Equal(start) || in.Expires.IsZero() || in.RootSHA256 != srv.repo.RootSHA256() {
			t.Errorf("%+v", in)
		}
		if a, err := s.Load(name); err != nil || a.Root == nil || a.SigningConfig == nil {
			t.Errorf("%+v, %v", a, err)
		}
		// It goes on from there by TUF, and what it has seen counts.
		srv.publish(i+1, start)
		if _, err := s.Refresh(t.Context(), name); err != nil {
			t.Error(err)
		}
		srv.set("/tuf/timestamp.json", mustRead(t, filepath.Join(dir, "timestamp.json")))
		if _, err := s.Refresh(t.Context(), name); !errors.Is(err, ErrRollback) {
			t.Errorf("rollback: %v", err)
		}
		if _, err := s.ImportDir(t.Context(), name, from); !errors.Is(err, ErrExists) {
			t.Errorf("over a TUF one: %v", err)
		}
		srv.mu.Lock()
		delete(srv.override, "/tuf/timestamp.json")
		srv.mu.Unlock()
	}
}

func mustRead(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestImportCacheOfUnknownOrigin: without remote.json it can be used, not
// refreshed. That it is long expired does not matter.
func TestImportCacheOfUnknownOrigin(t *testing.T) {
	srv := newServer(t)
	root := filepath.Join(t.TempDir(), "root")
	dir := writeCache(t, srv, root)
	if err := os.Remove(filepath.Join(root, "remote.json")); err != nil {
		t.Fatal(err)
	}
	s, c, _ := newStore(t)
	c.set(start.AddDate(20, 0, 0))
	for _, from := range []string{root, dir} {
		in, err := s.ImportDir(t.Context(), "old", from)
		if err != nil || in.Kind != KindStatic || in.Mirror != "" {
			t.Errorf("%+v, %v", in, err)
		}
	}
}

func TestImportMirrorFolder(t *testing.T) {
	srv := newServer(t)
	srv.publish(1, start)
	s, _, _ := newStore(t)
	dir := t.TempDir()
	if _, err := mirrorTo(t, s, srv, dir); err != nil {
		t.Fatal(err)
	}
	in, err := s.ImportDir(t.Context(), "usb", dir)
	if err != nil || in.Kind != KindStatic {
		t.Fatalf("%+v, %v", in, err)
	}
	if a, err := s.Load("usb"); err != nil || a.SigningConfig == nil {
		t.Errorf("%+v, %v", a, err)
	}
	name := filepath.Join(dir, "targets", hexSHA256(targets(1)[rootFile])+"."+rootFile)
	put(t, name, bytes.Replace(mustRead(t, name), []byte("fulcio"), []byte("fulci0"), 1))
	if _, err := s.ImportDir(t.Context(), "usb", dir); !errors.Is(err, ErrMixed) {
		t.Errorf("tampered: %v", err)
	}
}

func TestImportPlainFolder(t *testing.T) {
	s, _, _ := newStore(t)
	dir := t.TempDir()
	put(t, filepath.Join(dir, rootFile), publicGoodTrustedRoot)
	if _, err := s.ImportDir(t.Context(), "plain", dir); err != nil {
		t.Fatal(err)
	}
	if a, err := s.Load("plain"); err != nil || a.SigningConfig != nil {
		t.Errorf("%+v, %v", a, err)
	}
	put(t, filepath.Join(dir, configFile), publicGoodSigningConfig)
	if _, err := s.ImportDir(t.Context(), "plain", dir); err != nil {
		t.Fatal(err)
	}
	if a, err := s.Load("plain"); err != nil || a.SigningConfig == nil {
		t.Errorf("%+v, %v", a, err)
	}
}

func TestImportDirRefuses(t *testing.T) {
	srv := newServer(t)
	other := newServer(t)
	for _, tt := range []struct {
		name string
		do   func(root, dir string) string
		is   error
		want string
	}{
		{"nothing there", func(root, dir string) string { return filepath.Join(root, "none") }, os.ErrNotExist, ""},
		{"an empty folder", func(root, dir string) string { return t.TempDir() }, nil, "expected the TUF cache"},
		{"an old cosign's", func(root, dir string) string {
			old := t.TempDir()
			put(t, filepath.Join(old, "tuf.db"), nil)
			return old
		}, nil, "old cosign"},
		{"several, and no word which", func(root, dir string) string {
			writeCache(t, other, root)
			put(t, filepath.Join(root, "remote.json"), []byte(`{"mirror":"https://elsewhere.example"}`))
			return root
		}, nil, "which of its caches"},
		{"a tampered trusted root", func(root, dir string) string {
			put(t, filepath.Join(dir, "targets", rootFile), bytes.Replace(srv.repo.Target(rootFile), []byte("fulcio"), []byte("fulci0"), 1))
			return root
		}, ErrMixed, "trusted_root.json"},
		{"metadata by a stranger", func(root, dir string) string {
			put(t, filepath.Join(dir, "timestamp.json"), other.get("/tuf/timestamp.json"))
			return root
		}, ErrSignature, "timestamp.json"},
		{"half a cache", func(root, dir string) string {
			if err := os.Remove(filepath.Join(dir, "snapshot.json")); err != nil {
				t.Fatal(err)
			}
			return root
		}, nil, "not whole"},
		{"no trusted root in the cache", func(root, dir string) string {
			if err := os.Remove(filepath.Join(dir, "targets", rootFile)); err != nil {
				t.Fatal(err)
			}
			return root
		}, os.ErrNotExist, ""},
		{"a mirror with a secret", func(root, dir string) string {
			put(t, filepath.Join(root, "remote.json"), []byte(`{"mirror":"https://user:hunter2@elsewhere.example"}`))
			if err := os.Rename(dir, filepath.Join(root, "user-hunter2@elsewhere.example")); err != nil {
				t.Fatal(err)
			}
			return root
		}, nil, "without user name"},
		{"broken remote.json", func(root, dir string) string {
			put(t, filepath.Join(root, "remote.json"), []byte(`{`))
			return root
		}, nil, "remote.json"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, _, home := newStore(t)
			root := filepath.Join(t.TempDir(), "root")
			from := tt.do(root, writeCache(t, srv, root))
			_, err := s.ImportDir(t.Context(), "x", from)
			if err == nil || tt.is != nil && !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%v", err)
			}
			if len(listing(t, home)) != 0 {
				t.Error("something was stored")
			}
		})
	}
}

func TestParseFile(t *testing.T) {
	a, err := ParseFile("f", publicGoodTrustedRoot)
	if err != nil || a.SigningConfig != nil || a.Name != "f" || !a.Refreshed.IsZero() {
		t.Errorf("%+v, %v", a, err)
	}
	s, _, _ := newStore(t)
	var out bytes.Buffer
	if err := s.Export(PublicGood, &out); err != nil {
		t.Fatal(err)
	}
	if a, err = ParseFile("f", out.Bytes()); err != nil || a.SigningConfig == nil {
		t.Errorf("%+v, %v", a, err)
	}
	if _, err := ParseFile("f", []byte("{}")); err == nil {
		t.Error("accepted {}")
	}
}
