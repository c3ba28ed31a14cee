// SPDX-License-Identifier: Apache-2.0

package token

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

var now = time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)

// signer makes RS256 tokens.
type signer struct{ key *rsa.PrivateKey }

func newSigner(t *testing.T) signer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return signer{key}
}

func (s signer) sign(t *testing.T, claims map[string]any) string {
	t.Helper()
	body, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed := b64([]byte(`{"alg":"RS256","kid":"k"}`)) + "." + b64(body)
	sum := sha256.Sum256([]byte(signed))
	sig, err := rsa.SignPKCS1v15(rand.Reader, s.key, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + b64(sig)
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// unsigned is a JWT with the claims and a signature nobody made.
func unsigned(claims string) string {
	return b64([]byte(`{"alg":"RS256"}`)) + "." + b64([]byte(claims)) + "." + b64([]byte("secret-signature"))
}

const good = `{"iss":"https://issuer.example","sub":"s","aud":["a","b"],"exp":1778051290,"email":"p@example.com","email_verified":"true"}`

func TestClaims(t *testing.T) {
	tok, err := New("  " + unsigned(good) + "\n")
	if err != nil {
		t.Fatal(err)
	}
	c := tok.Claims()
	if c.Issuer != "https://issuer.example" || c.Subject != "s" || c.Email != "p@example.com" || !c.EmailVerified || len(c.Audience) != 2 ||
		!c.Expiry.Equal(time.Unix(1778051290, 0)) || tok.Raw() != unsigned(good) {
		t.Fatalf("%+v", c)
	}
	c.Audience[0] = "changed"
	if tok.Claims().Audience[0] != "a" {
		t.Fatal("the claims can be changed from outside")
	}
}

func TestChallenge(t *testing.T) {
	for _, tt := range []struct{ claims, want string }{
		{`{"iss":"i","sub":"s","email":"p@x","email_verified":true}`, "p@x"},
		{`{"iss":"i","sub":"s","email":"p@x","email_verified":"true"}`, "p@x"},
		{`{"iss":"i","sub":"s"}`, "s"},
		{`{"iss":"i","sub":"s","email":"p@x"}`, ""},
		{`{"iss":"i","sub":"s","email":"p@x","email_verified":false}`, ""},
		{`{"iss":"i","sub":"s","email":"p@x","email_verified":1}`, ""},
	} {
		tok, err := New(unsigned(tt.claims))
		if err != nil {
			t.Fatal(err)
		}
		got, err := tok.Challenge()
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%s: %q, %v", tt.claims, got, err)
		}
		if err != nil && !strings.Contains(err.Error(), "not verified") {
			t.Error(err)
		}
	}
}

func TestMalformedTokens(t *testing.T) {
	for name, raw := range map[string]string{
		"empty":        "",
		"two parts":    "a.b",
		"no signature": strings.TrimSuffix(unsigned(good), b64([]byte("secret-signature"))),
		"bad base64":   unsigned(good) + "!",
		"no algorithm": b64([]byte(`{}`)) + "." + b64([]byte(good)) + ".AAAA",
		"claims array": unsigned(`[]`),
		"no issuer":    unsigned(`{"sub":"s"}`),
		"no subject":   unsigned(`{"iss":"i"}`),
		"audience":     unsigned(`{"iss":"i","sub":"s","aud":5}`),
		"expiry":       unsigned(`{"iss":"i","sub":"s","exp":-1}`),
		"expiry text":  unsigned(`{"iss":"i","sub":"s","exp":"soon"}`),
		"too long":     unsigned(`{"iss":"` + strings.Repeat("i", MaxSize) + `","sub":"s"}`),
	} {
		tok, err := New(raw)
		if err == nil || !tok.IsZero() {
			t.Errorf("%s: accepted", name)
		} else if strings.Contains(err.Error(), b64([]byte("secret-signature"))) {
			t.Errorf("%s: the error holds the token: %v", name, err)
		}
	}
}

func TestCheck(t *testing.T) {
	at := func(exp int64) Token {
		tok, err := New(unsigned(fmt.Sprintf(`{"iss":"https://issuer.example","sub":"s","aud":"sigstore","exp":%d}`, exp)))
		if err != nil {
			t.Fatal(err)
		}
		return tok
	}
	if err := at(now.Unix()+1).Check("sigstore", now); err != nil {
		t.Error(err)
	}
	if err := at(now.Unix()+1).Check("", now); err != nil {
		t.Error(err)
	}
	err := at(now.Unix()-90).Check("sigstore", now)
	if !errors.Is(err, ErrExpired) || !strings.Contains(err.Error(), "1m30s ago") || !strings.Contains(err.Error(), "fresh one") {
		t.Error(err)
	}
	if err := at(now.Unix()).Check("sigstore", now); !errors.Is(err, ErrExpired) {
		t.Error("the second of expiry counts as expired:", err)
	}
	err = at(now.Unix()+1).Check("https://hallmark.example", now)
	if !errors.Is(err, ErrAudience) || !strings.Contains(err.Error(), `expected "https://hallmark.example", found "sigstore"`) || !strings.Contains(err.Error(), "https://issuer.example") {
		t.Error(err)
	}
	none, _ := New(unsigned(`{"iss":"i","sub":"s"}`))
	if err := none.Check("x", now); !errors.Is(err, ErrAudience) || !strings.Contains(err.Error(), "found none") {
		t.Error(err)
	}
	if err := none.Check("", now); err != nil {
		t.Error("no expiry is not expired:", err)
	}
}

func TestTheTokenIsNeverFormatted(t *testing.T) {
	tok, err := New(unsigned(good))
	if err != nil {
		t.Fatal(err)
	}
	enc, err := json.Marshal(map[string]any{"t": tok, "p": &tok})
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "token", tok, "inside", struct{ T Token }{tok})
	out := fmt.Sprintf("%v %+v %#v %s %q %x %d", tok, tok, tok, tok, tok, tok, tok) +
		fmt.Sprintf("%v %+v %#v", struct{ T Token }{tok}, &struct{ T *Token }{&tok}, []Token{tok}) + string(enc) + log.String()
	for _, part := range append(strings.Split(tok.Raw(), "."), fmt.Sprintf("%x", tok.Raw())) {
		if strings.Contains(out, part) {
			t.Fatalf("%s", out)
		}
	}
}

func FuzzNew(f *testing.F) {
	f.Add(unsigned(good))
	f.Add(unsigned(`{"iss":"i","sub":"s","aud":5}`))
	f.Add(unsigned(`{"iss":"i","sub":"s","exp":1e300}`))
	f.Add("a.b.c")
	f.Add("..")
	f.Fuzz(func(t *testing.T, raw string) {
		tok, err := New(raw)
		if err != nil {
			if !tok.IsZero() {
				t.Fatal("an error with a token")
			}
			return
		}
		c := tok.Claims()
		if c.Issuer == "" || c.Subject == "" || strings.TrimSpace(raw) != tok.Raw() {
			t.Fatalf("%+v", c)
		}
		tok.Challenge()
		tok.Check("x", now)
	})
}
