// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

var start = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

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
