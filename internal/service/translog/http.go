// SPDX-License-Identifier: Apache-2.0

package translog

import (
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"

	"hallmark/internal/base/httpapi"
	"hallmark/internal/format/bundle"
	"hallmark/internal/format/logentry"
)

// maxRequest caps a submission: a body of at most 65,535 bytes, in JSON with white space.
const maxRequest = 256 << 10

// Handler serves the log:
//
//	POST /api/v2/log/entries                 Rekor v2; 201 for new and for known entries
//	GET  /api/v2/checkpoint                  tlog-tiles
//	GET  /api/v2/tile/{L}/{N}[.p/{W}]
//	GET  /api/v2/tile/entries/{N}[.p/{W}]
//	GET  /shards/{origin}/api/v2/…           the same read paths
//	GET  /hallmark/v1/log/search             ?digest= | ?identity= | ?key=, limit, before
//	GET  /hallmark/v1/log/entries/{index}
//	GET  /hallmark/v1/log/consistency        ?from=&to=
//	POST /hallmark/v1/bundles                a Sigstore bundle of an entry of this log
//
// Errors have grpc-gateway's shape; 429 and 503 carry Retry-After.
func (l *Log) Handler() http.Handler {
	mux := http.NewServeMux()
	l.tiles.Register(mux, "/api/v2")
	l.tiles.Register(mux, "/shards/"+l.cfg.Origin+"/api/v2")
	mux.HandleFunc("POST /api/v2/log/entries", l.serveAdd)
	mux.HandleFunc("GET /hallmark/v1/log/search", l.serveSearch)
	mux.HandleFunc("GET /hallmark/v1/log/entries/{index}", l.serveEntry)
	mux.HandleFunc("GET /hallmark/v1/log/consistency", l.serveConsistency)
	mux.HandleFunc("POST /hallmark/v1/bundles", l.serveBundle)
	return mux
}

// answer sends a refusal and counts it.
func (l *Log) answer(w http.ResponseWriter, r *Refusal) {
	l.refuse(r)
	if r.Code == httpapi.Unavailable {
		w.Header().Set("Retry-After", "1")
	}
	httpapi.Error(w, r.Code, "%v", r.Err)
}

// spend takes a token from a quota, or answers 429.
func (l *Log) spend(w http.ResponseWriter, r *http.Request, q *quota) bool {
	if q == nil {
		return true
	}
	wait, ok := q.take(sourceOf(r, l.cfg.BehindProxy))
	if !ok {
		seconds := int(math.Ceil(wait.Seconds()))
		w.Header().Set("Retry-After", strconv.Itoa(max(1, seconds)))
		l.answer(w, refusalf("quota", httpapi.ResourceExhausted, "too many requests from your address: try again in %v", wait.Round(time.Millisecond)))
	}
	return ok
}

func (l *Log) serveAdd(w http.ResponseWriter, r *http.Request) {
	if !l.spend(w, r, l.writes) {
		return
	}
	data, ok := httpapi.ReadBody(w, r, maxRequest)
	if !ok {
		l.stats.rejected.WithLabelValues("body").Inc()
		return
	}
	h, err := logentry.ParseRequest(data)
	if err != nil {
		l.answer(w, refusal("malformed", httpapi.InvalidArgument, err))
		return
	}
	e, _, refused := l.addValid(r.Context(), h)
	if refused != nil {
		l.answer(w, refused)
		return
	}
	l.sendEntry(w, http.StatusCreated, e)
}

func (l *Log) sendEntry(w http.ResponseWriter, status int, e *logentry.Entry) {
	out, err := e.Marshal()
	if err != nil {
		l.deps.Log.Error("an entry cannot be encoded", "index", e.LogIndex, "error", err)
		l.answer(w, refusalf("internal", httpapi.Internal, "the entry cannot be encoded"))
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(out))) // or a large answer is sent in chunks
	httpapi.WriteBody(w, status, "application/json", out)
}

func (l *Log) serveBundle(w http.ResponseWriter, r *http.Request) {
	if !l.spend(w, r, l.writes) {
		return
	}
	data, ok := httpapi.ReadBody(w, r, l.cfg.MaxBundleBytes)
	if !ok {
		l.stats.rejected.WithLabelValues("body").Inc()
		return
	}
	index, subjects, refused := l.storeBundle(r, data)
	if refused != nil {
		l.answer(w, refused)
		return
	}
	httpapi.WriteJSON(w, http.StatusCreated, struct {
		LogIndex string `json:"logIndex"`
		Subjects int    `json:"subjects"`
	}{strconv.FormatUint(index, 10), subjects})
}

// storeBundle keeps a bundle one of whose entries is in this log.
func (l *Log) storeBundle(r *http.Request, data []byte) (index uint64, subjects int, _ *Refusal) {
	ctx := r.Context()
	b, err := bundle.Parse(data)
	if err != nil {
		return 0, 0, refusal("malformed", httpapi.InvalidArgument, err)
	}
	if err := l.space.Check(); err != nil {
		return 0, 0, refusal("read_only", httpapi.Unavailable, err)
	}
	var h logentry.HashedRekord
	found := false
	for _, e := range b.Entries {
		if h, err = logentry.ParseHashedRekord(e.Body); err != nil {
			continue // of another log
		}
		leaf := logentry.LeafHash(e.Body)
		if index, found, err = l.find(ctx, leaf); err != nil {
			return 0, 0, asRefusal(err)
		} else if !found {
			continue
		}
		if _, refused := l.published(ctx, index, leaf, e.Body); refused != nil {
			return 0, 0, refused
		}
		break
	}
	if !found {
		return 0, 0, refusalf("unknown_entry", httpapi.NotFound, "no entry of the bundle is in this log: log the signature first")
	}
	if err := ofEntry(b, h); err != nil {
		return 0, 0, refusal("mismatch", httpapi.InvalidArgument, err)
	}
	digests, err := subjectsOf(b)
	if err != nil {
		return 0, 0, refusal("malformed", httpapi.InvalidArgument, err)
	}
	if data, err = compact(data); err != nil {
		return 0, 0, refusalf("malformed", httpapi.InvalidArgument, "bundle: not JSON")
	}
	added, err := l.bundles.put(ctx, index, data, digests)
	switch {
	case errors.Is(err, errTooManyBundles):
		return 0, 0, refusal("full", httpapi.FailedPrecondition, err)
	case err != nil:
		l.deps.Log.Error("a bundle could not be stored", "index", index, "error", err)
		return 0, 0, refusalf("storage", httpapi.Unavailable, "the bundle could not be stored: try again")
	case added:
		l.stats.bundles.Inc()
	}
	return index, len(digests), nil
}
