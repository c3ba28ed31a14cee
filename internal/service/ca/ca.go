// SPDX-License-Identifier: Apache-2.0

// Package ca is the certificate authority: it issues short-lived code signing
// certificates to whoever shows an OIDC identity token and holds a key.
//
// The API is Fulcio's, version 2 and the parts of version 1 that old clients
// call: https://github.com/sigstore/fulcio/blob/main/fulcio.proto
// The certificates follow Fulcio's profile
// https://github.com/sigstore/fulcio/blob/main/docs/certificate-specification.md
// with the extensions of
// https://github.com/sigstore/fulcio/blob/main/docs/oid-info.md,
// and always carry the SCT of a CT log (RFC 6962).
//
// Invariants:
//
//   - no certificate without a token that the Authenticator accepts, and a proof
//     that the caller holds the private key;
//   - nothing is signed before it is linted (lint.go), and nothing leaves before
//     it is found to be what the CT log was shown (depart.go);
//   - the CT log has the precertificate before the certificate exists;
//   - tokens are in no log line, error or metric.
package ca

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"hallmark/internal/format/certext"
	"hallmark/internal/format/trustroot"
)

// An Authenticator says who an identity token stands for. Implementations are
// safe for concurrent use and do not keep the token.
type Authenticator interface {
	// Authenticate checks token in full: issuer, audience, signature, times. An
	// error that is a [TokenError] is the token's fault or its issuer's; any
	// other is a fault of this server.
	Authenticate(ctx context.Context, token string) (certext.Principal, error)
	// Issuers lists what is accepted, for GET /api/v2/configuration.
	Issuers() []certext.IssuerInfo
}

// A TokenError is how an [Authenticator] refuses a token. Its text is shown to
// the client, so it never holds the token.
type TokenError interface {
	error
	// Category is a word of a closed set, for the log.
	Category() string
	// Temporary says that the same token may be accepted later, because what
	// failed is reaching its issuer.
	Temporary() bool
}

// A CTLog takes precertificates. AddPrecert returns once the precertificate is
// in the log durably; it is safe for concurrent use.
type CTLog interface {
	AddPrecert(ctx context.Context, p certext.Precert) (certext.SCT, error)
}

// Config is what an operator can choose.
type Config struct {
	// Lifetime is how long certificates are valid: 1 to 10 minutes, in whole
	// seconds; zero is 10 minutes, which is also what clients expect.
	Lifetime time.Duration
	// CTTimeout is how long the CT log may take for one precertificate; zero is
	// 15 seconds, half of what clients wait.
	CTTimeout time.Duration
}

// Deps is what the service works with.
type Deps struct {
	// Chain is the certificate that issues first, the self-signed root last.
	Chain []*x509.Certificate
	// Key is the key of Chain[0].
	Key crypto.Signer
	// Auth judges tokens.
	Auth Authenticator
	// CT is where every precertificate goes.
	CT CTLog
	// Window is when the trusted root vouches for Chain; outside of it nothing
	// is issued. The zero Window is open on both sides.
	Window trustroot.Window
	// Trusted is every chain that clients trust for this authority, for GET
	// /api/v2/trustBundle; nil means Chain alone.
	Trusted [][]*x509.Certificate
	// Now is the clock.
	Now func() time.Time
	// Log gets one line per certificate and per refusal.
	Log *slog.Logger
}

// CA issues certificates. It is immutable and safe for concurrent use.
type CA struct {
	cfg      Config
	deps     Deps
	profile  *profile
	from     time.Time // the chain is valid from here…
	until    time.Time // …to here, inclusive
	chainPEM []string  // of deps.Chain
	chainDER [][]byte
	metrics  *metrics
}

// New checks that the parts fit together: the chain verifies for code signing,
// its issuing certificate may issue and belongs to the key, and its algorithms
// are in order. A chain that is expired or not yet valid is accepted with a
// warning, or a note where its Window has yet to start, and every request is
// refused meanwhile.
func New(cfg Config, deps Deps) (*CA, error) {
	if cfg.Lifetime == 0 {
		cfg.Lifetime = maxLifetime
	}
	if cfg.Lifetime < time.Minute || cfg.Lifetime > maxLifetime || cfg.Lifetime%time.Second != 0 {
		return nil, fmt.Errorf("CA: certificate lifetime %v: expected whole seconds from 1m to %v", cfg.Lifetime, maxLifetime)
	}
	if cfg.CTTimeout == 0 {
		cfg.CTTimeout = 15 * time.Second
	}
	if cfg.CTTimeout < 0 {
		return nil, fmt.Errorf("CA: CT timeout %v is negative", cfg.CTTimeout)
	}
	if deps.Auth == nil || deps.CT == nil || deps.Now == nil || deps.Log == nil {
		return nil, errors.New("CA: Auth, CT, Now and Log must all be set")
	}
	if err := checkChain(deps.Chain, deps.Key); err != nil {
		return nil, err
	}
	p, err := newProfile(deps.Chain[0])
	if err != nil {
		return nil, err
	}
	c := &CA{cfg: cfg, deps: deps, profile: p, metrics: newMetrics()}
	c.from, c.until = deps.Window.Start, deps.Window.End
	for _, cert := range deps.Chain {
		if cert.NotBefore.After(c.from) {
			c.from = cert.NotBefore
		}
		if c.until.IsZero() || cert.NotAfter.Before(c.until) {
			c.until = cert.NotAfter
		}
		c.chainDER = append(c.chainDER, cert.Raw)
		c.chainPEM = append(c.chainPEM, certificatePEM(cert.Raw))
	}
	if now := deps.Now(); now.Before(c.from) || now.Add(cfg.Lifetime).After(c.until) {
		level := slog.LevelWarn
		if now.Before(deps.Window.Start) {
			level = slog.LevelInfo
		}
		deps.Log.Log(context.Background(), level, "the CA chain is not valid now: no certificate will be issued",
			"valid_from", stamp(c.from), "valid_until", stamp(c.until), "now", stamp(now))
	}
	return c, nil
}

func certificatePEM(der []byte) string {
	var b strings.Builder
	b.Grow(len(der)*4/3 + len(der)/40 + 64)
	// Writing to a strings.Builder cannot fail.
	_ = pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: der})
	return b.String()
}
