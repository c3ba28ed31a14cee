// SPDX-License-Identifier: Apache-2.0

package ca

import (
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"

	"hallmark/internal/format/certext"
)

// A broken is a precertificate in the making, for a test to bend before it is
// encoded (leaf, last, profile, principal) or after (candidate).
type broken struct {
	profile   profile
	leaf      leaf
	last      pkix.Extension
	principal certext.Principal
	after     func(*candidate)
}

// identify sets the principal and encodes it, without asking whether it may be.
func (b *broken) identify(t *testing.T, p certext.Principal) {
	t.Helper()
	san, err := certext.SANExtension(p.SAN)
	if err != nil {
		t.Fatal(err)
	}
	claims, err := p.Extensions.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	b.principal = p
	b.leaf.identity = append([]pkix.Extension{san}, claims...)
}

func (b *broken) extend(id asn1.ObjectIdentifier, value string) {
	b.leaf.identity = append(b.leaf.identity, pkix.Extension{Id: id, Value: []byte(value)})
}

func fulcio(n int) asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, n}
}

// names encodes a SAN of several names.
func names(critical bool, values ...string) pkix.Extension {
	var b cryptobyte.Builder
	b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, v := range values {
			b.AddASN1(casn1.Tag(1).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes([]byte(v)) })
		}
	})
	return pkix.Extension{Id: certext.OIDSubjectAltName, Critical: critical, Value: b.BytesOrPanic()}
}

// lintBroken bends a sound candidate and returns the names of the lints it breaks.
func lintBroken(t *testing.T, l *lab, bend func(*testing.T, *broken)) []string {
	t.Helper()
	lf, err := l.ca.leaf(alice(), fixedKey(t, "leaf").Public())
	if err != nil {
		t.Fatal(err)
	}
	b := &broken{
		profile: *l.ca.profile, leaf: *lf, principal: alice(),
		last:  pkix.Extension{Id: certext.OIDPoison, Critical: true, Value: asn1.NullBytes},
		after: func(*candidate) {},
	}
	bend(t, b)
	tbs, err := b.profile.tbs(&b.leaf, b.last)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := b.profile.unsigned(tbs)
	if err != nil {
		t.Fatal(err)
	}
	c := &candidate{
		cert: cert, issuer: l.made.Chain[0], algorithm: l.ca.profile.algorithm.name,
		from: l.ca.from, until: l.ca.until, principal: b.principal, spki: b.leaf.spki,
	}
	b.after(c)
	var got []string
	for _, e := range c.check() {
		got = append(got, e.name)
	}
	return got
}

