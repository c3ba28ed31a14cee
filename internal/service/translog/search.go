// SPDX-License-Identifier: Apache-2.0

package translog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"hallmark/internal/base/httpapi"
	"hallmark/internal/base/tilelog"
	"hallmark/internal/format/logentry"
)

const (
	defaultHits = 20
	maxHits     = 100
	// maxAnswer ends a page early, in bytes: bundles can be large.
	maxAnswer = 16 << 20
)

// answerPage is one page of a search, newest entry first. Every entry has a proof under
// Checkpoint. Bundles are those stored for the page's entries.
type answerPage struct {
	Checkpoint string            `json:"checkpoint"`
	Entries    []json.RawMessage `json:"entries"` // TransparencyLogEntry
	Bundles    []storedBundle    `json:"bundles"`
	Next       string            `json:"next,omitempty"` // the before of the next page; absent on the last
}

type storedBundle struct {
	LogIndex string          `json:"logIndex"`
	Bundle   json.RawMessage `json:"bundle"`
}

func (l *Log) serveSearch(w http.ResponseWriter, r *http.Request) {
	if !l.spend(w, r, l.reads) {
		return
	}
	params := r.URL.Query()
	q, err := parseQuery(params.Get("digest"), params.Get("identity"), params.Get("key"))
	if err != nil {
		l.answer(w, refusal("malformed", httpapi.InvalidArgument, err))
		return
	}
	limit, err := number(params, "limit", defaultHits)
	if err != nil || limit == 0 || limit > maxHits {
		l.answer(w, refusalf("malformed", httpapi.InvalidArgument, "limit: expected a number from 1 to %d", maxHits))
		return
	}
	before, err := number(params, "before", math.MaxInt64)
	if err != nil {
		l.answer(w, refusal("malformed", httpapi.InvalidArgument, err))
		return
	}
	page, err := l.search(r.Context(), q, before, int(limit))
	if err != nil {
		l.deps.Log.Error("a search failed", "error", err)
		l.answer(w, refusalf("internal", httpapi.Internal, "the search failed"))
		return
	}
	httpapi.WriteJSON(w, http.StatusOK, page)
}

// number reads an optional parameter from 0 to MaxInt64.
func number(params url.Values, name string, absent uint64) (uint64, error) {
	s := params.Get(name)
	if s == "" {
		return absent, nil
	}
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil {
		return 0, fmt.Errorf("%s is %.40q: expected a number", name, s)
	}
	return n, nil
}

// search collects a page of entries that match q and are proven under one checkpoint. A place
// that the index names wrongly is dropped and counted.
func (l *Log) search(ctx context.Context, q query, before uint64, limit int) (*answerPage, error) {
	tree, err := l.tiles.Current(ctx)
	if err != nil {
		return nil, err
	}
	before = min(before, tree.Size)
	page := &answerPage{Checkpoint: tree.Checkpoint, Entries: []json.RawMessage{}, Bundles: []storedBundle{}}
	places, err := l.places(ctx, q, before, limit+1)
	if err != nil {
		return nil, err
	}
	more := len(places) > limit
	places = places[:min(limit, len(places))]
	size := 0
	for i, idx := range places {
		hit, bundles, err := l.prove(ctx, tree, q, idx)
		if errors.Is(err, errNoHit) {
			l.indexFault("the index names an entry that does not match", "index", idx)
			continue
		}
		if err != nil {
			return nil, err
		}
		page.Entries = append(page.Entries, hit)
		size += len(hit)
		for _, b := range bundles {
			page.Bundles = append(page.Bundles, storedBundle{strconv.FormatUint(idx, 10), b})
			size += len(b)
		}
		if size > maxAnswer && i+1 < len(places) {
			places, more = places[:i+1], true
			break
		}
	}
	if more {
		page.Next = strconv.FormatUint(places[len(places)-1], 10)
	}
	return page, nil
}

// places merges what the index and the stored bundles know, last first.
func (l *Log) places(ctx context.Context, q query, before uint64, limit int) ([]uint64, error) {
	places, err := l.index.search(ctx, q.term(), before, limit)
	if err != nil || q.digest.IsZero() {
		return places, err
	}
	more, err := l.bundles.search(ctx, q.term(), before, limit)
	if err != nil {
		return nil, err
	}
	places = append(places, more...)
	slices.SortFunc(places, func(a, b uint64) int {
		if a > b {
			return -1
		}
		return 1
	})
	places = slices.Compact(places)
	return places[:min(limit, len(places))], nil
}

