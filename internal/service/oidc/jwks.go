// SPDX-License-Identifier: Apache-2.0

package oidc

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"hallmark/internal/base/fetch"
)

// fetcher gets discovery documents and key sets. It is safe for concurrent use.
type fetcher struct {
	discovery *fetch.Client
	jwks      *fetch.Client
}

func newFetcher(deps Deps) *fetcher {
	cfg := deps.Fetch
	cfg.Timeout = FetchTimeout
	cfg.Retries = 0 // RefreshInterval holds for retries too
	cfg.FollowRedirects = false
	cfg.AllowPlainHTTP = false
	discovery, jwks := cfg, cfg
	discovery.MaxBody, jwks.MaxBody = MaxDiscovery, MaxJWKS
	return &fetcher{discovery: fetch.New(discovery), jwks: fetch.New(jwks)}
}

// keys is the usable keys of issuer, by way of its discovery document.
func (f *fetcher) keys(ctx context.Context, issuer string) ([]jose.JSONWebKey, error) {
	where := strings.TrimSuffix(issuer, "/") + "/.well-known/openid-configuration"
	body, err := f.discovery.Get(ctx, where)
	if err != nil {
		return nil, fmt.Errorf("discovery document: %w", err)
	}
	jwksURL, err := parseDiscovery(body, issuer)
	if err != nil {
		return nil, fmt.Errorf("discovery document %s: %w", where, err)
	}
	if body, err = f.jwks.Get(ctx, jwksURL); err != nil {
		return nil, fmt.Errorf("key set: %w", err)
	}
	keys, err := parseJWKS(body)
	if err != nil {
		return nil, fmt.Errorf("key set %s: %w", fetch.Redact(jwksURL), err)
	}
	return keys, nil
}

// parseDiscovery is the URL of the key set. The document must name exactly the
// issuer it was asked of: "The issuer value returned MUST be identical to the
// Issuer URL" (Discovery §4.3).
func parseDiscovery(body []byte, issuer string) (jwksURL string, err error) {
	var doc struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		return "", errors.New("is not a JSON object with issuer and jwks_uri")
	}
	if doc.Issuer != issuer {
		return "", fmt.Errorf("field issuer is %s, expected exactly %q; configure the issuer under the URL it gives itself", short(doc.Issuer), issuer)
	}
	u, err := url.Parse(doc.JWKSURI)
	if err != nil || u.Host == "" || u.User != nil {
		return "", fmt.Errorf("field jwks_uri is %s; expected an https URL", short(doc.JWKSURI))
	}
	// An issuer elsewhere has no business with services of this machine.
	base, err := url.Parse(issuer)
	own := err == nil && fetch.IsLoopback(base.Hostname())
	if fetch.IsLoopback(u.Hostname()) && !own || u.Scheme != "https" && !(u.Scheme == "http" && fetch.IsLoopback(u.Hostname())) {
		return "", fmt.Errorf("field jwks_uri is %s; expected an https URL (loopback only if the issuer is on loopback too)", short(doc.JWKSURI))
	}
	return doc.JWKSURI, nil
}

// parseJWKS is the keys of a JWK set (RFC 7517) that can verify tokens. Keys of
// other kinds are left out, as §5 says; a set without a usable key is an error.
func parseJWKS(body []byte) ([]jose.JSONWebKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, errors.New(`is not a JSON object with an array "keys"`)
	}
	if len(set.Keys) > MaxKeys {
		return nil, fmt.Errorf("has %d keys, at most %d are read", len(set.Keys), MaxKeys)
	}
	var keys []jose.JSONWebKey
	for _, raw := range set.Keys {
		var key jose.JSONWebKey
		if json.Unmarshal(raw, &key) == nil {
			keys = append(keys, key)
		}
	}
	if keys = usable(keys); len(keys) == 0 {
		return nil, fmt.Errorf("none of its %d keys can verify a token; expected a public RSA key of 2048 to 8192 bits, an ECDSA key on P-256, P-384 or P-521, or an Ed25519 key", len(set.Keys))
	}
	return keys, nil
}

// usable leaves out keys that are private, symmetric, weak or for encryption.
func usable(keys []jose.JSONWebKey) []jose.JSONWebKey {
	var out []jose.JSONWebKey
	for _, key := range keys {
		if key.Use != "" && key.Use != "sig" || !key.IsPublic() || !key.Valid() {
			continue
		}
		switch pub := key.Key.(type) {
		case *rsa.PublicKey:
			if bits := pub.N.BitLen(); bits < 2048 || bits > 8192 || pub.E < 3 || pub.E%2 == 0 {
				continue
			}
		case *ecdsa.PublicKey:
			if curveOf(pub) == "" {
				continue
			}
		case ed25519.PublicKey:
		default:
			continue
		}
		out = append(out, key)
	}
	return out
}

// fits says whether alg may be used with key: its own alg, if it has one, and
// the type and curve that alg is defined for (RFC 7518 §3.1).
func fits(key jose.JSONWebKey, alg jose.SignatureAlgorithm) bool {
	if key.Algorithm != "" && key.Algorithm != string(alg) && !(key.Algorithm == "Ed25519" && alg == jose.EdDSA) {
		return false
	}
	switch pub := key.Key.(type) {
	case *rsa.PublicKey:
		return strings.HasPrefix(string(alg), "RS") || strings.HasPrefix(string(alg), "PS")
	case *ecdsa.PublicKey:
		return curveOf(pub) == alg
	case ed25519.PublicKey:
		return alg == jose.EdDSA
	}
	return false
}

// curveOf is the algorithm that belongs to the key's curve.
func curveOf(pub *ecdsa.PublicKey) jose.SignatureAlgorithm {
	switch pub.Curve {
	case elliptic.P256():
		return jose.ES256
	case elliptic.P384():
		return jose.ES384
	case elliptic.P521():
		return jose.ES512
	}
	return ""
}

// publicText is err for whoever sent a token: without what the issuer answered
// and without addresses of the operator's network.
func publicText(err error) string {
	var status *fetch.StatusError
	if errors.As(err, &status) {
		return fmt.Sprintf("%s answered status %d", status.URL, status.Status)
	}
	var network net.Error
	if errors.As(err, &network) {
		if network.Timeout() {
			return "no answer in time"
		}
		return "it cannot be reached"
	}
	return err.Error()
}
