// SPDX-License-Identifier: Apache-2.0

// Package sign makes Sigstore bundles: keyless signatures with a certificate
// for a key that exists only while signing.
//
// The protocol is that of Sigstore's clients
// (https://github.com/sigstore/architecture-docs/blob/main/client-spec.md):
// Fulcio v2 for the certificate, RFC 3161 for the time, Rekor v2 for the log,
// and the bundle format v0.3 for the result. The services come from a signing
// config.
//
// Invariants:
//   - Steps run in this order: certificate, signature, timestamp, log, check.
//     What a step returns is verified under the trusted root before the next
//     begins, so a failure leaves nothing behind it: above all, a certificate
//     for an unexpected identity signs nothing and is logged nowhere.
//   - A bundle is returned only after it has passed [verify.Check], the one
//     verification path, as the bytes that will be stored.
//   - The private key is never written anywhere and is unreachable afterwards.
//   - The identity token goes to the certificate authority and nowhere else,
//     and is in no error.
package sign

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"hallmark/internal/base/fetch"
	"hallmark/internal/format/bundle"
	"hallmark/internal/format/digest"
	"hallmark/internal/format/dsse"
	"hallmark/internal/format/intoto"
	"hallmark/internal/format/logentry"
	"hallmark/internal/format/pubkey"
	"hallmark/internal/format/trustroot"
	"hallmark/internal/judge/verify"
)

// API versions this package speaks.
const (
	caVersion  = 1 // as signing configs count; the protocol is Fulcio's /api/v2
	tsaVersion = 1
	logVersion = 2
)

// Token is an identity token. Implementations do not show it when formatted.
type Token interface {
	// Raw is the JWT.
	Raw() string
	// Challenge is what the proof of possession signs: the token's verified
	// email, else its subject. It fails if the token cannot be used for that.
	Challenge() (string, error)
}

// Config says with what to sign. It is not changed and may be shared.
type Config struct {
	// Services are the instance's. Required.
	Services *trustroot.SigningConfig
	// Root is what everything the services return is verified under. Required.
	Root *trustroot.Root
	// Identities are the signers that are expected: a certificate for none of
	// them is not used. Empty accepts whatever the token stands for.
	Identities []verify.Identity
	// Key is the kind of the ephemeral key; "" is P-256.
	Key pubkey.Details
	// HTTP is how to reach the services. Its body limit is set here; zero
	// retries are two, negative are none.
	HTTP fetch.Config
	// Progress, if not nil, is told when steps begin and end. It is called from
	// one goroutine at a time and must not block.
	Progress func(Event)
	// Now is time.Now if nil. It selects services; the times that count are
	// the timestamp authorities'.
	Now func() time.Time
}

// Signer signs with the services it has selected. It is safe for concurrent
// use; every signature has a key and a certificate of its own.
type Signer struct {
	cfg    Config
	ca     trustroot.Service
	tsas   []trustroot.Service
	logs   []trustroot.Service
	policy verify.Policy
	http   *fetch.Client // one for all services, which often share an origin
}

