// SPDX-License-Identifier: Apache-2.0

package oidc

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"hallmark/internal/format/strictjson"
)

// algorithms are the signature algorithms accepted of a token
// (RFC 8725 §3.1: only ones the application expects).
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512,
	jose.PS256, jose.PS384, jose.PS512,
	jose.ES256, jose.ES384, jose.ES512,
	jose.EdDSA,
}

// maxTries is how many keys a token without a key id is tried with.
const maxTries = 16

// maxClaims is how many members the claims may have; maxAudiences how many
// values aud.
const (
	maxClaims    = 500
	maxAudiences = 50
)

// token is a parsed token. Nothing in it is verified until verify returns nil.
type token struct {
	jws       *jose.JSONWebSignature
	algorithm jose.SignatureAlgorithm
	keyID     string
	claims    claims
	issuer    string
	subject   string
}

func parseToken(compact string) (*token, error) {
	if compact == "" {
		return nil, refuse(CodeMalformed, "is empty; send the id_token of an OpenID Connect issuer")
	}
	if len(compact) > MaxToken {
		return nil, refuse(CodeMalformed, "is %d bytes long, at most %d are accepted", len(compact), MaxToken)
	}
	parts := strings.Split(compact, ".")
	if len(parts) != 3 {
		return nil, refuse(CodeMalformed, "has %d parts separated by dots; expected the three of a signed JWT", len(parts))
	}
	t := &token{}
	if err := t.parseHeader(parts[0]); err != nil {
		return nil, err
	}
	jws, err := jose.ParseSignedCompact(compact, algorithms)
	if err != nil {
		var alg *jose.ErrUnexpectedSignatureAlgorithm
		if errors.As(err, &alg) {
			return nil, refuseAlgorithm(string(t.algorithm))
		}
		return nil, refuse(CodeMalformed, "is not a signed JWT in compact form (three base64url parts without padding)")
	}
	t.jws = jws
	return t, t.parseClaims(jws.UnsafePayloadWithoutVerification())
}

func refuseAlgorithm(alg string) *Error {
	var names []string
	for _, a := range algorithms {
		names = append(names, string(a))
	}
	return refuse(CodeUnsupportedAlg, "is signed with alg %s; accepted: %s", short(alg), strings.Join(names, ", "))
}

// otherJWTs are JWT types that an issuer signs with the same keys and that are
// not identity tokens (RFC 8725 §2.8, cross-JWT confusion).
var otherJWTs = []string{"at+jwt", "logout+jwt", "secevent+jwt"}

func (t *token) parseHeader(part string) error {
	raw, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return refuse(CodeMalformed, "its header is not base64url without padding")
	}
	v, err := strictjson.Parse(raw)
	if err != nil {
		return refuse(CodeMalformed, "its header is not a JSON object")
	}
	m, err := v.Open("alg", "kid", "typ", "crit")
	if err != nil {
		return refuse(CodeMalformed, "its header is not a JSON object with alg, kid and typ")
	}
	if _, ok := m.Get("crit"); ok {
		return refuse(CodeMalformed, "its header has critical extensions (crit); none are supported")
	}
	text := map[string]string{}
	for _, name := range []string{"alg", "kid", "typ"} {
		v, ok := m.Get(name)
		if !ok {
			continue
		}
		if text[name], err = v.Text(); err != nil {
			return refuse(CodeMalformed, "header field %s: %v", name, err)
		}
	}
	t.algorithm, t.keyID = jose.SignatureAlgorithm(text["alg"]), text["kid"]
	if !slices.Contains(algorithms, t.algorithm) {
		return refuseAlgorithm(text["alg"])
	}
	typ := strings.TrimPrefix(strings.ToLower(text["typ"]), "application/")
	if slices.Contains(otherJWTs, typ) {
		return refuse(CodeMalformed, "has type %s, which is not an identity token; send the id_token", short(typ))
	}
	return nil
}

func (t *token) parseClaims(payload []byte) error {
	v, err := strictjson.Parse(payload)
	if err != nil {
		return refuse(CodeMalformed, "its claims are not strict JSON")
	}
	t.claims = claims{}
	err = v.Map(maxClaims, func(name string, val strictjson.Value) error {
		t.claims[name] = val
		return nil
	})
	if err != nil {
		return refuse(CodeMalformed, "its claims are not a JSON object of at most %d members", maxClaims)
	}
	if t.issuer, err = t.claims.text("iss"); err != nil {
		return err
	}
	if t.issuer == "" {
		return refuse(CodeMalformed, "claim iss is absent; send the id_token of an OpenID Connect issuer")
	}
	t.subject, err = t.claims.text("sub")
	return err
}

