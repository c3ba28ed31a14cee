// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"hallmark/internal/base/fetch"
)

// TestHalfWritten leaves what a process killed at each step of a refresh
// would, and goes on from there.
func TestHalfWritten(t *testing.T) {
	srv := newServer(t)
	s, c, dir := newStore(t)
	initLab(t, s, srv)
	base := filepath.Join(dir, "trust", "lab")
	old, err := s.readRecord("lab")
	if err != nil {
		t.Fatal(err)
	}
	for name, do := range map[string]func() error{
		"temporary file":     func() error { return os.WriteFile(filepath.Join(base, ".tmp-1"), []byte("{"), 0o600) },
		"empty generation":   func() error { return os.MkdirAll(filepath.Join(base, "g2", "tuf"), 0o755) },
		"half a file":        func() error { return os.WriteFile(filepath.Join(base, "g2", ".tmp-2"), []byte("{"), 0o600) },
		"one file of many":   func() error { return os.WriteFile(filepath.Join(base, "g2", rootFile), []byte("other"), 0o644) },
		"a foreign file too": func() error { return os.WriteFile(filepath.Join(base, "g2", "tuf", "x"), []byte("other"), 0o644) },
	} {
		if err := do(); err != nil && name != "half a file" {
			os.MkdirAll(filepath.Join(base, "g2", "tuf"), 0o755)
			if err := do(); err != nil {
				t.Fatal(name, err)
			}
		}
		if a, err := s.Load("lab"); err != nil || a.Root == nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	srv.publish(1, start)
	c.set(start.Add(time.Minute))
	in, err := s.Refresh(t.Context(), "lab")
	if err != nil || filepath.Base(in.Dir) != "g2" {
		t.Fatalf("%+v, %v", in, err)
	}
	_, files, err := s.read("lab")
	if err != nil || !bytes.Equal(files[rootFile], targets(1)[rootFile]) {
		t.Fatalf("%v", err)
	}
	// A reader that began before the refresh finds its generation still.
	if _, err := s.readFiles(old, []string{rootFile}); err != nil {
		t.Errorf("the generation before the last: %v", err)
	}
	if left, err := os.ReadDir(base); err != nil || len(left) != 3 {
		t.Errorf("in the folder: %v, %v", left, err)
	}
	// An Init that was cut off before trust.json: nothing there yet.
	if err := os.Remove(filepath.Join(base, recordFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Load("lab"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if list, err := s.List(); err != nil || len(list) != 1 {
		t.Errorf("%v, %v", list, err)
	}
	initLab(t, s, srv)
}

func TestDamageIsReported(t *testing.T) {
	for name, do := range map[string]func(base string) error{
		"record":         func(base string) error { return os.WriteFile(filepath.Join(base, recordFile), []byte("{"), 0o644) },
		"trusted root":   func(base string) error { return os.WriteFile(filepath.Join(base, "g1", rootFile), []byte("{}"), 0o644) },
		"no generation":  func(base string) error { return os.RemoveAll(filepath.Join(base, "g1")) },
		"instance gone":  func(base string) error { return os.Remove(filepath.Join(base, "g1", instanceFile)) },
		"moved record":   func(base string) error { return os.Rename(base, base+"2") },
		"newer format":   func(base string) error { return edit(base, `"version": 1`, `"version": 2`) },
		"outside path":   func(base string) error { return edit(base, `"trusted_root.json"`, `"../../trusted_root.json"`) },
		"unknown kind":   func(base string) error { return edit(base, `"kind": "tuf"`, `"kind": "magic"`) },
		"no such number": func(base string) error { return edit(base, `"generation": 1`, `"generation": -1`) },
	} {
		t.Run(name, func(t *testing.T) {
			srv := newServer(t)
			s, _, dir := newStore(t)
			initLab(t, s, srv)
			base := filepath.Join(dir, "trust", "lab")
			if err := do(base); err != nil {
				t.Fatal(err)
			}
			lab := "lab"
			if name == "moved record" {
				lab = "lab2"
			}
			_, err := s.Load(lab)
			if !errors.Is(err, ErrDamaged) {
				t.Fatalf("Load: %v", err)
			}
			if _, err := s.Refresh(t.Context(), lab); !errors.Is(err, ErrDamaged) {
				t.Errorf("Refresh: %v", err)
			}
			if list, err := s.List(); err != nil || len(list) != 2 {
				t.Errorf("List: %v, %v", list, err)
			}
			if err := s.Remove(t.Context(), lab); err != nil {
				t.Errorf("Remove: %v", err)
			}
			initLab(t, s, srv)
		})
	}
}

func edit(base, from, to string) error {
	path := filepath.Join(base, recordFile)
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if !bytes.Contains(data, []byte(from)) {
		return fmt.Errorf("%s is not in %s", from, data)
	}
	return os.WriteFile(path, bytes.Replace(data, []byte(from), []byte(to), 1), 0o644)
}

// The environment that makes this test binary a client process.
const (
	childDir = "TRUST_TEST_DIR"
	childURL = "TRUST_TEST_URL"
	childSum = "TRUST_TEST_SHA256"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		os.Exit(runChild(dir))
	}
	os.Exit(m.Run())
}

// use does what a client may do, some of it again and again.
func use(ctx context.Context, s *Store, url, sum string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if _, err := s.Init(ctx, InitOptions{Name: "lab", URL: url, RootSHA256: sum}); err != nil {
		return err
	}
	for range 2 {
		if _, err := s.Refresh(ctx, "lab"); err != nil {
			return err
		}
		for range 5 {
			a, err := s.Load("lab")
			if err != nil {
				return err
			}
			if a.Root == nil || a.SigningConfig == nil || a.Instance == nil {
				return errors.New("loaded a torn trust root")
			}
		}
	}
	if err := s.Use(ctx, "lab"); err != nil {
		return err
	}
	_, err := s.List()
	return err
}

// TestConcurrency: fifty goroutines and four processes on one store, while the
// repository changes.
func TestConcurrency(t *testing.T) {
	srv := newServer(t)
	dir := t.TempDir()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	sum := srv.repo.RootSHA256()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			cmd := exec.CommandContext(t.Context(), exe)
			cmd.Env = append(os.Environ(), childDir+"="+dir, childURL+"="+srv.url, childSum+"="+sum)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	client := fetch.New(fetch.Config{})
	for range 50 {
		wg.Go(func() {
			s := New(dir, Deps{Now: func() time.Time { return start.Add(time.Hour) }, Fetch: client})
			if err := use(t.Context(), s, srv.url, sum); err != nil {
				t.Error(err)
			}
		})
	}
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := 1; ; n++ {
			select {
			case <-stop:
				return
			case <-time.After(100 * time.Millisecond):
				srv.publish(n, start)
			}
		}
	}()
	wg.Wait()
	close(stop)
	<-done
	s := New(dir, Deps{Now: func() time.Time { return start.Add(2 * time.Hour) }, Fetch: client})
	if _, err := s.Refresh(t.Context(), "lab"); err != nil {
		t.Fatal(err)
	}
	_, files, err := s.read("lab")
	if err != nil || !bytes.Equal(files[tufTimestamp], srv.get("/tuf/timestamp.json")) {
		t.Errorf("not the latest state: %v", err)
	}
}

// TestRootRotation: the chain of roots is followed, new keys count from there,
// and the whole chain is kept.
func TestRootRotation(t *testing.T) {
	srv := newServer(t)
	s, c, _ := newStore(t)
	first := initLab(t, s, srv)
	newRoot, newTimestamp := key(t), key(t)
	root2 := nextRoot(t, srv.repo.Root(), func(r *metadata.RootType) {
		swap(t, r, "root", newRoot)
		swap(t, r, "timestamp", newTimestamp)
	}, srv.keys.Root, newRoot)
	root3 := nextRoot(t, root2, func(r *metadata.RootType) { r.Expires = r.Expires.Add(time.Hour) }, newRoot)
	for name, data := range map[string][]byte{"2.root.json": root2, "3.root.json": root3} {
		if err := os.WriteFile(filepath.Join(srv.dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// The old timestamp is no longer signed by the role's key.
	srv.set("/tuf/2.root.json", root2)
	srv.set("/tuf/3.root.json", root3)
	if _, err := s.Refresh(t.Context(), "lab"); !errors.Is(err, ErrSignature) {
		t.Errorf("a timestamp by the revoked key: %v", err)
	}
	srv.keys.Timestamp = newTimestamp
	srv.set("/tuf/timestamp.json", resignTimestamp(srv, start))
	c.set(start.Add(time.Hour))
	in, err := s.Refresh(t.Context(), "lab")
	if err != nil {
		t.Fatal(err)
	}
	if in.RootSHA256 != first.RootSHA256 {
		t.Error("what was pinned has changed")
	}
	r, files, err := s.read("lab")
	if err != nil || r.TUF.Root != 3 {
		t.Fatalf("%+v, %v", r, err)
	}
	for name, want := range map[string][]byte{tufRoot: root3, "tuf/1.root.json": srv.repo.Root(), "tuf/2.root.json": root2, "tuf/3.root.json": root3} {
		if !bytes.Equal(files[name], want) {
			t.Errorf("%s is not what was published", name)
		}
	}
	// A client that pins the first root by its checksum finds it behind the latest.
	srv.set("/tuf/root.json", root3)
	other, _, _ := newStore(t)
	if _, err := other.Init(t.Context(), InitOptions{URL: srv.url, RootSHA256: first.RootSHA256}); err != nil {
		t.Error(err)
	}
	// And one that has followed the chain knows the latest root's checksum as its own.
	if _, err := s.Init(t.Context(), InitOptions{Name: "lab", URL: srv.url, RootSHA256: hexSHA256(root3)}); err != nil {
		t.Error(err)
	}
	// Going on works, and the chain stays.
	c.set(start.Add(2 * time.Hour))
	if _, err := s.Refresh(t.Context(), "lab"); err != nil {
		t.Fatal(err)
	}
	if r, err := s.readRecord("lab"); err != nil || r.Files["tuf/2.root.json"] == "" {
		t.Errorf("%v, %v", r, err)
	}
}

// TestPublicGoodRefresh follows the public instance's chain from the embedded
// root, at a mirror of ours.
func TestPublicGoodRefresh(t *testing.T) {
	srv := newServer(t)
	s, c, _ := newStore(t)
	// The embedded root knows other keys, so this mirror is refused: that the
	// embedded root is used at all, and that nothing is stored, is the point.
	s.fetch = fetch.New(fetch.Config{Transport: redirect{srv.url + "/tuf"}, AllowPlainHTTP: true})
	c.set(start)
	_, err := s.Refresh(t.Context(), PublicGood)
	if !errors.Is(err, ErrSignature) {
		t.Errorf("%v", err)
	}
	if a, err := s.Load(PublicGood); err != nil || a.Refreshed != publicGoodDate() {
		t.Errorf("%+v, %v", a, err)
	}
	// Long after that root expired, the copy still loads.
	c.set(start.AddDate(10, 0, 0))
	if _, err := s.Load(PublicGood); err != nil {
		t.Error(err)
	}
}
