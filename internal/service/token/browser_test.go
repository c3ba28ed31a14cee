// SPDX-License-Identifier: Apache-2.0

package token

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// issuer is a small OIDC issuer whose answers a test can bend.
type issuer struct {
	signer
	url       string
	discovery map[string]any            // what to change in the discovery document
	claims    map[string]any            // what to change in the id_token
	token     func(http.ResponseWriter) // replaces the token endpoint's answer
	forge     bool                      // sign with another key
	asked     url.Values                // of the authorization request
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	i := &issuer{signer: newSigner(t)}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, r *http.Request) {
		doc := map[string]any{
			"issuer": i.url, "authorization_endpoint": i.url + "/auth", "token_endpoint": i.url + "/token", "jwks_uri": i.url + "/keys",
			"id_token_signing_alg_values_supported": []string{"RS256"}, "code_challenge_methods_supported": []string{"S256"},
		}
		for k, v := range i.discovery {
			doc[k] = v
		}
		json.NewEncoder(w).Encode(doc)
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, r *http.Request) {
		json.NewEncoder(w).Encode(map[string]any{"keys": []map[string]string{{
			"kty": "RSA", "kid": "k", "alg": "RS256", "use": "sig", "n": b64(i.key.N.Bytes()), "e": "AQAB",
		}}})
	})
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		if i.token != nil {
			i.token(w)
			return
		}
		sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
		if r.FormValue("code") != "the-code" || b64(sum[:]) != i.asked.Get("code_challenge") || r.FormValue("redirect_uri") != i.asked.Get("redirect_uri") {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadRequest)
			io.WriteString(w, `{"error":"invalid_grant"}`)
			return
		}
		claims := map[string]any{"iss": i.url, "sub": "someone", "aud": i.asked.Get("client_id"), "exp": time.Now().Add(time.Minute).Unix(),
			"iat": time.Now().Unix(), "nonce": i.asked.Get("nonce"), "email": "p@example.com", "email_verified": true}
		for k, v := range i.claims {
			claims[k] = v
		}
		by := i.signer
		if i.forge {
			by = newSigner(t)
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(map[string]string{"access_token": "a", "token_type": "Bearer", "id_token": by.sign(t, claims)})
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	i.url = s.URL
	return i
}

// person is somebody at the browser: they come back with what change makes of
// the issuer's answer.
func (i *issuer) person(t *testing.T, change func(url.Values)) func(string) error {
	return func(where string) error {
		u, err := url.Parse(where)
		if err != nil {
			return err
		}
		i.asked = u.Query()
		answer := url.Values{"code": {"the-code"}, "state": {i.asked.Get("state")}}
		if change != nil {
			change(answer)
		}
		go func() {
			resp, err := http.Get(i.asked.Get("redirect_uri") + "?" + answer.Encode())
			if err == nil {
				resp.Body.Close()
			}
		}()
		return nil
	}
}

func (i *issuer) options(t *testing.T, change func(url.Values)) Options {
	return Options{Getenv: env(), File: t.TempDir() + "/none", Issuer: i.url, Open: i.person(t, change), BrowserTimeout: 10 * time.Second}
}

func TestBrowser(t *testing.T) {
	i := newIssuer(t)
	var out strings.Builder
	opts := i.options(t, nil)
	opts.Out = &out
	tok, src, err := Get(t.Context(), opts, "https://hallmark.example")
	if err != nil {
		t.Fatal(err)
	}
	if c := tok.Claims(); c.Email != "p@example.com" || c.Audience[0] != "https://hallmark.example" || !strings.Contains(src.Name(), i.url) {
		t.Fatalf("%s: %+v", src.Name(), c)
	}
	a := i.asked
	if a.Get("response_type") != "code" || a.Get("code_challenge_method") != "S256" || a.Get("scope") != "openid email" || len(a.Get("state")) < 20 || len(a.Get("nonce")) < 20 ||
		a.Get("client_id") != "https://hallmark.example" || !strings.HasPrefix(a.Get("redirect_uri"), "http://localhost:") || !strings.HasSuffix(a.Get("redirect_uri"), "/auth/callback") {
		t.Fatalf("asked %v", a)
	}
	if !strings.Contains(out.String(), i.url+"/auth?") {
		t.Fatalf("the URL was not printed: %s", out.String())
	}
}

func TestTheClientIDIsTheAudienceOfABrowsersToken(t *testing.T) {
	i := newIssuer(t)
	opts := i.options(t, nil)
	opts.ClientID = "sigstore"
	tok, _, err := Get(t.Context(), opts, "https://hallmark.example")
	if err != nil || tok.Claims().Audience[0] != "sigstore" {
		t.Fatalf("%+v, %v", tok.Claims(), err)
	}
}

func TestBrowserThatCannotBeOpened(t *testing.T) {
	i := newIssuer(t)
	var out strings.Builder
	opts := i.options(t, nil)
	open := opts.Open
	opts.Out = &out
	opts.Open = func(u string) error { open(u); return errors.New("no display") }
	if _, _, err := Get(t.Context(), opts, "aud"); err != nil || !strings.Contains(out.String(), "no display") {
		t.Fatalf("%v: %s", err, out.String())
	}
}

