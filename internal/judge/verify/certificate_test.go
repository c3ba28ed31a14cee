// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"crypto/x509"
	"errors"
	"testing"
	"time"

	"hallmark/internal/format/certext"
	"hallmark/internal/format/trustroot"
	"hallmark/internal/judge/verify"
)

func TestCheckCertificate(t *testing.T) {
	in := newInstance(t)
	stranger := newInstance(t)
	want, err := verify.NewIdentity(verify.Identity{SANRegexp: `^https://ci\.example\.test/`, Issuer: "https://issuer.example.test"})
	if err != nil {
		t.Fatal(err)
	}
	policy := verify.DefaultPolicy()
	policy.Identities = []verify.Identity{want}
	for _, tt := range []struct {
		name string
		bend func(*recipe, *trustroot.Root, *verify.Policy, *time.Time)
		code verify.Code // "" passes
	}{
		{"as expected", func(*recipe, *trustroot.Root, *verify.Policy, *time.Time) {}, ""},
		{"anybody", func(r *recipe, _ *trustroot.Root, p *verify.Policy, _ *time.Time) {
			r.san.Value, p.Identities, p.AnyIdentityUnsafe = "https://other.example.test", nil, true
		}, ""},
		{"no SCT asked for", func(r *recipe, _ *trustroot.Root, p *verify.Policy, _ *time.Time) { r.noSCT, p.SCTs = true, 0 }, ""},
		{"another name", func(r *recipe, _ *trustroot.Root, _ *verify.Policy, _ *time.Time) {
			r.san.Value = "https://other.example.test"
		}, verify.CodeNoMatchingIdentity},
		{"another issuer", func(r *recipe, _ *trustroot.Root, _ *verify.Policy, _ *time.Time) {
			r.claims = certext.Extensions{IssuerV2: "https://other.example.test"}
		}, verify.CodeNoMatchingIdentity},
		{"another authority", func(r *recipe, _ *trustroot.Root, _ *verify.Policy, _ *time.Time) { r.issuer = &stranger.ca }, verify.CodeCertificateChain},
		{"no SCT", func(r *recipe, _ *trustroot.Root, _ *verify.Policy, _ *time.Time) { r.noSCT = true }, verify.CodeSCTThreshold},
		{"an SCT by another key", func(r *recipe, _ *trustroot.Root, _ *verify.Policy, _ *time.Time) { r.sctKey = stranger.ct }, verify.CodeSCT},
		{"a CA", func(r *recipe, _ *trustroot.Root, _ *verify.Policy, _ *time.Time) {
			r.cert = func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true }
		}, verify.CodeCertificate},
		{"too early", func(_ *recipe, _ *trustroot.Root, _ *verify.Policy, at *time.Time) { *at = at.Add(-time.Hour) }, verify.CodeCertificateTime},
		{"too late", func(_ *recipe, _ *trustroot.Root, _ *verify.Policy, at *time.Time) { *at = at.Add(time.Hour) }, verify.CodeCertificateTime},
		{"no identity", func(_ *recipe, _ *trustroot.Root, p *verify.Policy, _ *time.Time) { p.Identities = nil }, verify.CodePolicy},
		{"a managed key", func(_ *recipe, _ *trustroot.Root, p *verify.Policy, _ *time.Time) {
			p.Identities, p.Key = nil, in.ct.Public()
		}, verify.CodeSignerKind},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, root, p, at := in.recipe(), in.trusted(), policy, in.at
			tt.bend(r, root, &p, &at)
			signer, err := verify.CheckCertificate(in.certificate(r), root, p, at)
			if tt.code == "" {
				if err != nil || signer.SAN != r.san || signer.Certificate == nil {
					t.Fatalf("%+v, %v", signer, err)
				}
				return
			}
			var why *verify.Error
			if !errors.As(err, &why) || why.Code != tt.code || signer.Certificate != nil {
				t.Fatalf("%v, want %s", err, tt.code)
			}
		})
	}
	if _, err := verify.CheckCertificate(in.certificate(in.recipe()), nil, policy, in.at); err == nil {
		t.Error("no trusted root was accepted")
	}
	if _, err := verify.CheckCertificate([]byte("junk"), in.trusted(), policy, in.at); err == nil {
		t.Error("junk was accepted")
	}
}
