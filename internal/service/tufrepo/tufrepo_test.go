// SPDX-License-Identifier: Apache-2.0

package tufrepo

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/config"
	"github.com/theupdateframework/go-tuf/v2/metadata/updater"
)

var start = time.Date(2026, 3, 4, 5, 6, 7, 800, time.UTC)

func p256(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newKeys(t testing.TB) Keys {
	return Keys{Root: p256(t), Targets: p256(t), Snapshot: p256(t), Timestamp: p256(t)}
}

var someTargets = map[string][]byte{"trusted_root.json": []byte(`{"a":1}`), "signing_config.v0.2.json": []byte(`{"b":2}`)}

func newRepo(t testing.TB) (string, Keys, *Repo) {
	t.Helper()
	dir, keys := filepath.Join(t.TempDir(), "tuf"), newKeys(t)
	if err := Create(dir, keys, someTargets, Config{}, start); err != nil {
		t.Fatal(err)
	}
	return dir, keys, open(t, dir, keys)
}

func open(t testing.TB, dir string, keys Keys) *Repo {
	t.Helper()
	r, err := Open(dir, Online{Snapshot: keys.Snapshot, Timestamp: keys.Timestamp}, Config{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// client runs go-tuf's whole client workflow against url at the given time.
func client(t testing.TB, url string, root []byte, at time.Time) (*updater.Updater, error) {
	t.Helper()
	cfg, err := config.New(url+"/tuf", root)
	if err != nil {
		t.Fatal(err)
	}
	cfg.LocalMetadataDir, cfg.LocalTargetsDir = t.TempDir(), t.TempDir()
	up, err := updater.New(cfg)
	if err != nil {
		return nil, err
	}
	up.UnsafeSetRefTime(at)
	return up, up.Refresh()
}

func TestClientsAcceptTheRepository(t *testing.T) {
	_, _, r := newRepo(t)
	srv := httptest.NewServer(r.Handler())
	defer srv.Close()
	up, err := client(t, srv.URL, r.Root(), start)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range someTargets {
		info, err := up.GetTargetInfo(name)
		if err != nil {
			t.Fatal(err)
		}
		_, got, err := up.DownloadTarget(info, "", "")
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		if !bytes.Equal(r.Target(name), want) {
			t.Errorf("Target(%s) = %q", name, r.Target(name))
		}
	}
	if r.Target("absent") != nil {
		t.Error("a target that is not there")
	}
	sum := sha256.Sum256(r.Root())
	if r.RootSHA256() != hex.EncodeToString(sum[:]) {
		t.Error("RootSHA256 is not the root's")
	}
	if _, err := client(t, srv.URL, r.Root(), start.Add(8*24*time.Hour)); !errors.Is(err, &metadata.ErrExpiredMetadata{}) {
		t.Errorf("after eight days without a refresh: %v", err)
	}
}

func TestExpiryAndSpecConformance(t *testing.T) {
	dir, _, r := newRepo(t)
	e := r.Expiry()
	base := start.Truncate(time.Second)
	if want := (Expiry{base.Add(DefaultRootValidity), base.Add(DefaultTargetsValidity), base.Add(DefaultSnapshotValidity), base.Add(DefaultTimestampValidity)}); e != want {
		t.Errorf("expiry %v, want %v", e, want)
	}
	if role, at := e.First(); role != "timestamp" || !at.Equal(e.Timestamp) {
		t.Errorf("First = %s %s", role, at)
	}
	data, err := os.ReadFile(filepath.Join(dir, "timestamp.json"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(data), `"expires":"2026-03-11T05:06:07Z"`) {
		t.Errorf("expires is not in whole seconds of UTC: %s", data)
	}
}

func TestRefresh(t *testing.T) {
	const day = 24 * time.Hour
	for _, tt := range []struct {
		name                string
		after               time.Duration
		changed             bool
		snapshot, timestamp int64
	}{
		{"at once", 0, false, 1, 1},
		{"within the first day", 23 * time.Hour, false, 1, 1},
		{"after a day", day + time.Minute, true, 1, 2},
		{"after a week off", 8 * day, true, 1, 2},
		{"snapshot near its end", 61 * day, true, 2, 2},
		{"all but offline roles expired", 200 * day, true, 2, 2},
		{"clock a little back", -time.Hour, false, 1, 1},
		{"signed while the clock was far ahead", -300 * day, true, 2, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir, keys, r := newRepo(t)
			srv := httptest.NewServer(r.Handler())
			defer srv.Close()
			now := start.Add(tt.after)
			changed, err := r.Refresh(now)
			if err != nil || changed != tt.changed {
				t.Fatalf("Refresh = %v, %v", changed, err)
			}
			for range 2 { // also as read back from disk
				_, _, snapshot, timestamp := r.Versions()
				if snapshot != tt.snapshot || timestamp != tt.timestamp {
					t.Errorf("versions: snapshot %d, timestamp %d", snapshot, timestamp)
				}
				if changed, err := r.Refresh(now); err != nil || changed {
					t.Errorf("again: %v, %v", changed, err)
				}
				r = open(t, dir, keys)
			}
			if _, err := client(t, srv.URL, r.Root(), now); err != nil {
				t.Error(err)
			}
			if err := Verify(dir, someTargets); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestPublish(t *testing.T) {
	dir, keys, r := newRepo(t)
	srv := httptest.NewServer(r.Handler())
	defer srv.Close()
	old := r.state.Load().files
	next := map[string][]byte{"trusted_root.json": []byte(`{"a":2}`)}
	if err := r.Publish(keys.Snapshot, next, start); err == nil || !strings.Contains(err.Error(), "targets key") {
		t.Errorf("published with the wrong key: %v", err)
	}
	if err := r.Publish(nil, next, start); err == nil {
		t.Error("published without a key")
	}
	if err := r.Publish(keys.Targets, next, start.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	up, err := client(t, srv.URL, r.Root(), start)
	if err != nil {
		t.Fatal(err)
	}
	if targets := up.GetTopLevelTargets(); len(targets) != 1 || targets["trusted_root.json"] == nil {
		t.Errorf("targets: %v", targets)
	}
	if err := Verify(dir, next); err != nil {
		t.Error(err)
	}
	if err := Verify(dir, someTargets); err == nil || !strings.Contains(err.Error(), "other content") || !strings.Contains(err.Error(), "not published") {
		t.Errorf("Verify with the old targets: %v", err)
	}
	// Who is on the way through the old state still gets its files.
	for _, repo := range []*Repo{r, open(t, dir, keys)} {
		for name := range old {
			if _, ok := repo.state.Load().files[name]; !ok {
				t.Errorf("%s is gone", name)
			}
		}
	}
}

func TestHandler(t *testing.T) {
	_, _, r := newRepo(t)
	sum := sha256.Sum256(someTargets["trusted_root.json"])
	h := r.Handler()
	for _, tt := range []struct {
		method, path string
		status       int
		caching      string
	}{
		{"GET", "/tuf/timestamp.json", 200, "no-cache"},
		{"HEAD", "/tuf/timestamp.json", 200, "no-cache"},
		{"GET", "/tuf/root.json", 200, "no-cache"},
		{"GET", "/tuf/1.root.json", 200, "public, max-age=3600"},
		{"GET", "/tuf/1.snapshot.json", 200, "public, max-age=3600"},
		{"GET", "/tuf/targets/" + hex.EncodeToString(sum[:]) + ".trusted_root.json", 200, "public, max-age=3600"},
		{"GET", "/tuf/2.root.json", 404, "no-store"},
		{"GET", "/tuf/targets/trusted_root.json", 404, "no-store"},
		{"GET", "/tuf/snapshot.json", 404, "no-store"},
		{"GET", "/tuf/", 404, "no-store"},
		{"GET", "/tuf/targets/", 404, "no-store"},
		{"GET", "/tuf/%2e%2e/tufrepo.go", 404, "no-store"},
		{"GET", "/tuf/targets%2f..%2ftimestamp.json", 404, "no-store"},
		{"POST", "/tuf/timestamp.json", 405, ""},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(tt.method, tt.path, nil))
		if w.Code != tt.status || w.Header().Get("Cache-Control") != tt.caching {
			t.Errorf("%s %s: %d %q, want %d %q", tt.method, tt.path, w.Code, w.Header().Get("Cache-Control"), tt.status, tt.caching)
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/tuf/root.json", nil))
	if !bytes.Equal(w.Body.Bytes(), r.Root()) || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("root.json: %v %s", w.Header(), w.Body)
	}
	again := httptest.NewRequest("GET", "/tuf/root.json", nil)
	again.Header.Set("If-None-Match", w.Header().Get("ETag"))
	w = httptest.NewRecorder()
	h.ServeHTTP(w, again)
	if w.Code != 304 {
		t.Errorf("If-None-Match: %d", w.Code)
	}
}

func TestCreateRefusesBadInput(t *testing.T) {
	keys := newKeys(t)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name    string
		keys    func(k *Keys)
		targets map[string][]byte
		cfg     Config
		want    string
	}{
		{"no targets", nil, map[string][]byte{}, Config{}, "0 targets"},
		{"traversal", nil, map[string][]byte{"../x": {1}}, Config{}, "target name"},
		{"empty target", nil, map[string][]byte{"x": {}}, Config{}, "0 bytes"},
		{"no root key", func(k *Keys) { k.Root = nil }, someTargets, Config{}, "no root key"},
		{"P-384", func(k *Keys) { k.Targets = p384 }, someTargets, Config{}, "expected P-256"},
		{"offline key online", func(k *Keys) { k.Timestamp = k.Root }, someTargets, Config{}, "are the same"},
		{"root is targets", func(k *Keys) { k.Targets = k.Root }, someTargets, Config{}, "are the same"},
		{"no lifetime", nil, someTargets, Config{SnapshotValidity: -1}, "snapshot-validity"},
		{"always due", nil, someTargets, Config{TimestampRenewBelow: DefaultTimestampValidity}, "timestamp-renew-below"},
	} {
		k := keys
		if tt.keys != nil {
			tt.keys(&k)
		}
		dir := filepath.Join(t.TempDir(), "tuf")
		err := Create(dir, k, tt.targets, tt.cfg, start)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s: something was written", tt.name)
		}
	}
	dir, k, _ := newRepo(t)
	if err := Create(dir, k, someTargets, Config{}, start); !errors.Is(err, ErrExists) {
		t.Errorf("over an existing repository: %v", err)
	}
}

func TestEd25519AndSharedOnlineKeys(t *testing.T) {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys := newKeys(t)
	keys.Snapshot, keys.Timestamp = ed, ed
	dir := t.TempDir() // an empty folder is fine
	if err := Create(dir, keys, someTargets, Config{}, start); err != nil {
		t.Fatal(err)
	}
	r := open(t, dir, keys)
	srv := httptest.NewServer(r.Handler())
	defer srv.Close()
	if _, err := client(t, srv.URL, r.Root(), start); err != nil {
		t.Fatal(err)
	}
}

func TestOpenRefusesForeignKeys(t *testing.T) {
	dir, keys, _ := newRepo(t)
	for _, online := range []Online{{keys.Snapshot, p256(t)}, {p256(t), keys.Timestamp}, {keys.Timestamp, keys.Snapshot}, {}} {
		if _, err := Open(dir, online, Config{}); err == nil {
			t.Errorf("opened with %v", online)
		}
	}
}
