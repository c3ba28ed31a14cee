// SPDX-License-Identifier: Apache-2.0

package devissuer

import (
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"
)

// TestAuthorizeRefuses: a request that does not name a good client and
// redirect URI is never redirected; other faults go back to the client.
func TestAuthorizeRefuses(t *testing.T) {
	w := newWorld(t)
	for name, tt := range map[string]struct{ param, value string }{
		"unknown client":      {"client_id", "other"},
		"no client":           {"client_id", ""},
		"no redirect":         {"redirect_uri", ""},
		"redirect elsewhere":  {"redirect_uri", "http://evil.example/cb"},
		"redirect, prefix":    {"redirect_uri", "http://localhost.evil.example/cb"},
		"redirect, user":      {"redirect_uri", "http://localhost@evil.example/cb"},
		"redirect, user 2":    {"redirect_uri", "http://evil@localhost/cb"},
		"redirect, fragment":  {"redirect_uri", "http://localhost/cb#a"},
		"redirect, https":     {"redirect_uri", "https://localhost/cb"},
		"redirect, script":    {"redirect_uri", "javascript:alert(1)"},
		"redirect, private":   {"redirect_uri", "http://10.0.0.1/cb"},
		"redirect, other 127": {"redirect_uri", "http://127.0.0.2/cb"},
		"out of band":         {"redirect_uri", "urn:ietf:wg:oauth:2.0:oob"},
		"long state":          {"state", strings.Repeat("s", maxParameter+1)},
	} {
		t.Run(name, func(t *testing.T) {
			status, _, header := w.get(w.authURL(oauth2.SetAuthURLParam(tt.param, tt.value)))
			if status != http.StatusBadRequest || header.Get("Location") != "" {
				t.Errorf("status %d, location %q", status, header.Get("Location"))
			}
		})
	}
	if status, _, _ := w.get(w.authURL() + "&client_id=sigstore"); status != http.StatusBadRequest {
		t.Errorf("repeated parameter: status %d", status)
	}
	for name, tt := range map[string]struct{ param, value, code string }{
		"implicit flow":   {"response_type", "id_token", "unsupported_response_type"},
		"form_post":       {"response_mode", "form_post", "invalid_request"},
		"no openid":       {"scope", "email", "invalid_scope"},
		"plain PKCE":      {"code_challenge_method", "plain", "invalid_request"},
		"no PKCE":         {"code_challenge", "", "invalid_request"},
		"short challenge": {"code_challenge", "abc", "invalid_request"},
		"silent login":    {"prompt", "none", "login_required"},
		"request object":  {"request", "x", "request_not_supported"},
		"request URI":     {"request_uri", "http://evil.example", "request_uri_not_supported"},
	} {
		t.Run(name, func(t *testing.T) {
			status, _, header := w.get(w.authURL(oauth2.SetAuthURLParam(tt.param, tt.value)))
			back, err := url.Parse(header.Get("Location"))
			if status != http.StatusSeeOther || err != nil || back.Query().Get("error") != tt.code || back.Query().Get("state") != "state-1" || back.Query().Has("code") {
				t.Errorf("status %d, location %v, %v", status, back, err)
			}
		})
	}
}

