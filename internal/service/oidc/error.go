// SPDX-License-Identifier: Apache-2.0

package oidc

import (
	"fmt"
	"strings"
)

// Code is why a token was refused. The set is closed and stable: it is also
// the metric label.
type Code string

// The codes.
const (
	CodeMalformed         Code = "malformed"             // not a signed token this package reads
	CodeUnsupportedAlg    Code = "unsupported-algorithm" // unsigned, HMAC or unknown algorithm
	CodeUnknownIssuer     Code = "unknown-issuer"        // iss is not configured
	CodeWrongAudience     Code = "wrong-audience"        // aud is for somebody else
	CodeExpired           Code = "expired"               // exp has passed
	CodeNotYetValid       Code = "not-yet-valid"         // nbf or iat lies ahead
	CodeUnknownKey        Code = "unknown-key"           // kid is not among the issuer's keys
	CodeBadSignature      Code = "bad-signature"         // the issuer's keys do not verify it
	CodeIssuerUnavailable Code = "issuer-unavailable"    // the issuer's keys cannot be had now
	CodeClaimMissing      Code = "claim-missing"         // a claim the issuer's type needs is absent
	CodeClaimInvalid      Code = "claim-invalid"         // a claim has a value that is not allowed
	CodeEmailNotVerified  Code = "email-not-verified"    // email_verified is not true
)

// Error is a refused token. Its text is written for whoever sent the token: it
// says what was expected and what to do, quotes single short claims, and never
// holds the token, its signature or an answer of the issuer.
type Error struct {
	Code   Code
	Issuer string // configured issuer URL; "" when the token did not select one
	text   string
	cause  error
}

func (e *Error) Error() string {
	if e.Issuer == "" {
		return "identity token: " + e.text
	}
	return fmt.Sprintf("identity token of %s: %s", e.Issuer, e.text)
}

// Unwrap is the cause, for issuer-unavailable.
func (e *Error) Unwrap() error { return e.cause }

// Category is the code as a plain string, for packages that may not import
// this one.
func (e *Error) Category() string { return string(e.Code) }

// Temporary says whether the same token may be accepted later: the fault is
// with reaching the issuer, not with the token.
func (e *Error) Temporary() bool { return e.Code == CodeIssuerUnavailable }

func refuse(code Code, format string, args ...any) *Error {
	return &Error{Code: code, text: fmt.Sprintf(format, args...)}
}

// short is s quoted, cut to a length that belongs in a message.
func short(s string) string {
	const limit = 200
	if len(s) > limit {
		return fmt.Sprintf("%q…", s[:limit])
	}
	return fmt.Sprintf("%q", s)
}

// list quotes the first few of values.
func list(values []string) string {
	const limit = 5
	if len(values) == 0 {
		return "none"
	}
	var out []string
	for i, v := range values {
		if i == limit {
			out = append(out, fmt.Sprintf("%d more", len(values)-limit))
			break
		}
		out = append(out, short(v))
	}
	return strings.Join(out, ", ")
}
