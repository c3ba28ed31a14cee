// SPDX-License-Identifier: Apache-2.0

package token

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"hallmark/internal/base/fetch"
)

const callbackPath = "/auth/callback"

// browser has a person sign in: the authorization code flow of OpenID Connect
// (https://openid.net/specs/openid-connect-core-1_0.html#CodeFlowAuth) for
// native apps (RFC 8252), with PKCE S256, state and nonce.
type browser struct{ opts Options }

func (b *browser) Name() string { return "sign-in at " + b.opts.Issuer }

func (b *browser) Issuer() string { return b.opts.Issuer }

// Token waits for the person until ctx or the browser timeout ends. The token's
// signature, issuer, audience, expiry and nonce are verified.
func (b *browser) Token(ctx context.Context, audience string) (Token, error) {
	ctx, cancel := context.WithTimeout(ctx, b.opts.BrowserTimeout)
	defer cancel()
	ctx = oidc.ClientContext(ctx, b.opts.client(0).HTTPClient())
	provider, err := b.discover(ctx)
	if err != nil {
		return Token{}, err
	}
	back, err := listen(b.opts.RedirectURL)
	if err != nil {
		return Token{}, err
	}
	defer back.close()
	cfg := oauth2.Config{
		ClientID:     b.opts.ClientID,
		ClientSecret: b.opts.ClientSecret,
		Endpoint:     provider.Endpoint(),
		RedirectURL:  back.url,
		Scopes:       []string{oidc.ScopeOpenID, "email"},
	}
	if cfg.ClientID == "" {
		cfg.ClientID = audience
	}
	if cfg.ClientID == "" {
		cfg.ClientID = "sigstore"
	}
	nonce, verifier := rand.Text(), oauth2.GenerateVerifier()
	where := cfg.AuthCodeURL(back.state, oidc.Nonce(nonce), oauth2.S256ChallengeOption(verifier))
	if err := b.show(where); err != nil {
		return Token{}, err
	}
	code, err := back.wait(ctx)
	if err != nil {
		return Token{}, err
	}
	answer, err := cfg.Exchange(ctx, code, oauth2.VerifierOption(verifier))
	if err != nil {
		return Token{}, fmt.Errorf("issuer %s: it did not exchange the authorization code: %w", b.opts.Issuer, exchangeError(err))
	}
	raw, _ := answer.Extra("id_token").(string)
	if raw == "" {
		return Token{}, fmt.Errorf("issuer %s: its token answer has no id_token", b.opts.Issuer)
	}
	verified, err := provider.Verifier(&oidc.Config{ClientID: cfg.ClientID, Now: b.opts.Now}).Verify(ctx, raw)
	if err != nil {
		return Token{}, fmt.Errorf("issuer %s: its id_token does not verify: %w", b.opts.Issuer, short(err))
	}
	if subtle.ConstantTimeCompare([]byte(verified.Nonce), []byte(nonce)) != 1 {
		return Token{}, fmt.Errorf("issuer %s: its id_token has another nonce than this sign-in: it may be replayed, sign in again", b.opts.Issuer)
	}
	return New(raw)
}

// discover reads the issuer's metadata, whose issuer has to equal the URL it
// was asked at.
func (b *browser) discover(ctx context.Context) (*oidc.Provider, error) {
	provider, err := oidc.NewProvider(ctx, b.opts.Issuer)
	if err != nil {
		return nil, fmt.Errorf("issuer %s: discovery failed: %w", b.opts.Issuer, unwrapURL(err))
	}
	var more struct {
		Methods []string `json:"code_challenge_methods_supported"`
	}
	if err := provider.Claims(&more); err != nil {
		return nil, fmt.Errorf("issuer %s: its discovery document is malformed: %w", b.opts.Issuer, err)
	}
	if !slices.Contains(more.Methods, "S256") {
		return nil, fmt.Errorf("issuer %s: its code_challenge_methods_supported lacks S256: PKCE is required", b.opts.Issuer)
	}
	u, err := url.Parse(provider.Endpoint().AuthURL)
	if err != nil || u.Host == "" || u.Scheme != "https" && !(u.Scheme == "http" && fetch.IsLoopback(u.Hostname())) {
		return nil, fmt.Errorf("issuer %s: its authorization_endpoint is not an https URL", b.opts.Issuer)
	}
	return provider, nil
}

