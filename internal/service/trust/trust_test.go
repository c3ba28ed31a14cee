// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
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
	"hallmark/internal/format/trustroot"
	"hallmark/internal/service/tufrepo"
)

var start = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

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
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	s.url = srv.URL
	s.instance = fmt.Appendf(nil, `{"version":1,"name":"lab","externalURL":%q,"tuf":{"mirror":%q,"rootSHA256":%q},"audience":"lab","issuers":[{"url":"https://issuer.example","clientID":"c","type":"email"}],"log":{"origin":"localhost","baseURL":%q},"later":{"x":1}}`,
		s.url, s.url+"/tuf", s.repo.RootSHA256(), s.url)
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

func TestInitThenEverythingWorksOffline(t *testing.T) {
	srv := newServer(t)
	s, c, _ := newStore(t)
	in := initLab(t, s, srv)
	if in.Kind != KindTUF || in.Mirror != srv.url+"/tuf" || in.RootSHA256 != srv.repo.RootSHA256() || in.TOFU || !in.Expires.Equal(srv.repo.Expiry().Timestamp) || in.Default {
		t.Errorf("info: %+v", in)
	}
	before := srv.requests.Load()
	c.set(start.Add(1000 * 24 * time.Hour)) // long after all TUF expiries
	a, err := s.Load("lab")
	if err != nil {
		t.Fatal(err)
	}
	if a.Name != "lab" || a.Root == nil || len(a.Root.CAs) == 0 || a.SigningConfig == nil || len(a.SigningConfig.CAs) != 1 {
		t.Errorf("active: %+v", a)
	}
	if a.Instance == nil || a.Instance.Audience != "lab" || a.Instance.Log.Origin != "localhost" || len(a.Instance.Issuers) != 1 {
		t.Errorf("instance: %+v", a.Instance)
	}
	if age := a.Age(c.now()); age != 1000*24*time.Hour {
		t.Errorf("age %s", age)
	}
	if a.Age(start.Add(-time.Hour)) != 0 {
		t.Error("a negative age")
	}
	if _, err := s.List(); err != nil {
		t.Error(err)
	}
	if _, err := s.Show("lab"); err != nil {
		t.Error(err)
	}
	if err := s.Use(t.Context(), "lab"); err != nil {
		t.Error(err)
	}
	if a, err = s.Load(""); err != nil || a.Name != "lab" {
		t.Errorf("default: %v, %v", a, err)
	}
	if srv.requests.Load() != before {
		t.Error("the network was used")
	}
}

func TestInitWaysToTrust(t *testing.T) {
	srv := newServer(t)
	other := newServer(t)
	sum := srv.repo.RootSHA256()
	for _, tt := range []struct {
		name string
		opts InitOptions
		is   error  // nil: any
		want string // "": success
	}{
		{"checksum", InitOptions{RootSHA256: sum}, nil, ""},
		{"checksum, prefix and upper case", InitOptions{RootSHA256: "sha256:" + strings.ToUpper(sum)}, nil, ""},
		{"file", InitOptions{Root: srv.repo.Root()}, nil, ""},
		{"blindly", InitOptions{TOFU: true}, nil, ""},
		{"no way", InitOptions{}, nil, "exactly one of"},
		{"two ways", InitOptions{RootSHA256: sum, TOFU: true}, nil, "exactly one of"},
		{"wrong checksum", InitOptions{RootSHA256: strings.Repeat("ab", 32)}, ErrChecksum, "expected " + strings.Repeat("ab", 32) + ", found " + sum},
		{"not a checksum", InitOptions{RootSHA256: "abc"}, nil, "64 hexadecimal digits"},
		{"another repository's root", InitOptions{Root: other.repo.Root()}, ErrSignature, "not signed by the keys"},
		{"not a root", InitOptions{Root: []byte("{}")}, nil, "expected a root.json"},
		{"the wrong role", InitOptions{Root: srv.get("/tuf/timestamp.json")}, nil, "expected a root.json"},
		{"bad name", InitOptions{TOFU: true, Name: "../x"}, nil, "trust root name"},
		{"reserved name", InitOptions{TOFU: true, Name: PublicGood}, nil, "built-in"},
		{"no scheme", InitOptions{TOFU: true, URL: "example.com"}, nil, "begins with https://"},
		{"plain http elsewhere", InitOptions{TOFU: true, URL: "http://192.0.2.1"}, nil, "refused plain http"},
		{"user name", InitOptions{TOFU: true, URL: "https://a:secretpw@example.com"}, nil, "without user name"},
		{"nobody there", InitOptions{TOFU: true, URL: "http://127.0.0.1:1"}, nil, "cannot connect"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, _, dir := newStore(t)
			if tt.opts.URL == "" {
				tt.opts.URL = srv.url
			}
			in, err := s.Init(t.Context(), tt.opts)
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				if want := strings.ReplaceAll(strings.TrimPrefix(srv.url, "http://"), ":", "-"); in.Name != want || in.TOFU != tt.opts.TOFU {
					t.Errorf("info %+v, want name %s", in, want)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || tt.is != nil && !errors.Is(err, tt.is) {
				t.Fatalf("%v, want %q", err, tt.want)
			}
			if strings.Contains(err.Error(), "secretpw") {
				t.Error("the error quotes a password")
			}
			if files := listing(t, dir); len(files) != 0 {
				t.Errorf("left on disk: %v", files)
			}
			if list, err := s.List(); err != nil || len(list) != 1 {
				t.Errorf("list: %v, %v", list, err)
			}
		})
	}
}