// TestLints breaks one rule at a time: that lint must fail, and no other.
func TestLints(t *testing.T) {
	l := newLab(t, nil)
	withSAN := func(kind certext.SANKind, value string) func(*testing.T, *broken) {
		return func(t *testing.T, b *broken) {
			p := alice()
			p.SAN = certext.SAN{Kind: kind, Value: value}
			b.identify(t, p)
		}
	}
	withClaims := func(change func(*certext.Extensions)) func(*testing.T, *broken) {
		return func(t *testing.T, b *broken) {
			p := alice()
			change(&p.Extensions)
			b.identify(t, p)
		}
	}
	weak := func(t *testing.T, b *broken) {
		// A modulus of 1024 bits; nothing needs its private half.
		n := new(big.Int).Lsh(big.NewInt(1), 1023)
		spki, err := x509.MarshalPKIXPublicKey(&rsa.PublicKey{N: n.Add(n, big.NewInt(12345)), E: 65537})
		if err != nil {
			t.Fatal(err)
		}
		b.leaf.spki = spki
	}
	tests := []struct {
		lint, name string
		bend       func(*testing.T, *broken)
	}{
		{"", "sound", func(*testing.T, *broken) {}},
		{"", "sound workflow", func(t *testing.T, b *broken) { b.identify(t, workflow()) }},
		{"", "sound URI", withSAN(certext.URI, "spiffe://td.example/ns/a/sa/b")},
		{"", "sound user name", withSAN(certext.OtherName, "bob smith!example.com")},
		{"", "159 bits", func(_ *testing.T, b *broken) { b.leaf.serial = new(big.Int).Lsh(big.NewInt(1), 158) }},

		{"version", "2", func(_ *testing.T, b *broken) { b.after = func(c *candidate) { c.cert.Version = 2 } }},
		{"serial", "zero", func(_ *testing.T, b *broken) { b.leaf.serial = new(big.Int) }},
		{"serial", "160 bits", func(_ *testing.T, b *broken) { b.leaf.serial = new(big.Int).Lsh(big.NewInt(1), 159) }},
		{"signature-algorithm", "another", func(_ *testing.T, b *broken) { b.profile.algorithm = ecdsaSHA384 }},
		{"issuer", "another", func(t *testing.T, b *broken) { b.profile.issuer = l.made.Chain[1].RawSubject }},
		{"subject", "named", func(_ *testing.T, b *broken) {
			b.after = func(c *candidate) { c.cert.RawSubject = l.made.Chain[0].RawSubject }
		}},
		{"validity", "a second too long", func(_ *testing.T, b *broken) { b.leaf.notAfter = b.leaf.notAfter.Add(time.Second) }},
		{"validity", "nothing", func(_ *testing.T, b *broken) { b.leaf.notAfter = b.leaf.notBefore }},
		{"chain-validity", "begins before", func(_ *testing.T, b *broken) {
			b.after = func(c *candidate) { c.from = c.cert.NotBefore.Add(time.Second) }
		}},
		{"chain-validity", "ends after", func(_ *testing.T, b *broken) {
			b.after = func(c *candidate) { c.until = c.cert.NotAfter.Add(-time.Second) }
		}},
		{"public-key", "another", func(t *testing.T, b *broken) {
			b.after = func(c *candidate) { c.spki = l.made.Chain[0].RawSubjectPublicKeyInfo }
		}},
		{"key-strength", "RSA-1024", weak},
		{"key-usage", "two", func(_ *testing.T, b *broken) { b.profile.keyUsage.Value = []byte{0x03, 0x02, 0x05, 0xa0} }},
		{"key-usage", "another", func(_ *testing.T, b *broken) { b.profile.keyUsage.Value = []byte{0x03, 0x02, 0x02, 0x04} }},
		{"extended-key-usage", "two", func(_ *testing.T, b *broken) {
			b.profile.extKeyUsage.Value = []byte("\x30\x14\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x03\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x01")
		}},
		{"extended-key-usage", "serverAuth", func(_ *testing.T, b *broken) {
			b.profile.extKeyUsage.Value = []byte("\x30\x0a\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x01")
		}},
		{"extended-key-usage", "unknown", func(_ *testing.T, b *broken) {
			b.profile.extKeyUsage.Value = []byte("\x30\x0e\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x03\x06\x02\x2a\x03")
		}},
		{"subject-key-id", "another", func(_ *testing.T, b *broken) {
			b.after = func(c *candidate) { c.cert.SubjectKeyId = c.issuer.SubjectKeyId }
		}},
		{"authority-key-id", "another", func(t *testing.T, b *broken) {
			other, err := newProfile(l.made.Chain[1])
			if err != nil {
				t.Fatal(err)
			}
			b.profile.authorityID = other.authorityID
		}},
		{"san", "two names", func(_ *testing.T, b *broken) {
			b.leaf.identity[0] = names(true, "alice@example.com", "mallory@example.com")
		}},
		{"san", "odd email", withSAN(certext.Email, "alice@example..com")},
		{"san", "URI without host", withSAN(certext.URI, "urn:example:alice")},
		{"san", "DNS name", withSAN(certext.DNS, "example.com")},
		{"san", "user name without domain", withSAN(certext.OtherName, "bob")},
		{"san", "too long", withSAN(certext.Email, strings.Repeat("a", maxSAN)+"@example.com")},
		{"identity", "another name", func(_ *testing.T, b *broken) { b.principal.SAN.Value = "mallory@example.com" }},
		{"identity", "another claim", func(_ *testing.T, b *broken) { b.principal.Extensions.TokenSubject = "user-2" }},
		{"identity", "a claim left out", func(_ *testing.T, b *broken) { b.principal.Extensions.BuildTrigger = "push" }},
		{"token-issuer", "differ", withClaims(func(e *certext.Extensions) { e.Issuer = "https://other.example" })},
		{"token-issuer", "old one absent", withClaims(func(e *certext.Extensions) { e.Issuer = "" })},
		{"token-issuer", "new one absent", withClaims(func(e *certext.Extensions) { e.IssuerV2 = "" })},
		{"extension-set", "unknown", func(_ *testing.T, b *broken) { b.extend(asn1.ObjectIdentifier{1, 2, 3, 4}, "x") }},
		{"extension-set", ".7", func(_ *testing.T, b *broken) { b.extend(fulcio(7), "\x0c\x01x") }},
		{"extension-set", ".25", func(_ *testing.T, b *broken) { b.extend(fulcio(25), "\x0c\x01x") }},
		{"extension-set", ".0", func(_ *testing.T, b *broken) { b.extend(fulcio(0), "x") }},
		{"extension-set", "basicConstraints", func(_ *testing.T, b *broken) { b.extend(asn1.ObjectIdentifier{2, 5, 29, 19}, "\x30\x00") }},
		{"extension-set", "SCT list", func(_ *testing.T, b *broken) { b.extend(certext.OIDSCTList, "\x04\x02\x00\x00") }},
		{"extension-set", "critical claim", func(_ *testing.T, b *broken) { b.leaf.identity[1].Critical = true }},
		{"extension-text", "empty", func(_ *testing.T, b *broken) { b.extend(fulcio(4), "") }},
		{"extension-text", "empty UTF8String", func(_ *testing.T, b *broken) { b.extend(fulcio(9), "\x0c\x00") }},
		{"extension-size", "one too large", withClaims(func(e *certext.Extensions) { e.GitHubWorkflowName = strings.Repeat("x", maxExtension+1) })},
		{"certificate-size", "too many", func(t *testing.T, b *broken) {
			p := workflow()
			big := strings.Repeat("x", maxExtension-8)
			p.Extensions.GitHubTrigger, p.Extensions.GitHubSHA, p.Extensions.GitHubWorkflowName = big, big, big
			p.Extensions.GitHubRepository, p.Extensions.GitHubRef, p.Extensions.BuildSignerURI = big, big, big
			p.Extensions.BuildSignerDigest, p.Extensions.RunnerEnvironment = big, big
			b.identify(t, p)
		}},
		{"poison", "of another value", func(_ *testing.T, b *broken) { b.last.Value = []byte{0x04, 0x00} }},
		{"poison", "absent", func(t *testing.T, b *broken) {
			b.last = b.leaf.identity[len(b.leaf.identity)-1]
			b.leaf.identity = b.leaf.identity[:len(b.leaf.identity)-1]
		}},
		{"poison", "not last", func(t *testing.T, b *broken) {
			n := len(b.leaf.identity) - 1
			b.last, b.leaf.identity[n] = b.leaf.identity[n], b.last
		}},
	}
	covered := map[string]bool{}
	for _, tc := range tests {
		covered[tc.lint] = true
		t.Run(tc.lint+"/"+tc.name, func(t *testing.T) {
			got := strings.Join(lintBroken(t, l, tc.bend), " ")
			if got != tc.lint {
				t.Errorf("breaks %q, want only %q", got, tc.lint)
			}
		})
	}
	for _, lint := range lints {
		if !covered[lint.name] {
			t.Errorf("no test breaks lint %s", lint.name)
		}
	}
}

