// SPDX-License-Identifier: Apache-2.0

package devissuer

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"net/url"
	"regexp"
	"time"

	"hallmark/internal/base/httpapi"
)

var verifierPattern = regexp.MustCompile(`^[A-Za-z0-9._~-]{43,128}$`) // RFC 7636 §4.1

// exchange is POST /token: an authorization code for an ID token. A code is
// spent by the first request that names it, whatever comes of that.
func (i *Issuer) exchange(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		tokenError(w, "invalid_request", "expected a form of at most 16 KiB")
		return
	}
	p := map[string]string{}
	for _, name := range []string{"grant_type", "code", "redirect_uri", "client_id", "client_secret", "code_verifier"} {
		value, err := parameter(r.PostForm, name)
		if err != nil {
			tokenError(w, "invalid_request", err.Error())
			return
		}
		p[name] = value
	}
	if p["grant_type"] != "authorization_code" {
		tokenError(w, "unsupported_grant_type", "grant_type must be authorization_code")
		return
	}
	client, ok := clientID(r, p)
	if !ok {
		tokenError(w, "invalid_client", "clients are public here: send client_id, the same everywhere, and no client_secret")
		return
	}
	g, ok := i.codes.take(p["code"])
	if !ok {
		tokenError(w, "invalid_grant", "the code is wrong, has been used, or is older than a minute")
		return
	}
	if problem := g.problem(client, p["redirect_uri"], p["code_verifier"]); problem != "" {
		tokenError(w, "invalid_grant", problem+"; the code is spent")
		return
	}
	access := secret()
	login := map[string]any{"at_hash": leftHalf(access)}
	if g.request.Nonce != "" {
		login["nonce"] = g.request.Nonce
	}
	token, expires, err := i.sign(g.who, client, login)
	if err != nil {
		i.log.Error("DEV token could not be signed", "error", err)
		tokenError(w, "invalid_request", "the token could not be made")
		return
	}
	httpapi.WriteJSON(w, http.StatusOK, map[string]any{
		"access_token": access, // opens nothing; clients insist on one
		"token_type":   "Bearer",
		"expires_in":   int(expires.Sub(i.now()) / time.Second),
		"scope":        g.request.Scope,
		"id_token":     token,
	})
}

// clientID is the client's, from the form or, as some libraries send it, from
// HTTP Basic with an empty secret.
func clientID(r *http.Request, p map[string]string) (string, bool) {
	if p["client_secret"] != "" {
		return "", false
	}
	user, pass, ok := r.BasicAuth()
	if !ok {
		return p["client_id"], p["client_id"] != "" && r.Header.Get("Authorization") == ""
	}
	user, err := url.QueryUnescape(user) // RFC 6749 §2.3.1
	return user, err == nil && user != "" && pass == "" && (p["client_id"] == "" || p["client_id"] == user)
}

// problem is what keeps the grant from this client; "" if nothing does.
func (g grant) problem(client, redirectURI, verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	challenge := base64.RawURLEncoding.EncodeToString(sum[:])
	switch {
	case client != g.request.ClientID:
		return "the code was issued to another client_id"
	case redirectURI != g.request.RedirectURI:
		return "redirect_uri is not the one of the login"
	case !verifierPattern.MatchString(verifier):
		return "code_verifier is missing or malformed"
	case subtle.ConstantTimeCompare([]byte(challenge), []byte(g.request.Challenge)) != 1:
		return "code_verifier does not belong to the code_challenge of the login"
	}
	return ""
}

func tokenError(w http.ResponseWriter, code, text string) {
	status := http.StatusBadRequest
	if code == "invalid_client" {
		status = http.StatusUnauthorized
	}
	httpapi.WriteJSON(w, status, map[string]string{"error": code, "error_description": "DEV issuer: " + text})
}
