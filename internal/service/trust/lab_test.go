// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hallmark/internal/base/fetch"
	"hallmark/internal/service/tufrepo"
)

// server is a Hallmark instance as far as trust roots go, with faults to turn.
type server struct {
	t        testing.TB
	dir      string
	keys     tufrepo.Keys
	repo     *tufrepo.Repo
	url      string
	requests atomic.Int64
	first    []byte // the first timestamp.json, for replays

	mu       sync.Mutex
	override map[string][]byte // by path; nil content is 404
	instance []byte            // nil: none
}

func key(t testing.TB) crypto.Signer {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// targets are a trusted root and signing config that differ by n.
func targets(n int) map[string][]byte {
	pad := strings.Repeat(" ", n)
	return map[string][]byte{
		rootFile:   append(bytes.Clone(publicGoodTrustedRoot), pad...),
		configFile: append(bytes.Clone(publicGoodSigningConfig), pad...),
	}
}

func newServer(t testing.TB) *server {
	t.Helper()
	s := &server{t: t, dir: filepath.Join(t.TempDir(), "tuf"), override: map[string][]byte{},
		keys: tufrepo.Keys{Root: key(t), Targets: key(t), Snapshot: key(t), Timestamp: key(t)}}
	if err := tufrepo.Create(s.dir, s.keys, targets(0), tufrepo.Config{}, start); err != nil {
		t.Fatal(err)
	}
	s.reopen()
	srv := httptest.NewUnstartedServer(s) // complete before anybody asks
	t.Cleanup(srv.Close)
	s.url = "http://" + srv.Listener.Addr().String()
	s.instance = fmt.Appendf(nil, `{"version":1,"name":"lab","externalURL":%q,"tuf":{"mirror":%q,"rootSHA256":%q},"audience":"lab","issuers":[{"url":"https://issuer.example","clientID":"c","type":"email"}],"log":{"origin":"localhost","baseURL":%q},"later":{"x":1}}`,
		s.url, s.url+"/tuf", s.repo.RootSHA256(), s.url)
	srv.Start()
	return s
}

func (s *server) reopen() {
	s.t.Helper()
	repo, err := tufrepo.Open(s.dir, tufrepo.Online{Snapshot: s.keys.Snapshot, Timestamp: s.keys.Timestamp}, tufrepo.Config{})
	if err != nil {
		s.t.Fatal(err)
	}
	s.repo = repo
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.requests.Add(1)
	s.mu.Lock()
	data, ok := s.override[r.URL.Path]
	instance := s.instance
	s.mu.Unlock()
	switch {
	case ok && data == nil:
		http.NotFound(w, r)
	case ok:
		w.Write(data)
	case r.URL.Path == InstancePath && instance != nil:
		w.Write(instance)
	default:
		s.repo.Handler().ServeHTTP(w, r)
	}
}

// get is what the server answers now.
func (s *server) get(path string) []byte {
	s.t.Helper()
	w := httptest.NewRecorder()
	s.repo.Handler().ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	if w.Code != http.StatusOK {
		s.t.Fatalf("GET %s: %d", path, w.Code)
	}
	return w.Body.Bytes()
}

func (s *server) set(path string, data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.override[path] = data
}

func (s *server) publish(n int, now time.Time) {
	s.t.Helper()
	if err := s.repo.Publish(s.keys.Targets, targets(n), now); err != nil {
		s.t.Fatal(err)
	}
}

// clock is a time that tests turn.
type clock struct{ t atomic.Pointer[time.Time] }

func newClock() *clock { c := &clock{}; c.set(start); return c }

func (c *clock) set(t time.Time) { c.t.Store(&t) }
func (c *clock) now() time.Time  { return *c.t.Load() }

func newStore(t testing.TB) (*Store, *clock, string) {
	dir, c := t.TempDir(), newClock()
	return New(dir, Deps{Now: c.now, Fetch: fetch.New(fetch.Config{Timeout: 10 * time.Second})}), c, dir
}

// listing is every file below dir but the locks, with its content.
func listing(t testing.TB, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, ".lock") {
			return err
		}
		data, err := os.ReadFile(path)
		files[path] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func sameFiles(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for name, data := range a {
		if b[name] != data {
			return false
		}
	}
	return true
}

func initLab(t testing.TB, s *Store, srv *server) Info {
	t.Helper()
	in, err := s.Init(t.Context(), InitOptions{Name: "lab", URL: srv.url, RootSHA256: srv.repo.RootSHA256()})
	if err != nil {
		t.Fatal(err)
	}
	return in
}
