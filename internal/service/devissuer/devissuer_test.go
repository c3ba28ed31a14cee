// SPDX-License-Identifier: Apache-2.0

package devissuer

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"hallmark/internal/base/keyring"
)

const ownAudience = "hallmark.example"

var testKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// clock is a clock to turn.
type clock struct {
	mu  sync.Mutex
	off time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.off)
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.off += d
}

// world is an issuer served on loopback, a browser, and a client that waits at
// a redirect URI.
type world struct {
	*testing.T
	clock   *clock
	issuer  *Issuer
	url     string
	browser *http.Client
	config  *oauth2.Config
	pkce    string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, clock: &clock{}, pkce: oauth2.GenerateVerifier()}
	srv := httptest.NewUnstartedServer(nil)
	w.url = "http://" + srv.Listener.Addr().String() + "/dev-issuer"
	var err error
	w.issuer, err = New(Config{Issuer: w.url, Key: testKey(), Audiences: []string{ownAudience}, Now: w.clock.now})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/dev-issuer/", w.issuer.Handler())
	srv.Config.Handler = mux
	srv.Start()
	t.Cleanup(srv.Close)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	w.browser = &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	w.config = &oauth2.Config{
		ClientID: "sigstore", RedirectURL: "http://localhost:4711/auth/callback", Scopes: []string{"openid", "email"},
		Endpoint: oauth2.Endpoint{AuthURL: w.url + "/authorize", TokenURL: w.url + "/token"},
	}
	return w
}

// authURL is what the client opens in the browser.
func (w *world) authURL(opts ...oauth2.AuthCodeOption) string {
	return w.config.AuthCodeURL("state-1", append([]oauth2.AuthCodeOption{oauth2.S256ChallengeOption(w.pkce), oidc.Nonce("nonce-1")}, opts...)...)
}

func (w *world) loginCode() string {
	w.Helper()
	m, err := w.issuer.Mint(Request{Email: "dev@example.com", Login: true})
	if err != nil || m.IDToken != "" || m.LoginCode == "" {
		w.Fatalf("login code: %+v, %v", m, err)
	}
	return m.LoginCode
}

