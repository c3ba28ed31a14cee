// SPDX-License-Identifier: Apache-2.0

package ca

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"hallmark/internal/format/certext"
	"hallmark/internal/format/pubkey"
	"hallmark/internal/format/trustroot"
)

// start is the moment at which the tests' authorities are made.
var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const issuerURL = "https://issuer.example"

// alice is the principal of the token "alice".
func alice() certext.Principal {
	return certext.Principal{
		Challenge: "alice@example.com",
		SAN:       certext.SAN{Kind: certext.Email, Value: "alice@example.com"},
		Extensions: certext.Extensions{
			Issuer: issuerURL, IssuerV2: issuerURL, TokenSubject: "user-1",
		},
	}
}

// workflow is a principal that sets every extension.
func workflow() certext.Principal {
	return certext.Principal{
		Challenge: "repo:acme/tool:ref:refs/heads/main",
		SAN:       certext.SAN{Kind: certext.URI, Value: "https://github.com/acme/tool/.github/workflows/release.yml@refs/heads/main"},
		Extensions: certext.Extensions{
			Issuer:                          "https://token.actions.githubusercontent.com",
			GitHubTrigger:                   "push",
			GitHubSHA:                       "0123456789abcdef0123456789abcdef01234567",
			GitHubWorkflowName:              "Release ✨",
			GitHubRepository:                "acme/tool",
			GitHubRef:                       "refs/heads/main",
			IssuerV2:                        "https://token.actions.githubusercontent.com",
			BuildSignerURI:                  "https://github.com/acme/tool/.github/workflows/release.yml@refs/heads/main",
			BuildSignerDigest:               "0123456789abcdef0123456789abcdef01234567",
			RunnerEnvironment:               "github-hosted",
			SourceRepositoryURI:             "https://github.com/acme/tool",
			SourceRepositoryDigest:          "0123456789abcdef0123456789abcdef01234567",
			SourceRepositoryRef:             "refs/heads/main",
			SourceRepositoryIdentifier:      "1001",
			SourceRepositoryOwnerURI:        "https://github.com/acme",
			SourceRepositoryOwnerIdentifier: "2002",
			BuildConfigURI:                  "https://github.com/acme/tool/.github/workflows/release.yml@refs/heads/main",
			BuildConfigDigest:               "0123456789abcdef0123456789abcdef01234567",
			BuildTrigger:                    "push",
			RunInvocationURI:                "https://github.com/acme/tool/actions/runs/3003/attempts/1",
			SourceRepositoryVisibility:      "public",
			DeploymentEnvironment:           "production",
			TokenSubject:                    "repo:acme/tool:ref:refs/heads/main",
		},
	}
}

// fakeAuth knows tokens by heart.
type fakeAuth struct {
	principals map[string]certext.Principal
	errors     map[string]error
	issuers    []certext.IssuerInfo
}

var _ Authenticator = (*fakeAuth)(nil)

func (a *fakeAuth) Authenticate(_ context.Context, token string) (certext.Principal, error) {
	if p, ok := a.principals[token]; ok {
		return p, nil
	}
	if err, ok := a.errors[token]; ok {
		return certext.Principal{}, err
	}
	return certext.Principal{}, &tokenError{text: "identity token: malformed"}
}

func (a *fakeAuth) Issuers() []certext.IssuerInfo { return a.issuers }

// tokenError refuses as an identity service does.
type tokenError struct {
	text      string
	temporary bool
}

var _ TokenError = (*tokenError)(nil)

func (e *tokenError) Error() string    { return e.text }
func (e *tokenError) Category() string { return "test" }
func (e *tokenError) Temporary() bool  { return e.temporary }

// fakeCT signs SCTs with a real key and keeps what it was given.
type fakeCT struct {
	key    crypto.Signer
	id     [32]byte
	refuse error                // returned instead of an SCT
	bend   func(s *certext.SCT) // changes the SCT after it is signed
	hang   bool                 // waits for the context to end
	inside func()               // called while a submission is under way

	mu  sync.Mutex
	got []certext.Precert // guarded by mu
}

