// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"bytes"
	"crypto"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"hallmark/internal/base/fetch"
)

// mirrorTo mirrors srv into dir by its pinned root.
func mirrorTo(t testing.TB, s *Store, srv *server, dir string) (*Mirrored, error) {
	t.Helper()
	return s.Mirror(t.Context(), MirrorOptions{URL: srv.url, RootSHA256: srv.repo.RootSHA256(), Dir: dir})
}

// initFrom initialises a new store from a static web server over dir.
func initFrom(t testing.TB, dir, pin string, now time.Time) (*Active, error) {
	t.Helper()
	static := httptest.NewServer(http.FileServer(http.Dir(dir)))
	defer static.Close()
	s := New(t.TempDir(), Deps{Now: func() time.Time { return now }, Fetch: fetch.New(fetch.Config{})})
	if _, err := s.Init(t.Context(), InitOptions{Name: "copy", URL: static.URL, RootSHA256: pin}); err != nil {
		return nil, err
	}
	return s.Load("copy")
}

func TestMirrorCanBeServed(t *testing.T) {
	srv := newServer(t)
	s, c, _ := newStore(t)
	dir := filepath.Join(t.TempDir(), "a", "b")
	m, err := mirrorTo(t, s, srv, dir)
	if err != nil {
		t.Fatal(err)
	}
	if m.FirstRoot != 1 || m.Files != 2 || m.Roles != 0 || m.Written == 0 || m.RootSHA256 != srv.repo.RootSHA256() || m.URL != srv.url+"/tuf" {
		t.Errorf("%+v", m)
	}
	if _, err := initFrom(t, dir, srv.repo.RootSHA256(), c.now()); err != nil {
		t.Fatal(err)
	}
	// Again: nothing to write, and no root needs to be given.
	before := listing(t, dir)
	m, err = s.Mirror(t.Context(), MirrorOptions{URL: srv.url + "/tuf", Dir: dir})
	if err != nil || m.Written != 0 || !sameFiles(before, listing(t, dir)) {
		t.Fatalf("%+v, %v", m, err)
	}
	// The repository goes on; old files stay.
	srv.publish(7, start)
	m, err = mirrorTo(t, s, srv, dir)
	if err != nil || m.Written == 0 {
		t.Fatalf("%+v, %v", m, err)
	}
	after := listing(t, dir)
	for name := range before {
		if after[name] == "" {
			t.Errorf("%s is gone", name)
		}
	}
	a, err := initFrom(t, dir, srv.repo.RootSHA256(), c.now())
	if err != nil || a.SigningConfig == nil {
		t.Fatal(err)
	}
}

