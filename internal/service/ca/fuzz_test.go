// SPDX-License-Identifier: Apache-2.0

package ca

import (
	"crypto"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"hallmark/internal/format/certext"
	"hallmark/internal/format/pubkey"
)

// FuzzRequest reads bodies as both versions do, and goes on with the key in
// them: nothing panics, what is read is no longer than what was sent, and a key
// that comes out may be certified.
func FuzzRequest(f *testing.F) {
	c := p256Client(f)
	proof := c.prove(f, "x")
	f.Add([]byte(v2Body(f, c, "x")))
	f.Add([]byte(`{"credentials":{"oidcIdentityToken":"t"},` + v2Body(f, c, "x")[1:]))
	f.Add([]byte(fmt.Sprintf(`{"certificateSigningRequest":%q}`, c.csr(f))))
	f.Add([]byte(fmt.Sprintf(`{"public_key":{"content":"MFkw","algorithm":1},"signed_email_address":%q}`, proof)))
	f.Add([]byte(`{"publicKeyRequest":{"publicKey":{"content":"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"},"proofOfPossession":"AA"}}`))
	f.Add([]byte(`{"publicKeyRequest":null,"certificateSigningRequest":"LS0t"}`))
	f.Add([]byte(`[[[[`))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, parse := range []func([]byte) (*signingRequest, error){parseV1, parseV2} {
			req, err := parse(body)
			if err != nil {
				if err.Error() == "" {
					t.Fatal("an error without words")
				}
				continue
			}
			if (req.csr != nil) == (req.publicKey != nil) || req.csr == nil && len(req.proof) == 0 {
				t.Fatalf("neither one thing nor the other: %+v", req)
			}
			if len(req.csr)+len(req.publicKey)+len(req.proof)+len(req.token) > len(body)+3 {
				t.Fatal("more came out than went in")
			}
			key, err := req.keyOf()
			var r *refusal
			switch {
			case err != nil && !errors.As(err, &r):
				t.Fatalf("an error that is no refusal: %v", err)
			case err == nil:
				if err := pubkey.CheckStrength(key); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

// FuzzHandler sends whole requests: every answer is 200 or an error that is the
// client's, and only one that proves possession gets a certificate.
func FuzzHandler(f *testing.F) {
	l := newLab(f, nil)
	handler := l.ca.Handler()
	c := p256Client(f)
	f.Add("Bearer alice", v2Body(f, c, alice().Challenge))
	f.Add("Bearer alice", v2Body(f, c, "x"))
	f.Add("Basic alice", `{}`)
	f.Add("", `{"credentials":{"oidcIdentityToken":"alice"}}`)
	f.Fuzz(func(t *testing.T, authorization, body string) {
		r := httptest.NewRequest(http.MethodPost, "/api/v2/signingCert", strings.NewReader(body))
		r.Header["Authorization"] = []string{authorization}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		switch w.Code {
		case 200, 400, 401, 413:
		default:
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	})
}

// FuzzSAN puts any name through the check and, where it passes, through the
// lints: what checkSAN lets in must end in a sound certificate.
func FuzzSAN(f *testing.F) {
	f.Add(uint8(certext.Email), "alice@example.com")
	f.Add(uint8(certext.URI), "https://github.com/o/r/.github/workflows/w.yml@refs/heads/main")
	f.Add(uint8(certext.URI), "http://[::1]:80/x?y#z")
	f.Add(uint8(certext.OtherName), "bob!example.com")
	l := newLab(f, nil)
	var key crypto.PublicKey = fixedKey(f, "leaf").Public()
	f.Fuzz(func(t *testing.T, kind uint8, value string) {
		p := alice()
		p.SAN = certext.SAN{Kind: certext.SANKind(kind), Value: value}
		if checkSAN(p.SAN) != nil {
			return
		}
		if _, err := l.ca.issue(t.Context(), p, key); err != nil {
			t.Fatalf("%v %q: %v", p.SAN.Kind, value, err)
		}
	})
}
