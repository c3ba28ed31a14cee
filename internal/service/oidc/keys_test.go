// SPDX-License-Identifier: Apache-2.0

package oidc

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// TestIssuerFaults: each fault of an issuer makes its tokens "unavailable",
// with a message that says which, and none of the issuer's own words.
func TestIssuerFaults(t *testing.T) {
	var elsewhere *httptest.Server
	var visited atomic.Int64
	elsewhere = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		visited.Add(1)
		json.NewEncoder(w).Encode(map[string]string{"issuer": "x", "jwks_uri": elsewhere.URL})
	}))
	t.Cleanup(elsewhere.Close)
	redirect := func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, http.StatusFound) }
	text := func(s string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, s) }
	}
	doc := func(format string) func(*testIssuer) (http.HandlerFunc, http.HandlerFunc) {
		return func(ti *testIssuer) (http.HandlerFunc, http.HandlerFunc) {
			return text(strings.ReplaceAll(format, "ISSUER", ti.url)), nil
		}
	}
	keys := func(h http.HandlerFunc) func(*testIssuer) (http.HandlerFunc, http.HandlerFunc) {
		return func(*testIssuer) (http.HandlerFunc, http.HandlerFunc) { return nil, h }
	}
	weak, _ := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
		jwk("main", testKeys().weak),
		{Key: testKeys().p256, KeyID: "private"},
		{Key: []byte(strings.Repeat("s", 32)), KeyID: "symmetric"},
		{Key: testKeys().p256.Public(), KeyID: "encryption", Use: "enc"},
	}})
	for name, tt := range map[string]struct {
		fault func(*testIssuer) (discovery, jwks http.HandlerFunc)
		text  string
	}{
		"discovery redirects": {func(*testIssuer) (http.HandlerFunc, http.HandlerFunc) { return redirect, nil }, "redirects"},
		"keys redirect":       {keys(redirect), "redirects"},
		"discovery 500": {func(*testIssuer) (http.HandlerFunc, http.HandlerFunc) {
			return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "internal detail", 500) }, nil
		}, "answered status 500"},
		"keys 404":             {keys(http.NotFound), "answered status 404"},
		"another issuer":       {doc(`{"issuer":"https://other.example","jwks_uri":"ISSUER/jwks"}`), "field issuer"},
		"issuer with slash":    {doc(`{"issuer":"ISSUER/","jwks_uri":"ISSUER/jwks"}`), "field issuer"},
		"no issuer":            {doc(`{"jwks_uri":"ISSUER/jwks"}`), "field issuer"},
		"no jwks_uri":          {doc(`{"issuer":"ISSUER"}`), "field jwks_uri"},
		"plain http jwks_uri":  {doc(`{"issuer":"ISSUER","jwks_uri":"http://keys.example/"}`), "field jwks_uri"},
		"file jwks_uri":        {doc(`{"issuer":"ISSUER","jwks_uri":"file:///etc/passwd"}`), "field jwks_uri"},
		"jwks_uri with user":   {doc(`{"issuer":"ISSUER","jwks_uri":"https://u:p@keys.example/"}`), "field jwks_uri"},
		"discovery not JSON":   {doc(`<html>`), "not a JSON object"},
		"discovery too large":  {doc(`{"issuer":"` + strings.Repeat("x", MaxDiscovery) + `"}`), "larger than the limit"},
		"keys not JSON":        {keys(text(`<html>`)), "not a JSON object"},
		"no keys":              {keys(text(`{"keys":[]}`)), "none of its 0 keys"},
		"no usable key":        {keys(text(string(weak))), "none of its 4 keys"},
		"too many keys":        {keys(text(`{"keys":[` + strings.Repeat("{},", MaxKeys) + `{}]}`)), "at most 100"},
		"keys nested too deep": {keys(text(`{"keys":[` + strings.Repeat("[", 500_000))), "not a JSON object"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClock()
			ti := newTestIssuer(t)
			ti.set(tt.fault(ti))
			a := emailAuthenticator(t, ti, c)
			err := mustRefuse(t, a, ti.token(t, c, nil), CodeIssuerUnavailable)
			if !strings.Contains(err.Error(), tt.text) || !strings.Contains(err.Error(), ti.url) {
				t.Errorf("message %q lacks %q or the issuer", err, tt.text)
			}
			if strings.Contains(err.Error(), "internal detail") {
				t.Errorf("the issuer's answer leaked: %v", err)
			}
			if !err.Temporary() || errors.Unwrap(err) == nil {
				t.Errorf("temporary %v, cause %v", err.Temporary(), errors.Unwrap(err))
			}
		})
	}
	if n := visited.Load(); n != 0 {
		t.Errorf("a redirect was followed %d times", n)
	}
}

