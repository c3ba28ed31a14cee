// SPDX-License-Identifier: Apache-2.0

// Package daemon assembles the authority: it is the only place where the
// services that make evidence are put together, for serve, for the demo and
// for tests alike.
//
// Invariants: one process owns a data folder, by a lock held from [New] to
// [Daemon.Close]; nothing in the offline folder is ever opened; a listener
// that other machines can reach speaks TLS or stands behind a proxy that does;
// the development issuer exists on loopback only.
package daemon

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"hallmark/internal/base/durable"
	"hallmark/internal/base/obs"
	"hallmark/internal/service/ca"
	"hallmark/internal/service/ctlog"
	"hallmark/internal/service/devissuer"
	"hallmark/internal/service/oidc"
	"hallmark/internal/service/translog"
	"hallmark/internal/service/tsa"
	"hallmark/internal/service/tufrepo"
)

// Deps is what a daemon takes from its surroundings. The zero Deps is the real
// world with a silent log.
type Deps struct {
	Log       *slog.Logger                      // nil discards
	Now       func() time.Time                  // nil is time.Now
	FreeBytes func(path string) (uint64, error) // nil is durable.FreeBytes
	Listener  net.Listener                      // nil listens on Config.Listen
}

// Daemon is a running authority. Its methods are safe for concurrent use.
type Daemon struct {
	cfg      Config
	deps     Deps
	layout   layout
	manifest *manifest
	lock     *durable.FileLock
	listener net.Listener
	metrics  *obs.Metrics
	handler  http.Handler
	admin    http.Handler
	local    map[net.Listener]http.Handler // sockets and the admin listener

	ca   *turns[*ca.CA]
	ct   *turns[*ctlog.Log]
	logs *turns[*translog.Log]
	tsa  *turns[*tsa.Authority]
	tuf  *tufrepo.Repo
	oidc *oidc.Authenticator
	dev  *devissuer.Issuer // nil unless configured
}

// New opens the data folder, making the instance on the first start, and
// starts every service; requests are answered once [Daemon.Run] is called. The
// caller must call [Daemon.Close].
func New(ctx context.Context, cfg Config, deps Deps) (_ *Daemon, err error) {
	deps.fill()
	if cfg.Listen == "" {
		cfg.Listen = DefaultListen
		if deps.Listener != nil {
			cfg.Listen = deps.Listener.Addr().String()
		}
	}
	if err := cfg.check(); err != nil {
		return nil, err
	}
	d := &Daemon{cfg: cfg, deps: deps, layout: layout{cfg.Data}, listener: deps.Listener, metrics: obs.New()}
	defer func() {
		if err != nil {
			d.Close(context.WithoutCancel(ctx))
		}
	}()
	if err := d.lockData(); err != nil {
		return nil, err
	}
	if d.listener == nil {
		if d.listener, err = d.listen(); err != nil {
			return nil, err
		}
	}
	if d.manifest, err = ensureInstance(d.layout, &cfg, d.listener.Addr(), deps.Now()); err != nil {
		return nil, err
	}
	if err := d.open(ctx); err != nil {
		return nil, err
	}
	d.handler = d.routes()
	d.admin = d.adminRoutes()
	return d, d.listenLocally()
}

func (d *Deps) fill() {
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.FreeBytes == nil {
		d.FreeBytes = durable.FreeBytes
	}
}

// lockData makes the data folder private and this process its only owner.
func (d *Daemon) lockData() error {
	if err := durable.MkdirAll(d.layout.root, 0o700); err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	lock, err := lockFolder(d.layout)
	if errors.Is(err, durable.ErrLocked) {
		return fmt.Errorf("data folder %s is in use by another hallmarkd: stop it, or name another folder with --data", d.layout.root)
	}
	d.lock = lock
	return err
}

// lockFolder takes the lock of a data folder that others cannot look into.
func lockFolder(l layout) (*durable.FileLock, error) {
	fi, err := os.Stat(l.root)
	if err != nil {
		return nil, err
	}
	if fi.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("data folder %s has mode %04o, so others can look into it: run chmod 700 %s", l.root, fi.Mode().Perm(), l.root)
	}
	lock, err := durable.TryLock(l.lock())
	if err != nil {
		return nil, fmt.Errorf("data folder %s: %w", l.root, err)
	}
	return lock, nil
}

func (d *Daemon) listen() (net.Listener, error) {
	l, err := net.Listen("tcp", d.cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("--listen %s: %w", d.cfg.Listen, err)
	}
	if d.cfg.TLSCert == "" {
		return l, nil
	}
	cert, err := tls.LoadX509KeyPair(d.cfg.TLSCert, d.cfg.TLSKey)
	if err != nil {
		l.Close()
		return nil, fmt.Errorf("--tls-cert %s, --tls-key %s: %w", d.cfg.TLSCert, d.cfg.TLSKey, err)
	}
	return tls.NewListener(l, &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}, Certificates: []tls.Certificate{cert},
	}), nil
}

// URL is the external URL, without a trailing slash.
func (d *Daemon) URL() string { return d.manifest.ExternalURL }

// Development says whether this instance was made for development.
func (d *Daemon) Development() bool { return d.manifest.Development }

// RootSHA256 is the hex SHA-256 of the TUF root that clients pin.
func (d *Daemon) RootSHA256() string { return d.tuf.RootSHA256() }

// DevSocketIn is the path of the socket that mints development tokens for the
// instance in the given data folder.
func DevSocketIn(data string) string { return layout{data}.devSocket() }

// OfflineKeys is the folder of keys that should be taken off this machine, ""
// once they have been.
func (d *Daemon) OfflineKeys() string {
	if ok, _ := exists(d.layout.offline()); !ok {
		return ""
	}
	path, err := filepath.Abs(d.layout.offline())
	if err != nil {
		return d.layout.offline()
	}
	return path
}

// Handler answers everything the one listener serves.
func (d *Daemon) Handler() http.Handler { return d.handler }

// Close stops the services and gives the data folder back. It may be called
// after a failed New and more than once.
func (d *Daemon) Close(ctx context.Context) error {
	var errs []error
	closeListener := func(l net.Listener) {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if d.listener != nil {
		closeListener(d.listener)
	}
	for l := range d.local {
		closeListener(l)
	}
	if d.logs != nil {
		for _, l := range d.logs.list {
			errs = append(errs, l.serving.Close(ctx))
		}
		d.logs = nil
	}
	if d.ct != nil {
		for _, l := range d.ct.list {
			errs = append(errs, l.serving.Close(ctx))
		}
		d.ct = nil
	}
	if d.lock != nil {
		errs = append(errs, d.lock.Unlock())
		d.lock = nil
	}
	return errors.Join(errs...)
}
