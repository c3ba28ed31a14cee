// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"hallmark/internal/base/fetch"
)

const (
	maxAnswer  = MaxBundle + 1<<20 // bytes of any answer
	maxBackoff = 30 * time.Second
)

func network(roots *x509.CertPool) *http.Transport {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment, // leaves loopback hosts alone
		DialContext:            dialer.DialContext,
		ForceAttemptHTTP2:      true,
		MaxIdleConnsPerHost:    2 * parallel,
		IdleConnTimeout:        60 * time.Second,
		TLSHandshakeTimeout:    10 * time.Second,
		MaxResponseHeaderBytes: 256 << 10,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
	}
}

// guard is the transport below go-containerregistry's authentication, so that
// pings, token exchanges, redirects and uploads all pass it. It belongs to one
// registry.
type guard struct {
	next      http.RoundTripper
	opts      Options
	registry  string // host, with port if it has one
	anonymous bool   // there are no credentials to protect
	delay     time.Duration
}

// RoundTrip applies the rules, then tries until an answer is worth returning.
func (g *guard) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := g.allowed(req); err != nil {
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, err
	}
	ctx := req.Context()
	for try := 0; ; try++ {
		again, err := g.attempt(req, try)
		if err != nil {
			return nil, err
		}
		resp, err := g.once(again)
		if try >= g.opts.Retries || ctx.Err() != nil || !retryable(req, resp, err) {
			return resp, err
		}
		wait := g.pause(try, resp)
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < wait {
			return resp, err
		}
		if resp != nil {
			io.CopyN(io.Discard, resp.Body, 64<<10)
			resp.Body.Close()
		}
		if !sleep(ctx, wait) {
			return nil, ctx.Err()
		}
	}
}

// allowed says whether req may leave this machine.
func (g *guard) allowed(req *http.Request) error {
	host, hostname := req.URL.Host, req.URL.Hostname()
	scheme, _, _ := strings.Cut(req.Header.Get("Authorization"), " ")
	form := req.Method == http.MethodPost && strings.HasPrefix(req.Header.Get("Content-Type"), "application/x-www-form-urlencoded")
	secret := !g.anonymous && (scheme != "" || form)
	switch req.URL.Scheme {
	case "https":
	case "http":
		if fetch.IsLoopback(hostname) {
			break
		}
		if !g.opts.AllowInsecure {
			return &refusal{fmt.Sprintf("refused plain HTTP to %s", host), "serve the registry over TLS, or allow insecure registries explicitly"}
		}
		if secret {
			return &refusal{fmt.Sprintf("refused to send credentials to %s over plain HTTP", host), "serve the registry over TLS, or use it without credentials"}
		}
	default:
		return &refusal{fmt.Sprintf("refused the URL scheme %.20q", req.URL.Scheme), ""}
	}
	// A bearer token on another host is one that host's own token service gave
	// to an anonymous caller; the registry's never leaves the registry's host.
	if secret && (form || !strings.EqualFold(scheme, "bearer")) && !g.mayKnow(host) {
		return &refusal{fmt.Sprintf("refused to send the credentials of %s to %s, which it names as its token service", g.registry, host),
			"if that host is the registry's, list it among the allowed authentication hosts"}
	}
	return nil
}

// mayKnow says whether host may receive the registry's credentials.
func (g *guard) mayKnow(host string) bool {
	if strings.EqualFold(host, g.registry) {
		return true
	}
	for _, h := range g.opts.AuthHosts {
		if strings.EqualFold(h, host) {
			return true
		}
	}
	a, b := bareHost(g.registry), bareHost(host)
	if a == b {
		return true
	}
	if _, err := netip.ParseAddr(a); err == nil {
		return false
	}
	if _, err := netip.ParseAddr(b); err == nil {
		return false
	}
	pa, pb := parent(a), parent(b)
	return pa != "" && (pa == b || pa == pb) || pb != "" && pb == a
}

func bareHost(hostport string) string {
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		hostport = h
	}
	return strings.ToLower(strings.Trim(hostport, "[]"))
}

// parent is host without its first label, or "" when that leaves no domain.
func parent(host string) string {
	_, rest, _ := strings.Cut(host, ".")
	if !strings.Contains(rest, ".") {
		return ""
	}
	return rest
}

// attempt is a copy of req to send, with a body of its own.
func (g *guard) attempt(req *http.Request, try int) (*http.Request, error) {
	out := req.Clone(req.Context())
	out.Header.Set("User-Agent", g.opts.UserAgent)
	if try > 0 && req.Body != nil && req.Body != http.NoBody {
		body, err := req.GetBody() // retryable saw that there is one
		if err != nil {
			return nil, err
		}
		out.Body = body
	}
	return out, nil
}

