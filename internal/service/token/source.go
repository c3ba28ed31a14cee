// SPDX-License-Identifier: Apache-2.0

package token

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"hallmark/internal/base/fetch"
)

// Source is one place tokens come from.
type Source interface {
	// Name says which, for people: "GitHub Actions".
	Name() string
	// Issuer is who makes its tokens, as far as that is known before asking
	// for one; else "".
	Issuer() string
	// Token gets a token for audience. It may wait for a person until ctx ends.
	// A source that cannot choose the audience returns what it has.
	Token(ctx context.Context, audience string) (Token, error)
}

// ErrNone means that no source applies here.
var ErrNone = errors.New("no identity token")

// DefaultFile is where a workload finds a mounted token.
const DefaultFile = "/var/run/sigstore/cosign/oidc-token"

// Options say where to look. The zero value looks at nothing but the process's
// environment and [DefaultFile].
type Options struct {
	// Explicit is what the user gave: a JWT, or the path of a file with one.
	// Nothing else is looked at when it is set.
	Explicit string
	// DisableAmbient skips the environment, CI systems and the file.
	DisableAmbient bool
	// Provider, if not "", is the one ambient source to use: "env",
	// "github-actions", "gitlab-ci" or "file".
	Provider string
	// File is [DefaultFile] if "".
	File string

	// Issuer is the OIDC issuer that a person signs in to with a browser; ""
	// leaves the browser out.
	Issuer string
	// ClientID is what this client is called there, and so what the tokens are
	// for; "" is the audience.
	ClientID string
	// ClientSecret is for issuers that give one even to programs like this.
	ClientSecret string
	// RedirectURL is where the browser is sent back to; "" is a free port on
	// localhost. It has to be http on a loopback host, with the path /auth/callback.
	RedirectURL string
	// BrowserTimeout bounds the wait for the person; 0 is three minutes.
	BrowserTimeout time.Duration

	Getenv    func(string) string    // nil is os.Getenv
	Open      func(url string) error // shows url to the person; nil is the system's browser
	Out       io.Writer              // where the person reads the URL; nil is nowhere
	Now       func() time.Time       // nil is time.Now
	RootCAs   *x509.CertPool         // nil is the system's
	UserAgent string                 // "" is "hallmark"
	Transport http.RoundTripper      // replaces the network; for tests
}

func (o Options) withDefaults() Options {
	if o.File == "" {
		o.File = DefaultFile
	}
	if o.BrowserTimeout == 0 {
		o.BrowserTimeout = 3 * time.Minute
	}
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	if o.Open == nil {
		o.Open = openBrowser
	}
	if o.Out == nil {
		o.Out = io.Discard
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

func (o Options) client(retries int) *fetch.Client {
	return fetch.New(fetch.Config{MaxBody: 1 << 20, Retries: retries, RootCAs: o.RootCAs, UserAgent: o.UserAgent, Transport: o.Transport})
}

// Find returns the first source that applies. It touches neither network nor
// person; its error is [ErrNone] with what was looked at and what to do.
func Find(_ context.Context, o Options) (Source, error) {
	o = o.withDefaults()
	if o.Explicit != "" {
		return explicitSource{o.Explicit}, nil
	}
	var hints []string
	if !o.DisableAmbient {
		src, more, err := ambient(o)
		if src != nil || err != nil {
			return src, err
		}
		hints = more
	}
	unattended := o.Getenv("GITHUB_ACTIONS") == "true" || o.Getenv("GITLAB_CI") == "true"
	if o.Issuer != "" && !unattended && o.Provider == "" {
		return &browser{opts: o}, nil
	}
	hints = append(hints, "give one with --identity-token or SIGSTORE_ID_TOKEN")
	return nil, fmt.Errorf("%w: %s", ErrNone, strings.Join(hints, "; "))
}

// Get finds a source and returns its token, checked for what would fail later
// anyway: expiry and audience (see [Token.Check]).
func Get(ctx context.Context, o Options, audience string) (Token, Source, error) {
	return GetFor(ctx, o, func(string) (string, error) { return audience, nil })
}

// GetFor is [Get] where the audience depends on the issuer. It asks audienceOf
// with the issuer, or with "" where the source does not know it; if that is not
// enough to go by, it learns the issuer from a first token.
func GetFor(ctx context.Context, o Options, audienceOf func(issuer string) (string, error)) (Token, Source, error) {
	src, err := Find(ctx, o)
	if err != nil {
		return Token{}, nil, err
	}
	t, err := getFor(ctx, src, audienceOf, o.withDefaults().Now)
	if err != nil {
		return Token{}, src, fmt.Errorf("%s: %w", src.Name(), err)
	}
	return t, src, nil
}

func getFor(ctx context.Context, src Source, audienceOf func(string) (string, error), now func() time.Time) (Token, error) {
	issuer := src.Issuer()
	audience, err := audienceOf(issuer)
	if err != nil && issuer == "" {
		first, failed := src.Token(ctx, "")
		if failed != nil {
			return Token{}, failed
		}
		audience, err = audienceOf(first.Claims().Issuer)
	}
	if err != nil {
		return Token{}, err
	}
	t, err := src.Token(ctx, audience)
	if err != nil {
		return Token{}, err
	}
	if b, ok := src.(*browser); ok && b.opts.ClientID != "" {
		audience = b.opts.ClientID // what its tokens are for; it has been verified
	}
	return t, t.Check(audience, now())
}

// explicitSource is what the user gave.
type explicitSource struct{ value string }

func (explicitSource) Name() string { return "the given identity token" }

func (s explicitSource) Issuer() string { return issuerOf(s) }

func (s explicitSource) Token(context.Context, string) (Token, error) {
	t, asJWT := New(s.value)
	if asJWT == nil {
		return t, nil
	}
	if looksLikeToken(s.value) {
		return Token{}, asJWT
	}
	return readFile(s.value)
}

// issuerOf is the issuer of a token that can be had without asking anybody.
func issuerOf(src Source) string {
	t, err := src.Token(context.Background(), "")
	if err != nil {
		return "" // asking for the token will say why
	}
	return t.Claims().Issuer
}

// looksLikeToken says that s was meant as a token, so that it is never quoted
// as the name of a missing file. JWTs start with base64url of `{"`.
func looksLikeToken(s string) bool {
	s = strings.TrimSpace(s)
	return strings.HasPrefix(s, "eyJ") || len(s) > 100 && strings.Count(s, ".") == 2 || strings.ContainsAny(s, "\n\x00")
}

// readFile reads a token from the file at path.
func readFile(path string) (Token, error) {
	f, err := os.Open(path)
	if err != nil {
		return Token{}, fmt.Errorf("identity token: the value is no JWT, and as a file it cannot be read: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return Token{}, fmt.Errorf("identity token: %w", err)
	}
	t, err := New(string(data))
	if err != nil {
		return Token{}, fmt.Errorf("file %s: %w", path, err)
	}
	return t, nil
}
