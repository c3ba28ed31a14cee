// SPDX-License-Identifier: Apache-2.0

package oidc

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"hallmark/internal/format/certext"
)

func TestEmail(t *testing.T) {
	c := newClock()
	ti := newTestIssuer(t)
	a := emailAuthenticator(t, ti, c)
	got := mustAccept(t, a, ti.token(t, c, nil))
	want := certext.Principal{
		Challenge:  "someone@example.com",
		SAN:        certext.SAN{Kind: certext.Email, Value: "someone@example.com"},
		Extensions: certext.Extensions{Issuer: ti.url, IssuerV2: ti.url, TokenSubject: "subject-1"},
	}
	if got != want {
		t.Fatalf("got %+v\nwant %+v", got, want)
	}
	if n := ti.fetches.Load(); n != 1 {
		t.Fatalf("%d discovery fetches, expected 1", n)
	}
}

func TestAlgorithms(t *testing.T) {
	k := testKeys()
	c := newClock()
	ti := newTestIssuer(t, jwk("rsa", k.rsa), jwk("p256", k.p256), jwk("p384", k.p384), jwk("p521", k.p521), jwk("ed", k.ed))
	a := emailAuthenticator(t, ti, c)
	for _, tt := range []struct {
		alg jose.SignatureAlgorithm
		kid string
		key any
	}{
		{jose.RS256, "rsa", k.rsa}, {jose.RS384, "rsa", k.rsa}, {jose.RS512, "rsa", k.rsa},
		{jose.PS256, "rsa", k.rsa}, {jose.PS384, "rsa", k.rsa}, {jose.PS512, "rsa", k.rsa},
		{jose.ES256, "p256", k.p256}, {jose.ES384, "p384", k.p384}, {jose.ES512, "p521", k.p521},
		{jose.EdDSA, "ed", k.ed},
	} {
		t.Run(string(tt.alg), func(t *testing.T) {
			claims := ti.claims(c, nil)
			mustAccept(t, a, sign(t, tt.alg, tt.key, map[jose.HeaderKey]any{"kid": tt.kid}, claims))
			mustAccept(t, a, sign(t, tt.alg, tt.key, nil, claims)) // no key id: every fitting key is tried
		})
	}
}

// TestAcceptedVariants are claims that look odd and are allowed.
func TestAcceptedVariants(t *testing.T) {
	c := newClock()
	ti := newTestIssuer(t)
	a := emailAuthenticator(t, ti, c)
	for name, change := range map[string]map[string]any{
		"audience among several":  {"aud": []string{"other", ownAudience}},
		"verified as a string":    {"email_verified": "true"},
		"expired within the skew": {"exp": c.now().Add(-Skew + time.Second).Unix()},
		"ahead within the skew":   {"iat": c.now().Add(Skew).Unix(), "nbf": c.now().Add(Skew).Unix()},
		"no iat":                  {"iat": nil},
		"fractional exp":          {"exp": float64(c.now().Unix()) + 60.5},
		"null claim":              {"azp": []byte(nil)},
	} {
		t.Run(name, func(t *testing.T) { mustAccept(t, a, ti.token(t, c, change)) })
	}
}