// TestHugeJWKS: an endless key set is read up to the cap and no further.
func TestHugeJWKS(t *testing.T) {
	const gigabyte = 1 << 30
	c := newClock()
	ti := newTestIssuer(t)
	var sent atomic.Int64
	stopped := make(chan struct{})
	ti.set(nil, func(w http.ResponseWriter, r *http.Request) {
		defer close(stopped)
		io.WriteString(w, `{"keys":[`)
		chunk := bytes.Repeat([]byte(" "), 64<<10)
		for sent.Load() < gigabyte {
			n, err := w.Write(chunk)
			sent.Add(int64(n))
			if err != nil {
				return
			}
		}
	})
	a := emailAuthenticator(t, ti, c)
	err := mustRefuse(t, a, ti.token(t, c, nil), CodeIssuerUnavailable)
	if !strings.Contains(err.Error(), fmt.Sprint(MaxJWKS)) {
		t.Errorf("message %q lacks the limit", err)
	}
	<-stopped
	if n := sent.Load(); n > 64<<20 { // socket buffers take some
		t.Errorf("%d bytes were taken", n)
	}
}

// TestStallingIssuerDelaysNobody: while one issuer does not answer, tokens of
// another pass, and who waits can give up.
func TestStallingIssuerDelaysNobody(t *testing.T) {
	c := newClock()
	slow, fast := newTestIssuer(t), newTestIssuer(t)
	release := make(chan struct{})
	started := make(chan struct{}, 1)
	slow.set(func(w http.ResponseWriter, r *http.Request) {
		started <- struct{}{}
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}, nil)
	a := authenticator(t, Config{Issuers: map[string]IssuerConfig{slow.url: {Type: TypeEmail}, fast.url: {Type: TypeEmail}}}, c)
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() {
		_, err := a.Authenticate(ctx, slow.token(t, c, nil))
		result <- err
	}()
	<-started
	for range 3 {
		mustAccept(t, a, fast.token(t, c, nil))
	}
	select {
	case err := <-result:
		t.Fatalf("the slow issuer answered: %v", err)
	default:
	}
	cancel()
	var refused *Error
	if err := <-result; !errors.As(err, &refused) || refused.Code != CodeIssuerUnavailable || !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	close(release)
}

// TestStallTimesOut: an issuer that never answers is given up after FetchTimeout.
func TestStallTimesOut(t *testing.T) {
	t.Parallel() // takes FetchTimeout
	c := newClock()
	ti := newTestIssuer(t)
	ti.set(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, nil)
	a := emailAuthenticator(t, ti, c)
	start := time.Now()
	err := mustRefuse(t, a, ti.token(t, c, nil), CodeIssuerUnavailable)
	if !strings.Contains(err.Error(), "no answer in time") {
		t.Errorf("message %q", err)
	}
	if took := time.Since(start); took > 2*FetchTimeout {
		t.Errorf("took %v", took)
	}
}

// TestSingleFlight: many tokens at once cause one fetch.
func TestSingleFlight(t *testing.T) {
	c := newClock()
	ti := newTestIssuer(t)
	a := emailAuthenticator(t, ti, c)
	token := ti.token(t, c, nil)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if _, err := a.Authenticate(context.Background(), token); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := ti.fetches.Load(); n != 1 {
		t.Errorf("%d fetches, expected 1", n)
	}
}

func TestRefresh(t *testing.T) {
	c := newClock()
	ti := newTestIssuer(t)
	a := emailAuthenticator(t, ti, c)
	expect := func(what string, n int64) {
		t.Helper()
		if got := ti.fetches.Load(); got != n {
			t.Fatalf("%s: %d fetches, expected %d", what, got, n)
		}
	}
	rotated := func() string {
		return sign(t, jose.ES256, testKeys().other, map[jose.HeaderKey]any{"kid": "next"}, ti.claims(c, nil))
	}
	mustRefuse(t, a, ti.token(t, c, map[string]any{"aud": "nobody"}), CodeWrongAudience)
	mustRefuse(t, a, ti.token(t, c, map[string]any{"exp": 1}), CodeExpired)
	expect("tokens that are useless anyway", 0)

	mustAccept(t, a, ti.token(t, c, nil))
	mustAccept(t, a, ti.token(t, c, nil))
	expect("first use", 1)

	ti.set(nil, nil, jwk("main", testKeys().p256), jwk("next", testKeys().other))
	for range 20 {
		mustRefuse(t, a, rotated(), CodeUnknownKey)
	}
	expect("unknown keys within a minute", 1)

	c.add(RefreshInterval)
	mustAccept(t, a, rotated())
	expect("unknown key after a minute", 2)

	for range 3 {
		mustRefuse(t, a, sign(t, jose.ES256, testKeys().other, map[jose.HeaderKey]any{"kid": "none"}, ti.claims(c, nil)), CodeUnknownKey)
	}
	expect("unknown key within the next minute", 2)

	ti.set(nil, nil, jwk("main", testKeys().p256)) // the issuer withdraws the key
	c.add(FreshFor - time.Second)
	mustAccept(t, a, rotated())
	expect("fresh", 2)
	c.add(time.Second)
	mustRefuse(t, a, rotated(), CodeUnknownKey)
	expect("no longer fresh", 3)
}

