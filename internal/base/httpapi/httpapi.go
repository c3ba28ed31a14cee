// SPDX-License-Identifier: Apache-2.0

// Package httpapi answers HTTP requests the way grpc-gateway does, because the
// clients of the Sigstore services were written against it.
//
// An error is {"code":N,"message":"…","details":[]} with a canonical gRPC code
// and the HTTP status that belongs to it:
// https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto
//
// Invariants: bodies are read within a cap; every answer has a Content-Type
// and X-Content-Type-Options: nosniff.
package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// Code is a canonical gRPC status code.
type Code int

// The codes in use.
const (
	InvalidArgument    Code = 3
	NotFound           Code = 5
	AlreadyExists      Code = 6
	PermissionDenied   Code = 7
	ResourceExhausted  Code = 8
	FailedPrecondition Code = 9
	Unimplemented      Code = 12
	Internal           Code = 13
	Unavailable        Code = 14
	Unauthenticated    Code = 16
)

// HTTPStatus is the status grpc-gateway sends with c.
func (c Code) HTTPStatus() int {
	switch c {
	case InvalidArgument, FailedPrecondition:
		return http.StatusBadRequest
	case NotFound:
		return http.StatusNotFound
	case AlreadyExists:
		return http.StatusConflict
	case PermissionDenied:
		return http.StatusForbidden
	case ResourceExhausted:
		return http.StatusTooManyRequests
	case Unimplemented:
		return http.StatusNotImplemented
	case Unavailable:
		return http.StatusServiceUnavailable
	case Unauthenticated:
		return http.StatusUnauthorized
	}
	return http.StatusInternalServerError
}

// Error answers with code and a formatted message, which the client's user
// will read: say what was expected and what to do, and nothing secret.
func Error(w http.ResponseWriter, code Code, format string, args ...any) {
	errorWithStatus(w, code.HTTPStatus(), code, fmt.Sprintf(format, args...))
}

func errorWithStatus(w http.ResponseWriter, status int, code Code, message string) {
	WriteJSON(w, status, struct {
		Code    Code   `json:"code"`
		Message string `json:"message"`
		Details []any  `json:"details"`
	}{code, message, []any{}})
}

// WriteJSON answers with v as JSON. v must be encodable.
func WriteJSON(w http.ResponseWriter, status int, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		status, data = http.StatusInternalServerError, []byte(`{"code":13,"message":"the answer could not be encoded","details":[]}`)
	}
	WriteBody(w, status, "application/json", data)
}

// WriteBody answers with data of the given type.
func WriteBody(w http.ResponseWriter, status int, contentType string, data []byte) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	w.Write(data) // a client that went away is not the server's error
}

// ReadBody reads the request's body of at most max bytes. When it cannot, it
// answers 413 or 400 itself and returns false.
func ReadBody(w http.ResponseWriter, r *http.Request, max int64) ([]byte, bool) {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, max))
	if err == nil {
		return data, true
	}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		errorWithStatus(w, http.StatusRequestEntityTooLarge, ResourceExhausted,
			fmt.Sprintf("the request body is larger than the limit of %d bytes", max))
		return nil, false
	}
	Error(w, InvalidArgument, "the request body could not be read to its end")
	return nil, false
}
