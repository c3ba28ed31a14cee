// SPDX-License-Identifier: Apache-2.0

// Package devissuer is a small OpenID Connect issuer for demos and tests on
// one machine. It vouches for whoever its operator says.
//
// Specifications: OpenID Connect Core 1.0 §3.1 (authorization code flow),
// https://openid.net/specs/openid-connect-core-1_0.html, and Discovery 1.0;
// PKCE, https://www.rfc-editor.org/rfc/rfc7636; native apps,
// https://www.rfc-editor.org/rfc/rfc8252; OAuth 2.0 security best current
// practice, https://www.rfc-editor.org/rfc/rfc9700.
//
// Invariants:
//   - The issuer's URL is on loopback; any other is refused.
//   - A token is minted only by who can open the Unix socket that
//     [Issuer.SocketHandler] serves: at once, or by way of a login code from
//     that socket that is typed into the /authorize page. There is no consent
//     that a web page, or another user of the machine, could give.
//   - Codes are one-time, have at least 160 bits of entropy, are kept as
//     hashes, and expire: an authorization code after [CodeLifetime], a login
//     code after [LoginLifetime].
//   - Over HTTP, Host is the issuer's own host (no DNS rebinding), Origin, where
//     present, its own origin, and no answer has a CORS header.
//   - Tokens are RS256, live at most [MaxTTL], and carry [KindClaim].
package devissuer

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/cryptosigner"
	"golang.org/x/time/rate"

	"hallmark/internal/base/httpapi"
)

// The bounds of the issuer.
const (
	DefaultTTL    = 10 * time.Minute
	MaxTTL        = time.Hour
	CodeLifetime  = time.Minute
	LoginLifetime = 5 * time.Minute
)

// SigstoreAudience is accepted beside the configured audiences, because every
// Sigstore client uses it by default.
const SigstoreAudience = "sigstore"

// KindClaim is the claim that tells what sort of identity a token is for;
// KindEmail and KindGitHub are its values.
const (
	KindClaim  = "hallmark_dev_kind"
	KindEmail  = "email"
	KindGitHub = "github"
)

// Config is what an [Issuer] is made of.
type Config struct {
	Issuer    string           // URL of the issuer, on loopback, e.g. http://127.0.0.1:8080/dev-issuer
	Key       crypto.Signer    // RSA, 2048 bits or more
	Audiences []string         // this instance's own; the first is the default. SigstoreAudience is always one
	Now       func() time.Time // time.Now if nil
	Log       *slog.Logger     // discarded if nil
}

// Issuer is the development issuer. It is safe for concurrent use. It is a
// key set for verifiers in the same process, by way of Keys.
type Issuer struct {
	url       string
	path      string // of url, without a trailing slash
	host      string // host:port
	origin    string
	secure    bool
	audiences []string
	signer    jose.Signer
	public    jose.JSONWebKey
	now       func() time.Time
	log       *slog.Logger

	formKey [32]byte         // authenticates /authorize forms
	logins  *vault[identity] // login codes
	codes   *vault[grant]    // authorization codes
	guesses *rate.Limiter    // wrong login codes, all clients together
}

// New checks cfg. It fails for an issuer URL that is not on loopback.
func New(cfg Config) (*Issuer, error) {
	u, err := checkURL(cfg.Issuer)
	if err != nil {
		return nil, fmt.Errorf("development issuer: URL %q: %w", cfg.Issuer, err)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	i := &Issuer{
		url: cfg.Issuer, path: u.Path, host: u.Host, origin: u.Scheme + "://" + u.Host, secure: u.Scheme == "https",
		now: cfg.Now, log: cfg.Log,
		logins:  newVault[identity](LoginLifetime, cfg.Now),
		codes:   newVault[grant](CodeLifetime, cfg.Now),
		guesses: rate.NewLimiter(rate.Every(time.Second), 5),
	}
	for _, aud := range append(slices.Clone(cfg.Audiences), SigstoreAudience) {
		if aud != "" && !slices.Contains(i.audiences, aud) {
			i.audiences = append(i.audiences, aud)
		}
	}
	rand.Read(i.formKey[:])
	if err := i.useKey(cfg.Key); err != nil {
		return nil, err
	}
	return i, nil
}

func checkURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, errors.New("expected an absolute http or https URL")
	}
	if !isLoopback(u.Hostname()) {
		return nil, errors.New("the development issuer lets its operator be anybody and is refused unless it is on loopback; use localhost, 127.0.0.1 or [::1]")
	}
	if u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.HasSuffix(u.Path, "/") || u.EscapedPath() != u.Path {
		return nil, errors.New("expected no user, query, fragment, escapes or trailing slash")
	}
	return u, nil
}

