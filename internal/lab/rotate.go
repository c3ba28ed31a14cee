// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"path/filepath"

	"hallmark/internal/edge/daemon"
	"hallmark/internal/format/bundle"
	"hallmark/internal/format/digest"
	"hallmark/internal/judge/verify"
	"hallmark/internal/service/trust"
)

// OfflineKeys is the folder of the authority's offline keys.
func (l *Lab) OfflineKeys() string { return filepath.Join(l.Data, "offline") }

// Rotate stops the authority, rotates as an operator would, and starts it
// again. Data and OfflineKeys are the authority's unless given.
func (l *Lab) Rotate(r daemon.Rotation) *daemon.Rotated {
	l.t.Helper()
	l.Stop()
	done, err := l.TryRotate(r)
	if err != nil {
		l.t.Fatalf("rotate %s: %v", r.Kind, err)
	}
	l.Start()
	return done
}

// TryRotate is the command alone, whose error may be what a test wants.
func (l *Lab) TryRotate(r daemon.Rotation) (*daemon.Rotated, error) {
	if r.Data == "" {
		r.Data = l.Data
	}
	if r.OfflineKeys == nil {
		r.OfflineKeys = []string{l.OfflineKeys()}
	}
	return daemon.Rotate(l.t.Context(), r, l.Clock.Now)
}

// Client is somebody who trusts the authority and keeps that trust on disk.
type Client struct {
	lab   *Lab
	store *trust.Store
}

// Client is a new client, who pins the latest root.
func (l *Lab) Client() *Client {
	l.t.Helper()
	c := &Client{l, trust.New(l.t.TempDir(), trust.Deps{Now: l.Clock.Now})}
	if _, err := c.store.Init(l.t.Context(), trust.InitOptions{Name: "lab", URL: l.URL(), RootSHA256: l.Daemon.RootSHA256()}); err != nil {
		l.t.Fatalf("trust: %v", err)
	}
	return c
}

// Active is the client's copy of the trust root, as it was last refreshed.
func (c *Client) Active() *trust.Active {
	c.lab.t.Helper()
	active, err := c.store.Load("lab")
	if err != nil {
		c.lab.t.Fatalf("trust: %v", err)
	}
	return active
}

// Refresh asks the authority for changes.
func (c *Client) Refresh() {
	c.lab.t.Helper()
	if _, err := c.store.Refresh(c.lab.t.Context(), "lab"); err != nil {
		c.lab.t.Fatalf("trust: %v", err)
	}
}

// Verify judges a bundle over content as the client's trust root stands.
func (c *Client) Verify(b *bundle.Bundle, content []byte) (*verify.Verified, error) {
	c.lab.t.Helper()
	policy := verify.DefaultPolicy()
	policy.AnyIdentityUnsafe = true
	return verify.Check(b, verify.Artifact{Digests: []digest.Digest{digest.Of(digest.SHA256, content)}}, c.Active().Root, policy)
}