var _ CTLog = (*fakeCT)(nil)

func newFakeCT(t testing.TB) *fakeCT {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id, err := pubkey.KeyID(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return &fakeCT{key: key, id: id}
}

func (f *fakeCT) AddPrecert(ctx context.Context, p certext.Precert) (certext.SCT, error) {
	f.mu.Lock()
	f.got = append(f.got, p)
	index := len(f.got)
	f.mu.Unlock()
	if f.inside != nil {
		f.inside()
	}
	if f.hang {
		<-ctx.Done()
		return certext.SCT{}, ctx.Err()
	}
	if f.refuse != nil {
		return certext.SCT{}, f.refuse
	}
	sct := certext.SCT{
		LogID: f.id, Timestamp: uint64(start.UnixMilli()),
		Extensions: []byte{0, 0, 5, 0, 0, 0, 0, byte(index)},
		HashAlg:    certext.HashSHA256, SigAlg: certext.SigECDSA,
	}
	sum := sha256.Sum256(certext.SCTSignedData(sct.Timestamp, sct.Extensions, p.IssuerKeyHash, p.TBS))
	var err error
	sct.Signature, err = f.key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if f.bend != nil {
		f.bend(&sct)
	}
	return sct, err
}

func (f *fakeCT) submissions() []certext.Precert {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]certext.Precert(nil), f.got...)
}

// A lab is one CA with everything around it.
type lab struct {
	ca   *CA
	made *NewAuthority
	auth *fakeAuth
	ct   *fakeCT
	log  *lockedBuffer
	now  time.Time
}

// lockedBuffer is a log that many goroutines write to.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func mustChain(t testing.TB) *NewAuthority {
	t.Helper()
	made, err := NewChain(ChainConfig{Organization: "Acme", CommonName: "Acme signing"}, start)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// newLab makes a CA; change may turn its configuration and parts.
func newLab(t testing.TB, change func(*lab, *Config, *Deps)) *lab {
	t.Helper()
	l := &lab{made: mustChain(t), ct: newFakeCT(t), log: new(lockedBuffer), now: start.Add(time.Hour)}
	l.auth = &fakeAuth{
		principals: map[string]certext.Principal{"alice": alice(), "workflow": workflow()},
		errors:     map[string]error{},
		issuers: []certext.IssuerInfo{
			{IssuerURL: issuerURL, Audience: "acme", ChallengeClaim: "email", IssuerType: "email"},
			{WildcardIssuerURL: "https://oidc.*.example", Audience: "acme", ChallengeClaim: "sub", IssuerType: "spiffe", SPIFFETrustDomain: "td.example"},
		},
	}
	cfg := Config{}
	deps := Deps{
		Chain: l.made.Chain, Key: l.made.Key, Auth: l.auth, CT: l.ct,
		Now: func() time.Time { return l.now },
		Log: slog.New(slog.NewTextHandler(l.log, nil)),
	}
	if change != nil {
		change(l, &cfg, &deps)
	}
	var err error
	if l.ca, err = New(cfg, deps); err != nil {
		t.Fatal(err)
	}
	return l
}

