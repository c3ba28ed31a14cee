// SPDX-License-Identifier: Apache-2.0

package oidc

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"hallmark/internal/format/certext"
)

const ownAudience = "hallmark.example"

// testKeys are made once; RSA keys take long.
var testKeys = sync.OnceValue(func() (k struct {
	rsa, weak *rsa.PrivateKey
	p256      *ecdsa.PrivateKey
	p384      *ecdsa.PrivateKey
	p521      *ecdsa.PrivateKey
	other     *ecdsa.PrivateKey
	ed        ed25519.PrivateKey
}) {
	k.rsa, _ = rsa.GenerateKey(rand.Reader, 2048)
	k.weak, _ = rsa.GenerateKey(rand.Reader, 1024)
	k.p256, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	k.p384, _ = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	k.p521, _ = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	k.other, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	_, k.ed, _ = ed25519.GenerateKey(rand.Reader)
	return k
})

// clock is a clock to turn.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Unix(1_800_000_000, 0)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// testIssuer is an issuer over HTTP on loopback.
type testIssuer struct {
	url     string
	fetches atomic.Int64 // of the discovery document

	mu        sync.Mutex
	keys      []jose.JSONWebKey
	discovery http.HandlerFunc // replaces the discovery document
	jwks      http.HandlerFunc // replaces the key set
}

func newTestIssuer(t testing.TB, keys ...jose.JSONWebKey) *testIssuer {
	t.Helper()
	ti := &testIssuer{keys: keys}
	if len(keys) == 0 {
		ti.keys = []jose.JSONWebKey{jwk("main", testKeys().p256)}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, r *http.Request) {
		ti.fetches.Add(1)
		if h, _ := ti.handlers(); h != nil {
			h(w, r)
			return
		}
		json.NewEncoder(w).Encode(map[string]string{"issuer": ti.url, "jwks_uri": ti.url + "/jwks"})
	})
	mux.HandleFunc("GET /jwks", func(w http.ResponseWriter, r *http.Request) {
		if _, h := ti.handlers(); h != nil {
			h(w, r)
			return
		}
		ti.mu.Lock()
		defer ti.mu.Unlock()
		json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: ti.keys})
	})
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	ti.url = srv.URL
	return ti
}

func (ti *testIssuer) handlers() (discovery, jwks http.HandlerFunc) {
	ti.mu.Lock()
	defer ti.mu.Unlock()
	return ti.discovery, ti.jwks
}

func (ti *testIssuer) set(discovery, jwks http.HandlerFunc, keys ...jose.JSONWebKey) {
	ti.mu.Lock()
	defer ti.mu.Unlock()
	ti.discovery, ti.jwks = discovery, jwks
	if keys != nil {
		ti.keys = keys
	}
}

// jwk is the public half of key as issuers publish it.
func jwk(kid string, key crypto.Signer) jose.JSONWebKey {
	return jose.JSONWebKey{Key: key.Public(), KeyID: kid, Use: "sig"}
}

// sign makes a token with any header and claims.
func sign(t testing.TB, alg jose.SignatureAlgorithm, key any, header map[jose.HeaderKey]any, claims any) string {
	t.Helper()
	opts := &jose.SignerOptions{ExtraHeaders: header}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, opts)
	if err != nil {
		t.Fatal(err)
	}
	payload, ok := claims.([]byte)
	if !ok {
		if payload, err = json.Marshal(claims); err != nil {
			t.Fatal(err)
		}
	}
	jws, err := s.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	out, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// token is one the issuer would sign: good unless change says otherwise. A nil
// value deletes a claim.
func (ti *testIssuer) token(t testing.TB, c *clock, change map[string]any) string {
	t.Helper()
	return sign(t, jose.ES256, testKeys().p256, map[jose.HeaderKey]any{"kid": "main"}, ti.claims(c, change))
}

func (ti *testIssuer) claims(c *clock, change map[string]any) map[string]any {
	claims := map[string]any{
		"iss": ti.url, "sub": "subject-1", "aud": ownAudience,
		"iat": c.now().Unix(), "exp": c.now().Add(5 * time.Minute).Unix(),
		"email": "someone@example.com", "email_verified": true,
	}
	maps.Copy(claims, change)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	return claims
}

func (ti *testIssuer) config(ic IssuerConfig) Config {
	return Config{Issuers: map[string]IssuerConfig{ti.url: ic}}
}

func authenticator(t testing.TB, cfg Config, c *clock) *Authenticator {
	t.Helper()
	a, err := New(cfg, Deps{Audience: ownAudience, Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func emailAuthenticator(t testing.TB, ti *testIssuer, c *clock) *Authenticator {
	return authenticator(t, ti.config(IssuerConfig{Type: TypeEmail}), c)
}

func mustAccept(t *testing.T, a *Authenticator, token string) certext.Principal {
	t.Helper()
	p, err := a.Authenticate(context.Background(), token)
	if err != nil {
		t.Fatalf("refused: %v", err)
	}
	return p
}

func mustRefuse(t *testing.T, a *Authenticator, token string, code Code) *Error {
	t.Helper()
	p, err := a.Authenticate(context.Background(), token)
	var refused *Error
	if !errors.As(err, &refused) {
		t.Fatalf("got %+v, %v; expected a refusal", p, err)
	}
	if refused.Code != code {
		t.Fatalf("refused with %s (%v); expected %s", refused.Code, err, code)
	}
	if p != (certext.Principal{}) {
		t.Fatalf("a principal came with the refusal: %+v", p)
	}
	return refused
}
