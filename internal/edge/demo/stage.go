// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"

	"hallmark/internal/edge/daemon"
	"hallmark/internal/service/devissuer"
)

// stage is what the demo plays on.
type stage struct {
	out  io.Writer
	dir  string
	env  map[string]string
	step int

	authority    *daemon.Daemon
	registryHost string
	image        string // repository:tag as pushed
	digest       string // of that image
	blob, bundle string // a signed file and its bundle

	stops []func() error
}

// startStack runs the authority and a registry on free loopback ports.
func (d *stage) startStack(ctx context.Context) error {
	d.say("Start the authority and an image registry on this machine")
	start := time.Now()
	a, stop, err := d.startAuthority(ctx, "data")
	if err != nil {
		return err
	}
	d.authority = a
	d.stops = append(d.stops, stop)
	if err := d.startRegistry(); err != nil {
		return err
	}
	fmt.Fprintf(d.out, "   $ hallmarkd serve --dev-issuer --listen 127.0.0.1:0 --data %s\n", d.path("data"))
	d.done(start, "CA, CT log, transparency log, timestamp authority and TUF repository at %s; registry at %s", a.URL(), d.registryHost)
	return nil
}

// startAuthority runs a development instance in the named folder.
func (d *stage) startAuthority(ctx context.Context, name string) (*daemon.Daemon, func() error, error) {
	a, err := daemon.New(ctx, daemon.Config{Listen: "127.0.0.1:0", Data: d.path(name), DevIssuer: true}, daemon.Deps{})
	if err != nil {
		return nil, nil, err
	}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- a.Run(running) }()
	return a, func() error { cancel(); return <-ended }, nil
}

func (d *stage) startRegistry() error {
	blobs := d.path("registry")
	if err := os.Mkdir(blobs, 0o700); err != nil {
		return err
	}
	handler := registry.New(registry.WithBlobHandler(registry.NewDiskBlobHandler(blobs)), registry.WithReferrersSupport(true), registry.Logger(log.New(io.Discard, "", 0)))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	go s.Serve(l)
	d.registryHost = l.Addr().String()
	d.stops = append(d.stops, s.Close)
	return nil
}

// token is what a CI provider would give a workflow.
func (d *stage) token(ctx context.Context, data string, req devissuer.Request) (string, error) {
	minted, err := devissuer.DialMint(ctx, daemon.DevSocketIn(d.path(data)), req)
	return minted.IDToken, err
}

func (d *stage) path(elem ...string) string {
	return filepath.Join(append([]string{d.dir}, elem...)...)
}

// strike stops everything, and clears the files away unless they are to be kept.
func (d *stage) strike(keep bool) error {
	var errs []error
	for i := len(d.stops) - 1; i >= 0; i-- {
		errs = append(errs, d.stops[i]())
	}
	if !keep {
		errs = append(errs, os.RemoveAll(d.dir))
	}
	return errors.Join(errs...)
}
