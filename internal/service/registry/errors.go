// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"unicode"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"hallmark/internal/base/fetch"
)

// What went wrong, for errors.Is. Every error of this package that comes from
// a registry is an *[Error] of exactly one of these kinds.
var (
	// ErrNotFound: the registry answered, and what was asked for is not there.
	ErrNotFound = errors.New("not found")
	// ErrUnauthorized: the registry answered and wants other credentials.
	ErrUnauthorized = errors.New("unauthorized")
	// ErrUnreachable: there was no usable answer: no connection, no answer in
	// time, or still 429 or 5xx after the retries. Trying later may help.
	ErrUnreachable = errors.New("unreachable")
	// ErrTooLarge: an answer exceeds a limit of this package.
	ErrTooLarge = errors.New("too large")
	// ErrInvalid: the registry's answer is not what the protocol or the digest says.
	ErrInvalid = errors.New("invalid answer")
	// ErrRefused: this client's rules forbid it (plain HTTP, credentials, redirects).
	ErrRefused = errors.New("refused")
	// ErrRejected: the registry does not accept what was pushed.
	ErrRejected = errors.New("rejected")
)

// Error is a failed exchange with a registry.
type Error struct {
	Kind     error  // one of the Err values of this package
	Registry string // host, with port if it has one
	What     string // what was attempted, after "cannot"
	Hint     string // what to do; "" if nothing is known
	Err      error  // why
}

// Error is one line; it never holds a query string or a credential.
func (e *Error) Error() string {
	msg := fmt.Sprintf("registry %s: cannot %s: %v", e.Registry, e.What, e.Err)
	if e.Hint != "" {
		msg += ": " + e.Hint
	}
	return msg
}

// Unwrap gives the cause and the kind.
func (e *Error) Unwrap() []error { return []error{e.Kind, e.Err} }

// stallError is a peer that sent nothing for too long.
type stallError struct{ after string }

func (e *stallError) Error() string { return "it sent nothing for " + e.after }

// refusal is a rule of this client, with what to do about it.
type refusal struct{ msg, hint string }

func (e *refusal) Error() string { return e.msg }

// sizeError is an answer past its limit.
type sizeError struct {
	what  string
	limit int64
	unit  string // "" is bytes
}

func (e *sizeError) Error() string {
	unit := e.unit
	if unit == "" {
		unit = "bytes"
	}
	return fmt.Sprintf("%s exceeds the limit of %d %s", e.what, e.limit, unit)
}

// explain makes err, from any layer below, an *Error.
func (c *Client) explain(repo name.Repository, what string, err error) error {
	if known := (*Error)(nil); errors.As(err, &known) {
		return known
	}
	e := &Error{Registry: repo.RegistryStr(), What: what}
	e.Hint, e.Kind, e.Err = classify(repo, err)
	return e
}

func classify(repo name.Repository, err error) (hint string, kind, cause error) {
	var (
		answer   *transport.Error
		refused  *refusal
		tooLarge *sizeError
		body     *fetch.TooLargeError
		wrapped  *url.Error
		stalled  *stallError
		cert     *tls.CertificateVerificationError
		netErr   net.Error
	)
	switch {
	case errors.As(err, &cert): // before refusal: plain HTTP is only tried because TLS failed
		return "give the certificate authority of a private registry explicitly; verification cannot be turned off", ErrUnreachable, cert
	case errors.As(err, &refused):
		return refused.hint, ErrRefused, refused
	case errors.As(err, &tooLarge):
		return "", ErrTooLarge, tooLarge
	case errors.As(err, &body):
		return "", ErrTooLarge, body
	case errors.As(err, &answer):
		return classifyStatus(repo, answer)
	case errors.As(err, &stalled):
		return "check that the registry works, or allow more time", ErrUnreachable, stalled
	}
	if strings.HasPrefix(err.Error(), "no token in bearer response") { // it quotes the response
		return fmt.Sprintf("log in with `docker login %s`", repo.RegistryStr()), ErrUnauthorized, errors.New("its token service gave no token")
	}
	if errors.As(err, &wrapped) {
		err = wrapped.Err // it quotes the URL with its query
	}
	switch {
	case errors.Is(err, context.Canceled):
		return "", ErrUnreachable, err
	case errors.Is(err, context.DeadlineExceeded):
		return "it did not answer in the time allowed", ErrUnreachable, err
	case errors.As(err, &netErr), isConnection(err):
		return "check the host name, the port and the network", ErrUnreachable, err
	}
	return "", ErrInvalid, err
}

func isConnection(err error) bool {
	var op *net.OpError
	var header tls.RecordHeaderError
	return errors.As(err, &op) || errors.As(err, &header) || broken(err)
}

func classifyStatus(repo name.Repository, answer *transport.Error) (hint string, kind, cause error) {
	cause = errors.New(statusText(answer))
	switch s := answer.StatusCode; {
	case s == http.StatusUnauthorized || s == http.StatusForbidden:
		return fmt.Sprintf("either %s is not there or the credentials do not allow it; log in with `docker login %s`", repo.Name(), repo.RegistryStr()), ErrUnauthorized, cause
	case s == http.StatusNotFound:
		return "check the name of the image, and that it has been pushed", ErrNotFound, cause
	case s == http.StatusTooManyRequests:
		return "the registry limits requests; try again later, or log in for a higher limit", ErrUnreachable, cause
	case s >= 500:
		return "the registry is in trouble; try again later", ErrUnreachable, cause
	}
	return "", ErrRejected, cause
}

// statusText is a registry's error in one short printable line.
func statusText(answer *transport.Error) string {
	text := fmt.Sprintf("it answered %d %s", answer.StatusCode, http.StatusText(answer.StatusCode))
	for i, d := range answer.Errors {
		if i == 3 {
			break
		}
		text += fmt.Sprintf(" (%s: %s)", printable(string(d.Code), 40), printable(d.Message, 200))
	}
	return text
}

func printable(s string, max int) string {
	if len(s) > max {
		s = s[:max] + "…"
	}
	return strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)
}
