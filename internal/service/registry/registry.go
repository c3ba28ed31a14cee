// SPDX-License-Identifier: Apache-2.0

// Package registry finds signatures and attestations in OCI registries, and
// stores Sigstore bundles there.
//
// It speaks the OCI distribution protocol
// (https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md):
// the referrers API and, beside it, the referrers tag scheme. Bundles are kept
// in the shape of cosign's bundle specification
// (https://github.com/sigstore/cosign/blob/main/specs/BUNDLE_SPEC.md). What
// cosign stored before there were bundles is found too, under tags and in its
// experimental OCI 1.1 form
// (https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md), but
// not written.
//
// What it returns are [Candidate] values: bytes that were found, about which
// nothing has been decided. Only a verifier can say that they mean anything.
//
// Invariants:
//   - Content is addressed by digest and every byte is hashed before use; a
//     registry that answers with other bytes is refused.
//   - Every answer is capped in size, and a peer that sends nothing is given up.
//   - Plain HTTP goes to loopback hosts only, unless [Options.AllowInsecure].
//     Credentials never go over plain HTTP to another machine, allowed or not.
//   - TLS certificates are always verified.
//   - Credentials go to the registry they belong to and to its own token
//     service; see [Options.AuthHosts].
//   - A failure is never an empty answer: "nothing there" and "could not look"
//     are different errors ([ErrNotFound], [ErrUnauthorized], [ErrUnreachable]).
package registry

import (
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"hallmark/internal/format/digest"
)

// Limits on what is read from a registry.
const (
	MaxManifest   = 4 << 20   // bytes of one manifest or one page of referrers
	MaxBundle     = 32 << 20  // bytes of one bundle
	MaxTotal      = 256 << 20 // bytes of all evidence of one search
	MaxCandidates = 1000      // signatures and attestations of one subject
	maxReferrers  = 10_000    // referrers of any type of one subject
	maxPages      = 100       // pages of the referrers API
)

// Defaults of [Options].
const (
	DefaultTimeout = 30 * time.Second
	DefaultRetries = 3
	parallel       = 64        // manifests and blobs of candidates fetched at a time
	usualManifest  = 256 << 10 // bytes of a manifest that need not be announced
)

// Credentials are given explicitly, for every registry the client talks to.
// Either Bearer or Username and Password is set.
type Credentials struct {
	Username string
	Password string
	Bearer   string // a registry token, sent as it is
}

// String hides the secrets.
func (c Credentials) String() string { return "[registry credentials]" }

// GoString hides the secrets.
func (c Credentials) GoString() string { return c.String() }

// LogValue hides the secrets.
func (c Credentials) LogValue() slog.Value { return slog.StringValue(c.String()) }

// MarshalText hides the secrets.
func (c Credentials) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

func (c Credentials) authenticator() (authn.Authenticator, error) {
	switch {
	case c == Credentials{}:
		return nil, nil
	case c.Bearer != "" && (c.Username != "" || c.Password != ""):
		return nil, fmt.Errorf("registry credentials: give a token or a user name and password, not both")
	case c.Bearer != "":
		return &authn.Bearer{Token: c.Bearer}, nil
	case c.Username == "" || c.Password == "":
		return nil, fmt.Errorf("registry credentials: user name and password go together, one of them is empty")
	}
	return &authn.Basic{Username: c.Username, Password: c.Password}, nil
}

// Options say how to reach registries. The zero value uses the credentials of
// the docker configuration and the system's certificate authorities.
type Options struct {
	// Keychain finds credentials; nil is docker's configuration and credential helpers.
	Keychain authn.Keychain
	// Credentials take precedence over Keychain unless zero.
	Credentials Credentials
	// EvidenceRepository, REGISTRY/REPOSITORY, is where the evidence of all
	// images is found and stored; "" is each image's own repository.
	EvidenceRepository string
	// AllowInsecure allows plain HTTP to hosts that are not loopback. It never
	// allows credentials on such a connection, nor unverified TLS.
	AllowInsecure bool
	// AuthHosts are further hosts ("host" or "host:port") that may receive a
	// registry's credentials. A registry names its token service itself (the
	// realm of its challenge); the token flow needs the credentials to go there.
	// Without an entry here they go only to the registry's own host, its parent
	// domain, or a sibling under the same parent (registry.example.com and
	// auth.example.com), and always over TLS unless it is loopback.
	AuthHosts []string
	// RootCAs verify registries; nil is the system's.
	RootCAs *x509.CertPool
	// Timeout is how long a peer may send nothing; 0 is [DefaultTimeout]. The
	// whole exchange is bounded by the caller's context.
	Timeout time.Duration
	// Retries are further tries on 429, 5xx and broken connections; 0 is
	// [DefaultRetries], negative is none. Retry-After is honoured.
	Retries int
	// UserAgent is sent with every request; "" is "hallmark".
	UserAgent string
	// Transport replaces the network below the rules; for tests.
	Transport http.RoundTripper
}

