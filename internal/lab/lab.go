// SPDX-License-Identifier: Apache-2.0

// Package lab is the whole stack in one process, for tests: the daemon's own
// assembly on a loopback port and a temporary folder, with an identity issuer,
// registries, a clock and a disk that can be made to misbehave.
//
// Invariants: everything is what serve runs, put together by daemon.New; only
// what surrounds it is false. Tests alone may import this package.
package lab

import (
	"context"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"hallmark/internal/base/durable"
	"hallmark/internal/edge/daemon"
	"hallmark/internal/format/digest"
	"hallmark/internal/service/devissuer"
	"hallmark/internal/service/oidc"
	"hallmark/internal/service/sign"
	"hallmark/internal/service/token"
	"hallmark/internal/service/trust"
)

// Lab is a running stack. Its methods fail the test rather than return errors.
type Lab struct {
	t      testing.TB
	cfg    daemon.Config
	stop   func() error
	Daemon *daemon.Daemon
	Issuer *Issuer // an OIDC issuer of type email that the authority accepts
	Clock  *Clock
	Disk   *Disk
	Data   string // the authority's data folder
}

// New starts a development instance with one outside issuer. change, which may
// be nil, edits its configuration first. Everything stops with the test.
func New(t testing.TB, change func(*daemon.Config)) *Lab {
	t.Helper()
	l := &Lab{t: t, Issuer: NewIssuer(t), Clock: &Clock{}, Disk: &Disk{}, Data: filepath.Join(t.TempDir(), "data")}
	l.cfg = daemon.Config{Listen: "127.0.0.1:0", Data: l.Data, DevIssuer: true}
	l.cfg.Identity.Issuers = map[string]oidc.IssuerConfig{l.Issuer.URL: {IssuerURL: l.Issuer.URL, Type: oidc.TypeEmail}}
	if change != nil {
		change(&l.cfg)
	}
	l.Start()
	t.Cleanup(l.Stop)
	return l
}

// Start runs the authority over its data folder. After a Stop it listens where
// it did before, as an operator's would.
func (l *Lab) Start() {
	l.t.Helper()
	d, err := daemon.New(l.t.Context(), l.cfg, daemon.Deps{Now: l.Clock.Now, FreeBytes: l.Disk.FreeBytes})
	if err != nil {
		l.t.Fatalf("daemon: %v", err)
	}
	l.Daemon = d
	l.cfg.Listen = strings.TrimPrefix(d.URL(), "http://")
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	l.stop = func() error { cancel(); return <-ended }
}

// Stop shuts the authority down gracefully. It may be called twice.
func (l *Lab) Stop() {
	l.t.Helper()
	if l.stop == nil {
		return
	}
	if err := l.stop(); err != nil {
		l.t.Errorf("daemon: %v", err)
	}
	l.stop = nil
}

// URL is where the authority answers.
func (l *Lab) URL() string { return l.Daemon.URL() }

// Fsck wants the stopped authority's data folder to be in order.
func (l *Lab) Fsck() {
	l.t.Helper()
	problems, err := daemon.Fsck(l.t.Context(), l.Data)
	if err != nil {
		l.t.Fatalf("fsck: %v", err)
	}
	for _, p := range problems {
		l.t.Errorf("fsck: %s", p)
	}
}

// Trust is the authority's trust root as a client gets it.
func (l *Lab) Trust() *trust.Active {
	l.t.Helper()
	store := trust.New(l.t.TempDir(), trust.Deps{Now: l.Clock.Now})
	if _, err := store.Init(l.t.Context(), trust.InitOptions{Name: "lab", URL: l.URL(), RootSHA256: l.Daemon.RootSHA256()}); err != nil {
		l.t.Fatalf("trust: %v", err)
	}
	active, err := store.Load("lab")
	if err != nil {
		l.t.Fatalf("trust: %v", err)
	}
	return active
}

// Token is an identity token of the development issuer.
func (l *Lab) Token(req devissuer.Request) token.Token {
	l.t.Helper()
	minted, err := devissuer.DialMint(l.t.Context(), daemon.DevSocketIn(l.Data), req)
	if err != nil {
		l.t.Fatalf("token: %v", err)
	}
	tok, err := token.New(minted.IDToken)
	if err != nil {
		l.t.Fatalf("token: %v", err)
	}
	return tok
}

// SignBlob signs content as the given person.
func (l *Lab) SignBlob(active *trust.Active, email string, content []byte) *sign.Result {
	l.t.Helper()
	signer, err := sign.New(sign.Config{Services: active.SigningConfig, Root: active.Root, Now: l.Clock.Now})
	if err != nil {
		l.t.Fatalf("sign: %v", err)
	}
	result, err := signer.SignBlob(l.t.Context(), l.Token(devissuer.Request{Email: email}), digest.Of(digest.SHA256, content))
	if err != nil {
		l.t.Fatalf("sign: %v", err)
	}
	return result
}

// Do sends a request to the authority and gives the whole answer.
func (l *Lab) Do(method, path, bearer, contentType, body string) (status int, answer string) {
	l.t.Helper()
	req, err := http.NewRequestWithContext(l.t.Context(), method, l.URL()+path, strings.NewReader(body))
	if err != nil {
		l.t.Fatal(err)
	}
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		l.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err != nil {
		l.t.Fatal(err)
	}
	return resp.StatusCode, string(data)
}

// Clock is the real time, moved. Safe for concurrent use; the zero Clock is
// right.
type Clock struct {
	mu    sync.Mutex
	moved time.Duration
}

// Now is the time on this clock.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.moved)
}

// Move sets the clock forward, or back.
func (c *Clock) Move(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.moved += by
}

// Disk is the real free space, unless told otherwise. Safe for concurrent use.
type Disk struct {
	mu   sync.Mutex
	free func() (uint64, error)
}

// FreeBytes answers like [durable.FreeBytes].
func (d *Disk) FreeBytes(path string) (uint64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.free != nil {
		return d.free()
	}
	return durable.FreeBytes(path)
}

// Fill leaves the given number of bytes.
func (d *Disk) Fill(left uint64) { d.set(func() (uint64, error) { return left, nil }) }

// Break makes every question about the disk fail.
func (d *Disk) Break() { d.set(func() (uint64, error) { return 0, errors.New("input/output error") }) }

// Mend gives the real disk back.
func (d *Disk) Mend() { d.set(nil) }

func (d *Disk) set(free func() (uint64, error)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.free = free
}
