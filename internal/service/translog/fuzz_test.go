// SPDX-License-Identifier: Apache-2.0

package translog

import (
	"net/http"
	"strings"
	"testing"

	"hallmark/internal/format/digest"
	"hallmark/internal/format/logentry"
	"hallmark/internal/format/pubkey"
)

func FuzzParseQuery(f *testing.F) {
	hex := strings.Repeat("ab", 32)
	f.Add("sha256:"+hex, "", "")
	f.Add("", "a@example.test", "")
	f.Add("", "", "sha256:"+hex)
	f.Add("", "", hex)
	f.Add("x", "y", "z")
	f.Fuzz(func(t *testing.T, dig, identity, key string) {
		q, err := parseQuery(dig, identity, key)
		if err != nil {
			return
		}
		if q.digest.IsZero() == (q.identity == "" && q.key == nil) {
			t.Fatalf("not exactly one of the three: %+v", q)
		}
		_ = q.term()
	})
}

func FuzzTermsOf(f *testing.F) {
	id := identity{key: p256(f)}
	f.Add(id.sign(f, []byte("m")).Body())
	f.Add(newAuthority(f, "CA").issue(f, "a@example.test", p256(f)).sign(f, []byte("m")).Body())
	f.Add(logentry.HashedRekord{Digest: digest.Of(digest.SHA256, nil), Signature: []byte("s"), Details: pubkey.ECDSAP256SHA256, PublicKey: []byte("k")}.Body())
	f.Fuzz(func(t *testing.T, body []byte) {
		terms, err := termsOf(body)
		if err == nil && len(terms) < 2 {
			t.Fatalf("%d terms: expected digest and key at least", len(terms))
		}
	})
}

func FuzzSourceOf(f *testing.F) {
	f.Add("127.0.0.1:1", "10.0.0.1, 10.0.0.2", true)
	f.Add("[fe80::1%eth0]:1", "", false)
	f.Add("@", ",", true)
	f.Add("[::ffff:1.2.3.4]:5", "::1%x", true)
	f.Fuzz(func(t *testing.T, remote, forwarded string, proxy bool) {
		r := &http.Request{RemoteAddr: remote, Header: http.Header{"X-Forwarded-For": {forwarded}}}
		if p := sourceOf(r, proxy); p.IsValid() && p != p.Masked() {
			t.Fatalf("%v is not a network", p)
		}
	})
}
