// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"testing"
	"time"

	"hallmark/internal/format/bundle"
	"hallmark/internal/format/certext"
	"hallmark/internal/format/logentry"
	"hallmark/internal/format/pubkey"
	"hallmark/internal/format/trustroot"
	"hallmark/internal/judge/verify"
)

// badSCTList is an SCT list extension that holds none.
func badSCTList() pkix.Extension {
	return pkix.Extension{Id: certext.OIDSCTList, Value: []byte{4, 2, 0, 0}}
}

func twoSANs(t *testing.T) []byte {
	value, err := asn1.Marshal([]asn1.RawValue{
		{Class: 2, Tag: 6, Bytes: []byte("https://a.example.test/")},
		{Class: 2, Tag: 6, Bytes: []byte("https://b.example.test/")},
	})
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// replaceSAN swaps the subject alternative name of a template.
func replaceSAN(value []byte) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		c.ExtraExtensions[0].Value = value
	}
}

func certificateFaults(t *testing.T) []fault {
	cert := func(f func(*x509.Certificate)) func(*setup) { return func(s *setup) { s.recipe.cert = f } }
	return []fault{
		{"rubbish", func(s *setup) {
			s.finish = func(b *bundle.Bundle) { b.Certificates[0] = []byte("rubbish") }
		}, verify.CodeCertificate},
		{"no extended key usage", cert(func(c *x509.Certificate) { c.ExtKeyUsage = nil }), verify.CodeCertificate},
		{"for servers", cert(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), verify.CodeCertificate},
		{"for anything", cert(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageAny} }), verify.CodeCertificate},
		{"not for signatures", cert(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }), verify.CodeCertificate},
		{"CA", cert(func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true }), verify.CodeCertificate},
		{"two names", cert(replaceSAN(twoSANs(t))), verify.CodeCertificate},
		{"rubbish as name", cert(replaceSAN([]byte{0x30, 2, 0x86, 9})), verify.CodeCertificate},
		{"no name", cert(func(c *x509.Certificate) {
			c.ExtraExtensions, c.Subject = c.ExtraExtensions[1:], pkix.Name{CommonName: "nobody"}
		}), verify.CodeCertificate},
		{"two issuers", func(s *setup) { s.recipe.claims.Issuer = "https://other.example.test" }, verify.CodeCertificate},
		{"malformed claim", func(s *setup) {
			s.recipe.extra = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 9}, Value: []byte("raw")}}
		}, verify.CodeCertificate},

		{"expired", cert(func(c *x509.Certificate) { c.NotAfter = c.NotBefore.Add(time.Second) }), verify.CodeCertificateTime},
		{"not yet valid", cert(func(c *x509.Certificate) { c.NotBefore = c.NotAfter.Add(-time.Second) }), verify.CodeCertificateTime},
		{"expired at one of two times", func(s *setup) {
			s.inV1("hashedrekord")
			s.recipe.tokenTime = s.in.at.Add(30 * time.Minute)
		}, verify.CodeCertificateTime},
		{"expired by the promised time", func(s *setup) {
			s.v1Message()
			s.recipe.entry = func(e *logentry.Entry) { e.IntegratedTime += 1800 }
		}, verify.CodeCertificateTime},

		{"unknown CA", func(s *setup) { s.root.CAs = nil }, verify.CodeCertificateChain},
		{"other CA of the same name", func(s *setup) {
			ca := s.in.newCA("issuing", &s.in.anchor, []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning})
			s.recipe.issuer = &ca
		}, verify.CodeCertificateChain},
		{"other anchor", func(s *setup) {
			anchor := s.in.newCA("anchor", nil, nil)
			s.root.CAs[0].Chain = []*x509.Certificate{s.in.ca.cert, anchor.cert}
		}, verify.CodeCertificateChain},
		{"intermediate for servers", func(s *setup) {
			ca := s.in.newCA("servers", &s.in.anchor, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth})
			s.recipe.issuer = &ca
			s.root.CAs[0].Chain = []*x509.Certificate{ca.cert, s.in.anchor.cert}
		}, verify.CodeCertificateChain},
		{"intermediate expired", func(s *setup) { s.expiredCA(s.in.at.Add(-time.Second)) }, verify.CodeCertificateChain},
		{"intermediate expired at the second time", func(s *setup) {
			s.inV1("hashedrekord")
			s.recipe.tokenTime = s.in.at.Add(time.Minute)
			s.expiredCA(s.in.at.Add(30 * time.Second))
		}, verify.CodeCertificateChain},
		{"CA no longer trusted", func(s *setup) { s.root.CAs[0].Valid = s.in.window(-time.Hour, -time.Second) }, verify.CodeCertificateChain},
		{"CA not yet trusted", func(s *setup) { s.root.CAs[0].Valid = s.in.window(time.Second, time.Hour) }, verify.CodeCertificateChain},
		{"CA trusted at one of two times", func(s *setup) {
			s.inV1("hashedrekord")
			s.recipe.tokenTime = s.in.at.Add(time.Minute)
			s.root.CAs[0].Valid = s.in.window(-time.Hour, time.Second)
		}, verify.CodeCertificateChain},
		{"its own authority", func(s *setup) {
			s.recipe.cert = func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: "self"} }
			s.recipe.noSCT, s.policy.SCTs = true, 0
			s.recipe.issuer = &authority{&x509.Certificate{Subject: pkix.Name{CommonName: "self"}}, s.recipe.key}
			s.finish = func(b *bundle.Bundle) {
				self, err := x509.ParseCertificate(b.Certificates[0])
				s.in.ok(err)
				s.root.CAs[0].Chain = []*x509.Certificate{self}
			}
		}, verify.CodeCertificateChain},
		{"unknown critical extension", func(s *setup) {
			s.recipe.extra = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: []byte{5, 0}}}
		}, verify.CodeCertificateChain},
	}
}