func TestInitFromABareMirror(t *testing.T) {
	srv := newServer(t)
	s, _, _ := newStore(t)
	for name, page := range map[string][]byte{"none": nil, "page": []byte("<html>welcome</html>")} {
		srv.set("/tuf"+InstancePath, page)
		in, err := s.Init(t.Context(), InitOptions{Name: name, URL: srv.url + "/tuf/", TOFU: true})
		if err != nil || in.Mirror != srv.url+"/tuf" {
			t.Fatalf("%+v, %v", in, err)
		}
		if a, err := s.Load(name); err != nil || a.Instance != nil {
			t.Errorf("%+v, %v", a, err)
		}
	}
	// Mirrors made by other tools have no root.json.
	srv.set("/tuf/root.json", nil)
	if _, err := s.Init(t.Context(), InitOptions{Name: "numbered", URL: srv.url + "/tuf", RootSHA256: srv.repo.RootSHA256()}); err != nil {
		t.Error(err)
	}
	srv.set("/tuf/1.root.json", nil)
	if _, err := s.Init(t.Context(), InitOptions{Name: "empty", URL: srv.url + "/tuf", TOFU: true}); err == nil || !strings.Contains(err.Error(), "neither root.json nor 1.root.json") {
		t.Error(err)
	}
}

func TestInitAgain(t *testing.T) {
	srv, other := newServer(t), newServer(t)
	s, c, _ := newStore(t)
	initLab(t, s, srv)
	srv.publish(1, start)
	c.set(start.Add(time.Hour))
	if in := initLab(t, s, srv); !in.Refreshed.Equal(c.now()) || !in.Created.Equal(start) {
		t.Errorf("the same again does not refresh: %+v", in)
	}
	_, err := s.Init(t.Context(), InitOptions{Name: "lab", URL: other.url, TOFU: true})
	if !errors.Is(err, ErrExists) || !strings.Contains(err.Error(), srv.url) {
		t.Errorf("another one under the same name: %v", err)
	}
	if in, err := s.Show("lab"); err != nil || in.Mirror != srv.url+"/tuf" {
		t.Errorf("%+v, %v", in, err)
	}
}

func TestInitRefusesABadInstanceDocument(t *testing.T) {
	srv := newServer(t)
	s, _, dir := newStore(t)
	srv.instance = []byte(`{"version":7}`)
	_, err := s.Init(t.Context(), InitOptions{Name: "lab", URL: srv.url, TOFU: true})
	if err == nil || !strings.Contains(err.Error(), "version is 7") {
		t.Error(err)
	}
	srv.instance = fmt.Appendf(nil, `{"version":1,"tuf":{"mirror":"http://192.0.2.1/tuf"}}`)
	_, err = s.Init(t.Context(), InitOptions{Name: "lab", URL: srv.url, TOFU: true})
	if err == nil || !strings.Contains(err.Error(), "refused plain http") {
		t.Error(err)
	}
	if files := listing(t, dir); len(files) != 0 {
		t.Errorf("left on disk: %v", files)
	}
}

