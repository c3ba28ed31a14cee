// SPDX-License-Identifier: Apache-2.0

package ca

import (
	"context"
	"errors"
	"fmt"

	"hallmark/internal/base/httpapi"
)

// A category is why a request got no certificate: a closed set, so that it can
// be a metric label.
type category string

const (
	noToken     category = "no-token"
	badToken    category = "bad-token"
	malformed   category = "malformed"
	badBody     category = "bad-body" // over the limit, or cut short
	badKey      category = "bad-key"
	badProof    category = "bad-proof"
	badIdentity category = "bad-identity"
	tokenCheck  category = "token-check" // an issuer's keys could not be had
	ctLog       category = "ct-log"
	expiredCA   category = "ca-not-valid"
	clientGone  category = "client-gone"
	internal    category = "internal"
)

// categories lists them all, for the metrics to start at zero.
var categories = []category{noToken, badToken, malformed, badBody, badKey, badProof, badIdentity, tokenCheck, ctLog, expiredCA, clientGone, internal}

// code is what a client is told. Everything the client can mend is
// InvalidArgument (400), as upstream answers it.
func (c category) code() httpapi.Code {
	switch c {
	case noToken:
		return httpapi.Unauthenticated
	case tokenCheck, ctLog, expiredCA, clientGone:
		return httpapi.Unavailable
	case internal:
		return httpapi.Internal
	}
	return httpapi.InvalidArgument
}

// A refusal is the error that ends a request. Its text goes to the client; what
// only the operator may read is in cause.
type refusal struct {
	category category
	text     error
	cause    error
}

// refuse makes a refusal whose text is safe to show.
func refuse(c category, format string, args ...any) *refusal {
	return &refusal{category: c, text: fmt.Errorf(format, args...)}
}

// because adds what only the operator may read.
func (r *refusal) because(err error) *refusal {
	r.cause = err
	return r
}

func (r *refusal) Error() string {
	if r.cause != nil {
		return r.text.Error() + ": " + r.cause.Error()
	}
	return r.text.Error()
}

func (r *refusal) Unwrap() []error { return []error{r.text, r.cause} }

// asRefusal makes a refusal of any error: one without its own words is
// internal, and the client learns no more than that.
func asRefusal(err error) *refusal {
	var r *refusal
	if errors.As(err, &r) {
		return r
	}
	if errors.Is(err, context.Canceled) {
		return refuse(clientGone, "the request was abandoned").because(err)
	}
	return refuse(internal, "the certificate could not be made; this is a fault of the server, which has logged it").because(err)
}
