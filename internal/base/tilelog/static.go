// SPDX-License-Identifier: Apache-2.0

package tilelog

import (
	"errors"
	"io/fs"
	"math"
	"net/http"
	"strconv"

	"github.com/transparency-dev/tessera/api/layout"
)

const (
	cacheForever = "public, max-age=31536000, immutable"
	// A partial tile never changes, but may vanish once the full one exists.
	cachePartial = "public, max-age=3600"
)

// Register serves the log's static read paths under prefix, which has no trailing slash:
//
//	GET {prefix}/checkpoint
//	GET {prefix}/tile/{L}/{N}[.p/{W}]
//	GET {prefix}/tile/entries/{N}[.p/{W}]     (tile/data/… with CTLayout)
//
// Only what the published checkpoint covers is served, so that no answer can be taken back. A
// partial tile that has been collected is cut from the full one.
func (l *Log) Register(mux *http.ServeMux, prefix string) {
	entries := "entries"
	if l.cfg.CTLayout {
		entries = "data"
	}
	mux.HandleFunc("GET "+prefix+"/checkpoint", l.serveCheckpoint)
	mux.HandleFunc("GET "+prefix+"/tile/{L}/{N...}", l.serveTile)
	mux.HandleFunc("GET "+prefix+"/tile/"+entries+"/{N...}", l.serveEntries)
}

func (l *Log) serveCheckpoint(w http.ResponseWriter, r *http.Request) {
	t, err := l.Current(r.Context())
	if err != nil {
		l.staticError(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("Content-Length", strconv.Itoa(len(t.Checkpoint)))
	w.Write([]byte(t.Checkpoint))
}

func (l *Log) serveTile(w http.ResponseWriter, r *http.Request) {
	level, index, partial, err := layout.ParseTileLevelIndexPartial(r.PathValue("L"), r.PathValue("N"))
	if err != nil {
		http.Error(w, "not a tile path: expected tile/{L}/{N}[.p/{W}]", http.StatusBadRequest)
		return
	}
	if !l.covered(r, level, index, partial) {
		http.Error(w, "the published checkpoint does not cover this tile", http.StatusNotFound)
		return
	}
	raw, err := l.readTile(r.Context(), level, index, partial)
	if err != nil {
		l.staticError(w, r, err)
		return
	}
	sendStatic(w, raw, partial)
}

func (l *Log) serveEntries(w http.ResponseWriter, r *http.Request) {
	index, partial, err := layout.ParseTileIndexPartial(r.PathValue("N"))
	if err != nil {
		http.Error(w, "not an entry bundle path: expected {N}[.p/{W}]", http.StatusBadRequest)
		return
	}
	if !l.covered(r, 0, index, partial) {
		http.Error(w, "the published checkpoint does not cover this bundle", http.StatusNotFound)
		return
	}
	raw, err := l.reader.ReadEntryBundle(r.Context(), index, partial)
	if err == nil {
		raw, err = cutBundle(raw, tileWidth(partial), l.cfg.CTLayout)
	}
	if err != nil {
		l.staticError(w, r, err)
		return
	}
	sendStatic(w, raw, partial)
}

// covered reports whether the published tree has all hashes of the tile. The checkpoint is read
// again only when the last one seen is too small.
func (l *Log) covered(r *http.Request, level, index uint64, partial uint8) bool {
	if level > 7 { // 256^8 leaves do not exist
		return false
	}
	width := uint64(tileWidth(partial))
	if index > math.MaxUint64>>8-1 {
		return false
	}
	last, shift := index*layout.TileWidth+width, level*layout.TileHeight
	if last > math.MaxUint64>>shift {
		return false
	}
	l.pub.mu.Lock()
	t := l.pub.published
	l.pub.mu.Unlock()
	if t != nil && last<<shift <= t.Size {
		return true
	}
	t, err := l.Current(r.Context())
	return err == nil && last<<shift <= t.Size
}

func sendStatic(w http.ResponseWriter, raw []byte, partial uint8) {
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(len(raw)))
	w.Header().Set("Cache-Control", cacheForever)
	if partial != 0 {
		w.Header().Set("Cache-Control", cachePartial)
	}
	w.Write(raw)
}

func (l *Log) staticError(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, fs.ErrNotExist) {
		http.Error(w, "not found", http.StatusNotFound)
		return
	}
	l.cfg.Log.Error("a log resource cannot be read", "path", r.URL.Path, "error", err)
	http.Error(w, "the resource cannot be read", http.StatusInternalServerError)
}