func TestNewChain(t *testing.T) {
	made := mustChain(t)
	intermediate, root := made.Chain[0], made.Chain[1]
	if root.MaxPathLen != 1 || !root.IsCA || len(root.ExtKeyUsage) != 0 || root.KeyUsage != x509.KeyUsageCertSign|x509.KeyUsageCRLSign {
		t.Errorf("root: path length %d, CA %t, EKU %v, KU %b", root.MaxPathLen, root.IsCA, root.ExtKeyUsage, root.KeyUsage)
	}
	if intermediate.MaxPathLen != 0 || !intermediate.MaxPathLenZero || !intermediate.IsCA || intermediate.KeyUsage != root.KeyUsage ||
		len(intermediate.ExtKeyUsage) != 1 || intermediate.ExtKeyUsage[0] != x509.ExtKeyUsageCodeSigning {
		t.Errorf("intermediate: path length %d, CA %t, EKU %v, KU %b", intermediate.MaxPathLen, intermediate.IsCA, intermediate.ExtKeyUsage, intermediate.KeyUsage)
	}
	if !bytes.Equal(intermediate.AuthorityKeyId, root.SubjectKeyId) || len(root.SubjectKeyId) != 20 || len(intermediate.SubjectKeyId) != 20 {
		t.Error("key identifiers do not link the two certificates")
	}
	if got := root.NotAfter.Sub(root.NotBefore); !root.NotBefore.Equal(start) || got != 3650*24*time.Hour {
		t.Errorf("root valid from %s for %s", root.NotBefore, got)
	}
	if got := intermediate.NotAfter.Sub(intermediate.NotBefore); got != 1825*24*time.Hour {
		t.Errorf("intermediate valid for %s", got)
	}
	for _, cert := range made.Chain {
		if cert.SerialNumber.Sign() <= 0 || cert.SerialNumber.BitLen() > 159 || cert.SerialNumber.BitLen() < 100 {
			t.Errorf("%s: serial number %x", cert.Subject, cert.SerialNumber)
		}
		for _, e := range cert.Extensions {
			if (e.Id.Equal(oidKeyUsage) || e.Id.String() == "2.5.29.19") && !e.Critical {
				t.Errorf("%s: extension %s is not critical", cert.Subject, e.Id)
			}
		}
	}
	if err := matchKey(root, made.RootKey); err != nil {
		t.Error(err)
	}
}