// expiredCA lets an intermediate that is valid until then issue the certificate.
func (s *setup) expiredCA(then time.Time) {
	ca := s.in.issued(&x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "expired"},
		NotBefore: s.in.at.AddDate(-1, 0, 0), NotAfter: then,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, s.in.p256(), &s.in.anchor)
	s.recipe.issuer = &ca
	s.root.CAs[0].Chain = []*x509.Certificate{ca.cert, s.in.anchor.cert}
}

func timeFaults() []fault {
	return []fault{
		{"malformed", func(s *setup) {
			s.finish = func(b *bundle.Bundle) { b.Timestamps[0] = []byte("rubbish") }
		}, verify.CodeTimestamp},
		{"over other bytes", func(s *setup) { s.recipe.tokenOver = flip }, verify.CodeTimestamp},
		{"wrong signature", func(s *setup) {
			s.finish = func(b *bundle.Bundle) { b.Timestamps[0] = flip(b.Timestamps[0]) }
		}, verify.CodeTimestamp},
		{"TSA anchor is another", func(s *setup) {
			anchor := s.in.newCA("tsa anchor", nil, nil)
			s.root.TSAs[0].Chain = []*x509.Certificate{s.in.tsa.cert, anchor.cert}
		}, verify.CodeTimestamp},
		{"bad token beside a good one", func(s *setup) {
			s.finish = func(b *bundle.Bundle) {
				r := *s.recipe
				r.tokenOver = flip
				b.Timestamps = append(b.Timestamps, s.in.token(&r, b.Message.Signature))
			}
		}, verify.CodeTimestamp},
		{"TSA no longer trusted", func(s *setup) { s.root.TSAs[0].Valid = s.in.window(-time.Hour, -time.Second) }, verify.CodeTimestampWindow},
		{"TSA not yet trusted", func(s *setup) { s.root.TSAs[0].Valid = s.in.window(time.Second, time.Hour) }, verify.CodeTimestampWindow},

		{"unknown TSA", func(s *setup) { s.root.TSAs = nil }, verify.CodeTimestampThreshold},
		{"no token", func(s *setup) { s.recipe.noToken = true }, verify.CodeTimestampThreshold},
		{"v2 integrated time is nobody's word", func(s *setup) {
			s.recipe.noToken = true
			s.recipe.entry = func(e *logentry.Entry) { e.IntegratedTime = s.in.at.Unix() }
		}, verify.CodeTimestampThreshold},
		{"v1 integrated time without a promise", func(s *setup) { s.v1Message(); s.recipe.noSET = true }, verify.CodeTimestampThreshold},
		{"promise of a log that is not asked", func(s *setup) { s.v1Message(); s.policy.LogEntries = 0 }, verify.CodeTimestampThreshold},
		{"one TSA twice", func(s *setup) {
			s.policy.Timestamps = 2
			s.finish = func(b *bundle.Bundle) { b.Timestamps = append(b.Timestamps, s.in.token(s.recipe, b.Message.Signature)) }
		}, verify.CodeTimestampThreshold},
		{"one TSA under two keys", func(s *setup) {
			s.policy.Timestamps = 2
			anchor := s.in.newCA("second anchor", nil, nil)
			tsa := s.in.newTSA("second", &anchor)
			second := s.root.TSAs[0]
			second.Chain = []*x509.Certificate{tsa.cert, anchor.cert}
			s.root.TSAs = append(s.root.TSAs, second)
			s.finish = func(b *bundle.Bundle) {
				r := *s.recipe
				r.tokenBy = &tsa
				b.Timestamps = append(b.Timestamps, s.in.token(&r, b.Message.Signature))
			}
		}, verify.CodeTimestampThreshold},

		{"by another key", func(s *setup) { s.v1Message(); s.recipe.setKey = s.in.p256() }, verify.CodeSET},
		{"integrated time changed", func(s *setup) {
			s.v1Message()
			s.finish = func(b *bundle.Bundle) { b.Entries[0].IntegratedTime++ }
		}, verify.CodeSET},
		{"index changed", func(s *setup) {
			s.v1Message()
			s.finish = func(b *bundle.Bundle) { b.Entries[0].LogIndex++ }
		}, verify.CodeSET},
		{"bad promise beside a good token", func(s *setup) { s.inV1("hashedrekord"); s.recipe.setKey = s.in.p256() }, verify.CodeSET},
		{"promise of a v2 log", func(s *setup) {
			s.finish = func(b *bundle.Bundle) {
				var err error
				b.Entries[0].SET, err = pubkey.Sign(s.in.log, pubkey.Ed25519, logentry.SETPayload(b.Entries[0]))
				s.in.ok(err)
			}
		}, verify.CodeSET},
	}
}

