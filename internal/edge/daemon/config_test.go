// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"net/url"
	"strings"
	"testing"
)

func TestConfigCheck(t *testing.T) {
	for _, tc := range []struct {
		name string
		cfg  Config
		want string // part of the error, "" for none
	}{
		{"loopback", Config{Listen: "127.0.0.1:1"}, ""},
		{"loopback name", Config{Listen: "localhost:1", DevIssuer: true}, ""},
		{"public with TLS", Config{Listen: ":443", TLSCert: "c", TLSKey: "k", ExternalURL: "https://h.example.com"}, ""},
		{"public behind a proxy", Config{Listen: "0.0.0.0:80", BehindProxy: true, ExternalURL: "https://h.example.com"}, ""},
		{"public, plain", Config{Listen: "0.0.0.0:80", ExternalURL: "https://h.example.com"}, "--behind-proxy"},
		{"public without URL", Config{Listen: ":443", TLSCert: "c", TLSKey: "k"}, "--external-url"},
		{"half of TLS", Config{Listen: "127.0.0.1:1", TLSCert: "c"}, "go together"},
		{"no port", Config{Listen: "127.0.0.1"}, "expected host:port"},
		{"plain http URL", Config{Listen: "127.0.0.1:1", ExternalURL: "http://h.example.com"}, "use https"},
		{"URL with path", Config{Listen: "127.0.0.1:1", ExternalURL: "https://h.example.com/x"}, "without path"},
		{"URL with user", Config{Listen: "127.0.0.1:1", ExternalURL: "https://u:p@h.example.com"}, "without path"},
		{"not a URL", Config{Listen: "127.0.0.1:1", ExternalURL: "h.example.com"}, "expected https://host"},
		{"dev issuer in public", Config{Listen: ":443", TLSCert: "c", TLSKey: "k", ExternalURL: "https://h.example.com", DevIssuer: true}, "this machine only"},
		{"dev issuer with public URL", Config{Listen: "127.0.0.1:1", ExternalURL: "https://h.example.com", DevIssuer: true}, "this machine only"},
		{"dev issuer behind a proxy", Config{Listen: "127.0.0.1:1", BehindProxy: true, DevIssuer: true}, "this machine only"},
		{"dev issuer on a public listener with loopback URL", Config{Listen: "0.0.0.0:1", BehindProxy: true, ExternalURL: "http://localhost:1", DevIssuer: true}, "this machine only"},
		{"admin in public", Config{Listen: "127.0.0.1:1", AdminListen: ":9090"}, "loopback"},
		{"origin like a v1 tree", Config{Listen: "127.0.0.1:1", LogOrigin: "log - 123"}, "--log-origin"},
		{"origin with port", Config{Listen: "127.0.0.1:1", LogOrigin: "log.example.com:80"}, "--log-origin"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.cfg.Data = "data"
			err := tc.cfg.check()
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Fatalf("error %v, want %q", err, tc.want)
			}
		})
	}
	if err := (&Config{Listen: "127.0.0.1:1"}).check(); err == nil || !strings.Contains(err.Error(), "--data") {
		t.Errorf("no data folder: %v", err)
	}
}

// Verifiers find a log's origin as the host of its base URL.
func TestLogBaseURLNamesTheOrigin(t *testing.T) {
	for _, tc := range []struct{ external, origin, want string }{
		{"http://127.0.0.1:8484", "", "http://localhost:8484"},
		{"http://localhost:8484", "", "http://localhost:8484"},
		{"http://[::1]:8484", "", "http://localhost:8484"},
		{"https://h.example.com", "", "https://h.example.com"},
		{"https://h.example.com:8443", "", "https://h.example.com:8443"},
		{"https://h.example.com:8443", "log1.example.com", "https://log1.example.com"},
		{"https://H.Example.com", "", "https://h.example.com"},
	} {
		u, err := parseExternalURL(tc.external)
		if err != nil {
			t.Fatal(err)
		}
		origin := tc.origin
		if origin == "" {
			origin = defaultOrigin(u)
		}
		got := logBaseURL(u, origin)
		base, err := url.Parse(got)
		if err != nil || got != tc.want || base.Hostname() != origin {
			t.Errorf("%s with origin %q: base URL %s, want %s", tc.external, origin, got, tc.want)
		}
	}
}

func TestQuotasAreOnWhereOthersAreClients(t *testing.T) {
	public, local := &url.URL{Scheme: "https", Host: "h.example.com"}, &url.URL{Scheme: "http", Host: "127.0.0.1:8484"}
	var c Config
	if got := c.logLimits(public); got.WritesPerSecond != defaultWritesPerSecond || got.WriteBurst != defaultWriteBurst || got.SearchesPerSecond != defaultSearchesPerSecond || got.MinFreeBytes != minFreeBytes {
		t.Errorf("public: %+v", got)
	}
	if got := c.logLimits(local); got.WritesPerSecond != 0 || got.SearchesPerSecond != 0 {
		t.Errorf("loopback: %+v", got)
	}
	c.Log.WritesPerSecond, c.Log.WriteBurst = 7, 9
	if got := c.logLimits(public); got.WritesPerSecond != 7 || got.WriteBurst != 9 {
		t.Errorf("configured: %+v", got)
	}
	c.Log.WritesPerSecond = -1
	if got := c.logLimits(public); got.WritesPerSecond != 0 {
		t.Errorf("turned off: %+v", got)
	}
}