var hiddenField = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`)

// open shows the login page and returns its form.
func (w *world) open(authURL string) url.Values {
	w.Helper()
	status, body, _ := w.get(authURL)
	if status != http.StatusOK {
		w.Fatalf("GET %s: %d %s", authURL, status, body)
	}
	form := url.Values{}
	for _, m := range hiddenField.FindAllStringSubmatch(body, -1) {
		form.Set(m[1], html.UnescapeString(m[2]))
	}
	return form
}

func (w *world) get(target string) (int, string, http.Header) {
	w.Helper()
	resp, err := w.browser.Get(target)
	if err != nil {
		w.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		w.Fatal(err)
	}
	return resp.StatusCode, string(body), resp.Header
}

func (w *world) post(target string, form url.Values, header http.Header) (int, string, http.Header) {
	w.Helper()
	req, err := http.NewRequest(http.MethodPost, target, strings.NewReader(form.Encode()))
	if err != nil {
		w.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for name, values := range header {
		req.Header[name] = values
	}
	resp, err := w.browser.Do(req)
	if err != nil {
		w.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		w.Fatal(err)
	}
	return resp.StatusCode, string(body), resp.Header
}

// code logs in and returns the authorization code the client gets.
func (w *world) code() string {
	w.Helper()
	form := w.open(w.authURL())
	form.Set("login_code", w.loginCode())
	status, body, header := w.post(w.url+"/authorize", form, nil)
	if status != http.StatusSeeOther {
		w.Fatalf("login: %d %s", status, body)
	}
	back, err := url.Parse(header.Get("Location"))
	if err != nil || back.Query().Get("state") != "state-1" || back.Query().Get("iss") != w.url || back.Host != "localhost:4711" || back.Path != "/auth/callback" {
		w.Fatalf("redirect to %v, %v", back, err)
	}
	return back.Query().Get("code")
}

// exchange is a raw token request; change overrides parameters, "" removes one.
func (w *world) exchange(code string, change map[string]string) (int, map[string]any) {
	w.Helper()
	form := url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {w.config.RedirectURL},
		"client_id": {w.config.ClientID}, "code_verifier": {w.pkce},
	}
	for name, value := range change {
		form.Set(name, value)
		if value == "" {
			form.Del(name)
		}
	}
	status, body, _ := w.post(w.url+"/token", form, nil)
	var answer map[string]any
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		w.Fatalf("token answer %q: %v", body, err)
	}
	return status, answer
}

// TestCodeFlow is a login as cosign does it, with the libraries it uses.
func TestCodeFlow(t *testing.T) {
	w := newWorld(t)
	provider, err := oidc.NewProvider(t.Context(), w.url)
	if err != nil {
		t.Fatal(err)
	}
	var meta struct {
		Methods []string `json:"code_challenge_methods_supported"`
	}
	if err := provider.Claims(&meta); err != nil || len(meta.Methods) != 1 || meta.Methods[0] != "S256" {
		t.Fatalf("PKCE methods %v, %v", meta.Methods, err)
	}
	for _, client := range []string{"sigstore", ownAudience} {
		t.Run(client, func(t *testing.T) {
			w.config.ClientID, w.config.Endpoint = client, provider.Endpoint()
			tok, err := w.config.Exchange(t.Context(), w.code(), oauth2.VerifierOption(w.pkce), oidc.Nonce("nonce-1"))
			if err != nil {
				t.Fatal(err)
			}
			raw, _ := tok.Extra("id_token").(string)
			id, err := provider.Verifier(&oidc.Config{ClientID: client}).Verify(t.Context(), raw)
			if err != nil {
				t.Fatal(err)
			}
			if err := id.VerifyAccessToken(tok.AccessToken); err != nil {
				t.Error(err)
			}
			var claims struct {
				Email    string
				Verified bool   `json:"email_verified"`
				Kind     string `json:"hallmark_dev_kind"`
			}
			if err := id.Claims(&claims); err != nil {
				t.Fatal(err)
			}
			if id.Nonce != "nonce-1" || claims.Email != "dev@example.com" || !claims.Verified || claims.Kind != KindEmail {
				t.Errorf("nonce %q, claims %+v", id.Nonce, claims)
			}
			if id.Issuer != w.url || id.Expiry.Sub(id.IssuedAt) != DefaultTTL {
				t.Errorf("issuer %q, life %v", id.Issuer, id.Expiry.Sub(id.IssuedAt))
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	p256, err := keyring.GenerateP256()
	if err != nil {
		t.Fatal(err)
	}
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	good := Config{Issuer: "http://127.0.0.1:8080/dev-issuer", Key: testKey()}
	for name, change := range map[string]func(*Config){
		"public host":    func(c *Config) { c.Issuer = "https://hallmark.example/dev-issuer" },
		"private host":   func(c *Config) { c.Issuer = "http://192.168.1.1:8080/dev-issuer" },
		"all interfaces": func(c *Config) { c.Issuer = "http://0.0.0.0:8080/dev-issuer" },
		"fake loopback":  func(c *Config) { c.Issuer = "http://localhost.evil.example/dev-issuer" },
		"no scheme":      func(c *Config) { c.Issuer = "127.0.0.1:8080" },
		"trailing slash": func(c *Config) { c.Issuer += "/" },
		"query":          func(c *Config) { c.Issuer += "?a=b" },
		"no key":         func(c *Config) { c.Key = nil },
		"ECDSA key":      func(c *Config) { c.Key = p256 },
		"weak key":       func(c *Config) { c.Key = weak },
	} {
		cfg := good
		change(&cfg)
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for _, u := range []string{good.Issuer, "http://localhost:8080", "http://[::1]:8080/dev-issuer", "https://127.0.0.2/dev-issuer"} {
		cfg := good
		cfg.Issuer = u
		if _, err := New(cfg); err != nil {
			t.Errorf("%s: %v", u, err)
		}
	}
}

// TestGuard: whatever the path, other hosts and other web origins get nothing,
// and no answer has a CORS header.
func TestGuard(t *testing.T) {
	w := newWorld(t)
	base := strings.TrimPrefix(w.url, "http://")
	host, _, _ := strings.Cut(base, "/")
	origin := "http://" + host
	for name, tt := range map[string]struct {
		host, origin string
		status       int
	}{
		"own":                 {host, "", http.StatusOK},
		"own, with origin":    {host, origin, http.StatusOK},
		"DNS rebinding":       {"evil.example", "", http.StatusMisdirectedRequest},
		"other port":          {"127.0.0.1:1", "", http.StatusMisdirectedRequest},
		"other loopback name": {strings.Replace(host, "127.0.0.1", "localhost", 1), "", http.StatusMisdirectedRequest},
		"other origin":        {host, "https://evil.example", http.StatusForbidden},
		"null origin":         {host, "null", http.StatusForbidden},
		"origin, other port":  {host, "http://127.0.0.1:1", http.StatusForbidden},
		"origin, https":       {host, "https://" + host, http.StatusForbidden},
	} {
		for _, p := range []string{"/.well-known/openid-configuration", "/keys"} {
			req, err := http.NewRequest(http.MethodGet, w.url+p, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Host = tt.host
			if tt.origin != "" {
				req.Header.Set("Origin", tt.origin)
			}
			resp, err := w.browser.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != tt.status {
				t.Errorf("%s %s: status %d, expected %d", name, p, resp.StatusCode, tt.status)
			}
			for h := range resp.Header {
				if strings.HasPrefix(h, "Access-Control-") {
					t.Errorf("%s %s: header %s", name, p, h)
				}
			}
		}
	}
	req, _ := http.NewRequest(http.MethodOptions, w.url+"/token", nil)
	if resp, err := w.browser.Do(req); err != nil || resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("OPTIONS: %v, %v", resp, err)
	}
}

func TestLoginPage(t *testing.T) {
	w := newWorld(t)
	status, body, header := w.get(w.authURL() + "&display=" + url.QueryEscape(`"><script>alert(1)</script>`))
	if status != http.StatusOK || !strings.Contains(body, "<h1>DEV</h1>") || strings.Contains(body, "<script") {
		t.Errorf("page: %d %s", status, body)
	}
	csp := header.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self' http://localhost:4711"} {
		if !strings.Contains(csp, want) {
			t.Errorf("CSP %q lacks %q", csp, want)
		}
	}
	if header.Get("X-Frame-Options") != "DENY" || header.Get("Cache-Control") != "no-store" || header.Get("Referrer-Policy") != "same-origin" {
		t.Errorf("headers %v", header)
	}
	cookie := header.Get("Set-Cookie")
	if !strings.Contains(cookie, "HttpOnly") || !strings.Contains(cookie, "SameSite=Strict") || !strings.Contains(cookie, "Path=/dev-issuer/authorize") {
		t.Errorf("cookie %q", cookie)
	}
	w.config.RedirectURL = "http://[::1]:4711/cb"
	if _, _, header := w.get(w.authURL()); !strings.Contains(header.Get("Content-Security-Policy"), "form-action 'self' http:;") {
		t.Errorf("CSP %q", header.Get("Content-Security-Policy"))
	}
	w.config.RedirectURL = `http://localhost:4711/"><script>alert(1)</script>`
	if _, body, _ := w.get(w.authURL()); strings.Contains(body, "<script>") {
		t.Error("the redirect URI is not escaped")
	}
}

func TestExchangeRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		change map[string]string
		code   string
	}{
		"wrong code":        {map[string]string{"code": "x"}, "invalid_grant"},
		"no code":           {map[string]string{"code": ""}, "invalid_grant"},
		"other client":      {map[string]string{"client_id": ownAudience}, "invalid_grant"},
		"no client":         {map[string]string{"client_id": ""}, "invalid_client"},
		"a secret":          {map[string]string{"client_secret": "x"}, "invalid_client"},
		"other redirect":    {map[string]string{"redirect_uri": "http://localhost:4712/auth/callback"}, "invalid_grant"},
		"no redirect":       {map[string]string{"redirect_uri": ""}, "invalid_grant"},
		"no verifier":       {map[string]string{"code_verifier": ""}, "invalid_grant"},
		"other verifier":    {map[string]string{"code_verifier": oauth2.GenerateVerifier()}, "invalid_grant"},
		"short verifier":    {map[string]string{"code_verifier": "abc"}, "invalid_grant"},
		"other grant type":  {map[string]string{"grant_type": "password"}, "unsupported_grant_type"},
		"device grant type": {map[string]string{"grant_type": "urn:ietf:params:oauth:grant-type:device_code"}, "unsupported_grant_type"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			status, answer := w.exchange(w.code(), tt.change)
			if status < 400 || answer["error"] != tt.code || answer["id_token"] != nil {
				t.Errorf("%d %v, expected %s", status, answer, tt.code)
			}
		})
	}
}

func TestCodeIsSpent(t *testing.T) {
	w := newWorld(t)
	code := w.code()
	if status, answer := w.exchange(code, nil); status != http.StatusOK {
		t.Fatalf("%d %v", status, answer)
	}
	if status, answer := w.exchange(code, nil); status == http.StatusOK {
		t.Fatalf("used twice: %v", answer)
	}
	code = w.code()
	w.exchange(code, map[string]string{"code_verifier": oauth2.GenerateVerifier()})
	if status, _ := w.exchange(code, nil); status == http.StatusOK {
		t.Fatal("good after a wrong verifier")
	}
	code = w.code()
	w.clock.add(CodeLifetime)
	if status, _ := w.exchange(code, nil); status == http.StatusOK {
		t.Fatal("good after its time")
	}
}

// claimsOf reads a token without verifying it.
func claimsOf(t *testing.T, token string) map[string]any {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("not a token: %q", token)
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(raw, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}
