// SPDX-License-Identifier: Apache-2.0

package trustroot_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"slices"
	"testing"

	"hallmark/internal/format/checkpoint"
	"hallmark/internal/format/pubkey"
	"hallmark/internal/format/trustroot"
)

// issue makes a certificate with the given extended key usages; parent nil for
// a self-signed one.
func issue(name string, isCA bool, uses []x509.ExtKeyUsage, key *ecdsa.PrivateKey, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) *x509.Certificate {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name, Organization: []string{"example.com"}},
		NotBefore: start, NotAfter: start.AddDate(10, 0, 0), BasicConstraintsValid: true, IsCA: isCA,
		ExtKeyUsage: uses, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	if isCA {
		template.KeyUsage = x509.KeyUsageCertSign
	}
	if parent == nil {
		parent = template
	}
	return must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey))))
}

// family is certificates of every kind under one anchor, and a stranger with
// the anchor's name.
type family struct{ root, inter, tsInter, code, tsa, stranger, other *x509.Certificate }

func newFamily() family {
	var f family
	rk, ik, k := newECDSA(elliptic.P256()), newECDSA(elliptic.P256()), newECDSA(elliptic.P256())
	codeUse, stamping := []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}, []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping}
	f.root = issue("root", true, nil, rk, nil, rk)
	f.inter = issue("intermediate", true, codeUse, ik, f.root, rk)
	f.tsInter = issue("stamping intermediate", true, stamping, ik, f.root, rk)
	f.code = issue("somebody", false, codeUse, k, f.inter, ik)
	f.tsa = issue("tsa", false, stamping, k, f.tsInter, ik)
	f.stranger = issue("root", true, nil, k, nil, k)
	f.other = issue("elsewhere", true, nil, k, nil, k)
	return f
}

func TestNewCertificateAuthority(t *testing.T) {
	f := newFamily()
	valid := trustroot.Window{Start: start}
	for _, tt := range []struct {
		name  string
		chain []*x509.Certificate
		want  string // "" is success
	}{
		{"intermediate and root", []*x509.Certificate{f.inter, f.root}, ""},
		{"root alone", []*x509.Certificate{f.root}, ""},
		{"no certificate", nil, "there is no certificate"},
		{"root first", []*x509.Certificate{f.root, f.inter}, `wrong order: expected the issuing CA first and the trust anchor last, that is: "CN=intermediate,O=example.com"; then "CN=root`},
		{"twice", []*x509.Certificate{f.inter, f.root, f.root}, "certificates 2 and 3 are the same"},
		{"with what it issued", []*x509.Certificate{f.code, f.inter, f.root}, "is no CA: expected the issuing CA first"},
		{"a TSA's", []*x509.Certificate{f.tsa, f.tsInter, f.root}, "a timestamp authority's"},
		{"a TSA's CA", []*x509.Certificate{f.tsInter, f.root}, "may not issue code signing certificates"},
		{"a stranger of the right name", []*x509.Certificate{f.inter, f.stranger}, "is not signed by that one's key"},
		{"something between is missing", []*x509.Certificate{f.inter, f.other}, "a certificate between them is missing"},
		{"too many", slices.Repeat([]*x509.Certificate{f.root}, trustroot.MaxChain+1), "at most"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ca, err := trustroot.NewCertificateAuthority("https://ca.example", tt.chain, valid)
			expect(t, "", err, tt.want)
			if tt.want == "" && (ca.Subject.CommonName != "root" || ca.Subject.Organization != "example.com" || len(ca.Chain) != len(tt.chain)) {
				t.Errorf("%+v", ca)
			}
		})
	}
}