func TestMirrorByName(t *testing.T) {
	srv := newServer(t)
	s, _, _ := newStore(t)
	initLab(t, s, srv)
	dir := t.TempDir()
	m, err := s.Mirror(t.Context(), MirrorOptions{Name: "lab", Dir: dir})
	if err != nil || m.URL != srv.url+"/tuf" {
		t.Fatalf("%+v, %v", m, err)
	}
	if _, err := s.Import(t.Context(), "file", publicGoodTrustedRoot); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Mirror(t.Context(), MirrorOptions{Name: "file", Dir: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "no repository") {
		t.Error(err)
	}
	if _, err := s.Mirror(t.Context(), MirrorOptions{Name: "nobody", Dir: t.TempDir()}); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
}

// TestMirrorRefuses: each leaves the folder as it was.
func TestMirrorRefuses(t *testing.T) {
	const day = 24 * time.Hour
	for _, tt := range []struct {
		name string
		do   func(t *testing.T, srv *server, c *clock, dir string) MirrorOptions
		is   error
		want string
	}{
		{"no reason to believe it", func(t *testing.T, srv *server, c *clock, dir string) MirrorOptions {
			return MirrorOptions{URL: srv.url, Dir: t.TempDir()}
		}, nil, "exactly one of --root FILE"},
		{"another root than the pinned one", func(t *testing.T, srv *server, c *clock, dir string) MirrorOptions {
			return MirrorOptions{URL: srv.url, RootSHA256: strings.Repeat("0", 64), Dir: dir}
		}, ErrChecksum, "expected 0000"},
		{"a folder with something else", func(t *testing.T, srv *server, c *clock, dir string) MirrorOptions {
			other := t.TempDir()
			if err := os.WriteFile(filepath.Join(other, "index.html"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			return MirrorOptions{URL: srv.url, TOFU: true, Dir: other}
		}, nil, "holds other files"},
		{"rollback", func(t *testing.T, srv *server, c *clock, dir string) MirrorOptions {
			srv.set("/tuf/timestamp.json", srv.first)
			return MirrorOptions{URL: srv.url, Dir: dir}
		}, ErrRollback, "older"},
		{"freeze", func(t *testing.T, srv *server, c *clock, dir string) MirrorOptions {
			c.set(start.Add(8 * day))
			return MirrorOptions{URL: srv.url, Dir: dir}
		}, ErrExpired, "timestamp.json expired"},
		{"another repository", func(t *testing.T, srv *server, c *clock, dir string) MirrorOptions {
			return MirrorOptions{URL: newServer(t).url, TOFU: true, Dir: dir}
		}, nil, "copy of another repository"},
		{"a tampered target", func(t *testing.T, srv *server, c *clock, dir string) MirrorOptions {
			srv.publish(5, start)
			data := targets(5)[rootFile]
			srv.set("/tuf/targets/"+hexSHA256(data)+"."+rootFile, bytes.Replace(data, []byte("fulcio"), []byte("fulci0"), 1))
			return MirrorOptions{URL: srv.url, Dir: dir}
		}, ErrMixed, "trusted_root.json"},
		{"an absent target", func(t *testing.T, srv *server, c *clock, dir string) MirrorOptions {
			srv.publish(5, start)
			srv.set("/tuf/targets/"+hexSHA256(targets(5)[rootFile])+"."+rootFile, nil)
			return MirrorOptions{URL: srv.url, Dir: dir}
		}, nil, "404"},
		{"a timestamp by a stranger", func(t *testing.T, srv *server, c *clock, dir string) MirrorOptions {
			other := newServer(t)
			for n := range 5 {
				other.publish(n, start)
			}
			srv.set("/tuf/timestamp.json", other.get("/tuf/timestamp.json"))
			return MirrorOptions{URL: srv.url, Dir: dir}
		}, ErrSignature, "not signed"},
		{"no consistent snapshots", func(t *testing.T, srv *server, c *clock, dir string) MirrorOptions {
			srv.set("/tuf/2.root.json", nextRoot(t, srv.repo.Root(), func(r *metadata.RootType) { r.ConsistentSnapshot = false }, srv.keys.Root))
			for _, role := range []string{"snapshot", "targets"} {
				srv.set("/tuf/"+role+".json", srv.get("/tuf/2."+role+".json"))
			}
			return MirrorOptions{URL: srv.url, Dir: dir}
		}, nil, "no consistent snapshots"},
		{"a target with a path that leaves the folder", func(t *testing.T, srv *server, c *clock, dir string) MirrorOptions {
			delegate(t, srv, "team", map[string][]byte{"../../evil": []byte("x")})
			return MirrorOptions{URL: srv.url, Dir: dir}
		}, nil, "unusable name"},
		{"a role with a name that leaves the folder", func(t *testing.T, srv *server, c *clock, dir string) MirrorOptions {
			delegate(t, srv, "/../../evil", map[string][]byte{"x": []byte("x")})
			return MirrorOptions{URL: srv.url, Dir: dir}
		}, nil, "unusable name"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := newServer(t)
			srv.first = srv.get("/tuf/timestamp.json")
			srv.publish(1, start)
			s, c, _ := newStore(t)
			dir := t.TempDir()
			if _, err := mirrorTo(t, s, srv, dir); err != nil {
				t.Fatal(err)
			}
			before := listing(t, dir)
			_, err := s.Mirror(t.Context(), tt.do(t, srv, c, dir))
			if err == nil || tt.is != nil && !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v", err)
			}
			for name, data := range before {
				if got := listing(t, dir)[name]; got != data {
					t.Errorf("%s changed", name)
				}
			}
			if _, err := initFrom(t, dir, srv.repo.RootSHA256(), start); err != nil {
				t.Errorf("the folder cannot be used any more: %v", err)
			}
		})
	}
}

// delegate adds a role with targets of its own to srv's current state, and
// serves the whole as the next version.
func delegate(t *testing.T, srv *server, role string, files map[string][]byte) {
	t.Helper()
	roleKey := key(t)
	k, err := metadata.KeyFromPublicKey(roleKey.Public())
	if err != nil {
		t.Fatal(err)
	}
	id, err := k.ID()
	if err != nil {
		t.Fatal(err)
	}
	ts, err := metadata.Timestamp().FromBytes(srv.get("/tuf/timestamp.json"))
	if err != nil {
		t.Fatal(err)
	}
	sn, err := metadata.Snapshot().FromBytes(srv.get("/tuf/" + versioned(ts.Signed.Meta["snapshot.json"].Version, "snapshot")))
	if err != nil {
		t.Fatal(err)
	}
	tg, err := metadata.Targets().FromBytes(srv.get("/tuf/" + versioned(sn.Signed.Meta["targets.json"].Version, "targets")))
	if err != nil {
		t.Fatal(err)
	}
	sub := metadata.Targets(start.Add(24 * time.Hour))
	for name, data := range files {
		info, err := metadata.TargetFile().FromBytes(name, data, "sha256", "sha512")
		if err != nil {
			t.Fatal(err)
		}
		sub.Signed.Targets[name] = info
		srv.set("/tuf/"+targetNames(name, info)[0], data)
	}
	tg.Signed.Version++
	tg.Signed.Delegations = &metadata.Delegations{Keys: map[string]*metadata.Key{id: k},
		Roles: []metadata.DelegatedRole{{Name: role, KeyIDs: []string{id}, Threshold: 1, Paths: []string{"*"}}}}
	sn.Signed.Version++
	sn.Signed.Meta["targets.json"] = metadata.MetaFile(tg.Signed.Version)
	sn.Signed.Meta[role+".json"] = metadata.MetaFile(1)
	ts.Signed.Version++
	ts.Signed.Meta["snapshot.json"] = metadata.MetaFile(sn.Signed.Version)
	srv.set("/tuf/"+versioned(1, role), signed(t, sub, roleKey))
	srv.set("/tuf/"+versioned(tg.Signed.Version, "targets"), signed(t, tg, srv.keys.Targets))
	srv.set("/tuf/"+versioned(sn.Signed.Version, "snapshot"), signed(t, sn, srv.keys.Snapshot))
	srv.set("/tuf/timestamp.json", signed(t, ts, srv.keys.Timestamp))
}

func signed[T metadata.Roles](t testing.TB, m *metadata.Metadata[T], key crypto.Signer) []byte {
	t.Helper()
	m.ClearSignatures()
	if _, err := m.Sign(tufSigner(t, key)); err != nil {
		t.Fatal(err)
	}
	data, err := m.ToBytes(false)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestMirrorFollowsDelegations(t *testing.T) {
	srv := newServer(t)
	delegate(t, srv, "team", map[string][]byte{"team/keys.json": []byte(`{"keys":[]}`)})
	s, _, _ := newStore(t)
	dir := t.TempDir()
	m, err := mirrorTo(t, s, srv, dir)
	if err != nil || m.Roles != 1 || m.Files != 3 {
		t.Fatalf("%+v, %v", m, err)
	}
	files := listing(t, dir)
	if files[filepath.Join(dir, "1.team.json")] == "" {
		t.Error("the delegated role is not there")
	}
	found := 0
	for name, data := range files {
		if strings.HasSuffix(name, ".keys.json") && data == `{"keys":[]}` {
			found++
		}
	}
	if found != 2 { // by SHA-256 and by SHA-512
		t.Errorf("%d copies of the target", found)
	}
	// Nothing of it needs to come again, and what was damaged is mended.
	damaged := filepath.Join(dir, "1.team.json")
	if err := os.WriteFile(damaged, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if m, err = mirrorTo(t, s, srv, dir); err != nil || m.Written != 1 || listing(t, dir)[damaged] != files[damaged] {
		t.Errorf("%+v, %v", m, err)
	}
}

// TestMirrorChain: a mirror begins with the earliest root that leads to the
// trusted one, whichever was pinned.
func TestMirrorChain(t *testing.T) {
	srv := newServer(t)
	root1 := srv.repo.Root()
	newRoot := key(t)
	root2 := nextRoot(t, root1, func(r *metadata.RootType) { swap(t, r, "root", newRoot) }, srv.keys.Root, newRoot)
	root3 := nextRoot(t, root2, func(*metadata.RootType) {}, newRoot)
	srv.set("/tuf/2.root.json", root2)
	srv.set("/tuf/3.root.json", root3)
	srv.set("/tuf/root.json", root3)
	for name, pin := range map[string][]byte{"first": root1, "second": root2, "last": root3} {
		t.Run(name, func(t *testing.T) {
			s, _, _ := newStore(t)
			dir := t.TempDir()
			m, err := s.Mirror(t.Context(), MirrorOptions{URL: srv.url, RootSHA256: hexSHA256(pin), Dir: dir})
			if err != nil || m.FirstRoot != 1 || m.Root != 3 || m.RootSHA256 != hexSHA256(root3) {
				t.Fatalf("%+v, %v", m, err)
			}
			for _, root := range [][]byte{root1, root2, root3} {
				if _, err := initFrom(t, dir, hexSHA256(root), start); err != nil {
					t.Errorf("a client that pinned an earlier root: %v", err)
				}
			}
		})
	}
	// An earlier root that did not sign the next is no part of the chain.
	srv.set("/tuf/1.root.json", newServer(t).repo.Root())
	s, _, _ := newStore(t)
	m, err := s.Mirror(t.Context(), MirrorOptions{URL: srv.url, RootSHA256: hexSHA256(root3), Dir: t.TempDir()})
	if err != nil || m.FirstRoot != 2 {
		t.Errorf("%+v, %v", m, err)
	}
	// A folder that has seen a later root does not go back.
	dir := t.TempDir()
	if _, err := s.Mirror(t.Context(), MirrorOptions{URL: srv.url, RootSHA256: hexSHA256(root3), Dir: dir}); err != nil {
		t.Fatal(err)
	}
	srv.set("/tuf/3.root.json", nil)
	if _, err := s.Mirror(t.Context(), MirrorOptions{URL: srv.url, Root: root2, Dir: dir}); !errors.Is(err, ErrRollback) {
		t.Error(err)
	}
}

// cut fails every request from the n-th on.
type cut struct {
	next http.RoundTripper
	left atomic.Int64
}

func (c *cut) RoundTrip(r *http.Request) (*http.Response, error) {
	if c.left.Add(-1) < 0 {
		return nil, errors.New("cut off")
	}
	return c.next.RoundTrip(r)
}

// TestMirrorCutOff: wherever a run ends, clients of the folder find a whole
// state, the old one or the new one.
func TestMirrorCutOff(t *testing.T) {
	srv := newServer(t)
	s, c, _ := newStore(t)
	dir := t.TempDir()
	if _, err := mirrorTo(t, s, srv, dir); err != nil {
		t.Fatal(err)
	}
	srv.publish(3, start)
	for n := int64(0); ; n++ {
		off := &cut{next: http.DefaultTransport}
		off.left.Store(n)
		broken := New(t.TempDir(), Deps{Now: c.now, Fetch: fetch.New(fetch.Config{Transport: off})})
		_, err := mirrorTo(t, broken, srv, dir)
		if _, ierr := initFrom(t, dir, srv.repo.RootSHA256(), c.now()); ierr != nil {
			t.Fatalf("after %d requests: %v", n, ierr)
		}
		if err == nil {
			break
		}
		if n > 50 {
			t.Fatal(err)
		}
	}
	// A first run that was cut off can be finished.
	fresh := filepath.Join(t.TempDir(), "fresh")
	off := &cut{next: http.DefaultTransport}
	off.left.Store(7)
	broken := New(t.TempDir(), Deps{Now: c.now, Fetch: fetch.New(fetch.Config{Transport: off})})
	if _, err := mirrorTo(t, broken, srv, fresh); err == nil {
		t.Fatal("not cut off")
	}
	if _, err := mirrorTo(t, s, srv, fresh); err != nil {
		t.Error(err)
	}
}