func TestRefresh(t *testing.T) {
	srv := newServer(t)
	s, c, _ := newStore(t)
	first := initLab(t, s, srv)
	c.set(start.Add(48 * time.Hour))
	if _, err := srv.repo.Refresh(c.now()); err != nil { // a new timestamp only
		t.Fatal(err)
	}
	in, err := s.Refresh(t.Context(), "lab")
	if err != nil || !in.Refreshed.Equal(c.now()) || !in.Expires.After(first.Expires) {
		t.Fatalf("%+v, %v", in, err)
	}
	srv.publish(3, c.now())
	srv.mu.Lock()
	srv.instance = bytes.Replace(srv.instance, []byte(`"audience":"lab"`), []byte(`"audience":"new"`), 1)
	srv.mu.Unlock()
	if _, err := s.Refresh(t.Context(), "lab"); err != nil {
		t.Fatal(err)
	}
	_, files, err := s.read("lab")
	if err != nil || !bytes.Equal(files[rootFile], targets(3)[rootFile]) || !bytes.Equal(files[tufTargets], srv.get("/tuf/2.targets.json")) || !bytes.Equal(files[tufTimestamp], srv.get("/tuf/timestamp.json")) {
		t.Errorf("not the published files: %v", err)
	}
	if a, err := s.Load("lab"); err != nil || a.Instance.Audience != "new" {
		t.Errorf("%+v, %v", a.Instance, err)
	}
	// Nothing new: the files stay, the time moves on.
	c.set(c.now().Add(time.Hour))
	same, err := s.Refresh(t.Context(), "lab")
	if err != nil || !same.Refreshed.Equal(c.now()) || same.Dir == in.Dir {
		t.Fatalf("%+v, %v", same, err)
	}
	again, err := s.Refresh(t.Context(), "lab")
	if err != nil || again.Dir != same.Dir {
		t.Errorf("a new generation for nothing: %+v, %v", again, err)
	}
}

func TestHallmarkJSONFromTheRepositoryCounts(t *testing.T) {
	srv := newServer(t)
	s, _, _ := newStore(t)
	signed := bytes.Replace(srv.instance, []byte(`"audience":"lab"`), []byte(`"audience":"signed"`), 1)
	files := targets(1)
	files[instanceFile] = signed
	if err := srv.repo.Publish(srv.keys.Targets, files, start); err != nil {
		t.Fatal(err)
	}
	initLab(t, s, srv)
	if a, err := s.Load("lab"); err != nil || a.Instance.Audience != "signed" {
		t.Errorf("%+v, %v", a.Instance, err)
	}
}

// TestAttacks: what TUF is for. Each leaves the store as it was.
func TestAttacks(t *testing.T) {
	const day = 24 * time.Hour
	for _, tt := range []struct {
		name string
		do   func(srv *server, c *clock)
		is   error
		want string
	}{
		{"freeze: the last good state, replayed", func(srv *server, c *clock) {
			c.set(start.Add(8 * day))
		}, ErrExpired, "timestamp.json expired at 2026-03-11T05:06:07Z"},
		{"snapshot expired", func(srv *server, c *clock) {
			c.set(start.Add(92 * day))
			srv.set("/tuf/timestamp.json", resignTimestamp(srv, c.now()))
		}, ErrExpired, "snapshot.json expired"},
		{"everything is too old", func(srv *server, c *clock) {
			c.set(start.Add(4 * 365 * day))
		}, ErrExpired, "root.json expired at"},
		{"rollback of the timestamp", func(srv *server, c *clock) {
			srv.set("/tuf/timestamp.json", srv.first)
		}, ErrRollback, "version"},
		{"mix: new timestamp, old snapshot", func(srv *server, c *clock) {
			srv.publish(5, start)
			srv.set("/tuf/3.snapshot.json", srv.get("/tuf/2.snapshot.json"))
		}, ErrMixed, "not the one"},
		{"mix: new snapshot, old targets", func(srv *server, c *clock) {
			srv.publish(5, start)
			srv.set("/tuf/3.targets.json", srv.get("/tuf/2.targets.json"))
		}, ErrMixed, "not the one"},
		{"a tampered target", func(srv *server, c *clock) {
			srv.publish(5, start)
			data := targets(5)[rootFile]
			srv.set("/tuf/targets/"+hexSHA256(data)+"."+rootFile, bytes.Replace(data, []byte("fulcio"), []byte("fulci0"), 1))
		}, ErrMixed, "target trusted_root.json"},
		{"a timestamp signed by a stranger", func(srv *server, c *clock) {
			other := newServer(srv.t)
			other.publish(1, start)
			other.publish(2, start)
			other.publish(3, start)
			srv.set("/tuf/timestamp.json", other.get("/tuf/timestamp.json"))
		}, ErrSignature, "not signed by the keys"},
		{"a next root by a stranger", func(srv *server, c *clock) {
			other := newServer(srv.t)
			srv.set("/tuf/2.root.json", other.get("/tuf/1.root.json"))
		}, ErrSignature, "not signed by the keys"},
		{"a target that cannot be loaded", func(srv *server, c *clock) {
			if err := srv.repo.Publish(srv.keys.Targets, map[string][]byte{rootFile: []byte("{}")}, start); err != nil {
				srv.t.Fatal(err)
			}
		}, nil, "trusted root"},
		{"no trusted root", func(srv *server, c *clock) {
			if err := srv.repo.Publish(srv.keys.Targets, map[string][]byte{configFile: publicGoodSigningConfig}, start); err != nil {
				srv.t.Fatal(err)
			}
		}, nil, "expected a Sigstore repository"},
		{"an endless answer", func(srv *server, c *clock) {
			srv.set("/tuf/timestamp.json", make([]byte, 9<<20))
		}, nil, "larger than"},
		{"not JSON", func(srv *server, c *clock) {
			srv.set("/tuf/timestamp.json", []byte("<html>"))
		}, nil, "TUF repository"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := newServer(t)
			s, c, dir := newStore(t)
			srv.first = srv.get("/tuf/timestamp.json")
			srv.publish(1, start)
			initLab(t, s, srv)
			before := listing(t, dir)
			tt.do(srv, c)
			_, err := s.Refresh(t.Context(), "lab")
			if err == nil || !strings.Contains(err.Error(), tt.want) || tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("%v, want %q (%v)", err, tt.want, tt.is)
			}
			if !sameFiles(before, listing(t, dir)) {
				t.Error("the store changed")
			}
			if _, err := s.Load("lab"); err != nil {
				t.Errorf("what was there is no longer usable: %v", err)
			}
			t.Log(err)
		})
	}
}

