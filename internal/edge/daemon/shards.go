// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"hallmark/internal/base/httpapi"
	"hallmark/internal/format/bundle"
	"hallmark/internal/service/ctlog"
	"hallmark/internal/service/translog"
)

const (
	shardsPath = "/shards/"
	searchPath = "/hallmark/v1/log"
	maxBundle  = 4 << 20 // unless configured, as in translog
)

// shards sends requests to the log shard that they are about. One shard takes
// new entries, the one whose turn it is; every shard can be read.
type shards struct {
	logs     *turns[*translog.Log]
	handlers []http.Handler // by place in logs
	byOrigin map[string]int
	most     int64 // bytes of a bundle
}

func newShards(logs *turns[*translog.Log], cfg translog.Config) *shards {
	s := &shards{logs: logs, byOrigin: map[string]int{}, most: cfg.MaxBundleBytes}
	if s.most <= 0 {
		s.most = maxBundle
	}
	for i, l := range logs.list {
		s.handlers = append(s.handlers, l.serving.Handler())
		s.byOrigin[l.Origin] = i
	}
	return s
}

// current passes on what is about the log as such: new entries, and reading
// what was said of the latest.
func (s *shards) current(w http.ResponseWriter, r *http.Request) {
	s.handlers[s.logs.index()].ServeHTTP(w, r)
}

// tiles answers /api/v2/checkpoint and /api/v2/tile/. A shard's base URL has
// its origin for a host: whoever asks there means that shard.
func (s *shards) tiles(w http.ResponseWriter, r *http.Request) {
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = r.Host
	}
	if i, ok := s.byOrigin[strings.ToLower(host)]; ok {
		s.handlers[i].ServeHTTP(w, r)
		return
	}
	s.current(w, r)
}

// named answers /shards/ORIGIN/: the tiles at …/api/v2/, the search and proofs
// at …/hallmark/v1/log/.
func (s *shards) named(w http.ResponseWriter, r *http.Request) {
	origin, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, shardsPath), "/")
	i, ok := s.byOrigin[origin]
	if !ok {
		httpapi.Error(w, httpapi.NotFound, "there is no log shard of that name: GET /.well-known/hallmark.json lists them")
		return
	}
	if strings.HasPrefix("/"+rest, searchPath+"/") {
		r = moved(r, "/"+rest)
	}
	s.handlers[i].ServeHTTP(w, r)
}

// bundles passes a bundle on to the shard that holds its entry.
func (s *shards) bundles(w http.ResponseWriter, r *http.Request) {
	if len(s.handlers) == 1 || r.Method != http.MethodPost {
		s.current(w, r)
		return
	}
	data, ok := httpapi.ReadBody(w, r, s.most)
	if !ok {
		return
	}
	to := s.logs.index()
	if b, err := bundle.Parse(data); err == nil { // if not, whoever gets it will say so
		to = s.holding(b, to)
	}
	r = r.Clone(r.Context())
	r.Body = io.NopCloser(bytes.NewReader(data))
	s.handlers[to].ServeHTTP(w, r)
}

// holding is the shard that one of the bundle's entries names.
func (s *shards) holding(b *bundle.Bundle, otherwise int) int {
	for _, e := range b.Entries {
		for i, l := range s.logs.list {
			if id := l.serving.ID(); bytes.Equal(e.LogID, id[:]) {
				return i
			}
		}
	}
	return otherwise
}

// moved is r with another path.
func moved(r *http.Request, path string) *http.Request {
	c := *r
	c.URL = new(url.URL)
	*c.URL = *r.URL
	c.URL.Path, c.URL.RawPath = path, ""
	return &c
}

// ctHandler serves every CT log below its own base URL: /ct, /ct/2 and so on.
// Each of them believes that it is at /ct.
func ctHandler(logs *turns[*ctlog.Log], paths []string) http.Handler {
	mux := http.NewServeMux()
	for i, l := range logs.list {
		prefix, handler := paths[i], l.serving.Handler()
		mux.HandleFunc(prefix+"/", func(w http.ResponseWriter, r *http.Request) {
			handler.ServeHTTP(w, moved(r, "/ct"+strings.TrimPrefix(r.URL.Path, prefix)))
		})
	}
	return mux
}
