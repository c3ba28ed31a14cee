// SPDX-License-Identifier: Apache-2.0

package tsa

import (
	"errors"
	"mime"
	"net/http"

	"hallmark/internal/base/httpapi"
	"hallmark/internal/format/rfc3161"
)

// The paths of the API.
const (
	Path      = "/api/v1/timestamp"
	ChainPath = "/api/v1/timestamp/certchain"
)

const (
	typeQuery = "application/timestamp-query" // RFC 3161 section 3.4
	typeReply = "application/timestamp-reply"
	typeJSON  = "application/json"
	typeChain = "application/pem-certificate-chain"
)

// Handler serves POST [Path] and GET [ChainPath].
//
// A request is a DER TimeStampReq or its JSON form, by Content-Type; the answer
// is a DER TimeStampResp with status 200, be it granted or rejected. What is
// no request at all gets status 400 and a line of text.
func (a *Authority) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+Path, a.serveTimestamp)
	mux.HandleFunc("GET "+ChainPath, func(w http.ResponseWriter, _ *http.Request) {
		httpapi.WriteBody(w, http.StatusOK, typeChain, a.chainPEM)
	})
	return mux
}

func (a *Authority) serveTimestamp(w http.ResponseWriter, r *http.Request) {
	var parse func([]byte) (*rfc3161.Request, error)
	switch mediaType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); mediaType {
	case typeQuery:
		parse = parseDER
	case typeJSON:
		parse = parseJSON
	default:
		a.metrics.count(resultMalformed)
		text(w, http.StatusUnsupportedMediaType, "Content-Type: expected "+typeQuery+" or "+typeJSON)
		return
	}
	body, ok := httpapi.ReadBody(w, r, MaxRequest)
	if !ok {
		a.metrics.count(resultMalformed)
		return
	}
	req, err := parse(body)
	var token []byte
	if err == nil {
		token, err = a.issue(req)
	}
	var refused *rfc3161.RequestError
	switch {
	case err == nil:
		a.metrics.count(resultGranted)
		httpapi.WriteBody(w, http.StatusOK, typeReply, token)
	case !errors.As(err, &refused):
		a.metrics.count(resultError)
		a.log.Error("cannot issue a time stamp", "error", err)
		text(w, http.StatusInternalServerError, "the time stamp could not be issued: see the server's log")
	case refused.Failure == rfc3161.BadDataFormat:
		a.metrics.count(resultMalformed)
		text(w, http.StatusBadRequest, refused.Error())
	default:
		a.metrics.count(resultRejected)
		httpapi.WriteBody(w, http.StatusOK, typeReply, rfc3161.MarshalRejection(refused.Failure, refused.Err.Error()))
	}
}

func text(w http.ResponseWriter, status int, line string) {
	httpapi.WriteBody(w, status, "text/plain; charset=utf-8", []byte(line+"\n"))
}
