// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"fmt"
	"net/http"
	"strings"

	"hallmark/internal/base/httpapi"
	"hallmark/internal/service/ca"
	"hallmark/internal/service/tsa"
)

// routes is the one listener's map. No two services' paths collide, so every
// service sees the paths its clients were written for.
func (d *Daemon) routes() http.Handler {
	mux := http.NewServeMux()
	mount := func(endpoint string, h http.Handler, patterns ...string) {
		wrapped := d.metrics.Wrap(endpoint, d.deps.Log, h)
		for _, p := range patterns {
			mux.Handle(p, wrapped)
		}
	}
	authority := d.ca.handler((*ca.CA).Handler)
	mount("ca-sign", authority, "/api/v2/signingCert", "/api/v1/signingCert")
	mount("ca-info", authority, "/api/v2/trustBundle", "/api/v2/configuration", "/api/v1/rootCert")
	log := newShards(d.logs, d.cfg.Log)
	mount("log-write", http.HandlerFunc(log.current), "/api/v2/log/entries")
	mount("log-read", http.HandlerFunc(log.tiles), "/api/v2/checkpoint", "/api/v2/tile/")
	mount("log-read", http.HandlerFunc(log.named), shardsPath)
	mount("log-search", http.HandlerFunc(log.named), shardsPath+"{origin}"+searchPath+"/")
	mount("log-search", http.HandlerFunc(log.current), "/hallmark/v1/")
	mount("log-search", http.HandlerFunc(log.bundles), "/hallmark/v1/bundles")
	mount("timestamp", d.tsa.handler((*tsa.Authority).Handler), "/api/v1/timestamp", "/api/v1/timestamp/certchain")
	var ctPaths []string
	for _, l := range d.ct.list {
		ctPaths = append(ctPaths, strings.TrimPrefix(l.BaseURL, d.manifest.ExternalURL))
	}
	mount("ct", ctHandler(d.ct, ctPaths), "/ct/")
	mount("tuf", d.tuf.Handler(), "/tuf/")
	if d.dev != nil {
		mount("dev-issuer", d.dev.Handler(), devIssuerPath+"/")
	}
	mount("discovery", http.HandlerFunc(d.serveDiscovery), "GET /.well-known/hallmark.json")
	mount("health", http.HandlerFunc(serveHealth), "GET /healthz")
	mount("ready", http.HandlerFunc(d.serveReady), "GET /readyz")
	mount("other", http.HandlerFunc(d.serveOther), "/")
	return mux
}

func (d *Daemon) adminRoutes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", d.metrics.Handler())
	mux.HandleFunc("GET /healthz", serveHealth)
	mux.HandleFunc("GET /readyz", d.serveReady)
	return mux
}

func serveHealth(w http.ResponseWriter, _ *http.Request) {
	httpapi.WriteBody(w, http.StatusOK, "text/plain; charset=utf-8", []byte("ok\n"))
}

// serveReady says whether everything can be done that this instance is for,
// and if not, what cannot.
func (d *Daemon) serveReady(w http.ResponseWriter, _ *http.Request) {
	if err := d.ready(); err != nil {
		httpapi.Error(w, httpapi.Unavailable, "%v", err)
		return
	}
	httpapi.WriteBody(w, http.StatusOK, "text/plain; charset=utf-8", []byte("ready\n"))
}

func (d *Daemon) ready() error {
	now := d.deps.Now()
	if role, at := d.tuf.Expiry().First(); !now.Before(at) {
		return fmt.Errorf("TUF %s metadata expired at %s", role, at.UTC().Format("2006-01-02 15:04:05Z"))
	}
	return d.logs.current().serving.Ready()
}

func (d *Daemon) serveOther(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/" {
		httpapi.Error(w, httpapi.NotFound, "no such path: GET /.well-known/hallmark.json lists what this instance serves")
		return
	}
	note := ""
	if d.manifest.Development {
		note = " (DEV: development instance, trust nothing it signs)"
	}
	httpapi.WriteBody(w, http.StatusOK, "text/plain; charset=utf-8", fmt.Appendf(nil, "Hallmark at %s%s\n\n%s\n", d.URL(), note, d.TrustLines()))
}
