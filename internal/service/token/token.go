// SPDX-License-Identifier: Apache-2.0

// Package token gets the OIDC identity token that keyless signing starts from.
//
// A token is a JWT (RFC 7519) that an issuer made for one audience. [Find]
// looks, in this order: at what the user gave, the variable SIGSTORE_ID_TOKEN,
// the machine's surroundings (GitHub Actions, GitLab CI, a mounted file), and
// last at a person with a browser (authorization code with PKCE, RFC 7636).
//
// Invariants: no error, log line or formatted value ever holds a token. The
// claims read here are not verified, except those of a browser's token; they
// serve to fail early and to know what the proof of possession signs. The
// certificate authority verifies.
package token

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"
	"unicode"
)

// MaxSize is how long a token may be, in bytes.
const MaxSize = 64 << 10

// What [Token.Check] finds.
var (
	ErrExpired  = errors.New("identity token has expired")
	ErrAudience = errors.New("identity token has another audience")
)

// Token is an identity token. Only [Token.Raw] gives it away. The zero Token
// is none.
type Token struct {
	raw    string
	claims Claims
}

// Claims are what a token says, unverified.
type Claims struct {
	Issuer        string
	Subject       string
	Email         string
	EmailVerified bool
	Audience      []string
	Expiry        time.Time // zero if the token has none
	Nonce         string
}

// New reads the claims of a JWT in compact form, with space around it ignored.
func New(raw string) (Token, error) {
	raw = strings.TrimSpace(raw)
	if len(raw) > MaxSize {
		return Token{}, fmt.Errorf("identity token of %d bytes: at most %d are accepted", len(raw), MaxSize)
	}
	parts := strings.Split(raw, ".")
	if len(parts) != 3 || parts[2] == "" {
		return Token{}, errors.New("identity token is not a signed JWT: expected three base64url parts joined by dots")
	}
	var header struct {
		Algorithm string `json:"alg"`
	}
	if err := decode(parts[0], &header); err != nil || header.Algorithm == "" {
		return Token{}, errors.New("identity token is not a signed JWT: its header is malformed")
	}
	if _, err := base64.RawURLEncoding.DecodeString(parts[2]); err != nil {
		return Token{}, errors.New("identity token is not a signed JWT: its signature is not base64url")
	}
	var c wireClaims
	if err := decode(parts[1], &c); err != nil {
		return Token{}, errors.New("identity token has malformed claims: expected a JSON object with iss, sub, aud and exp")
	}
	if c.Issuer == "" {
		return Token{}, errors.New("identity token has no issuer (iss)")
	}
	if c.Subject == "" {
		return Token{}, errors.New("identity token has no subject (sub)")
	}
	t := Token{raw: raw, claims: Claims{Issuer: c.Issuer, Subject: c.Subject, Email: c.Email,
		EmailVerified: bool(c.EmailVerified), Audience: c.Audience, Nonce: c.Nonce}}
	if c.Expiry != nil {
		if *c.Expiry < 0 || *c.Expiry > 1<<40 {
			return Token{}, errors.New("identity token has an expiry (exp) that is no time")
		}
		t.claims.Expiry = time.Unix(int64(*c.Expiry), 0).UTC()
	}
	return t, nil
}

func decode(part string, into any) error {
	data, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, into)
}

type wireClaims struct {
	Issuer        string   `json:"iss"`
	Subject       string   `json:"sub"`
	Email         string   `json:"email"`
	EmailVerified laxBool  `json:"email_verified"`
	Audience      audience `json:"aud"`
	Expiry        *float64 `json:"exp"`
	Nonce         string   `json:"nonce"`
}

// laxBool is true or "true"; some issuers write the string.
type laxBool bool

func (b *laxBool) UnmarshalJSON(data []byte) error {
	*b = string(data) == "true" || string(data) == `"true"`
	return nil
}

// audience is a string or a list of them.
type audience []string

func (a *audience) UnmarshalJSON(data []byte) error {
	var one string
	if err := json.Unmarshal(data, &one); err == nil {
		*a = audience{one}
		return nil
	}
	var many []string
	if err := json.Unmarshal(data, &many); err != nil {
		return err
	}
	*a = many
	return nil
}

// Raw is the token itself, for the Authorization header and nothing else.
func (t Token) Raw() string { return t.raw }

// IsZero says whether there is no token.
func (t Token) IsZero() bool { return t.raw == "" }

// Claims are what the token says, unverified.
func (t Token) Claims() Claims {
	c := t.claims
	c.Audience = slices.Clone(c.Audience)
	return c
}

// Challenge is what a proof of possession signs: the email address if the token
// has one, else the subject.
func (t Token) Challenge() (string, error) {
	if t.claims.Email == "" {
		return t.claims.Subject, nil
	}
	if !t.claims.EmailVerified {
		return "", fmt.Errorf("identity token from %s: its email address %q is not verified (email_verified): verify it with the identity provider", printable(t.claims.Issuer), printable(t.claims.Email))
	}
	return t.claims.Email, nil
}

// Check fails early on what the certificate authority would refuse: a token
// that has expired ([ErrExpired]) or is for somebody else ([ErrAudience]).
// With audience "" any is accepted.
func (t Token) Check(audience string, now time.Time) error {
	c := t.claims
	if !c.Expiry.IsZero() && !now.Before(c.Expiry) {
		return fmt.Errorf("%w: it was valid until %s, %s ago: get a fresh one", ErrExpired, c.Expiry.Format(time.RFC3339), now.Sub(c.Expiry).Round(time.Second))
	}
	if audience != "" && !slices.Contains(c.Audience, audience) {
		found := "none"
		if len(c.Audience) > 0 {
			quoted := make([]string, 0, len(c.Audience))
			for _, a := range c.Audience {
				quoted = append(quoted, fmt.Sprintf("%q", a))
			}
			found = strings.Join(quoted, ", ")
		}
		return fmt.Errorf("%w: expected %q, found %.300s: ask %s for a token for the expected audience", ErrAudience, audience, found, printable(c.Issuer))
	}
	return nil
}

const redacted = "[identity token]"

// String hides the token.
func (t Token) String() string { return redacted }

// Format hides the token from every verb.
func (t Token) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// MarshalText hides the token.
func (t Token) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue hides the token.
func (t Token) LogValue() slog.Value { return slog.StringValue(redacted) }

// short is err in one line of bounded length: libraries quote whole answers.
func short(err error) error {
	return &shortError{err}
}

type shortError struct{ err error }

func (e *shortError) Error() string {
	s := strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case r == unicode.ReplacementChar || !unicode.IsPrint(r):
			return -1
		}
		return r
	}, e.err.Error())
	if len(s) > 300 {
		s = s[:300] + "…"
	}
	return s
}

func (e *shortError) Unwrap() error { return e.err }

// printable is s as it may be shown: quoted where it could confuse a terminal.
func printable(s string) string {
	if len(s) > 200 {
		s = s[:200] + "…"
	}
	if q := fmt.Sprintf("%q", s); q != `"`+s+`"` {
		return q
	}
	return s
}