func (b *browser) show(where string) error {
	if _, err := fmt.Fprintf(b.opts.Out, "Opening a browser to sign in at %s. If none opens, visit:\n\n    %s\n\n", b.opts.Issuer, where); err != nil {
		return err
	}
	if err := b.opts.Open(where); err != nil {
		fmt.Fprintf(b.opts.Out, "No browser could be opened (%v).\n", err)
	}
	return nil
}

// callback is the loopback server that the browser comes back to.
type callback struct {
	url     string
	state   string
	hosts   []string
	results chan result
	server  *http.Server
	ears    []net.Listener
}

type result struct {
	code string
	err  error
}

// listen starts the server at redirect, or on a free port.
func listen(redirect string) (*callback, error) {
	port := "0"
	if redirect != "" {
		u, err := url.Parse(redirect)
		if err != nil || u.Scheme != "http" || !fetch.IsLoopback(u.Hostname()) || u.Port() == "" || u.Path != callbackPath {
			return nil, fmt.Errorf("redirect URL %q: expected http://localhost:PORT%s", redirect, callbackPath)
		}
		port = u.Port()
	}
	v4, err := net.Listen("tcp4", "127.0.0.1:"+port)
	if err != nil {
		return nil, fmt.Errorf("no port for the browser to come back to: %w", err)
	}
	_, port, _ = net.SplitHostPort(v4.Addr().String())
	c := &callback{
		url:     "http://localhost:" + port + callbackPath,
		state:   rand.Text(),
		hosts:   []string{"localhost:" + port, "127.0.0.1:" + port, "[::1]:" + port},
		results: make(chan result, 1),
	}
	if redirect != "" {
		c.url = redirect
	}
	c.server = &http.Server{Handler: c, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, MaxHeaderBytes: 64 << 10}
	c.serve(v4)
	// localhost may mean ::1 to the browser. Without IPv6 there is nothing to listen on.
	if v6, err := net.Listen("tcp6", "[::1]:"+port); err == nil {
		c.serve(v6)
	}
	return c, nil
}

func (c *callback) serve(l net.Listener) {
	c.ears = append(c.ears, l)
	go c.server.Serve(l)
}

func (c *callback) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for _, l := range c.ears {
		l.Close()
	}
	c.server.Shutdown(ctx) // lets the page reach the browser
}

// ServeHTTP takes the one answer that carries the state of this sign-in.
// Anything else is turned away and changes nothing.
func (c *callback) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Security-Policy", "default-src 'none'")
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	q := r.URL.Query()
	switch {
	case !slices.Contains(c.hosts, r.Host):
		http.Error(w, "unknown host", http.StatusMisdirectedRequest)
		return
	case r.URL.Path != callbackPath:
		http.NotFound(w, r)
		return
	case r.Method != http.MethodGet:
		http.Error(w, "GET only", http.StatusMethodNotAllowed)
		return
	case subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(c.state)) != 1:
		http.Error(w, "this is not the answer to the sign-in that is waiting", http.StatusBadRequest)
		return
	}
	res := result{code: q.Get("code")}
	if e := q.Get("error"); e != "" {
		res = result{err: fmt.Errorf("the issuer refused the sign-in: %s %s", printable(e), printable(q.Get("error_description")))}
	} else if res.code == "" {
		res.err = errors.New("the issuer answered the sign-in without a code")
	}
	select {
	case c.results <- res:
	default: // one was enough
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if res.err != nil {
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, "The sign-in failed. You can close this window and read why in the terminal.\n")
		return
	}
	io.WriteString(w, "You are signed in. You can close this window and return to the terminal.\n")
}

func (c *callback) wait(ctx context.Context) (string, error) {
	select {
	case r := <-c.results:
		return r.code, r.err
	case <-ctx.Done():
		return "", fmt.Errorf("nobody signed in with the browser in time: %w", ctx.Err())
	}
}

// exchangeError is a token endpoint's refusal without the body, which may hold
// anything.
func exchangeError(err error) error {
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) {
		status := 0
		if refused.Response != nil {
			status = refused.Response.StatusCode
		}
		return errors.New(strings.TrimSpace(fmt.Sprintf("status %d %s %s", status, printable(refused.ErrorCode), printable(refused.ErrorDescription))))
	}
	return unwrapURL(err)
}

// unwrapURL drops net/http's quotation of the URL.
func unwrapURL(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return fmt.Errorf("%s: %w", fetch.Redact(wrapped.URL), wrapped.Err)
	}
	return short(err)
}