func TestRefusedClaims(t *testing.T) {
	c := newClock()
	ti := newTestIssuer(t)
	a := emailAuthenticator(t, ti, c)
	mustAccept(t, a, ti.token(t, c, nil))
	for name, tt := range map[string]struct {
		change map[string]any
		code   Code
		text   string // part of the message
	}{
		"expired":               {map[string]any{"exp": c.now().Add(-Skew).Unix()}, CodeExpired, "get a new one"},
		"no exp":                {map[string]any{"exp": nil}, CodeClaimMissing, "exp"},
		"exp is text":           {map[string]any{"exp": "1800000300"}, CodeMalformed, "exp"},
		"exp overflows":         {map[string]any{"exp": 1e300}, CodeMalformed, "exp"},
		"not yet valid":         {map[string]any{"nbf": c.now().Add(Skew + time.Second).Unix()}, CodeNotYetValid, "nbf"},
		"issued in the future":  {map[string]any{"iat": c.now().Add(Skew + time.Second).Unix()}, CodeNotYetValid, "clocks"},
		"wrong audience":        {map[string]any{"aud": "sigstore"}, CodeWrongAudience, `expected "` + ownAudience + `"`},
		"wrong audiences":       {map[string]any{"aud": []string{"a", "b"}}, CodeWrongAudience, ownAudience},
		"empty audience":        {map[string]any{"aud": ""}, CodeWrongAudience, ownAudience},
		"no audiences":          {map[string]any{"aud": []string{}}, CodeWrongAudience, ownAudience},
		"no aud":                {map[string]any{"aud": nil}, CodeClaimMissing, ownAudience},
		"aud is a number":       {map[string]any{"aud": 7}, CodeMalformed, "aud"},
		"audience prefix":       {map[string]any{"aud": ownAudience + "/"}, CodeWrongAudience, ownAudience},
		"unknown issuer":        {map[string]any{"iss": "https://evil.example"}, CodeUnknownIssuer, ti.url},
		"issuer with slash":     {map[string]any{"iss": ti.url + "/"}, CodeUnknownIssuer, "not accepted here"},
		"issuer in upper case":  {map[string]any{"iss": strings.ToUpper(ti.url)}, CodeUnknownIssuer, "not accepted here"},
		"no iss":                {map[string]any{"iss": nil}, CodeMalformed, "iss"},
		"iss is a list":         {map[string]any{"iss": []string{ti.url}}, CodeMalformed, "iss"},
		"no sub":                {map[string]any{"sub": nil}, CodeClaimMissing, "sub"},
		"empty sub":             {map[string]any{"sub": ""}, CodeClaimMissing, "sub"},
		"long sub":              {map[string]any{"sub": strings.Repeat("s", 5000)}, CodeClaimInvalid, "too long"},
		"no email":              {map[string]any{"email": nil}, CodeClaimMissing, "scope email"},
		"email unverified":      {map[string]any{"email_verified": false}, CodeEmailNotVerified, "email_verified"},
		"email verified absent": {map[string]any{"email_verified": nil}, CodeEmailNotVerified, "email_verified"},
		"email verified is 1":   {map[string]any{"email_verified": 1}, CodeEmailNotVerified, "email_verified"},
		"email verified yes":    {map[string]any{"email_verified": "yes"}, CodeEmailNotVerified, "email_verified"},
		"no host":               {map[string]any{"email": "root"}, CodeClaimInvalid, "email"},
		"no domain":             {map[string]any{"email": "root@localhost"}, CodeClaimInvalid, "email"},
		"two addresses":         {map[string]any{"email": "a@example.com b@example.com"}, CodeClaimInvalid, "email"},
		"NUL in address":        {map[string]any{"email": "a@example.com\x00.evil.example"}, CodeClaimInvalid, "email"},
		"line break in address": {map[string]any{"email": "a@example.com\n"}, CodeClaimInvalid, "email"},
		"address not ASCII":     {map[string]any{"email": "а@example.com"}, CodeClaimInvalid, "email"},
	} {
		t.Run(name, func(t *testing.T) {
			err := mustRefuse(t, a, ti.token(t, c, tt.change), tt.code)
			if !strings.Contains(err.Error(), tt.text) {
				t.Errorf("message %q lacks %q", err, tt.text)
			}
		})
	}
}