// TestInitRefusesExpired is the other half of freeze protection: there is no
// earlier copy to fall back to.
func TestInitRefusesExpired(t *testing.T) {
	srv := newServer(t)
	s, c, dir := newStore(t)
	c.set(start.Add(8 * 24 * time.Hour))
	_, err := s.Init(t.Context(), InitOptions{Name: "lab", URL: srv.url, TOFU: true})
	if !errors.Is(err, ErrExpired) || !strings.Contains(err.Error(), "hallmarkd running") {
		t.Error(err)
	}
	if files := listing(t, dir); len(files) != 0 {
		t.Errorf("left on disk: %v", files)
	}
}

func TestPublicGoodIsBuiltIn(t *testing.T) {
	s, _, dir := newStore(t)
	a, err := s.Load("")
	if err != nil {
		t.Fatal(err)
	}
	if a.Name != PublicGood || a.Kind != KindBuiltin || a.SigningConfig == nil || a.Refreshed.IsZero() {
		t.Errorf("%+v", a)
	}
	hosts := map[string]bool{}
	for _, l := range a.Root.Logs {
		hosts[l.BaseURL] = true
	}
	if !hosts["https://rekor.sigstore.dev"] || !hosts["https://log2025-1.rekor.sigstore.dev"] || len(a.Root.TSAs) != 1 {
		t.Errorf("logs %v, %d TSAs", hosts, len(a.Root.TSAs))
	}
	in, err := s.Show(PublicGood)
	if err != nil || in.Stored || !in.Default || len(in.RootSHA256) != 64 {
		t.Errorf("%+v, %v", in, err)
	}
	if err := s.Remove(t.Context(), PublicGood); err == nil {
		t.Error("removed")
	}
	if err := s.Use(t.Context(), PublicGood); err != nil {
		t.Error(err)
	}
	if files := listing(t, dir); len(files) != 1 {
		t.Errorf("on disk: %v", files)
	}
}

func TestManyNames(t *testing.T) {
	srv := newServer(t)
	s, _, _ := newStore(t)
	initLab(t, s, srv)
	if _, err := s.Import(t.Context(), "air-gapped", publicGoodTrustedRoot); err != nil {
		t.Fatal(err)
	}
	list, err := s.List()
	if err != nil || len(list) != 3 || list[0].Name != "air-gapped" || list[1].Name != "lab" || list[2].Name != PublicGood {
		t.Fatalf("%+v, %v", list, err)
	}
	if !list[2].Default || list[1].Default {
		t.Error("the wrong default")
	}
	if err := s.Use(t.Context(), "absent"); !errors.Is(err, ErrNotFound) {
		t.Errorf("Use: %v", err)
	}
	for _, f := range []func() error{
		func() error { _, err := s.Load("absent"); return err },
		func() error { _, err := s.Show("absent"); return err },
		func() error { _, err := s.Refresh(t.Context(), "absent"); return err },
		func() error { return s.Remove(t.Context(), "absent") },
		func() error { return s.Export("absent", &bytes.Buffer{}) },
	} {
		if err := f(); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "hallmark trust list") {
			t.Errorf("absent: %v", err)
		}
	}
	if err := s.Use(t.Context(), "lab"); err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(t.Context(), "lab"); err != nil {
		t.Fatal(err)
	}
	if def, err := s.Default(); err != nil || def != PublicGood {
		t.Errorf("default after its removal: %s, %v", def, err)
	}
	if _, err := s.Load("lab"); !errors.Is(err, ErrNotFound) {
		t.Errorf("after removal: %v", err)
	}
	initLab(t, s, srv)
}

