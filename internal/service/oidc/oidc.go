// SPDX-License-Identifier: Apache-2.0

// Package oidc turns an OpenID Connect identity token into the principal that
// a certificate is issued for.
//
// Specifications: OpenID Connect Core 1.0 §2 and §3.1.3.7 (ID token, its
// validation), https://openid.net/specs/openid-connect-core-1_0.html; Discovery
// 1.0, https://openid.net/specs/openid-connect-discovery-1_0.html; JWT,
// https://www.rfc-editor.org/rfc/rfc7519, and its best current practices,
// https://www.rfc-editor.org/rfc/rfc8725; Fulcio's mapping of claims,
// https://github.com/sigstore/fulcio/blob/main/docs/oidc.md.
//
// Invariants:
//   - iss selects a configured issuer by exact comparison before anything is
//     fetched; only configured issuers are ever contacted.
//   - Signatures are RSA (2048–8192 bits), ECDSA on the NIST curves or Ed25519,
//     never "none" and never HMAC, by a key of the issuer's own JWKS whose type
//     fits the algorithm.
//   - exp is required; exp, nbf and iat are compared with a skew of [Skew].
//   - An issuer's keys are fetched when first needed, are fresh for [FreshFor],
//     are fetched at most once every [RefreshInterval] whatever tokens arrive,
//     and go on serving for [StaleFor] while the issuer is down.
//   - No lock is held during a fetch and issuers share none: one that is dead
//     or slow delays nobody else's tokens.
//   - No error and no log line holds a token.
package oidc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"hallmark/internal/base/fetch"
	"hallmark/internal/format/certext"
)

// The bounds of the package.
const (
	MaxToken        = 64 << 10         // bytes of a token
	MaxDiscovery    = 64 << 10         // bytes of a discovery document
	MaxJWKS         = 1 << 20          // bytes of a key set
	MaxKeys         = 100              // keys in a key set
	FetchTimeout    = 5 * time.Second  // for the discovery document, and again for the key set
	Skew            = 30 * time.Second // how far the issuer's clock may be off
	RefreshInterval = time.Minute      // between two fetches from one issuer
	FreshFor        = 15 * time.Minute // keys are not fetched again before this
	StaleFor        = 24 * time.Hour   // keys are not used after this, however long the issuer is down
)

// Deps is what an [Authenticator] works with. The zero value of every field
// but Audience is usable.
type Deps struct {
	// Audience is this instance's own: expected of tokens of issuers without
	// a client-id.
	Audience string

	// Static are issuers whose keys are in this process, by issuer URL.
	Static map[string]StaticIssuer

	// Fetch holds the settings for calls to issuers (root certificates, user
	// agent, transport). Timeouts, caps, retries and redirects are this package's.
	Fetch fetch.Config

	Now func() time.Time // time.Now if nil
	Log *slog.Logger     // discarded if nil
}

// KeySet is the keys of an issuer in this process. Keys may be called at any
// time by several goroutines and does not block.
type KeySet interface {
	Keys() []jose.JSONWebKey
}

// StaticIssuer is an issuer in this process whose tokens come in several
// kinds, told apart by a claim.
type StaticIssuer struct {
	Keys      KeySet
	Audiences []string              // any of them is accepted; the first is the one published
	KindClaim string                // name of the claim
	Kinds     map[string]IssuerType // its values; TypeEmail and TypeGitHubWorkflow are possible
}

// Authenticator checks tokens. It is safe for concurrent use.
type Authenticator struct {
	issuers map[string]*issuer // never written after New
	urls    []string           // sorted
	now     func() time.Time
}

// issuer is one accepted issuer, immutable but for its keys.
type issuer struct {
	url       string
	audiences []string
	info      certext.IssuerInfo
	keys      keySource
	principal mapping
}

// mapping makes a principal of verified claims. Its errors are *[Error]
// without an Issuer.
type mapping func(claims) (certext.Principal, error)

