// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// Fault is a way for an [Issuer] to misbehave.
type Fault int32

// The faults.
const (
	Healthy     Fault = iota
	Failing           // answers 500
	Redirecting       // sends clients elsewhere
	Stalling          // accepts and never answers
	Flooding          // answers with a JWKS of a GiB
	Lying             // calls itself something else
)

const (
	floodSize = 1 << 30
	keyID     = "lab"
)

// Issuer is an OIDC issuer over HTTP on loopback.
type Issuer struct {
	URL    string
	t      testing.TB
	key    *rsa.PrivateKey
	fault  atomic.Int32
	sent   atomic.Int64 // bytes of the flood
	asked  atomic.Int64
	server *httptest.Server
}

// NewIssuer starts an issuer that stops with the test.
func NewIssuer(t testing.TB) *Issuer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	i := &Issuer{t: t, key: key}
	i.server = httptest.NewServer(i)
	i.URL = i.server.URL
	t.Cleanup(i.server.Close)
	return i
}

// Set makes the issuer misbehave, or behave again.
func (i *Issuer) Set(f Fault) { i.fault.Store(int32(f)) }

// Sent is how many bytes of a flood went out.
func (i *Issuer) Sent() int64 { return i.sent.Load() }

// Asked is how many requests came in.
func (i *Issuer) Asked() int64 { return i.asked.Load() }

// Mint signs a token with good default claims, over which claims are laid; a
// nil value takes a claim away.
func (i *Issuer) Mint(audience string, claims map[string]any) string {
	i.t.Helper()
	now := time.Now()
	all := map[string]any{
		"iss": i.URL, "sub": "someone", "aud": audience, "email": "someone@example.com", "email_verified": true,
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(),
	}
	maps.Copy(all, claims)
	maps.DeleteFunc(all, func(_ string, v any) bool { return v == nil })
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: i.key}, new(jose.SignerOptions).WithHeader("kid", keyID))
	if err != nil {
		i.t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(all).Serialize()
	if err != nil {
		i.t.Fatal(err)
	}
	return token
}

// ServeHTTP is discovery and keys, or a fault.
func (i *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.asked.Add(1)
	fault := Fault(i.fault.Load())
	switch fault {
	case Failing:
		w.WriteHeader(http.StatusInternalServerError)
		return
	case Redirecting:
		http.Redirect(w, r, "/elsewhere"+r.URL.Path, http.StatusFound)
		return
	case Stalling:
		<-r.Context().Done()
		return
	}
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		name := i.URL
		if fault == Lying {
			name = "https://accounts.example.com"
		}
		json.NewEncoder(w).Encode(map[string]any{"issuer": name, "jwks_uri": i.URL + "/keys", "id_token_signing_alg_values_supported": []string{"RS256"},
			"authorization_endpoint": i.URL + "/authorize", "token_endpoint": i.URL + "/token", "response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"}})
	case "/keys":
		if fault == Flooding {
			i.flood(w)
			return
		}
		json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: i.key.Public(), KeyID: keyID, Algorithm: "RS256", Use: "sig"}}})
	default:
		http.NotFound(w, r)
	}
}

func (i *Issuer) flood(w http.ResponseWriter) {
	w.Write([]byte(`{"keys":[`))
	chunk := make([]byte, 64<<10)
	for n := range chunk {
		chunk[n] = ' '
	}
	for i.sent.Load() < floodSize {
		n, err := w.Write(chunk)
		i.sent.Add(int64(n))
		if err != nil {
			return
		}
	}
}
