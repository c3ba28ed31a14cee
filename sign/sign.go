// SPDX-License-Identifier: Apache-2.0

// Package sign makes Sigstore bundles without long-lived keys: it asks a
// certificate authority for a certificate on a key that exists only while
// signing, a timestamp authority for the time, and a transparency log for an
// entry. The protocol is that of Sigstore's clients
// (https://github.com/sigstore/architecture-docs/blob/main/client-spec.md);
// package hallmark verifies what comes out.
//
// A failure leaves nothing behind it: a certificate for an identity that was
// not expected signs nothing and is logged nowhere, and a bundle is returned
// only after it has passed verification under the trust root.
package sign

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"hallmark"
	"hallmark/internal/base/fetch"
	"hallmark/internal/format/digest"
	"hallmark/internal/format/intoto"
	"hallmark/internal/format/trustroot"
	"hallmark/internal/judge/verify"
	"hallmark/internal/service/sign"
	"hallmark/internal/service/token"
)

// Config says with what to sign. It is not changed.
type Config struct {
	// SigningConfig says where: a Sigstore signing config v0.2 (JSON). Required.
	SigningConfig []byte
	// TrustRoot is what the services' answers are verified under: a Sigstore
	// trusted_root.json. Required.
	TrustRoot []byte
	// Expect are the identities that a certificate may be for; empty accepts
	// whatever the token stands for.
	Expect []hallmark.IdentityConfig
	// Timeout bounds each request; zero is 30 seconds.
	Timeout time.Duration
	// UserAgent is sent with every request; "" is "hallmark".
	UserAgent string
	// Transport replaces the network; nil is the default one.
	Transport http.RoundTripper
}

// Signer signs with the services its signing config selects. It is safe for
// concurrent use; every signature has a key and a certificate of its own.
type Signer struct{ signer *sign.Signer }

// Signature is a signature that was logged and passed verification.
type Signature struct {
	Bundle   []byte // Sigstore bundle v0.3 (JSON): all that is needed to verify
	Identity string // whose it is: an e-mail address or URI
	Issuer   string // who vouched for that
	Time     time.Time
	Entries  []hallmark.LogEntry
}

// New checks the configuration and selects services, without asking any of
// them anything.
func New(c Config) (*Signer, error) {
	services, err := trustroot.ParseSigningConfig(c.SigningConfig)
	if err != nil {
		return nil, fmt.Errorf("signing config: %w", err)
	}
	root, err := trustroot.Parse(c.TrustRoot)
	if err != nil {
		return nil, fmt.Errorf("trust root: %w", err)
	}
	var expect []verify.Identity
	for _, e := range c.Expect {
		id, err := verify.NewIdentity(verify.Identity{
			SAN: e.SAN, SANRegexp: e.SANRegexp, Issuer: e.Issuer, IssuerRegexp: e.IssuerRegexp,
			GitHubWorkflowTrigger: e.GitHubWorkflowTrigger, GitHubWorkflowSHA: e.GitHubWorkflowSHA, GitHubWorkflowName: e.GitHubWorkflowName,
			GitHubWorkflowRepository: e.GitHubWorkflowRepository, GitHubWorkflowRef: e.GitHubWorkflowRef,
		})
		if err != nil {
			return nil, err
		}
		expect = append(expect, id)
	}
	s, err := sign.New(sign.Config{Services: services, Root: root, Identities: expect, HTTP: fetch.Config{
		Timeout: c.Timeout, UserAgent: c.UserAgent, Transport: c.Transport,
	}})
	if err != nil {
		return nil, err
	}
	return &Signer{s}, nil
}

// Blob signs the artifact with the given SHA-256 sum, as the identity that the
// OIDC identity token stands for.
func (s *Signer) Blob(ctx context.Context, identityToken string, sha256 []byte) (*Signature, error) {
	return s.digest(identityToken, sha256, func(t token.Token, d digest.Digest) (*sign.Result, error) {
		return s.signer.SignBlob(ctx, t, d)
	})
}

// Image signs the image manifest or index with the given SHA-256 digest, as
// cosign does. The annotations, which may be nil, are signed with it. The
// bundle is to be attached to the image as an OCI referrer.
func (s *Signer) Image(ctx context.Context, identityToken string, sha256 []byte, annotations map[string]string) (*Signature, error) {
	return s.digest(identityToken, sha256, func(t token.Token, d digest.Digest) (*sign.Result, error) {
		return s.signer.SignImage(ctx, t, d, annotations)
	})
}

// Statement signs an in-toto statement (JSON) about the artifact with the given
// SHA-256 sum, which has to be among its subjects.
func (s *Signer) Statement(ctx context.Context, identityToken string, statement []byte, sha256 []byte) (*Signature, error) {
	parsed, err := intoto.Parse(statement)
	if err != nil {
		return nil, fmt.Errorf("statement: %w", err)
	}
	return s.digest(identityToken, sha256, func(t token.Token, d digest.Digest) (*sign.Result, error) {
		if !parsed.HasSubject(d) {
			return nil, errors.New("statement: the artifact is not among its subjects")
		}
		return s.signer.SignStatement(ctx, t, parsed, d)
	})
}

func (s *Signer) digest(identityToken string, sha256 []byte, sign func(token.Token, digest.Digest) (*sign.Result, error)) (*Signature, error) {
	t, err := token.New(identityToken)
	if err != nil {
		return nil, err
	}
	d, err := digest.New(digest.SHA256, sha256)
	if err != nil {
		return nil, err
	}
	result, err := sign(t, d)
	if err != nil {
		return nil, err
	}
	signer := result.Verified.Signer()
	out := &Signature{Bundle: result.JSON, Identity: signer.SAN.Value, Issuer: signer.Extensions.IssuerURL()}
	if times := result.Verified.Times(); len(times) > 0 {
		out.Time = times[0].Time
	}
	for _, e := range result.Verified.Entries() {
		out.Entries = append(out.Entries, hallmark.LogEntry{Origin: e.Origin, Index: e.LogIndex})
	}
	return out, nil
}