func TestRefusedTokens(t *testing.T) {
	k := testKeys()
	c := newClock()
	ti := newTestIssuer(t, jwk("main", k.p256), jwk("rsa", k.rsa),
		jose.JSONWebKey{Key: k.p384.Public(), KeyID: "enc", Use: "enc"},
		jose.JSONWebKey{Key: k.rsa.Public(), KeyID: "ps-only", Algorithm: "PS256"})
	a := emailAuthenticator(t, ti, c)
	good := ti.token(t, c, nil)
	mustAccept(t, a, good)
	parts := strings.Split(good, ".")
	claims := ti.claims(c, nil)
	b64 := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	kid := func(kid string) map[jose.HeaderKey]any { return map[jose.HeaderKey]any{"kid": kid} }
	secret := []byte(strings.Repeat("k", 64))

	for name, tt := range map[string]struct {
		token string
		code  Code
	}{
		"empty":               {"", CodeMalformed},
		"not a token":         {"hello", CodeMalformed},
		"two parts":           {parts[0] + "." + parts[1], CodeMalformed},
		"four parts":          {good + ".x", CodeMalformed},
		"encrypted":           {"a.b.c.d.e", CodeMalformed},
		"JSON form":           {`{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`, CodeMalformed},
		"too large":           {parts[0] + "." + parts[1] + "." + strings.Repeat("A", MaxToken), CodeMalformed},
		"white space":         {" " + good, CodeMalformed},
		"padding":             {parts[0] + "==." + parts[1] + "." + parts[2], CodeMalformed},
		"header not JSON":     {b64("{") + "." + parts[1] + "." + parts[2], CodeMalformed},
		"header twice alg":    {b64(`{"alg":"RS256","alg":"ES256"}`) + "." + parts[1] + "." + parts[2], CodeMalformed},
		"header crit":         {b64(`{"alg":"ES256","kid":"main","crit":["b64"],"b64":false}`) + "." + parts[1] + "." + parts[2], CodeMalformed},
		"header kid number":   {b64(`{"alg":"ES256","kid":7}`) + "." + parts[1] + "." + parts[2], CodeMalformed},
		"access token":        {sign(t, jose.ES256, k.p256, map[jose.HeaderKey]any{"kid": "main", "typ": "at+jwt"}, claims), CodeMalformed},
		"logout token":        {sign(t, jose.ES256, k.p256, map[jose.HeaderKey]any{"kid": "main", "typ": "application/Logout+JWT"}, claims), CodeMalformed},
		"claims are a list":   {sign(t, jose.ES256, k.p256, kid("main"), []byte(`[]`)), CodeMalformed},
		"claims not JSON":     {sign(t, jose.ES256, k.p256, kid("main"), []byte(`{"iss":`)), CodeMalformed},
		"claim twice":         {sign(t, jose.ES256, k.p256, kid("main"), []byte(`{"iss":"`+ti.url+`","iss":"https://evil.example"}`)), CodeMalformed},
		"claims nested deep":  {sign(t, jose.ES256, k.p256, kid("main"), []byte(`{"iss":`+strings.Repeat("[", 20000)+strings.Repeat("]", 20000)+`}`)), CodeMalformed},
		"alg none":            {b64(`{"alg":"none"}`) + "." + parts[1] + ".", CodeUnsupportedAlg},
		"alg None":            {b64(`{"alg":"None"}`) + "." + parts[1] + ".", CodeUnsupportedAlg},
		"no alg":              {b64(`{}`) + "." + parts[1] + "." + parts[2], CodeUnsupportedAlg},
		"HMAC":                {sign(t, jose.HS256, secret, kid("main"), claims), CodeUnsupportedAlg},
		"signature cut off":   {parts[0] + "." + parts[1] + ".", CodeBadSignature},
		"signature flipped":   {parts[0] + "." + parts[1] + "." + flip(parts[2]), CodeBadSignature},
		"claims swapped":      {parts[0] + "." + b64(strings.Replace(decode(t, parts[1]), "someone@", "another@", 1)) + "." + parts[2], CodeBadSignature},
		"other key, same kid": {sign(t, jose.ES256, k.other, kid("main"), claims), CodeBadSignature},
		"other key, no kid":   {sign(t, jose.ES256, k.other, nil, claims), CodeBadSignature},
		"unknown kid":         {sign(t, jose.ES256, k.p256, kid("elsewhere"), claims), CodeUnknownKey},
		"alg of another key":  {sign(t, jose.RS256, k.rsa, kid("main"), claims), CodeUnknownKey},
		"encryption key":      {sign(t, jose.ES384, k.p384, kid("enc"), claims), CodeUnknownKey},
		"key is for PS256":    {sign(t, jose.RS256, k.rsa, kid("ps-only"), claims), CodeUnknownKey},
	} {
		t.Run(name, func(t *testing.T) {
			err := mustRefuse(t, a, tt.token, tt.code)
			for _, part := range strings.Split(tt.token, ".") {
				if len(part) > 20 && strings.Contains(err.Error(), part) {
					t.Errorf("the message quotes the token: %v", err)
				}
			}
		})
	}
}

// TestEmbeddedKeyIsNotTrusted: a header that brings its own key (jwk, jku, x5c)
// changes nothing.
func TestEmbeddedKeyIsNotTrusted(t *testing.T) {
	k := testKeys()
	c := newClock()
	ti := newTestIssuer(t)
	a := emailAuthenticator(t, ti, c)
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: k.other}, &jose.SignerOptions{EmbedJWK: true})
	if err != nil {
		t.Fatal(err)
	}
	jws, err := s.Sign([]byte(fmt.Sprintf(`{"iss":%q,"sub":"s","aud":%q,"exp":%d,"email":"a@example.com","email_verified":true}`, ti.url, ownAudience, c.now().Unix()+60)))
	if err != nil {
		t.Fatal(err)
	}
	token, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	mustRefuse(t, a, token, CodeBadSignature)
}

func flip(b64 string) string {
	first := "A"
	if b64[0] == 'A' {
		first = "B"
	}
	return first + b64[1:]
}

func decode(t *testing.T, part string) string {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