func sctFaults() []fault {
	return []fault{
		{"by another key", func(s *setup) { s.recipe.sctKey = s.in.p256() }, verify.CodeSCT},
		{"over another certificate", func(s *setup) { s.recipe.sctTBS = flip }, verify.CodeSCT},
		{"CT log no longer trusted", func(s *setup) { s.root.CTLogs[0].Valid = s.in.window(-time.Hour, -time.Second) }, verify.CodeSCT},
		{"CT log not yet trusted", func(s *setup) { s.root.CTLogs[0].Valid = s.in.window(time.Second, time.Hour) }, verify.CodeSCT},
		{"beyond all time", func(s *setup) {
			s.recipe.sct = func(sct *certext.SCT) { sct.Timestamp = 1 << 63 }
		}, verify.CodeSCT},
		{"malformed list", func(s *setup) {
			s.recipe.noSCT = true
			s.recipe.extra = []pkix.Extension{badSCTList()}
		}, verify.CodeSCT},
		{"none", func(s *setup) { s.recipe.noSCT = true }, verify.CodeSCTThreshold},
		{"unknown CT log", func(s *setup) { s.root.CTLogs = nil }, verify.CodeSCTThreshold},
		{"one of two", func(s *setup) { s.policy.SCTs = 2 }, verify.CodeSCTThreshold},
	}
}

// TestNoPresent: the zero time is not the present, as it would be to
// crypto/x509, even for a certificate that is valid since then.
func TestNoPresent(t *testing.T) {
	s := newSetup(newInstance(t))
	s.recipe.cert = func(c *x509.Certificate) { c.NotBefore, c.NotAfter = time.Time{}, s.in.at.AddDate(1, 0, 0) }
	s.root.CAs[0].Valid = trustroot.Window{}
	s.policy.AnyIdentityUnsafe = true
	_, err := verify.CheckCertificate(s.in.certificate(s.recipe), s.root, s.policy, time.Time{})
	if codeOf(err) != verify.CodeCertificateChain {
		t.Errorf("got %v, want code %q", err, verify.CodeCertificateChain)
	}
}
