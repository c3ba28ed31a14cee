// SPDX-License-Identifier: Apache-2.0

// Package tsa is a time-stamping authority: it signs that a digest existed at
// a time, by RFC 3161 (https://www.rfc-editor.org/rfc/rfc3161) with ESSCertIDv2
// (RFC 5816, https://www.rfc-editor.org/rfc/rfc5816), over the HTTP paths of
// Sigstore's timestamp-authority.
//
// Invariants:
//   - digests are SHA-256, SHA-384 or SHA-512, of exactly their length;
//   - a token's genTime is in UTC whole seconds, lies within the signing
//     certificate's validity, and is never earlier than one this process has
//     already issued (see [Config.ClockTolerance]);
//   - a token claims an accuracy of one second and no ordering;
//   - certificates are in a token only when the request asks for them, and then
//     only the signing certificate, as RFC 3161 section 2.4.1 says of certReq;
//   - what was asked is never logged.
package tsa

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// DefaultPolicy is the policy OID of Sigstore's time-stamping authorities.
const DefaultPolicy = "1.3.6.1.4.1.57264.2"

// Defaults and limits.
const (
	DefaultClockTolerance = time.Second // for a zero [Config.ClockTolerance]
	MaxRequest            = 64 << 10    // bytes of a request's body
	accuracy              = time.Second // what every token claims
)

// Config is what an operator can choose. The zero Config is a good one.
type Config struct {
	// Policy is the one policy OID tokens are issued under, in dotted form;
	// "" is [DefaultPolicy]. A request that names another is rejected.
	Policy string `yaml:"policy" json:"policy"`

	// ClockTolerance is how far the clock may fall behind the latest time
	// this process has issued before it issues no more; 0 is
	// [DefaultClockTolerance], which is the accuracy every token claims.
	// Within it a token carries that latest time again. Beyond it requests
	// are rejected with timeNotAvailable, because a backdated token makes a
	// certificate that has expired look valid, and nobody can take it back;
	// it ends when the clock has caught up, or with a restart, by which the
	// operator says that the clock is right now.
	ClockTolerance time.Duration `yaml:"clock-tolerance" json:"clock-tolerance"`
}

// Deps is what an [Authority] works with.
type Deps struct {
	Chain []*x509.Certificate // the signing certificate first, the root last
	Key   crypto.Signer       // the signing certificate's key
	Now   func() time.Time    // nil is time.Now
	Log   *slog.Logger        // nil discards
}

// Authority issues time-stamp tokens. Safe for concurrent use.
type Authority struct {
	policy   asn1.ObjectIdentifier
	chain    []*x509.Certificate
	chainPEM []byte
	key      crypto.Signer
	clock    *clock
	log      *slog.Logger
	metrics  *metrics
}

// New checks that the key and the chain fit each other and what RFC 3161
// section 2.3 asks of them, and makes the Authority.
func New(cfg Config, deps Deps) (*Authority, error) {
	if cfg.Policy == "" {
		cfg.Policy = DefaultPolicy
	}
	policy, err := parseOID(cfg.Policy)
	if err != nil {
		return nil, fmt.Errorf("tsa: policy: %w", err)
	}
	if cfg.ClockTolerance < 0 {
		return nil, fmt.Errorf("tsa: clock-tolerance %s: expected a duration of 0 or more", cfg.ClockTolerance)
	}
	if cfg.ClockTolerance == 0 {
		cfg.ClockTolerance = DefaultClockTolerance
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	if err := CheckChain(deps.Chain); err != nil {
		return nil, fmt.Errorf("tsa: %w", err)
	}
	if deps.Key == nil {
		return nil, errors.New("tsa: no signing key")
	}
	pub, ok := deps.Key.Public().(*ecdsa.PublicKey)
	if !ok || !pub.Equal(deps.Chain[0].PublicKey) {
		return nil, fmt.Errorf("tsa: the signing key is not the one in the certificate %q: expected the ECDSA key it was issued for", deps.Chain[0].Subject)
	}
	m := newMetrics()
	a := &Authority{
		policy:  policy,
		chain:   deps.Chain,
		key:     deps.Key,
		clock:   &clock{now: deps.Now, tolerance: cfg.ClockTolerance, log: deps.Log, refused: m.clockRefused},
		log:     deps.Log,
		metrics: m,
	}
	for _, c := range deps.Chain {
		a.chainPEM = append(a.chainPEM, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return a, nil
}

// Chain is the certificate chain, signing certificate first.
func (a *Authority) Chain() []*x509.Certificate { return append([]*x509.Certificate(nil), a.chain...) }

// Ready says why no token could be issued now, or nil.
func (a *Authority) Ready() error {
	now, err := a.clock.peek()
	if err != nil {
		return fmt.Errorf("tsa: %w", err)
	}
	return a.checkValidity(now)
}

// checkValidity is whether a token of the time t could ever verify.
func (a *Authority) checkValidity(t time.Time) error {
	for _, c := range a.chain {
		if t.Before(c.NotBefore) || t.After(c.NotAfter) {
			return fmt.Errorf("tsa: certificate %q is valid from %s to %s, and it is %s: check the clock, or rotate the authority's certificate",
				c.Subject, c.NotBefore.UTC().Format(time.RFC3339), c.NotAfter.UTC().Format(time.RFC3339), t.UTC().Format(time.RFC3339))
		}
	}
	return nil
}

// Collectors are the authority's metrics, for a registry.
func (a *Authority) Collectors() []prometheus.Collector { return a.metrics.collectors() }