func TestImportExport(t *testing.T) {
	s, _, _ := newStore(t)
	if _, err := s.Import(t.Context(), "root", publicGoodTrustedRoot); err != nil {
		t.Fatal(err)
	}
	if a, err := s.Load("root"); err != nil || a.SigningConfig != nil || a.Kind != KindStatic {
		t.Errorf("%+v, %v", a, err)
	}
	if _, err := s.Refresh(t.Context(), "root"); err == nil || !strings.Contains(err.Error(), "imported from a file") {
		t.Errorf("refresh: %v", err)
	}
	for _, name := range []string{"root", PublicGood} {
		var out bytes.Buffer
		if err := s.Export(name, &out); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Import(t.Context(), "copy", out.Bytes()); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out.Bytes())
		}
		a, err := s.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		b, err := s.Load("copy")
		if err != nil {
			t.Fatal(err)
		}
		x, _ := a.Root.Marshal()
		y, _ := b.Root.Marshal()
		if !bytes.Equal(x, y) || (a.SigningConfig == nil) != (b.SigningConfig == nil) {
			t.Errorf("%s: the copy differs", name)
		}
		if name == PublicGood {
			if _, _, err := trustroot.ParseClientTrustConfig(out.Bytes()); err != nil {
				t.Errorf("not a client trust config: %v", err)
			}
		}
	}
	for _, tt := range []struct{ name, data, want string }{
		{"x", "", "expected a trusted_root.json"},
		{"x", "{}", "mediaType"},
		{"x", `{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json"}`, "mediaType"},
		{"x", `{"mediaType":"` + trustroot.MediaType + `","tlogs":[{}]}`, "trusted root"},
		{"x", `{"mediaType":"` + trustroot.ClientTrustConfigMediaType + `"}`, "trustedRoot is absent"},
		{"x", `{"mediaType":"` + trustroot.ClientTrustConfigMediaType + `","trustedRoot":{},"x":1}`, "unknown field"},
		{"x", string(publicGoodTrustedRoot[:100]), "expected a trusted_root.json"},
		{PublicGood, string(publicGoodTrustedRoot), "built-in"},
		{"../x", string(publicGoodTrustedRoot), "trust root name"},
	} {
		if _, err := s.Import(t.Context(), tt.name, []byte(tt.data)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.40q: %v, want %q", tt.data, err, tt.want)
		}
	}
	if _, err := s.Load("x"); !errors.Is(err, ErrNotFound) {
		t.Error("a refused import was stored")
	}
	srv := newServer(t)
	initLab(t, s, srv)
	if _, err := s.Import(t.Context(), "lab", publicGoodTrustedRoot); !errors.Is(err, ErrExists) {
		t.Errorf("over a TUF one: %v", err)
	}
}

func TestContextEnds(t *testing.T) {
	srv := newServer(t)
	s, _, _ := newStore(t)
	initLab(t, s, srv)
	l, _, err := s.lock(t.Context(), "lab")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := s.Refresh(ctx, "lab"); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if _, err := s.Load("lab"); err != nil { // readers wait for nobody
		t.Error(err)
	}
	l.Unlock()
}

func TestReadOnlyStore(t *testing.T) {
	if os.Geteuid() == 0 {
		// The superuser writes anywhere: a file in the folder's place has the
		// same effect.
		dir := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(dir, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		s := New(dir, Deps{})
		if _, err := s.Import(t.Context(), "x", publicGoodTrustedRoot); err == nil {
			t.Error("written into a file")
		}
		return
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	s := New(dir, Deps{})
	if _, err := s.Import(t.Context(), "x", publicGoodTrustedRoot); !errors.Is(err, fs.ErrPermission) {
		t.Error(err)
	}
	if _, err := s.Load(""); err != nil {
		t.Errorf("the built-in trust root needs no disk: %v", err)
	}
}

func TestTrustRecordIsReadable(t *testing.T) {
	srv := newServer(t)
	s, _, dir := newStore(t)
	initLab(t, s, srv)
	data, err := os.ReadFile(filepath.Join(dir, "trust", "lab", recordFile))
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{"version", "name", "kind", "url", "mirror", "rootSHA256", "created", "refreshed", "generation", "files", "tuf"} {
		if _, ok := doc[field]; !ok {
			t.Errorf("%s is absent", field)
		}
	}
}