func TestBrowserRefusals(t *testing.T) {
	for _, tt := range []struct {
		name   string
		bend   func(*issuer)
		change func(url.Values)
		part   string
	}{
		{"another issuer in discovery", func(i *issuer) { i.discovery = map[string]any{"issuer": "https://other.example"} }, nil, "discovery failed"},
		{"no PKCE", func(i *issuer) { i.discovery = map[string]any{"code_challenge_methods_supported": []string{"plain"}} }, nil, "S256"},
		{"plain HTTP authorization", func(i *issuer) { i.discovery = map[string]any{"authorization_endpoint": "http://issuer.example/auth"} }, nil, "authorization_endpoint"},
		{"refused by the person", nil, func(v url.Values) { v.Del("code"); v.Set("error", "access_denied") }, "access_denied"},
		{"no code", nil, func(v url.Values) { v.Del("code") }, "without a code"},
		{"wrong code", nil, func(v url.Values) { v.Set("code", "other") }, "invalid_grant"},
		{"another audience", func(i *issuer) { i.claims = map[string]any{"aud": "other"} }, nil, "audience"},
		{"another issuer", func(i *issuer) { i.claims = map[string]any{"iss": "https://other.example"} }, nil, "different provider"},
		{"expired", func(i *issuer) { i.claims = map[string]any{"exp": 100} }, nil, "expired"},
		{"another nonce", func(i *issuer) { i.claims = map[string]any{"nonce": "other"} }, nil, "nonce"},
		{"no nonce", func(i *issuer) { i.claims = map[string]any{"nonce": nil} }, nil, "nonce"},
		{"another key", func(i *issuer) { i.forge = true }, nil, "does not verify"},
		{"no id_token", func(i *issuer) {
			i.token = func(w http.ResponseWriter) {
				w.Header().Set("Content-Type", "application/json")
				io.WriteString(w, `{"access_token":"a","token_type":"Bearer"}`)
			}
		}, nil, "no id_token"},
		{"a broken token endpoint", func(i *issuer) {
			i.token = func(w http.ResponseWriter) {
				w.WriteHeader(http.StatusInternalServerError)
				io.WriteString(w, "secret-body")
			}
		}, nil, "status 500"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			i := newIssuer(t)
			if tt.bend != nil {
				tt.bend(i)
			}
			tok, _, err := Get(t.Context(), i.options(t, tt.change), "aud")
			if err == nil || !tok.IsZero() || !strings.Contains(err.Error(), tt.part) {
				t.Fatalf("error %v", err)
			}
			if !strings.Contains(err.Error(), i.url) || strings.Contains(err.Error(), "secret-body") {
				t.Fatalf("error %v", err)
			}
		})
	}
}

func TestACallbackThatIsNotOursChangesNothing(t *testing.T) {
	i := newIssuer(t)
	opts := i.options(t, nil)
	finish := opts.Open
	opts.Open = func(where string) error {
		u, _ := url.Parse(where)
		back := u.Query().Get("redirect_uri")
		state := url.Values{"code": {"stolen"}, "state": {u.Query().Get("state")}}
		for _, try := range []struct {
			method, url, host string
			want              int
		}{
			{http.MethodGet, back + "?code=stolen&state=guess", "", http.StatusBadRequest},
			{http.MethodGet, back + "?code=stolen", "", http.StatusBadRequest},
			{http.MethodPost, back + "?" + state.Encode(), "", http.StatusMethodNotAllowed},
			{http.MethodGet, back + "/x?" + state.Encode(), "", http.StatusNotFound},
			{http.MethodGet, back + "?" + state.Encode(), "rebound.example", http.StatusMisdirectedRequest},
		} {
			req, _ := http.NewRequest(try.method, try.url, nil)
			req.Host = try.host
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Error(err)
				continue
			}
			resp.Body.Close()
			if resp.StatusCode != try.want {
				t.Errorf("%+v: status %d", try, resp.StatusCode)
			}
		}
		return finish(where)
	}
	if _, _, err := Get(t.Context(), opts, "aud"); err != nil {
		t.Fatal(err)
	}
}

func TestNobodySignsIn(t *testing.T) {
	i := newIssuer(t)
	opts := i.options(t, nil)
	opts.Open = func(string) error { return nil }
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, _, err := Get(ctx, opts, "aud"); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "nobody signed in") {
		t.Fatal(err)
	}
}

func TestRedirectURL(t *testing.T) {
	for _, bad := range []string{"https://localhost:1/auth/callback", "http://example.com:1/auth/callback", "http://localhost/auth/callback", "http://localhost:1/other", ":"} {
		if c, err := listen(bad); err == nil {
			c.close()
			t.Errorf("%s: accepted", bad)
		}
	}
	c, err := listen("")
	if err != nil {
		t.Fatal(err)
	}
	fixed := c.url
	c.close()
	if c, err = listen(fixed); err != nil || c.url != fixed {
		t.Fatalf("%v", err)
	}
	c.close()
}

func TestOnlyWebAddressesAreOpened(t *testing.T) {
	for _, bad := range []string{"file:///etc/passwd", "-x", "javascript:alert(1)", ""} {
		if err := openBrowser(bad); err == nil {
			t.Errorf("%q was opened", bad)
		}
	}
}
