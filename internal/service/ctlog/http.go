// SPDX-License-Identifier: Apache-2.0

package ctlog

import (
	"encoding/hex"
	"errors"
	"io/fs"
	"net/http"
	"os"

	"hallmark/internal/base/httpapi"
)

// Handler serves what monitors read; nothing can be submitted over HTTP.
//
//	GET /ct/v1/get-roots                  RFC 6962 section 4.7
//	GET /ct/checkpoint                    static-ct-api, monitoring prefix /ct
//	GET /ct/tile/{L}/{N}[.p/{W}]
//	GET /ct/tile/data/{N}[.p/{W}]
//	GET /ct/issuer/{SHA-256, hex}
func (l *Log) Handler() http.Handler {
	mux := http.NewServeMux()
	l.tiles.Register(mux, "/ct")
	mux.HandleFunc("GET /ct/issuer/{fingerprint}", l.serveIssuer)
	mux.HandleFunc("GET /ct/v1/get-roots", l.serveRoots)
	return mux
}

func (l *Log) serveRoots(w http.ResponseWriter, _ *http.Request) {
	roots := struct {
		Certificates [][]byte `json:"certificates"` // base64 of DER
	}{[][]byte{}}
	for _, c := range l.deps.Roots {
		roots.Certificates = append(roots.Certificates, c.Raw)
	}
	httpapi.WriteJSON(w, http.StatusOK, roots)
}

func (l *Log) serveIssuer(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("fingerprint")
	sum, err := hex.DecodeString(name)
	if err != nil || len(sum) != 32 || hex.EncodeToString(sum) != name {
		httpapi.Error(w, httpapi.InvalidArgument, "issuer %.80q: expected the lower case hex SHA-256 of a certificate", name)
		return
	}
	der, err := os.ReadFile(issuerPath(l.cfg.Dir, [32]byte(sum)))
	if errors.Is(err, fs.ErrNotExist) {
		httpapi.Error(w, httpapi.NotFound, "no entry has an issuer with this fingerprint")
		return
	}
	if err != nil {
		l.deps.Log.Error("an issuer certificate cannot be read", "fingerprint", name, "error", err)
		httpapi.Error(w, httpapi.Internal, "the issuer certificate cannot be read")
		return
	}
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	httpapi.WriteBody(w, http.StatusOK, "application/pkix-cert", der)
}