func TestNewTimestampAuthority(t *testing.T) {
	f := newFamily()
	k := newECDSA(elliptic.P256())
	both := issue("both", false, []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping, x509.ExtKeyUsageCodeSigning}, k, nil, k)
	alone := issue("alone", false, []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping}, k, nil, k)
	for _, tt := range []struct {
		name  string
		chain []*x509.Certificate
		want  string
	}{
		{"leaf first", []*x509.Certificate{f.tsa, f.tsInter, f.root}, ""},
		{"root first", []*x509.Certificate{f.root, f.tsInter, f.tsa}, `expected the timestamping certificate first and the trust anchor last, that is: "CN=tsa`},
		{"mixed up", []*x509.Certificate{f.tsInter, f.tsa, f.root}, "wrong order"},
		{"no leaf", []*x509.Certificate{f.tsInter, f.root}, "is a CA: expected the certificate that signs the timestamps first"},
		{"a code signer", []*x509.Certificate{f.code, f.inter, f.root}, "not for timestamping alone"},
		{"for something else too", []*x509.Certificate{both}, "not for timestamping alone"},
		{"no issuer", []*x509.Certificate{alone}, "expected its issuers"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := trustroot.NewTimestampAuthority("https://tsa.example", tt.chain, trustroot.Window{Start: start})
			expect(t, "", err, tt.want)
		})
	}
}

// TestNewLogID: identifiers as entries of each kind of log carry them.
func TestNewLogID(t *testing.T) {
	ed, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		key  crypto.PublicKey
		v1   bool
		note bool // the identifier depends on the origin
	}{
		{"Ed25519, Rekor v2", ed, false, true},
		{"Ed25519, Rekor v1", ed, true, false},
		{"ECDSA, Rekor v2", newECDSA(elliptic.P256()).Public(), false, false},
		{"ECDSA, Rekor v1", newECDSA(elliptic.P384()).Public(), true, false},
		{"RSA, Rekor v2", rsaKeys()[0], false, true},
		{"RSA, Rekor v1", rsaKeys()[0], true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, err := trustroot.NewLog("https://log.example:8443/base", "", tt.v1, tt.key, trustroot.Window{Start: start})
			if err != nil {
				t.Fatal(err)
			}
			id := must(pubkey.KeyID(tt.key))
			if tt.note {
				id = must(checkpoint.LogID("log.example", tt.key))
			}
			if !bytes.Equal(l.ID, id[:]) {
				t.Errorf("%x, want %x", l.ID, id)
			}
			root := &trustroot.Root{Logs: []trustroot.Log{l}}
			if _, err := trustroot.Parse(must(root.Marshal())); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestNewLogRefuses(t *testing.T) {
	ed, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, url, origin string
		v1                bool
		want              string
	}{
		{"the host", "https://log.example", "log.example", false, ""},
		{"no scheme", "log.example", "", false, "with its scheme"},
		{"no URL", "", "", false, "with its scheme"},
		{"a v1 origin", "https://log.example", "log.example - 123", false, "leave it out and say api-version=1"},
		{"an origin for v1", "https://log.example", "other.example", true, "does not depend on its origin"},
		{"a URL as origin", "https://log.example", "https://log.example", false, "no scheme, port or path"},
		{"a port in the origin", "https://log.example:8443", "log.example:8443", false, "has a port"},
		{"another host", "https://rekor.example", "log2026-1.example", false, "give url=https://log2026-1.example"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := trustroot.NewLog(tt.url, tt.origin, tt.v1, ed, trustroot.Window{Start: start})
			expect(t, "", err, tt.want)
		})
	}
	if _, err := trustroot.NewLog("https://log.example", "", false, ed, trustroot.Window{}); err == nil {
		t.Error("accepted a log without a start")
	}
}

func TestNewCTLog(t *testing.T) {
	key := newECDSA(elliptic.P256()).Public()
	l, err := trustroot.NewCTLog("https://ct.example/2026", key, trustroot.Window{Start: start})
	id := must(pubkey.KeyID(key))
	if err != nil || !bytes.Equal(l.ID, id[:]) {
		t.Fatalf("%+v, %v", l, err)
	}
	if l, err = trustroot.NewCTLog("https://ct.example/rsa", rsaKeys()[0], trustroot.Window{Start: start}); err != nil || len(l.ID) != 32 {
		t.Error(err)
	}
	ed, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, err = trustroot.NewCTLog("https://ct.example", ed, trustroot.Window{Start: start})
	expect(t, "", err, "is it the transparency log's?")
}