// TestLintsTogether covers the breaches that trip two lints by their nature.
func TestLintsTogether(t *testing.T) {
	l := newLab(t, nil)
	for name, tc := range map[string]struct {
		want string
		bend func(*testing.T, *broken)
	}{
		"SAN not critical":        {"san extension-set", func(_ *testing.T, b *broken) { b.leaf.identity[0].Critical = false }},
		"no SAN":                  {"san identity", func(_ *testing.T, b *broken) { b.leaf.identity = b.leaf.identity[1:] }},
		"key usage not critical":  {"key-usage extension-set", func(_ *testing.T, b *broken) { b.profile.keyUsage.Critical = false }},
		"EKU critical":            {"extended-key-usage extension-set", func(_ *testing.T, b *broken) { b.profile.extKeyUsage.Critical = true }},
		"poison not critical":     {"extension-set poison", func(_ *testing.T, b *broken) { b.last.Critical = false }},
		"claim is not UTF-8":      {"identity token-issuer extension-text", func(_ *testing.T, b *broken) { b.extend(fulcio(4), "\xff") }},
		"claim is not UTF8String": {"identity token-issuer extension-text", func(_ *testing.T, b *broken) { b.extend(fulcio(9), "\x13\x01x") }},
	} {
		if got := strings.Join(lintBroken(t, l, tc.bend), " "); got != tc.want {
			t.Errorf("%s: breaks %q, want %q", name, got, tc.want)
		}
	}
}

// TestLintStopsSigning lets an authenticator bug through to the lints.
func TestLintStopsSigning(t *testing.T) {
	l := newLab(t, nil)
	p := alice()
	p.Extensions.Issuer = "https://other.example"
	_, err := l.ca.issue(t.Context(), p, fixedKey(t, "leaf").Public())
	var le *lintError
	if !errors.As(err, &le) || le.name != "token-issuer" {
		t.Fatalf("error %v", err)
	}
	if asRefusal(err).category != internal {
		t.Errorf("category %s", asRefusal(err).category)
	}
	if len(l.ct.submissions()) != 0 {
		t.Error("the CT log was asked")
	}
}