// New checks the whole configuration, without contacting any issuer. Its error
// lists every fault with the issuer URL and the field.
func New(cfg Config, deps Deps) (*Authenticator, error) {
	if deps.Now == nil {
		deps.Now = time.Now
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	a := &Authenticator{issuers: map[string]*issuer{}, now: deps.Now}
	var faults []error
	for name := range cfg.MetaIssuers {
		faults = append(faults, unsupported("meta-issuers", name, "", "wildcard issuers; list each issuer under oidc-issuers"))
	}
	metadata, errs := compileMetadata(cfg.CIMetadata)
	faults = append(faults, errs...)
	remote := newFetcher(deps)
	for url, ic := range cfg.Issuers {
		iss, err := compileIssuer(url, ic, metadata, deps.Audience)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		iss.keys = &remoteKeys{issuer: url, fetch: remote, now: deps.Now, log: deps.Log}
		a.issuers[url] = iss
	}
	for url, st := range deps.Static {
		if _, taken := cfg.Issuers[url]; taken {
			faults = append(faults, fmt.Errorf("oidc-issuers: %s: is the built-in issuer of this instance; remove the entry", url))
			continue
		}
		iss, err := compileStatic(url, st)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		a.issuers[url] = iss
	}
	if len(faults) > 0 {
		slices.SortFunc(faults, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
		return nil, fmt.Errorf("identity configuration: %w", errors.Join(faults...))
	}
	for url := range a.issuers {
		a.urls = append(a.urls, url)
	}
	slices.Sort(a.urls)
	return a, nil
}

// Issuers describes the accepted issuers, sorted by URL.
func (a *Authenticator) Issuers() []certext.IssuerInfo {
	out := make([]certext.IssuerInfo, 0, len(a.urls))
	for _, url := range a.urls {
		out = append(out, a.issuers[url].info)
	}
	return out
}

// Authenticate checks a token, in its compact form, and returns who it speaks
// for. It blocks while the issuer's keys are fetched, at most for two
// [FetchTimeout]; ctx bounds the wait. A refused token gives an *[Error].
func (a *Authenticator) Authenticate(ctx context.Context, token string) (certext.Principal, error) {
	t, err := parseToken(token)
	if err != nil {
		return certext.Principal{}, err
	}
	iss, ok := a.issuers[t.issuer]
	if !ok {
		return certext.Principal{}, refuse(CodeUnknownIssuer, "issuer %s is not accepted here; accepted: %s; use a token from one of these, or have the operator add the issuer to oidc-issuers", short(t.issuer), list(a.urls))
	}
	p, err := iss.authenticate(ctx, t, a.now())
	if err != nil {
		var refused *Error
		if errors.As(err, &refused) {
			refused.Issuer = iss.url
		}
		return certext.Principal{}, err
	}
	return p, nil
}

// authenticate runs the checks that need no key first, so that a token that
// is useless anyway causes no fetch.
func (i *issuer) authenticate(ctx context.Context, t *token, now time.Time) (certext.Principal, error) {
	if err := t.checkTimes(now); err != nil {
		return certext.Principal{}, err
	}
	if err := t.checkAudience(i.audiences); err != nil {
		return certext.Principal{}, err
	}
	if err := t.verify(ctx, i.keys); err != nil {
		return certext.Principal{}, err
	}
	if t.subject == "" {
		return certext.Principal{}, refuse(CodeClaimMissing, "claim sub is absent or empty; every identity token needs a subject")
	}
	p, err := i.principal(t.claims)
	if err != nil {
		return certext.Principal{}, err
	}
	p.Extensions.Issuer = i.url
	p.Extensions.IssuerV2 = i.url
	p.Extensions.TokenSubject = t.subject
	if _, err := certext.SANExtension(p.SAN); err != nil {
		return certext.Principal{}, refuse(CodeClaimInvalid, "its claims make a name that cannot go into a certificate: %v", err)
	}
	return p, checkExtensions(p.Extensions)
}

// maxExtensions is how much a token may put into a certificate, which has to
// fit into a log entry.
const maxExtensions = 16 << 10

func checkExtensions(e certext.Extensions) error {
	list, err := e.Marshal()
	if err != nil {
		return refuse(CodeClaimInvalid, "its claims make an extension that cannot go into a certificate: %v", err)
	}
	total := 0
	for _, ext := range list {
		if total += len(ext.Value); len(ext.Value) > 2*maxValue || total > maxExtensions {
			return refuse(CodeClaimInvalid, "its claims are too long for a certificate: at most %d bytes in all", maxExtensions)
		}
	}
	return nil
}
