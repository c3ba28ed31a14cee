// SPDX-License-Identifier: Apache-2.0

// Package fetch is the HTTP client every part of Hallmark calls out with.
//
// Invariants, for every request: a body larger than the cap is an error and is
// not read further; the whole exchange ends within the timeout; plain HTTP goes
// to loopback hosts only, unless allowed; redirects are refused, unless
// allowed, and never leave HTTPS; the environment's proxy settings hold for
// non-loopback hosts; no error quotes a query string, a header or a user name.
package fetch

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// Defaults for the zero values of [Config].
const (
	DefaultTimeout = 30 * time.Second
	DefaultMaxBody = 8 << 20
)

// Config says how careful a [Client] is. The zero Config is the most careful
// one with the default caps.
type Config struct {
	Timeout         time.Duration     // one try, from dial to the last byte; 0 is DefaultTimeout
	MaxBody         int64             // bytes of an answer; 0 is DefaultMaxBody
	UserAgent       string            // "" is "hallmark"
	Retries         int               // further tries on 429, 5xx and transport errors
	FollowRedirects bool              // up to five, HTTPS staying HTTPS
	DenyPrivate     bool              // refuse loopback, private, link-local and multicast addresses at dial
	AllowPlainHTTP  bool              // plain HTTP to any host, not just loopback
	RootCAs         *x509.CertPool    // nil is the system's
	Transport       http.RoundTripper // replaces the network below the rules; for tests
}

// Client sends requests under its [Config]. It is safe for concurrent use.
type Client struct {
	cfg  Config
	http *http.Client
}

// Response is a whole answer, read within the cap.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

// New makes a Client.
func New(cfg Config) *Client {
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultTimeout
	}
	if cfg.MaxBody == 0 {
		cfg.MaxBody = DefaultMaxBody
	}
	if cfg.UserAgent == "" {
		cfg.UserAgent = "hallmark"
	}
	next := cfg.Transport
	if next == nil {
		next = transport(cfg)
	}
	c := &Client{cfg: cfg}
	c.http = &http.Client{
		Transport:     &rules{cfg: cfg, next: next},
		Timeout:       cfg.Timeout,
		CheckRedirect: c.checkRedirect,
	}
	return c
}

func transport(cfg Config) *http.Transport {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	if cfg.DenyPrivate {
		dialer.Control = denyPrivate
	}
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment, // leaves loopback hosts alone
		DialContext:            dialer.DialContext,
		ForceAttemptHTTP2:      true,
		MaxIdleConnsPerHost:    16,
		IdleConnTimeout:        60 * time.Second,
		TLSHandshakeTimeout:    10 * time.Second,
		MaxResponseHeaderBytes: 256 << 10,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: cfg.RootCAs},
	}
}

// HTTPClient is an *http.Client under the same rules, for libraries that want
// one: a body past the cap fails with *[TooLargeError] while it is read.
// Retries are the caller's.
func (c *Client) HTTPClient() *http.Client { return c.http }

// Get reads url. Any status but 200 is a *[StatusError].
func (c *Client) Get(ctx context.Context, url string) ([]byte, error) {
	resp, err := c.Do(ctx, http.MethodGet, url, nil, nil)
	if err != nil {
		return nil, err
	}
	if resp.Status != http.StatusOK {
		return nil, resp.Err(url)
	}
	return resp.Body, nil
}

// Do sends one request, with the configured retries, and reads the answer. It
// fails when there is none; a status is the caller's to judge.
func (c *Client) Do(ctx context.Context, method, url string, header http.Header, body []byte) (*Response, error) {
	for try := 0; ; try++ {
		resp, err := c.once(ctx, method, url, header, body)
		if try >= c.cfg.Retries || !worthRetrying(resp, err) {
			return resp, err
		}
		if !sleep(ctx, retryDelay(try, resp)) {
			return resp, err
		}
	}
}

func (c *Client) once(ctx context.Context, method, rawURL string, header http.Header, body []byte) (*Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, rawURL, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%s %s: not a usable URL", method, Redact(rawURL))
	}
	for name, values := range header {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, describe(method, rawURL, err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, describe(method, rawURL, err)
	}
	return &Response{Status: resp.StatusCode, Header: resp.Header, Body: data}, nil
}

func (c *Client) checkRedirect(req *http.Request, via []*http.Request) error {
	if !c.cfg.FollowRedirects {
		return &RedirectError{From: Redact(via[len(via)-1].URL.String()), To: Redact(req.URL.String())}
	}
	if len(via) > 5 {
		return &RefusedError{Reason: "more than five redirects"}
	}
	if via[0].URL.Scheme == "https" && req.URL.Scheme != "https" {
		return &RefusedError{Reason: "refused a redirect from https to plain http"}
	}
	return nil
}

// rules is the transport that every request of a Client passes, redirects and
// library calls included.
type rules struct {
	cfg  Config
	next http.RoundTripper
}

func (t *rules) RoundTrip(req *http.Request) (*http.Response, error) {
	switch req.URL.Scheme {
	case "https":
	case "http":
		if !t.cfg.AllowPlainHTTP && !IsLoopback(req.URL.Hostname()) {
			return nil, &RefusedError{Reason: fmt.Sprintf("refused plain http to %s: use https", req.URL.Host)}
		}
	default:
		return nil, &RefusedError{Reason: fmt.Sprintf("refused scheme %q: use https", req.URL.Scheme)}
	}
	if req.Header.Get("User-Agent") == "" {
		req = req.Clone(req.Context())
		req.Header.Set("User-Agent", t.cfg.UserAgent)
	}
	resp, err := t.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	where := Redact(req.URL.String())
	if resp.ContentLength > t.cfg.MaxBody {
		resp.Body.Close()
		return nil, &TooLargeError{URL: where, Limit: t.cfg.MaxBody}
	}
	resp.Body = &cappedBody{body: resp.Body, left: t.cfg.MaxBody, err: &TooLargeError{URL: where, Limit: t.cfg.MaxBody}}
	return resp, nil
}

// cappedBody fails, rather than ending early, when more than left bytes come.
type cappedBody struct {
	body io.ReadCloser
	left int64
	err  error
}

func (b *cappedBody) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.body.Read(p)
	if int64(n) > b.left {
		b.body.Close()
		return 0, b.err
	}
	b.left -= int64(n)
	return n, err
}

func (b *cappedBody) Close() error { return b.body.Close() }

// IsLoopback says whether host (a name or address without port) can only mean
// this machine.
func IsLoopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// denyPrivate runs after name resolution, on the address that is dialled, so
// a host name cannot smuggle one in.
func denyPrivate(_, address string, _ syscall.RawConn) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return err
	}
	addr = addr.Unmap()
	if !addr.IsGlobalUnicast() || addr.IsPrivate() {
		return &RefusedError{Reason: fmt.Sprintf("refused to connect to the private address %s", addr)}
	}
	return nil
}

// Redact is rawURL without user, query and fragment, for messages and logs.
func Redact(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		return "(malformed URL)"
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}