// TestLoginRefuses: a login takes the form this browser was shown, unaltered,
// and a good code.
func TestLoginRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		spoil  func(*world, url.Values, http.Header)
		status int
	}{
		"no CSRF token":    {func(_ *world, f url.Values, _ http.Header) { f.Del("csrf") }, http.StatusForbidden},
		"wrong CSRF token": {func(_ *world, f url.Values, _ http.Header) { f.Set("csrf", "x") }, http.StatusForbidden},
		"other redirect":   {func(_ *world, f url.Values, _ http.Header) { f.Set("redirect_uri", "http://localhost:1/") }, http.StatusForbidden},
		"other client":     {func(_ *world, f url.Values, _ http.Header) { f.Set("client_id", ownAudience) }, http.StatusForbidden},
		"other challenge":  {func(_ *world, f url.Values, _ http.Header) { f.Set("code_challenge", strings.Repeat("A", 43)) }, http.StatusForbidden},
		"other nonce":      {func(_ *world, f url.Values, _ http.Header) { f.Set("nonce", "x") }, http.StatusForbidden},
		"other state":      {func(_ *world, f url.Values, _ http.Header) { f.Set("state", "x") }, http.StatusForbidden},
		"no PKCE":          {func(_ *world, f url.Values, _ http.Header) { f.Del("code_challenge") }, http.StatusForbidden},
		"old form": {func(w *world, f url.Values, _ http.Header) {
			w.clock.add(formLifetime)
			f.Set("login_code", w.loginCode())
		}, http.StatusForbidden},
		"other browser":        {func(w *world, _ url.Values, _ http.Header) { w.browser.Jar, _ = cookiejar.New(nil) }, http.StatusForbidden},
		"another site's form":  {func(_ *world, _ url.Values, h http.Header) { h.Set("Origin", "https://evil.example") }, http.StatusForbidden},
		"another site, no CSP": {func(_ *world, _ url.Values, h http.Header) { h.Set("Sec-Fetch-Site", "cross-site") }, http.StatusForbidden},
		"no login code":        {func(_ *world, f url.Values, _ http.Header) { f.Del("login_code") }, http.StatusForbidden},
		"wrong login code":     {func(_ *world, f url.Values, _ http.Header) { f.Set("login_code", "AAAA-BBBB") }, http.StatusForbidden},
		"used login code": {func(w *world, f url.Values, _ http.Header) {
			w.issuer.logins.take(ungrouped(f.Get("login_code")))
		}, http.StatusForbidden},
		"expired login code": {func(w *world, f url.Values, _ http.Header) { w.clock.add(LoginLifetime) }, http.StatusForbidden},
		"JSON":               {func(_ *world, _ url.Values, h http.Header) { h.Set("Content-Type", "application/json") }, http.StatusForbidden},
		"too large":          {func(_ *world, f url.Values, _ http.Header) { f.Set("x", strings.Repeat("x", maxForm)) }, http.StatusBadRequest},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			form, header := w.open(w.authURL()), http.Header{}
			form.Set("login_code", w.loginCode())
			tt.spoil(w, form, header)
			status, _, got := w.post(w.url+"/authorize", form, header)
			if status != tt.status || got.Get("Location") != "" {
				t.Errorf("status %d, expected %d; location %q", status, tt.status, got.Get("Location"))
			}
			if len(w.issuer.codes.items) != 0 {
				t.Error("an authorization code was made")
			}
		})
	}
}

func TestLoginCodeAsTyped(t *testing.T) {
	w := newWorld(t)
	form := w.open(w.authURL())
	form.Set("login_code", " "+strings.ToLower(strings.ReplaceAll(w.loginCode(), "-", " "))+"\t")
	if status, body, _ := w.post(w.url+"/authorize", form, http.Header{"Sec-Fetch-Site": {"same-origin"}}); status != http.StatusSeeOther {
		t.Errorf("%d %s", status, body)
	}
}

// TestGuessesAreLimited: after a few wrong codes even a right one has to wait.
func TestGuessesAreLimited(t *testing.T) {
	w := newWorld(t)
	form := w.open(w.authURL())
	post := func(code string) int {
		form.Set("login_code", code)
		status, _, _ := w.post(w.url+"/authorize", form, nil)
		return status
	}
	limited := false
	for range 20 {
		limited = limited || post("WRONG") == http.StatusTooManyRequests
	}
	good := w.loginCode()
	if !limited || post(good) != http.StatusTooManyRequests {
		t.Fatal("guesses are not limited")
	}
	w.clock.add(10 * time.Second)
	if status := post(good); status != http.StatusSeeOther {
		t.Fatalf("a right code after the wait: %d", status)
	}
}