// TestStaleKeys: while the issuer is down its keys go on serving, up to a
// bound, with one attempt a minute.
func TestStaleKeys(t *testing.T) {
	c := newClock()
	ti := newTestIssuer(t)
	a := emailAuthenticator(t, ti, c)
	mustAccept(t, a, ti.token(t, c, nil))
	down := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }
	ti.set(down, nil)
	c.add(FreshFor)
	for range 10 {
		mustAccept(t, a, ti.token(t, c, nil))
	}
	if n := ti.fetches.Load(); n != 2 {
		t.Fatalf("%d fetches, expected one further attempt", n)
	}
	c.add(StaleFor - FreshFor - time.Second)
	mustAccept(t, a, ti.token(t, c, nil))
	c.add(time.Second)
	err := mustRefuse(t, a, ti.token(t, c, nil), CodeIssuerUnavailable)
	if !strings.Contains(err.Error(), "502") || !strings.Contains(err.Error(), "next attempt") {
		t.Errorf("message %q", err)
	}
	ti.set(nil, nil)
	mustRefuse(t, a, ti.token(t, c, nil), CodeIssuerUnavailable) // not before a minute has passed
	c.add(RefreshInterval)
	mustAccept(t, a, ti.token(t, c, nil))
}

// TestClockGoesBack: keys and attempts from the future do not block refreshes.
func TestClockGoesBack(t *testing.T) {
	c := newClock()
	ti := newTestIssuer(t)
	a := emailAuthenticator(t, ti, c)
	mustAccept(t, a, ti.token(t, c, nil))
	c.add(-24 * time.Hour)
	mustAccept(t, a, ti.token(t, c, nil))
}

func TestParseJWKS(t *testing.T) {
	k := testKeys()
	good := jwk("good", k.p256)
	raw, _ := good.MarshalJSON()
	// Kinds this version does not know, broken keys and huge ones are passed over.
	body := `{"keys":[{"kty":"AKP","alg":"ML-DSA-65"},{"kty":"EC","crv":"secp256k1","x":"AA","y":"AA"},{"kty":"RSA"},7,null,` +
		hugeRSA(t) + `,` + string(raw) + `]}`
	keys, err := parseJWKS([]byte(body))
	if err != nil || len(keys) != 1 || keys[0].KeyID != "good" {
		t.Fatalf("got %v, %v", keys, err)
	}
}

func hugeRSA(t *testing.T) string {
	t.Helper()
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 16384))
	if err != nil {
		t.Fatal(err)
	}
	n.SetBit(n, 16383, 1).SetBit(n, 0, 1)
	raw, err := jose.JSONWebKey{Key: &rsa.PublicKey{N: n, E: 65537}}.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// TestNoTokenInLogs: what an issuer's faults log holds no token.
func TestNoTokenInLogs(t *testing.T) {
	c := newClock()
	ti := newTestIssuer(t)
	ti.set(http.NotFound, nil)
	var buf safeBuffer
	a, err := New(ti.config(IssuerConfig{Type: TypeEmail}), Deps{Audience: ownAudience, Now: c.now, Log: slog.New(slog.NewTextHandler(&buf, nil))})
	if err != nil {
		t.Fatal(err)
	}
	token := ti.token(t, c, nil)
	mustRefuse(t, a, token, CodeIssuerUnavailable)
	deadline := time.Now().Add(5 * time.Second)
	for !strings.Contains(buf.String(), ti.url) && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	if log := buf.String(); !strings.Contains(log, ti.url) || strings.Contains(log, token[:30]) {
		t.Errorf("log %q", log)
	}
}

type safeBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