func TestNewChainRefuses(t *testing.T) {
	for name, cfg := range map[string]ChainConfig{
		"no organization":           {CommonName: "x"},
		"no common name":            {Organization: "x"},
		"intermediate outlives":     {Organization: "x", CommonName: "x", RootLifetime: time.Hour, IntermediateLifetime: 2 * time.Hour},
		"negative intermediate":     {Organization: "x", CommonName: "x", IntermediateLifetime: -time.Hour},
		"negative root, no default": {Organization: "x", CommonName: "x", RootLifetime: -time.Hour},
	} {
		if _, err := NewChain(cfg, start); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	other := mustChain(t)
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	// reissue makes the intermediate again, with a change.
	reissue := func(l *lab, pub crypto.PublicKey, change func(*x509.Certificate)) *x509.Certificate {
		spki, err := x509.MarshalPKIXPublicKey(pub)
		if err != nil {
			t.Fatal(err)
		}
		ski, err := subjectKeyID(spki)
		if err != nil {
			t.Fatal(err)
		}
		c := *l.made.Chain[0]
		c.SubjectKeyId = ski
		change(&c)
		der, err := x509.CreateCertificate(rand.Reader, &c, l.made.Chain[1], pub, l.made.RootKey)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return cert
	}
	swap := func(change func(*x509.Certificate)) func(*lab, *Config, *Deps) {
		return func(l *lab, _ *Config, d *Deps) {
			d.Chain = []*x509.Certificate{reissue(l, l.made.Key.Public(), change), l.made.Chain[1]}
		}
	}
	for name, tc := range map[string]struct {
		change func(*lab, *Config, *Deps)
		want   string
	}{
		"no chain":       {func(_ *lab, _ *Config, d *Deps) { d.Chain = nil }, "0 certificates"},
		"root alone":     {func(_ *lab, _ *Config, d *Deps) { d.Chain = d.Chain[1:] }, "1 certificates"},
		"chain too long": {func(_ *lab, _ *Config, d *Deps) { r := d.Chain[1]; d.Chain = append(d.Chain, r, r, r, r) }, "6 certificates"},
		"root first":     {func(_ *lab, _ *Config, d *Deps) { d.Chain = []*x509.Certificate{d.Chain[1], d.Chain[0]} }, "lacks codeSigning"},
		"another root":   {func(_ *lab, _ *Config, d *Deps) { d.Chain = []*x509.Certificate{d.Chain[0], other.Chain[1]} }, "does not lead from"},
		"no root":        {func(_ *lab, _ *Config, d *Deps) { d.Chain = []*x509.Certificate{d.Chain[0], d.Chain[0]} }, "not a self-signed root"},
		"a stranger inside": {func(_ *lab, _ *Config, d *Deps) {
			d.Chain = []*x509.Certificate{d.Chain[0], other.Chain[0], d.Chain[1]}
		}, "not in order"},
		"no key":          {func(_ *lab, _ *Config, d *Deps) { d.Key = nil }, "key is missing"},
		"another key":     {func(_ *lab, _ *Config, d *Deps) { d.Key = other.Key }, "does not belong to the issuing certificate"},
		"no code signing": {swap(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), "lacks codeSigning"},
		"no EKU at all":   {swap(func(c *x509.Certificate) { c.ExtKeyUsage = nil }), "lacks codeSigning"},
		"not a CA": {swap(func(c *x509.Certificate) {
			c.IsCA, c.MaxPathLenZero = false, false
			c.MaxPathLen = 0
		}), "not a CA certificate"},
		"no certSign": {swap(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign }), "lacks certSign"},
		"weak curve": {func(l *lab, _ *Config, d *Deps) {
			d.Key = p224
			d.Chain = []*x509.Certificate{reissue(l, p224.Public(), func(*x509.Certificate) {}), d.Chain[1]}
		}, "P-224"},
		"lifetime too long":  {func(_ *lab, c *Config, _ *Deps) { c.Lifetime = 11 * time.Minute }, "lifetime 11m"},
		"lifetime too short": {func(_ *lab, c *Config, _ *Deps) { c.Lifetime = time.Second }, "lifetime 1s"},
		"lifetime fraction":  {func(_ *lab, c *Config, _ *Deps) { c.Lifetime = time.Minute + time.Millisecond }, "whole seconds"},
		"negative timeout":   {func(_ *lab, c *Config, _ *Deps) { c.CTTimeout = -1 }, "negative"},
		"no authenticator":   {func(_ *lab, _ *Config, d *Deps) { d.Auth = nil }, "must all be set"},
		"no CT log":          {func(_ *lab, _ *Config, d *Deps) { d.CT = nil }, "must all be set"},
		"no clock":           {func(_ *lab, _ *Config, d *Deps) { d.Now = nil }, "must all be set"},
		"no log":             {func(_ *lab, _ *Config, d *Deps) { d.Log = nil }, "must all be set"},
	} {
		t.Run(name, func(t *testing.T) {
			var cfg Config
			var deps Deps
			newLab(t, func(l *lab, c *Config, d *Deps) {
				cfg, deps = *c, *d
				tc.change(l, &cfg, &deps)
			})
			if _, err := New(cfg, deps); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("error %v, want %q", err, tc.want)
			}
		})
	}
}

// TestOutsideTheChain shows that a chain which does not hold now stops issuing,
// not starting.
func TestOutsideTheChain(t *testing.T) {
	for name, change := range map[string]func(*lab, *Config, *Deps){
		"before":              func(l *lab, _ *Config, _ *Deps) { l.now = start.Add(-time.Second) },
		"after":               func(l *lab, _ *Config, _ *Deps) { l.now = l.made.Chain[0].NotAfter.Add(-time.Minute) },
		"window over":         func(l *lab, _ *Config, d *Deps) { d.Window = trustroot.Window{End: l.now.Add(time.Minute)} },
		"window not yet open": func(l *lab, _ *Config, d *Deps) { d.Window = trustroot.Window{Start: l.now.Add(time.Minute)} },
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, change)
			if !strings.Contains(l.log.String(), "not valid now") {
				t.Errorf("no warning at start: %s", l.log)
			}
			_, err := l.ca.issue(t.Context(), alice(), l.ct.key.Public())
			var r *refusal
			if !errors.As(err, &r) || r.category != expiredCA || !strings.Contains(err.Error(), "rotate") {
				t.Fatalf("error %v", err)
			}
			if len(l.ct.submissions()) != 0 {
				t.Error("the CT log was asked")
			}
		})
	}
}
