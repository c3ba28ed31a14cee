// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"crypto"
	"net/http"
	"net/url"
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
