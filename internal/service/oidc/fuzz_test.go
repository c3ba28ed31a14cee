// SPDX-License-Identifier: Apache-2.0

package oidc

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"hallmark/internal/format/certext"
)

// FuzzAuthenticate: no token panics; what is not signed by the key is refused
// with an *Error that does not quote it.
func FuzzAuthenticate(f *testing.F) {
	c := newClock()
	ti := &testIssuer{url: "http://127.0.0.1:1/dev"}
	good := ti.token(f, c, map[string]any{"kind": "e"})
	for _, seed := range []string{"", ".", "..", "a.b.c", good, good + "=", strings.Replace(good, ".", "..", 1),
		base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + strings.Split(good, ".")[1] + "."} {
		f.Add(seed)
	}
	a := fuzzAuthenticator(f, c, ti.url)
	f.Fuzz(func(t *testing.T, token string) {
		p, err := a.Authenticate(context.Background(), token)
		if err == nil {
			if !strings.HasPrefix(token, good[:strings.LastIndex(good, ".")]) {
				t.Fatalf("accepted %q as %+v", token, p)
			}
			return
		}
		var refused *Error
		if !errors.As(err, &refused) || p != (certext.Principal{}) {
			t.Fatalf("%T %v with %+v", err, err, p)
		}
		if len(token) > 100 && strings.Contains(err.Error(), token) {
			t.Fatalf("the message quotes the token: %v", err)
		}
	})
}

// FuzzClaims: no claims panic, signed as they are; what is accepted can go
// into a certificate.
func FuzzClaims(f *testing.F) {
	c := newClock()
	f.Add([]byte(`{"iss":"http://127.0.0.1:1/dev","sub":"s","aud":"hallmark.example","exp":1800000300,"kind":"e","email":"a@example.com","email_verified":true}`))
	f.Add([]byte(`{"iss":"http://127.0.0.1:1/dev","sub":"s","aud":["hallmark.example"],"exp":1.8e9,"kind":"g","job_workflow_ref":"a/b@c"}`))
	f.Add([]byte(`{"aud":[[]],"exp":"x"}`))
	f.Add([]byte(`[]`))
	a := fuzzAuthenticator(f, c, "http://127.0.0.1:1/dev")
	f.Fuzz(func(t *testing.T, payload []byte) {
		if len(payload) > 16<<10 {
			return
		}
		p, err := a.Authenticate(context.Background(), sign(t, jose.ES256, testKeys().p256, map[jose.HeaderKey]any{"kid": "main"}, payload))
		if err != nil {
			return
		}
		if _, err := certext.SANExtension(p.SAN); err != nil || p.Challenge == "" || p.Extensions.IssuerV2 == "" {
			t.Fatalf("accepted %q as %+v: %v", payload, p, err)
		}
		if _, err := p.Extensions.Marshal(); err != nil {
			t.Fatal(err)
		}
	})
}

func fuzzAuthenticator(f *testing.F, c *clock, url string) *Authenticator {
	f.Helper()
	a, err := New(Config{}, Deps{Now: c.now, Static: map[string]StaticIssuer{url: {
		Keys: fixedKeys{jwk("main", testKeys().p256)}, Audiences: []string{ownAudience},
		KindClaim: "kind", Kinds: map[string]IssuerType{"e": TypeEmail, "g": TypeGitHubWorkflow},
	}}})
	if err != nil {
		f.Fatal(err)
	}
	return a
}

// FuzzConfig: no file panics, and one that is accepted is complete.
func FuzzConfig(f *testing.F) {
	for _, seed := range []string{"", "{}", fulcioYAML, fulcioJSON, "oidc-issuers: {https://a.example: {type: spiffe, spiffe-trust-domain: a}}", "a: &a [*a]"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg, err := ParseConfig(data)
		if err != nil {
			return
		}
		a, err := New(cfg, Deps{Audience: ownAudience})
		if err != nil {
			return
		}
		if len(a.Issuers()) != len(cfg.Issuers) || len(cfg.MetaIssuers) != 0 {
			t.Fatalf("%d issuers of %d", len(a.Issuers()), len(cfg.Issuers))
		}
	})
}

// FuzzJWKS: no key set or discovery document panics, and no unusable key gets in.
func FuzzJWKS(f *testing.F) {
	raw, err := jwk("k", testKeys().p256).MarshalJSON()
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(`{"keys":[` + string(raw) + `]}`))
	f.Add([]byte(`{"issuer":"https://a.example","jwks_uri":"https://a.example/keys"}`))
	f.Add([]byte(`{"keys":[null,{"kty":"oct","k":"AA"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if u, err := parseDiscovery(data, "https://a.example"); err == nil && !strings.HasPrefix(strings.ToLower(u), "https:") {
			t.Fatalf("jwks_uri %q", u)
		}
		keys, err := parseJWKS(data)
		if err != nil {
			return
		}
		for _, key := range keys {
			if !key.IsPublic() || len(keys) > MaxKeys {
				t.Fatalf("%d keys with %v", len(keys), key)
			}
		}
	})
}
