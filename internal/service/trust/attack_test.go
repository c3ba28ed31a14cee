// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"bytes"
	"crypto"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// tufSigner signs for go-tuf with the lab's ECDSA keys.
func tufSigner(t testing.TB, key crypto.Signer) signature.Signer {
	t.Helper()
	s, err := signature.LoadSigner(key, crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// resignTimestamp is the current timestamp with a later version and expiry,
// for the same snapshot: what a server does that forgets its snapshot.
func resignTimestamp(srv *server, now time.Time) []byte {
	srv.t.Helper()
	m, err := metadata.Timestamp().FromBytes(srv.get("/tuf/timestamp.json"))
	if err != nil {
		srv.t.Fatal(err)
	}
	m.Signed.Version++
	m.Signed.Expires = now.Add(24 * time.Hour)
	m.ClearSignatures()
	if _, err := m.Sign(tufSigner(srv.t, srv.keys.Timestamp)); err != nil {
		srv.t.Fatal(err)
	}
	data, err := m.ToBytes(false)
	if err != nil {
		srv.t.Fatal(err)
	}
	return data
}

// nextRoot is a root.json that follows the given one, changed by edit and
// signed by the given keys.
func nextRoot(t testing.TB, root []byte, edit func(*metadata.RootType), keys ...crypto.Signer) []byte {
	t.Helper()
	m, err := metadata.Root().FromBytes(root)
	if err != nil {
		t.Fatal(err)
	}
	m.Signed.Version++
	edit(&m.Signed)
	m.ClearSignatures()
	for _, key := range keys {
		if _, err := m.Sign(tufSigner(t, key)); err != nil {
			t.Fatal(err)
		}
	}
	data, err := m.ToBytes(false)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// swap replaces the one key of a role.
func swap(t testing.TB, r *metadata.RootType, role string, key crypto.Signer) {
	t.Helper()
	for _, id := range r.Roles[role].KeyIDs {
		if err := r.RevokeKey(id, role); err != nil {
			t.Fatal(err)
		}
	}
	k, err := metadata.KeyFromPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.AddKey(k, role); err != nil {
		t.Fatal(err)
	}
}

// redirect sends every request to one server, whatever it was for.
type redirect struct{ base string }

func (d redirect) RoundTrip(req *http.Request) (*http.Response, error) {
	to, err := url.Parse(d.base + req.URL.Path)
	if err != nil {
		return nil, err
	}
	req = req.Clone(req.Context())
	req.URL, req.Host = to, to.Host
	return http.DefaultTransport.RoundTrip(req)
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
