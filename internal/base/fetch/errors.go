// SPDX-License-Identifier: Apache-2.0

package fetch

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"unicode"
)

// StatusError is an answer with a status that the caller did not want.
type StatusError struct {
	URL    string // without query
	Status int
	Body   string // the first KiB, printable
}

func (e *StatusError) Error() string {
	if e.Body == "" {
		return fmt.Sprintf("%s answered status %d", e.URL, e.Status)
	}
	return fmt.Sprintf("%s answered status %d: %s", e.URL, e.Status, e.Body)
}

// TooLargeError is an answer larger than the client reads.
type TooLargeError struct {
	URL   string // without query
	Limit int64  // bytes
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("%s: the answer is larger than the limit of %d bytes", e.URL, e.Limit)
}

// RedirectError is a redirect that the client does not follow.
type RedirectError struct{ From, To string } // without queries

func (e *RedirectError) Error() string {
	return fmt.Sprintf("%s redirects to %s: redirects are refused here, give the final URL", e.From, e.To)
}

// RefusedError is a request that the client's rules forbid; trying again would
// not help.
type RefusedError struct{ Reason string }

func (e *RefusedError) Error() string { return e.Reason }

// final says that err came from the client's own rules and caps.
func final(err error) bool {
	var tooLarge *TooLargeError
	var redirect *RedirectError
	var refused *RefusedError
	return errors.As(err, &tooLarge) || errors.As(err, &redirect) || errors.As(err, &refused)
}

// Err is the response as a *[StatusError].
func (r *Response) Err(rawURL string) error {
	return &StatusError{URL: Redact(rawURL), Status: r.Status, Body: printable(r.Body, 1<<10)}
}

// printable is the start of body on one line, without control characters.
func printable(body []byte, max int) string {
	if len(body) > max {
		body = body[:max]
	}
	clean := strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case r == unicode.ReplacementChar || !unicode.IsPrint(r):
			return -1
		}
		return r
	}, string(body))
	return strings.TrimSpace(clean)
}

// describe turns net/http's error, which quotes the URL with its query, into
// one that says what to look at.
func describe(method, rawURL string, err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	var refused *RefusedError
	if final(err) && !errors.As(err, &refused) {
		return err // it names the URL itself
	}
	where := method + " " + Redact(rawURL)
	var timeout net.Error
	var dns *net.DNSError
	var op *net.OpError
	switch {
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("%s: cancelled: %w", where, err)
	case errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Errorf("%s: no answer in time: %w", where, err)
	case errors.As(err, &dns):
		return fmt.Errorf("%s: host name %q cannot be resolved: %w", where, dns.Name, err)
	case errors.As(err, &op) && op.Op == "dial":
		return fmt.Errorf("%s: cannot connect: %w", where, err)
	}
	return fmt.Errorf("%s: %w", where, err)
}