// New checks the configuration and selects the services, without asking any of
// them anything: what cannot work is refused before a token is needed.
func New(cfg Config) (*Signer, error) {
	if cfg.Services == nil || cfg.Root == nil {
		return nil, errors.New("signing needs both a signing config and a trusted root; get them with `hallmark trust init`")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Key == "" {
		cfg.Key = pubkey.ECDSAP256SHA256
	}
	switch {
	case cfg.HTTP.Retries == 0:
		cfg.HTTP.Retries = 2
	case cfg.HTTP.Retries < 0:
		cfg.HTTP.Retries = 0
	}
	cfg.HTTP.MaxBody = logentry.MaxSize // the largest answer there is
	s := &Signer{cfg: cfg, http: fetch.New(cfg.HTTP), policy: verify.DefaultPolicy()}
	if err := s.selectServices(); err != nil {
		return nil, err
	}
	if err := keyUsable(cfg.Key); err != nil {
		return nil, err
	}
	s.policy.Identities = cfg.Identities
	s.policy.AnyIdentityUnsafe = len(cfg.Identities) == 0 // of the certificate that was issued to us
	s.policy.LogEntries = len(s.logs)
	s.policy.Timestamps = len(s.tsas)
	return s, nil
}

func (s *Signer) selectServices() error {
	services, now := s.cfg.Services, s.cfg.Now()
	one := trustroot.Selector{Mode: trustroot.Any}
	cas, err := trustroot.Select(services.CAs, []uint32{caVersion}, one, now)
	if err != nil {
		return fmt.Errorf("signing config: no certificate authority to use: %w", err)
	}
	s.ca = cas[0]
	if err := needsV2(services.Logs); err != nil {
		return err
	}
	if s.logs, err = trustroot.Select(services.Logs, []uint32{logVersion}, services.LogSelector, now); err != nil {
		return fmt.Errorf("signing config: no Rekor v2 log to use: %w", err)
	}
	if len(services.TSAs) == 0 {
		return errors.New("signing config: it names no timestamp authority: a Rekor v2 log does not say when, so a short-lived certificate needs one")
	}
	if s.tsas, err = trustroot.Select(services.TSAs, []uint32{tsaVersion}, services.TSASelector, now); err != nil {
		return fmt.Errorf("signing config: no timestamp authority to use: %w", err)
	}
	return nil
}

func needsV2(logs []trustroot.Service) error {
	var v1 []string
	for _, l := range logs {
		if l.APIVersion == logVersion {
			return nil
		}
		v1 = append(v1, fmt.Sprintf("%s (v%d)", l.URL, l.APIVersion))
	}
	if len(v1) == 0 {
		return errors.New("signing config: it names no transparency log; signing needs a Rekor v2 log")
	}
	return fmt.Errorf("signing config: signing needs a Rekor v2 log; it names only %s: use a signing config that lists a v2 log", strings.Join(v1, ", "))
}

// Services are what this signer selected: the certificate authority, the
// timestamp authorities and the logs, by URL.
func (s *Signer) Services() (ca string, tsas, logs []string) {
	return s.ca.URL, urls(s.tsas), urls(s.logs)
}

func urls(services []trustroot.Service) []string {
	out := make([]string, len(services))
	for i, sv := range services {
		out[i] = sv.URL
	}
	return out
}

// DigestAlgorithm is how the content of a message signature has to be hashed
// for [Signer.SignBlob].
func (s *Signer) DigestAlgorithm() digest.Algorithm { return s.cfg.Key.Digest() }

// Result is a signature that passed verification.
type Result struct {
	Bundle   *bundle.Bundle
	JSON     []byte           // the bundle to store, v0.3
	Verified *verify.Verified // what verifying JSON showed
}

// SignBlob makes a message signature over content with the given digest, whose
// algorithm has to be [Signer.DigestAlgorithm].
func (s *Signer) SignBlob(ctx context.Context, token Token, d digest.Digest) (*Result, error) {
	if d.IsZero() || d.Algorithm() != s.DigestAlgorithm() {
		return nil, fmt.Errorf("a key of the kind %s signs a %s digest, this one is %s", s.cfg.Key, s.DigestAlgorithm(), d)
	}
	return s.sign(ctx, token, message{digest: d})
}

// SignImage signs the manifest or index with the given digest, as cosign v3
// does: a statement with an empty predicate. Annotations may be nil.
func (s *Signer) SignImage(ctx context.Context, token Token, d digest.Digest, annotations map[string]string) (*Result, error) {
	statement, err := ImageStatement(d, annotations)
	if err != nil {
		return nil, err
	}
	return s.SignStatement(ctx, token, statement, d)
}

// ImageStatement is the statement that [Signer.SignImage] signs.
func ImageStatement(d digest.Digest, annotations map[string]string) (*intoto.Statement, error) {
	if d.IsZero() {
		return nil, errors.New("no digest to sign")
	}
	subject := intoto.Subject{Digests: map[string]string{d.Algorithm().String(): d.Hex()}}
	for name, value := range annotations {
		if subject.Annotations == nil {
			subject.Annotations = map[string]any{}
		}
		subject.Annotations[name] = value
	}
	return &intoto.Statement{
		Type:          intoto.StatementV1,
		Subjects:      []intoto.Subject{subject},
		PredicateType: intoto.CosignSignV1,
		Predicate:     []byte("{}"),
	}, nil
}

// SignStatement signs a statement in an envelope. The digest is one of its
// subjects; the bundle is verified to be about it.
func (s *Signer) SignStatement(ctx context.Context, token Token, statement *intoto.Statement, subject digest.Digest) (*Result, error) {
	payload, err := statement.Marshal()
	if err != nil {
		return nil, fmt.Errorf("statement: %w", err)
	}
	return s.sign(ctx, token, envelope{
		digest:   subject,
		envelope: dsse.Envelope{PayloadType: intoto.PayloadType, Payload: payload},
	})
}