// isLoopback says whether host names this machine without asking a resolver.
func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

func (i *Issuer) useKey(key crypto.Signer) error {
	if key == nil {
		return errors.New("development issuer: no key")
	}
	pub, ok := key.Public().(*rsa.PublicKey)
	if !ok || pub.N.BitLen() < 2048 {
		return fmt.Errorf("development issuer: key is %T; expected RSA of 2048 bits or more, since clients know RS256 only", key.Public())
	}
	i.public = jose.JSONWebKey{Key: pub, Algorithm: string(jose.RS256), Use: "sig"}
	thumb, err := i.public.Thumbprint(crypto.SHA256)
	if err != nil {
		return fmt.Errorf("development issuer: key: %w", err)
	}
	i.public.KeyID = base64.RawURLEncoding.EncodeToString(thumb)
	opts := (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", i.public.KeyID)
	i.signer, err = jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: cryptosigner.Opaque(key)}, opts)
	if err != nil {
		return fmt.Errorf("development issuer: key: %w", err)
	}
	return nil
}

// URL is the issuer's URL, iss in its tokens.
func (i *Issuer) URL() string { return i.url }

// Audiences are the audiences, and client ids, it mints tokens for; the first
// is the default.
func (i *Issuer) Audiences() []string { return slices.Clone(i.audiences) }

// Keys is the key its tokens verify with.
func (i *Issuer) Keys() []jose.JSONWebKey { return []jose.JSONWebKey{i.public} }

// Handler serves the issuer over HTTP. It expects whole request paths: mount
// it at the path of the issuer's URL and below, without stripping a prefix.
func (i *Issuer) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+i.path+"/.well-known/openid-configuration", i.discovery)
	mux.HandleFunc("GET "+i.path+"/keys", func(w http.ResponseWriter, _ *http.Request) {
		httpapi.WriteJSON(w, http.StatusOK, jose.JSONWebKeySet{Keys: i.Keys()})
	})
	mux.HandleFunc("GET "+i.path+"/authorize", i.showLogin)
	mux.HandleFunc("POST "+i.path+"/authorize", i.login)
	mux.HandleFunc("POST "+i.path+"/token", i.exchange)
	return i.guard(mux)
}

func (i *Issuer) discovery(w http.ResponseWriter, _ *http.Request) {
	httpapi.WriteJSON(w, http.StatusOK, map[string]any{
		"issuer":                                         i.url,
		"authorization_endpoint":                         i.url + "/authorize",
		"token_endpoint":                                 i.url + "/token",
		"jwks_uri":                                       i.url + "/keys",
		"response_types_supported":                       []string{"code"},
		"response_modes_supported":                       []string{"query"},
		"grant_types_supported":                          []string{"authorization_code"},
		"subject_types_supported":                        []string{"public"},
		"id_token_signing_alg_values_supported":          []string{"RS256"},
		"token_endpoint_auth_methods_supported":          []string{"none"},
		"code_challenge_methods_supported":               []string{"S256"},
		"scopes_supported":                               []string{"openid", "email"},
		"claims_supported":                               []string{"iss", "sub", "aud", "exp", "iat", "nbf", "jti", "nonce", "at_hash", "email", "email_verified", KindClaim},
		"authorization_response_iss_parameter_supported": true,
		"request_uri_parameter_supported":                false,
	})
}

// guard holds what goes for every request over HTTP.
func (i *Issuer) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		if !strings.EqualFold(r.Host, i.host) {
			http.Error(w, fmt.Sprintf("DEV issuer: expected Host %s; open the issuer under its own URL %s", i.host, i.url), http.StatusMisdirectedRequest)
			return
		}
		for _, origin := range r.Header.Values("Origin") {
			if origin != i.origin {
				http.Error(w, "DEV issuer: requests from other web origins are refused", http.StatusForbidden)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// hash is how secrets are kept.
func hash(secret string) [32]byte { return sha256.Sum256([]byte(secret)) }