// once sends req and gives up when nothing moves for the timeout.
func (g *guard) once(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	stall := &stallError{after: g.opts.Timeout.String()}
	watch := &watchdog{timeout: g.opts.Timeout, timer: time.AfterFunc(g.opts.Timeout, func() { cancel(stall) })}
	req = req.WithContext(ctx)
	if req.Body != nil && req.Body != http.NoBody {
		req.Body = &watchedBody{body: req.Body, watch: watch}
	}
	resp, err := g.next.RoundTrip(req)
	if err != nil {
		watch.stop()
		cause := context.Cause(ctx)
		cancel(nil)
		if errors.Is(cause, stall) {
			return nil, stall
		}
		return nil, err
	}
	if resp.ContentLength > maxAnswer && req.Method != http.MethodHead {
		watch.stop()
		cancel(nil)
		resp.Body.Close()
		return nil, &sizeError{"the answer", maxAnswer, ""}
	}
	resp.Body = &watchedBody{body: resp.Body, watch: watch, left: maxAnswer, capped: true, done: func() { cancel(nil) },
		cause: func() error {
			if errors.Is(context.Cause(ctx), stall) {
				return stall
			}
			return nil
		}}
	return resp, nil
}

// watchdog fires unless it is fed. Its methods are safe for concurrent use.
type watchdog struct {
	timeout time.Duration
	mu      sync.Mutex
	timer   *time.Timer // guarded by mu
	stopped bool        // guarded by mu
}

func (w *watchdog) feed() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.stopped {
		w.timer.Reset(w.timeout)
	}
}

func (w *watchdog) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	w.timer.Stop()
}

// watchedBody feeds a watchdog as it is read, and may be capped.
type watchedBody struct {
	body   io.ReadCloser
	watch  *watchdog
	capped bool
	left   int64
	done   func()       // nil for request bodies
	cause  func() error // nil for request bodies
}

func (b *watchedBody) Read(p []byte) (int, error) {
	if b.capped && int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.body.Read(p)
	if n > 0 {
		b.watch.feed()
	}
	if b.capped {
		if b.left -= int64(n); b.left < 0 {
			return 0, &sizeError{"the answer", maxAnswer, ""}
		}
	}
	if err != nil && err != io.EOF && b.cause != nil {
		if why := b.cause(); why != nil {
			err = why
		}
	}
	return n, err
}

func (b *watchedBody) Close() error {
	if b.done != nil {
		b.watch.stop()
		defer b.done()
	}
	return b.body.Close()
}

// retryable says whether sending req once more is harmless and may help.
func retryable(req *http.Request, resp *http.Response, err error) bool {
	if req.Body != nil && req.Body != http.NoBody && req.GetBody == nil {
		return false
	}
	if err == nil && resp.StatusCode == http.StatusTooManyRequests {
		return true // it was not looked at
	}
	if req.Method == http.MethodPatch {
		return false // part of it may have been stored; the upload is started again above
	}
	if err != nil {
		var stalled *stallError
		return broken(err) || errors.As(err, &stalled)
	}
	return resp.StatusCode >= 500 && resp.StatusCode != http.StatusNotImplemented
}

// broken is a connection that was there and went away.
func broken(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, syscall.EPIPE) || errors.Is(err, net.ErrClosed)
}

// pause is what the registry asks for, or exponential with jitter.
func (g *guard) pause(try int, resp *http.Response) time.Duration {
	if resp != nil {
		after := resp.Header.Get("Retry-After")
		if s, err := strconv.Atoi(after); err == nil && s >= 0 {
			return min(time.Duration(s)*time.Second, maxBackoff)
		}
		if at, err := http.ParseTime(after); err == nil {
			return max(0, min(time.Until(at), maxBackoff))
		}
	}
	return jitter(min(g.delay<<try, maxBackoff))
}

// jitter is d give or take a half.
func jitter(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return d/2 + rand.N(d)
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// checkRedirect follows a registry to where its blobs are, but not from TLS to
// plain HTTP and not from a public host into a private network.
func checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) > 5 {
		return &refusal{"refused to follow more than five redirects", ""}
	}
	from, to := via[0].URL, req.URL
	if from.Scheme == "https" && to.Scheme != "https" {
		return &refusal{fmt.Sprintf("refused a redirect to %s, from TLS to plain HTTP", to.Host), ""}
	}
	if to.Hostname() != from.Hostname() && internal(to.Hostname()) && !internal(from.Hostname()) {
		return &refusal{fmt.Sprintf("refused a redirect to the private address %s", to.Host), ""}
	}
	return nil
}

// internal says whether host is, as written, an address of a private network.
func internal(host string) bool {
	if fetch.IsLoopback(host) {
		return true
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	addr = addr.Unmap()
	return !addr.IsGlobalUnicast() || addr.IsPrivate()
}
