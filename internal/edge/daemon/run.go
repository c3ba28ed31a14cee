// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"hallmark/internal/base/localsock"
)

const (
	shutdownGrace = 15 * time.Second
	tufInterval   = 10 * time.Minute // how often expiries are looked at
)

// Run answers requests until ctx ends, then stops taking new ones, finishes
// those under way within a grace period, and closes the daemon.
func (d *Daemon) Run(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	servers := map[net.Listener]*http.Server{d.listener: d.server(d.handler)}
	for l, h := range d.local {
		servers[l] = d.server(h)
	}
	for l, s := range servers {
		go func() {
			if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				stop(err) // a dead listener ends the daemon rather than leaving half of it
			}
		}()
	}
	go d.keepTUFFresh(ctx)

	<-ctx.Done()
	cause := context.Cause(ctx)
	d.deps.Log.Info("shutting down")
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
	defer cancel()
	var errs []error
	if !errors.Is(cause, context.Canceled) {
		errs = append(errs, cause)
	}
	for _, s := range servers {
		errs = append(errs, s.Shutdown(grace))
	}
	return errors.Join(append(errs, d.Close(grace))...)
}

func (d *Daemon) server(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       60 * time.Second,
		WriteTimeout:      120 * time.Second,
		IdleTimeout:       120 * time.Second,
		MaxHeaderBytes:    128 << 10, // an id_token of 64 KiB must fit
		ErrorLog:          slog.NewLogLogger(d.deps.Log.Handler(), slog.LevelDebug),
	}
}

// listenLocally opens what only this machine may reach.
func (d *Daemon) listenLocally() error {
	d.local = map[net.Listener]http.Handler{}
	admin, err := localsock.Listen(d.layout.adminSocket())
	if err != nil {
		return err
	}
	d.local[admin] = d.admin
	if d.dev != nil {
		dev, err := localsock.Listen(d.layout.devSocket())
		if err != nil {
			return err
		}
		d.local[dev] = d.dev.SocketHandler()
	}
	if d.cfg.AdminListen != "" {
		l, err := net.Listen("tcp", d.cfg.AdminListen)
		if err != nil {
			return fmt.Errorf("--admin-listen %s: %w", d.cfg.AdminListen, err)
		}
		d.local[l] = d.admin
	}
	return nil
}

// keepTUFFresh re-signs what is near its expiry. A failure leaves the last
// good metadata in place and is tried again.
func (d *Daemon) keepTUFFresh(ctx context.Context) {
	tick := time.NewTicker(tufInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := d.refreshTUF(); err != nil {
				d.deps.Log.Error("TUF metadata could not be re-signed", slog.Any("error", err))
			}
		}
	}
}
