// SPDX-License-Identifier: Apache-2.0

package devissuer

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	cookieName   = "hallmark_dev_login"
	formLifetime = 10 * time.Minute
	maxForm      = 16 << 10 // bytes
	maxParameter = 2048     // bytes of state, nonce and the like
)

// authRequest is a valid authentication request (Core §3.1.2.1).
type authRequest struct {
	ClientID    string
	RedirectURI string
	State       string
	Nonce       string
	Challenge   string // S256
	Scope       string
}

// grant is what an authorization code stands for.
type grant struct {
	request authRequest
	who     identity
}

// authError is an error that goes back to the client by redirect (RFC 6749
// §4.1.2.1).
type authError struct{ code, text string }

func (e *authError) Error() string { return e.text }

var challengePattern = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`) // SHA-256 in base64url

// parameter is the one value of a parameter; "" where it is absent.
func parameter(form url.Values, name string) (string, error) {
	values := form[name]
	if len(values) > 1 {
		return "", fmt.Errorf("parameter %s is given more than once", name)
	}
	if len(values) == 0 {
		return "", nil
	}
	if len(values[0]) > maxParameter {
		return "", fmt.Errorf("parameter %s is longer than %d bytes", name, maxParameter)
	}
	return values[0], nil
}

// parseAuth checks an authentication request. The error is an *authError once
// the client and its redirect URI are known to be good; before that, nothing
// may be redirected.
func (i *Issuer) parseAuth(form url.Values) (authRequest, error) {
	p := map[string]string{}
	for _, name := range []string{"client_id", "redirect_uri", "state", "nonce", "scope", "response_type", "response_mode",
		"code_challenge", "code_challenge_method", "prompt", "request", "request_uri"} {
		value, err := parameter(form, name)
		if err != nil {
			return authRequest{}, err
		}
		p[name] = value
	}
	req := authRequest{ClientID: p["client_id"], RedirectURI: p["redirect_uri"], State: p["state"], Nonce: p["nonce"], Challenge: p["code_challenge"], Scope: p["scope"]}
	if !slices.Contains(i.audiences, req.ClientID) {
		return req, fmt.Errorf("client_id %.200q is not known here; use one of %q", req.ClientID, i.audiences)
	}
	if err := checkRedirect(req.RedirectURI); err != nil {
		return req, err
	}
	switch {
	case p["response_type"] != "code":
		return req, &authError{"unsupported_response_type", "response_type must be code"}
	case p["response_mode"] != "" && p["response_mode"] != "query":
		return req, &authError{"invalid_request", "response_mode must be query"}
	case p["request"] != "":
		return req, &authError{"request_not_supported", "request objects are not supported"}
	case p["request_uri"] != "":
		return req, &authError{"request_uri_not_supported", "request objects are not supported"}
	case !slices.Contains(strings.Fields(req.Scope), "openid"):
		return req, &authError{"invalid_scope", "scope must contain openid"}
	case p["code_challenge_method"] != "S256" || !challengePattern.MatchString(req.Challenge):
		return req, &authError{"invalid_request", "PKCE is required: code_challenge with code_challenge_method S256"}
	case slices.Contains(strings.Fields(p["prompt"]), "none"):
		return req, &authError{"login_required", "every login takes a code from the terminal"}
	}
	return req, nil
}

// checkRedirect accepts what RFC 8252 §7.3 calls a loopback redirect.
func checkRedirect(raw string) error {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "http" || u.User != nil || u.Fragment != "" || strings.Contains(raw, "#") || u.Opaque != "" {
		return errors.New("redirect_uri must be http://localhost, http://127.0.0.1 or http://[::1] with a port and path of the client")
	}
	if h := u.Hostname(); h != "localhost" && h != "127.0.0.1" && h != "::1" {
		return errors.New("redirect_uri must be on localhost, 127.0.0.1 or [::1]: the development issuer logs nobody in elsewhere")
	}
	return nil
}

// showLogin is GET /authorize: the page that asks for a login code. It grants
// nothing and keeps nothing.
func (i *Issuer) showLogin(w http.ResponseWriter, r *http.Request) {
	req, err := i.parseAuth(r.URL.Query())
	if err != nil {
		i.failAuth(w, r, req, err)
		return
	}
	cookie, err := r.Cookie(cookieName)
	if err != nil || len(cookie.Value) != 26 {
		cookie = &http.Cookie{
			Name: cookieName, Value: rand.Text(), Path: i.path + "/authorize",
			HttpOnly: true, Secure: i.secure, SameSite: http.SameSiteStrictMode,
		}
		http.SetCookie(w, cookie)
	}
	i.renderLogin(w, http.StatusOK, req, cookie.Value, "")
}

// failAuth answers a bad authentication request: by redirect if the client can
// be trusted to be the one that asked, else with a page.
func (i *Issuer) failAuth(w http.ResponseWriter, r *http.Request, req authRequest, err error) {
	var back *authError
	if !errors.As(err, &back) {
		i.renderError(w, http.StatusBadRequest, "The client sent a login request that cannot be carried out: "+err.Error()+".")
		return
	}
	i.redirect(w, r, req, url.Values{"error": {back.code}, "error_description": {back.text}})
}

func (i *Issuer) redirect(w http.ResponseWriter, r *http.Request, req authRequest, answer url.Values) {
	u, err := url.Parse(req.RedirectURI)
	if err != nil { // checkRedirect has parsed it
		i.renderError(w, http.StatusBadRequest, "The redirect URI is malformed.")
		return
	}
	query := u.Query()
	for name, values := range answer {
		query[name] = values
	}
	if req.State != "" {
		query.Set("state", req.State)
	}
	query.Set("iss", i.url) // RFC 9207
	u.RawQuery = query.Encode()
	w.Header().Set("Referrer-Policy", "no-referrer")
	http.Redirect(w, r, u.String(), http.StatusSeeOther)
}

// login is POST /authorize: the form with a login code.
func (i *Issuer) login(w http.ResponseWriter, r *http.Request) {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" {
		i.renderError(w, http.StatusForbidden, "The form was sent from another site.")
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil || r.URL.RawQuery != "" {
		i.renderError(w, http.StatusBadRequest, "The form could not be read.")
		return
	}
	req, err := i.parseAuth(r.PostForm)
	cookie, cookieErr := r.Cookie(cookieName)
	if err != nil || cookieErr != nil || !i.validForm(req, cookie.Value, r.PostForm.Get("issued"), r.PostForm.Get("csrf")) {
		i.renderError(w, http.StatusForbidden, "The form has expired or was not made by this page. Start the login again from the client.")
		return
	}
	if i.guesses.TokensAt(i.now()) < 1 {
		w.Header().Set("Retry-After", "2")
		i.renderLogin(w, http.StatusTooManyRequests, req, cookie.Value, "Too many wrong codes. Wait two seconds and try again.")
		return
	}
	who, ok := i.logins.take(ungrouped(r.PostForm.Get("login_code")))
	if !ok {
		i.guesses.AllowN(i.now(), 1)
		i.log.Warn("wrong DEV login code")
		i.renderLogin(w, http.StatusForbidden, req, cookie.Value, "This code is wrong, has been used, or has expired. Make a new one.")
		return
	}
	code := secret()
	if _, err := i.codes.put(code, grant{req, who}); err != nil {
		i.redirect(w, r, req, url.Values{"error": {"temporarily_unavailable"}, "error_description": {err.Error()}})
		return
	}
	i.redirect(w, r, req, url.Values{"code": {code}})
}

// secret is 32 characters of base32: 160 bits.
func secret() string { return rand.Text() + rand.Text()[:6] }

// formMAC binds a form to the browser, by its cookie, to the request that it
// carries and to the time it was made.
func (i *Issuer) formMAC(req authRequest, cookie, issued string) string {
	msg, err := json.Marshal([]any{cookie, issued, req})
	if err != nil {
		return "" // cannot be: strings only
	}
	mac := hmac.New(sha256.New, i.formKey[:])
	mac.Write(msg)
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func (i *Issuer) validForm(req authRequest, cookie, issued, csrf string) bool {
	unix, err := strconv.ParseInt(issued, 10, 64)
	if err != nil || !hmac.Equal([]byte(csrf), []byte(i.formMAC(req, cookie, issued))) {
		return false
	}
	age := i.now().Sub(time.Unix(unix, 0))
	return age > -time.Minute && age < formLifetime
}