// Client talks to registries under its [Options]. It is safe for concurrent
// use and keeps connections and registry tokens for its lifetime.
type Client struct {
	opts     Options
	evidence *name.Repository    // nil: each image's own
	explicit authn.Authenticator // nil: the keychain decides
	base     http.RoundTripper
	delay    time.Duration // first pause between tries
	settle   time.Duration // shortest pause before an index write counts as kept

	mu       sync.Mutex
	sessions map[sessionKey]*session // guarded by mu
	tagLocks map[string]*sync.Mutex  // guarded by mu; one per fallback tag written by this client
	now      func() time.Time
}

type sessionKey struct {
	repo string
	push bool
}

// New makes a Client.
func New(opts Options) (*Client, error) {
	explicit, err := opts.Credentials.authenticator()
	if err != nil {
		return nil, err
	}
	if opts.Keychain == nil {
		opts.Keychain = authn.DefaultKeychain
	}
	if opts.Timeout <= 0 {
		opts.Timeout = DefaultTimeout
	}
	switch {
	case opts.Retries == 0:
		opts.Retries = DefaultRetries
	case opts.Retries < 0:
		opts.Retries = 0
	}
	if opts.UserAgent == "" {
		opts.UserAgent = "hallmark"
	}
	var evidence *name.Repository
	if opts.EvidenceRepository != "" {
		repo, err := name.NewRepository(opts.EvidenceRepository, opts.naming()...)
		if err != nil {
			return nil, fmt.Errorf("evidence repository %.200q: expected REGISTRY/REPOSITORY: %w", opts.EvidenceRepository, err)
		}
		evidence = &repo
	}
	base := opts.Transport
	if base == nil {
		base = network(opts.RootCAs)
	}
	return &Client{
		opts:     opts,
		evidence: evidence,
		explicit: explicit,
		base:     base,
		delay:    250 * time.Millisecond,
		settle:   150 * time.Millisecond,
		sessions: map[sessionKey]*session{},
		tagLocks: map[string]*sync.Mutex{},
		now:      time.Now,
	}, nil
}

// naming is how references are read.
func (o Options) naming() []name.Option {
	if o.AllowInsecure {
		return []name.Option{name.Insecure}
	}
	return nil
}

// home is the repository with the evidence of what is in repo.
func (c *Client) home(repo name.Repository) name.Repository {
	if c.evidence != nil {
		return *c.evidence
	}
	return repo
}

// session is an authenticated way into one repository.
type session struct {
	client *Client
	repo   name.Repository
	auth   http.RoundTripper // *transport.Wrapper over a guard
	http   *http.Client
}

// open authenticates to repo's registry, once per repository and access.
func (c *Client) open(ctx context.Context, repo name.Repository, push bool) (*session, error) {
	key := sessionKey{repo.Name(), push}
	c.mu.Lock()
	s := c.sessions[key]
	c.mu.Unlock()
	if s != nil {
		return s, nil
	}
	auth := c.explicit
	if auth == nil {
		var err error
		if auth, err = authn.Resolve(ctx, c.opts.Keychain, repo); err != nil {
			return nil, &Error{Kind: ErrUnauthorized, Registry: repo.RegistryStr(), What: "read its credentials from the docker configuration",
				Hint: "log in again with `docker login " + repo.RegistryStr() + "`", Err: err}
		}
	}
	scope := transport.PullScope
	if push {
		scope = transport.PushScope
	}
	g := &guard{
		next:      c.base,
		opts:      c.opts,
		registry:  repo.RegistryStr(),
		anonymous: auth == authn.Anonymous,
		delay:     c.delay,
	}
	tr, err := transport.NewWithContext(ctx, repo.Registry, auth, g, []string{repo.Scope(scope)})
	if err != nil {
		return nil, c.explain(repo, "start a session", err)
	}
	s = &session{client: c, repo: repo, auth: tr, http: &http.Client{Transport: tr, CheckRedirect: checkRedirect}}
	c.mu.Lock()
	defer c.mu.Unlock()
	if first := c.sessions[key]; first != nil {
		return first, nil
	}
	c.sessions[key] = s
	return s, nil
}

// Image is one manifest or index in a registry.
type Image struct {
	Ref       name.Digest   // registry, repository and digest
	Digest    digest.Digest // always SHA-256
	MediaType string        // of the manifest
	Size      int64         // bytes of the manifest
	WasTag    bool          // the reference named a tag, which may mean something else tomorrow
	Asked     string        // the reference as it was given
}