var errNoHit = errors.New("the entry does not match")

// prove reads the entry at idx from the tiles, checks that it is what q asks for, proves it
// under tree, and adds its stored bundles.
func (l *Log) prove(ctx context.Context, tree *tilelog.Tree, q query, idx uint64) (hit json.RawMessage, bundles []json.RawMessage, err error) {
	if idx >= tree.Size {
		return nil, nil, errNoHit
	}
	body, err := tree.Entry(ctx, idx)
	if err != nil {
		return nil, nil, err
	}
	h, err := logentry.ParseHashedRekord(body)
	if err != nil {
		return nil, nil, errNoHit
	}
	stored, err := l.bundles.get(ctx, idx)
	if err != nil {
		return nil, nil, err
	}
	for _, data := range stored {
		if holds(data, h, q) {
			bundles = append(bundles, data)
		}
	}
	// Either the entry is what was asked for, or a bundle that it records is about that.
	if !q.matches(h) && (q.digest.IsZero() || len(bundles) == 0) {
		return nil, nil, errNoHit
	}
	e, err := l.entry(ctx, tree, idx, logentry.LeafHash(body), body)
	if err != nil {
		return nil, nil, err
	}
	hit, err = e.Marshal()
	return hit, bundles, err
}

func (l *Log) serveEntry(w http.ResponseWriter, r *http.Request) {
	if !l.spend(w, r, l.reads) {
		return
	}
	ctx := r.Context()
	idx, err := strconv.ParseUint(r.PathValue("index"), 10, 63)
	if err != nil {
		l.answer(w, refusalf("malformed", httpapi.InvalidArgument, "index %.40q: expected a number", r.PathValue("index")))
		return
	}
	tree, err := l.tiles.Current(ctx)
	if err == nil && idx >= tree.Size {
		httpapi.Error(w, httpapi.NotFound, "the log has %d entries: there is no entry %d yet", tree.Size, idx)
		return
	}
	var e *logentry.Entry
	if err == nil {
		var body []byte
		if body, err = tree.Entry(ctx, idx); err == nil {
			e, err = l.entry(ctx, tree, idx, logentry.LeafHash(body), body)
		}
	}
	if err != nil {
		l.deps.Log.Error("an entry cannot be shown", "index", idx, "error", err)
		l.answer(w, refusalf("internal", httpapi.Internal, "entry %d cannot be proven: the log's files are damaged", idx))
		return
	}
	l.sendEntry(w, http.StatusOK, e)
}

func (l *Log) serveConsistency(w http.ResponseWriter, r *http.Request) {
	if !l.spend(w, r, l.reads) {
		return
	}
	params := r.URL.Query()
	tree, err := l.tiles.Current(r.Context())
	if err != nil {
		l.deps.Log.Error("the checkpoint cannot be read", "error", err)
		l.answer(w, refusalf("internal", httpapi.Internal, "the checkpoint cannot be read"))
		return
	}
	from, err := number(params, "from", 0)
	if err != nil {
		l.answer(w, refusal("malformed", httpapi.InvalidArgument, err))
		return
	}
	to, err := number(params, "to", tree.Size)
	if err != nil || from == 0 || from > to || to > tree.Size {
		l.answer(w, refusalf("malformed", httpapi.InvalidArgument, "expected 0 < from ≤ to ≤ %d, the log's size", tree.Size))
		return
	}
	hashes, err := tree.Consistency(r.Context(), from, to)
	if err != nil {
		l.deps.Log.Error("a consistency proof failed", "from", from, "to", to, "error", err)
		l.answer(w, refusalf("internal", httpapi.Internal, "the proof cannot be made: the log's files are damaged"))
		return
	}
	if hashes == nil {
		hashes = [][]byte{}
	}
	httpapi.WriteJSON(w, http.StatusOK, struct {
		Checkpoint string   `json:"checkpoint"`
		From       string   `json:"from"`
		To         string   `json:"to"`
		Hashes     [][]byte `json:"hashes"` // base64
	}{tree.Checkpoint, strconv.FormatUint(from, 10), strconv.FormatUint(to, 10), hashes})
}
