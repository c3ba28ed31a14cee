// SPDX-License-Identifier: Apache-2.0

package tufrepo

import (
	"bytes"
	"net/http"
	"strings"
	"time"

	"hallmark/internal/base/httpapi"
)

// Prefix is the path under which [Repo.Handler] serves.
const Prefix = "/tuf/"

// Handler serves the repository under [Prefix], from memory: the versioned
// files, which may be cached, and timestamp.json and root.json (the latest
// root, for clients that pin its hash), which must be asked for anew each
// time. A name that was not published does not exist, whatever is on disk.
func (r *Repo) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+Prefix+"{path...}", r.serve)
	return mux
}

func (r *Repo) serve(w http.ResponseWriter, req *http.Request) {
	st := r.state.Load()
	name := req.PathValue("path")
	caching := "public, max-age=3600"
	switch name {
	case "root.json":
		name, caching = st.rootName(), "no-cache"
	case "timestamp.json":
		caching = "no-cache"
	}
	f, ok := st.files[name]
	if !ok {
		// The next root is asked for until it is there.
		w.Header().Set("Cache-Control", "no-store")
		httpapi.Error(w, httpapi.NotFound, "no such file in the TUF repository")
		return
	}
	h := w.Header()
	h.Set("Cache-Control", caching)
	h.Set("ETag", f.etag)
	h.Set("X-Content-Type-Options", "nosniff")
	if strings.HasSuffix(name, ".json") {
		h.Set("Content-Type", "application/json")
	} else {
		h.Set("Content-Type", "application/octet-stream")
	}
	http.ServeContent(w, req, "", time.Time{}, bytes.NewReader(f.data))
}
