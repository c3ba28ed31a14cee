// SPDX-License-Identifier: Apache-2.0

package tufrepo

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestCrash replays every prefix of the writes of a Publish and of a Refresh:
// after each the repository opens, verifies, is served and goes on.
func TestCrash(t *testing.T) {
	dir, keys, r := newRepo(t)
	before := map[string][]byte{}
	for name, f := range r.state.Load().files {
		before[name] = f.data
	}
	if err := r.Publish(keys.Targets, map[string][]byte{"trusted_root.json": []byte("new"), "other": []byte("o")}, start); err != nil {
		t.Fatal(err)
	}
	var late []string
	for name := range r.state.Load().files {
		if _, ok := before[name]; !ok {
			late = append(late, name)
		}
	}
	if len(late) != 4 {
		t.Fatalf("new files: %v", late)
	}
	for n := range len(late) + 1 {
		dir2 := filepath.Join(t.TempDir(), "tuf")
		if err := os.CopyFS(dir2, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir2, "timestamp.json"), before["timestamp.json"], 0o644); err != nil {
			t.Fatal(err)
		}
		for _, name := range late[n:] {
			os.Remove(filepath.Join(dir2, name))
		}
		if err := os.WriteFile(filepath.Join(dir2, ".tmp-123"), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := Verify(dir2, someTargets); err != nil {
			t.Errorf("after %d writes: %v", n, err)
		}
		r2 := open(t, dir2, keys)
		for _, name := range late {
			if _, ok := r2.state.Load().files[name]; ok {
				t.Errorf("after %d writes: %s, which no timestamp led to, is served", n, name)
			}
		}
		if _, err := r2.Refresh(start.Add(70 * 24 * time.Hour)); err != nil {
			t.Errorf("after %d writes: %v", n, err)
		}
		if err := r2.Publish(keys.Targets, someTargets, start); err != nil {
			t.Errorf("after %d writes: %v", n, err)
		}
		if err := Verify(dir2, someTargets); err != nil {
			t.Errorf("after %d writes and going on: %v", n, err)
		}
		open(t, dir2, keys)
	}
	// A first start that was cut off leaves only the folder being built.
	half := filepath.Join(t.TempDir(), "tuf")
	if err := os.MkdirAll(filepath.Join(half+".new", "targets"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Create(half, keys, someTargets, Config{}, start); err != nil {
		t.Fatal(err)
	}
}

func TestVerifyFindsDamage(t *testing.T) {
	base, keys, r := newRepo(t)
	if err := r.Publish(keys.Targets, map[string][]byte{"trusted_root.json": []byte("two")}, start); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Refresh(start.Add(80 * 24 * time.Hour)); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte("two"))
	oldSum := sha256.Sum256(someTargets["trusted_root.json"])
	for _, tt := range []struct {
		name string
		do   func(dir string) error
		want string
	}{
		{"flipped timestamp", flip("timestamp.json"), "timestamp"},
		{"flipped snapshot", flip("3.snapshot.json"), "3.snapshot.json"},
		{"flipped targets", flip("2.targets.json"), "2.targets.json"},
		{"flipped root", flip("1.root.json"), "1.root.json"},
		{"old snapshot gone", remove("1.snapshot.json"), "1.snapshot.json"},
		{"old targets gone", remove("1.targets.json"), "1.targets.json"},
		{"target gone", remove("targets/" + hex.EncodeToString(sum[:]) + ".trusted_root.json"), "no such file"},
		{"target truncated", truncate("targets/" + hex.EncodeToString(sum[:]) + ".trusted_root.json"), "verification"},
		{"old target truncated", truncate("targets/" + hex.EncodeToString(oldSum[:]) + ".trusted_root.json"), "verification"},
		{"stranger", write("notes.txt", "x"), "notes.txt does not belong"},
		{"stranger among targets", write("targets/notes.txt", "x"), "notes.txt does not belong"},
		{"wrong hash in a name", write("targets/"+strings.Repeat("0", 64)+".x", "x"), "does not match the hash"},
		{"from the future", write("9.snapshot.json", "{}"), "from the future"},
		{"unsigned next root", write("2.root.json", string(r.Root())), "2.root.json"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "tuf")
			if err := os.CopyFS(dir, os.DirFS(base)); err != nil {
				t.Fatal(err)
			}
			if err := Verify(dir, nil); err != nil {
				t.Fatalf("before: %v", err)
			}
			if err := tt.do(dir); err != nil {
				t.Fatal(err)
			}
			if err := Verify(dir, nil); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

// flip changes the metadata's content in a way that leaves it well-formed.
func flip(name string) func(string) error {
	return func(dir string) error {
		path := filepath.Join(dir, name)
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var doc struct {
			Signed     map[string]any   `json:"signed"`
			Signatures []map[string]any `json:"signatures"`
		}
		if err := json.Unmarshal(data, &doc); err != nil {
			return err
		}
		doc.Signed["expires"] = "2099-01-01T00:00:00Z"
		if data, err = json.Marshal(doc); err != nil {
			return err
		}
		return os.WriteFile(path, data, 0o644)
	}
}

func remove(name string) func(string) error {
	return func(dir string) error { return os.Remove(filepath.Join(dir, name)) }
}

func truncate(name string) func(string) error {
	return func(dir string) error { return os.Truncate(filepath.Join(dir, name), 1) }
}

func write(name, data string) func(string) error {
	return func(dir string) error { return os.WriteFile(filepath.Join(dir, name), []byte(data), 0o644) }
}

// TestReadersNeverSeeATornState runs whole client workflows while the
// repository changes under them.
func TestReadersNeverSeeATornState(t *testing.T) {
	_, keys, r := newRepo(t)
	srv := httptest.NewServer(r.Handler())
	defer srv.Close()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				up, err := client(t, srv.URL, r.Root(), start)
				if err != nil {
					t.Error(err)
					return
				}
				info, err := up.GetTargetInfo("trusted_root.json")
				if err != nil {
					t.Error(err)
					return
				}
				if _, _, err := up.DownloadTarget(info, "", ""); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for i := range 12 {
		if err := r.Publish(keys.Targets, map[string][]byte{"trusted_root.json": fmt.Appendf(nil, "%d", i)}, start); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	wg.Wait()
}

func TestAReadOnlyFolderKeepsTheOldState(t *testing.T) {
	dir, _, r := newRepo(t)
	for _, d := range []string{filepath.Join(dir, "targets"), dir} {
		if err := os.Rename(d, d+".away"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.Refresh(start.Add(48 * time.Hour)); err == nil {
		t.Fatal("refreshed into nowhere")
	}
	if _, _, _, timestamp := r.Versions(); timestamp != 1 {
		t.Errorf("timestamp version %d is served but not on disk", timestamp)
	}
}