func (t *token) checkTimes(now time.Time) error {
	exp, err := t.claims.date("exp")
	if err != nil {
		return err
	}
	if exp.IsZero() {
		return refuse(CodeClaimMissing, "claim exp is absent; a token without an expiry is not accepted")
	}
	if !now.Add(-Skew).Before(exp) {
		return refuse(CodeExpired, "expired at %s, it is %s now; get a new one", stamp(exp), stamp(now))
	}
	for _, name := range []string{"nbf", "iat"} {
		at, err := t.claims.date(name)
		if err != nil {
			return err
		}
		if at.After(now.Add(Skew)) {
			return refuse(CodeNotYetValid, "claim %s is %s, it is %s now; check the clocks of the issuer and of this server", name, stamp(at), stamp(now))
		}
	}
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func (t *token) checkAudience(accepted []string) error {
	v, ok := t.claims["aud"]
	if !ok {
		return refuse(CodeClaimMissing, "claim aud is absent; request the token for audience %s", list(accepted))
	}
	var got []string
	if v.Kind() == strictjson.String {
		s, err := v.Text()
		if err != nil {
			return refuse(CodeMalformed, "claim aud: %v", err)
		}
		got = []string{s}
	} else {
		elements, err := v.Elements(maxAudiences)
		if err != nil {
			return refuse(CodeMalformed, "claim aud: expected a string or an array of at most %d strings", maxAudiences)
		}
		for _, e := range elements {
			s, err := e.Text()
			if err != nil {
				return refuse(CodeMalformed, "claim aud: %v", err)
			}
			got = append(got, s)
		}
	}
	for _, aud := range got {
		if slices.Contains(accepted, aud) {
			return nil
		}
	}
	return refuse(CodeWrongAudience, "is for audience %s; expected %s: request the token for that audience", list(got), list(accepted))
}

// verify checks the signature with the issuer's keys. A key that is not among
// them may be new: they are fetched again if the last fetch is long enough ago.
func (t *token) verify(ctx context.Context, source keySource) error {
	set, err := source.current(ctx)
	if err != nil {
		return err
	}
	known, ok := t.verifiedBy(set)
	if ok {
		return nil
	}
	if t.keyID == "" || !known {
		if newer, ok := source.newer(ctx, set); ok {
			if known, ok = t.verifiedBy(newer); ok {
				return nil
			}
		}
	}
	if !known {
		return refuse(CodeUnknownKey, "is signed with key id %s and alg %s, which the issuer's key set does not have; a key added less than %v ago may not be seen yet", short(t.keyID), t.algorithm, RefreshInterval)
	}
	return refuse(CodeBadSignature, "its signature does not verify with the issuer's keys; it was altered, or comes from somebody else")
}

// verifiedBy says whether set has a key that the token may be signed with, and
// whether such a key verifies it.
func (t *token) verifiedBy(set keySet) (known, ok bool) {
	tries := 0
	for _, key := range set.keys {
		if t.keyID != "" && key.KeyID != t.keyID || !fits(key, t.algorithm) {
			continue
		}
		if known = true; tries == maxTries {
			break
		}
		tries++
		payload, err := t.jws.Verify(key.Key)
		if err == nil && bytes.Equal(payload, t.jws.UnsafePayloadWithoutVerification()) {
			return true, true
		}
	}
	return known, false
}

// claims are the members of a token's payload.
type claims map[string]strictjson.Value

// text is a string claim; "" where it is absent or null.
func (c claims) text(name string) (string, error) {
	v, ok := c[name]
	if !ok || v.Kind() == strictjson.Null {
		return "", nil
	}
	s, err := v.Text()
	if err != nil {
		return "", refuse(CodeMalformed, "claim %s: %v", name, err)
	}
	return s, nil
}

// date is a NumericDate claim; the zero time where it is absent or null.
func (c claims) date(name string) (time.Time, error) {
	v, ok := c[name]
	if !ok || v.Kind() == strictjson.Null {
		return time.Time{}, nil
	}
	var d jwt.NumericDate
	if v.Kind() != strictjson.Number || d.UnmarshalJSON(v.Raw()) != nil {
		return time.Time{}, refuse(CodeMalformed, "claim %s: expected a number of seconds since 1970, found %s", name, v.Kind())
	}
	return time.Unix(int64(d), 0), nil
}

// truth is a claim that is true as a boolean or, as some issuers write it, as
// the string "true".
func (c claims) truth(name string) bool {
	raw := string(c[name].Raw())
	return raw == "true" || raw == `"true"`
}

// missing is the refusal of a token without a claim that typ needs.
func missing(name, why string) *Error {
	return refuse(CodeClaimMissing, "claim %s is absent or empty; %s", name, why)
}

func invalid(name, format string, args ...any) *Error {
	return refuse(CodeClaimInvalid, "claim %s: %s", name, fmt.Sprintf(format, args...))
}
