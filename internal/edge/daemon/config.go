// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"strings"

	"hallmark/internal/base/fetch"
	"hallmark/internal/service/oidc"
	"hallmark/internal/service/translog"
)

// DefaultListen is the listener's address unless configured.
const DefaultListen = "127.0.0.1:8484"

// Config is everything an operator can set, as flags or in a YAML file whose
// keys are the flags' names. The zero Config with a Data folder is a loopback
// instance with no identity issuer.
type Config struct {
	// Listen is the one listener's host:port. Port 0 picks a free port, which
	// is then part of the external URL for ever: for demos and tests.
	Listen string `yaml:"listen"`

	// Data is the folder of everything this instance keeps.
	Data string `yaml:"data"`

	// ExternalURL is how clients reach the instance: scheme and host, no path.
	// It is fixed at the first start. By default it is the listener's address.
	ExternalURL string `yaml:"external-url"`

	// LogOrigin is the first log shard's name, fixed at the first start. By
	// default it is the external host name, "localhost" on loopback.
	LogOrigin string `yaml:"log-origin"`

	// Organization names the operator in the CA's certificates. By default it
	// is the external host name.
	Organization string `yaml:"organization"`

	// TLSCert and TLSKey are PEM files; with them the listener speaks HTTPS.
	TLSCert string `yaml:"tls-cert"`
	TLSKey  string `yaml:"tls-key"`

	// BehindProxy says that a proxy terminates TLS in front of the listener
	// and sets X-Forwarded-For, whose last element then is the client.
	BehindProxy bool `yaml:"behind-proxy"`

	// AdminListen is a loopback host:port for metrics; the Unix socket
	// admin.sock in Data serves them always.
	AdminListen string `yaml:"admin-listen"`

	// DevIssuer turns on the built-in development issuer: loopback only, and
	// the data folder is marked as development for ever.
	DevIssuer bool `yaml:"dev-issuer"`

	// Log is what the transparency log accepts and how much of it.
	Log translog.Config `yaml:"log"`

	// Identity is the issuers whose tokens the CA believes, in Fulcio's own
	// schema: oidc-issuers, meta-issuers and ci-issuer-metadata.
	Identity oidc.Config `yaml:",inline"`
}

// originForm is what a log origin may look like: a host name without port.
// Verifiers derive the origin from a URL, and take "name - digits" for a
// Rekor v1 tree.
var originForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$`)

// check refuses a configuration that could not be served safely.
func (c *Config) check() error {
	if c.Data == "" {
		return errors.New("no data folder: give --data DIR")
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return errors.New("--tls-cert and --tls-key go together")
	}
	if c.LogOrigin != "" && !originForm.MatchString(c.LogOrigin) {
		return fmt.Errorf("--log-origin %q: expected a lower-case host name without scheme, port or path", c.LogOrigin)
	}
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return fmt.Errorf("--listen %q: expected host:port", c.Listen)
	}
	local := fetch.IsLoopback(host)
	if !local && c.TLSCert == "" && !c.BehindProxy {
		return fmt.Errorf("--listen %s is reachable from other machines and would speak plain HTTP: give --tls-cert and --tls-key, or --behind-proxy where a proxy terminates TLS", c.Listen)
	}
	if !local && c.ExternalURL == "" {
		return fmt.Errorf("--listen %s: give --external-url, the https URL by which clients reach this instance", c.Listen)
	}
	if c.AdminListen != "" {
		admin, _, err := net.SplitHostPort(c.AdminListen)
		if err != nil || !fetch.IsLoopback(admin) {
			return fmt.Errorf("--admin-listen %q: expected a loopback host:port", c.AdminListen)
		}
	}
	if c.ExternalURL != "" {
		u, err := parseExternalURL(c.ExternalURL)
		if err != nil {
			return err
		}
		if c.DevIssuer && !fetch.IsLoopback(u.Hostname()) {
			return fmt.Errorf("--dev-issuer is for this machine only: --external-url %s is not a loopback URL", c.ExternalURL)
		}
	}
	if c.DevIssuer && !local {
		return fmt.Errorf("--dev-issuer is for this machine only: --listen %s is not a loopback address", c.Listen)
	}
	if c.DevIssuer && c.BehindProxy {
		return errors.New("--dev-issuer is for this machine only: it cannot be used with --behind-proxy")
	}
	return nil
}

// The quotas of each client address where other machines are clients, unless
// configured; a negative setting means none.
const (
	defaultWritesPerSecond   = 100
	defaultWriteBurst        = 1000
	defaultSearchesPerSecond = 20
	defaultSearchBurst       = 100
)

// logLimits is the log's configuration with the limits this instance needs.
func (c *Config) logLimits(external *url.URL) translog.Config {
	l := c.Log
	if l.MinFreeBytes == 0 {
		l.MinFreeBytes = minFreeBytes
	}
	if l.WritesPerSecond == 0 && !fetch.IsLoopback(external.Hostname()) {
		l.WritesPerSecond, l.WriteBurst = defaultWritesPerSecond, max(l.WriteBurst, defaultWriteBurst)
	}
	if l.SearchesPerSecond == 0 && !fetch.IsLoopback(external.Hostname()) {
		l.SearchesPerSecond, l.SearchBurst = defaultSearchesPerSecond, max(l.SearchBurst, defaultSearchBurst)
	}
	l.WritesPerSecond, l.SearchesPerSecond = max(l.WritesPerSecond, 0), max(l.SearchesPerSecond, 0)
	return l
}

// parseExternalURL accepts scheme://host[:port], https unless loopback.
func parseExternalURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, fmt.Errorf("external URL %q: expected https://host or https://host:port", s)
	}
	if strings.TrimSuffix(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return nil, fmt.Errorf("external URL %q: expected scheme and host alone, without path, query or user", s)
	}
	if u.Scheme == "http" && !fetch.IsLoopback(u.Hostname()) {
		return nil, fmt.Errorf("external URL %q: plain http is for loopback hosts only, use https", s)
	}
	u.Path = ""
	return u, nil
}

// defaultExternalURL is the listener's own address as a URL.
func (c *Config) defaultExternalURL(bound net.Addr) string {
	scheme := "http"
	if c.TLSCert != "" {
		scheme = "https"
	}
	host, _, _ := net.SplitHostPort(c.Listen)
	_, port, _ := net.SplitHostPort(bound.String())
	return scheme + "://" + net.JoinHostPort(host, port)
}

// defaultOrigin is the external host name, and "localhost" where that only
// means this machine or is a bare address.
func defaultOrigin(external *url.URL) string {
	host := strings.ToLower(external.Hostname())
	if _, err := netip.ParseAddr(host); err == nil || fetch.IsLoopback(host) {
		return "localhost"
	}
	return host
}
