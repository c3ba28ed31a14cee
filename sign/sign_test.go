// SPDX-License-Identifier: Apache-2.0

package sign_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"hallmark"
	"hallmark/internal/lab"
	"hallmark/internal/service/devissuer"
	"hallmark/sign"
)

// signer is a signer at a running authority, and the trust root it works under.
func signer(t *testing.T, l *lab.Lab, expect ...hallmark.IdentityConfig) (*sign.Signer, *hallmark.TrustRoot) {
	t.Helper()
	active := l.Trust()
	config, err := active.SigningConfig.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	rootJSON, err := active.Root.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	s, err := sign.New(sign.Config{SigningConfig: config, TrustRoot: rootJSON, Expect: expect})
	if err != nil {
		t.Fatal(err)
	}
	root, err := hallmark.ParseTrustRoot(rootJSON)
	if err != nil {
		t.Fatal(err)
	}
	return s, root
}

func TestWhatIsSignedVerifies(t *testing.T) {
	l := lab.New(t, nil)
	s, root := signer(t, l)
	ada, err := hallmark.NewIdentity(hallmark.IdentityConfig{SAN: "ada@example.com", Issuer: l.URL() + "/dev-issuer"})
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte("hello"))
	token := l.Token(devissuer.Request{Email: "ada@example.com"}).Raw()
	statement := fmt.Sprintf(`{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"hello","digest":{"sha256":"%s"}}],"predicateType":"https://example.com/tested/v1","predicate":{"passed":true}}`, hex.EncodeToString(sum[:]))
	for _, tc := range []struct {
		name, predicateType string
		sign                func() (*sign.Signature, error)
	}{
		{"blob", "", func() (*sign.Signature, error) { return s.Blob(t.Context(), token, sum[:]) }},
		{"image", "https://sigstore.dev/cosign/sign/v1", func() (*sign.Signature, error) {
			return s.Image(t.Context(), token, sum[:], map[string]string{"tested": "yes"})
		}},
		{"statement", "https://example.com/tested/v1", func() (*sign.Signature, error) {
			return s.Statement(t.Context(), token, []byte(statement), sum[:])
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			signature, err := tc.sign()
			if err != nil {
				t.Fatal(err)
			}
			if signature.Identity != "ada@example.com" || signature.Time.IsZero() || len(signature.Entries) != 1 {
				t.Errorf("%+v", signature)
			}
			verified, err := hallmark.Verify(signature.Bundle, hallmark.SHA256(sum[:]), root, hallmark.SignedBy(ada))
			if err != nil {
				t.Fatal(err)
			}
			if verified.PredicateType != tc.predicateType {
				t.Errorf("predicate type %q", verified.PredicateType)
			}
		})
	}
}

func TestSigningRefuses(t *testing.T) {
	l := lab.New(t, nil)
	s, _ := signer(t, l, hallmark.IdentityConfig{SAN: "ada@example.com", IssuerRegexp: ".*"})
	sum := sha256.Sum256([]byte("hello"))
	ada := l.Token(devissuer.Request{Email: "ada@example.com"}).Raw()
	for _, tc := range []struct {
		name, want string
		sign       func() (*sign.Signature, error)
	}{
		{"another identity than expected", "mallory@example.com", func() (*sign.Signature, error) {
			return s.Blob(t.Context(), l.Token(devissuer.Request{Email: "mallory@example.com"}).Raw(), sum[:])
		}},
		{"not a token", "token", func() (*sign.Signature, error) { return s.Blob(t.Context(), "abc", sum[:]) }},
		{"a sum of the wrong length", "32", func() (*sign.Signature, error) { return s.Blob(t.Context(), ada, sum[:31]) }},
		{"a statement about something else", "subjects", func() (*sign.Signature, error) {
			return s.Statement(t.Context(), ada, []byte(`{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":"`+strings.Repeat("00", 32)+`"}}],"predicateType":"x","predicate":{}}`), sum[:])
		}},
		{"not a statement", "statement", func() (*sign.Signature, error) { return s.Statement(t.Context(), ada, []byte("{}"), sum[:]) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			signature, err := tc.sign()
			if signature != nil || err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("%v, %v; want an error about %q", signature, err, tc.want)
			}
		})
	}
	if status, _ := l.Do("GET", "/api/v2/checkpoint", "", "", ""); status != 200 {
		t.Fatalf("checkpoint: status %d", status)
	}
	if _, checkpoint := l.Do("GET", "/api/v2/checkpoint", "", "", ""); !strings.HasPrefix(checkpoint, "localhost\n0\n") {
		t.Errorf("a refusal left a log entry:\n%s", checkpoint)
	}
}

func TestNewRefuses(t *testing.T) {
	if _, err := sign.New(sign.Config{}); err == nil || !strings.Contains(err.Error(), "signing config") {
		t.Errorf("an empty configuration: %v", err)
	}
}
