// SPDX-License-Identifier: Apache-2.0

package rfc3161_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"

	"hallmark/internal/format/rfc3161"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func newECDSA() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) }

// check parses and verifies a response.
func check(der, message []byte, chain []*x509.Certificate) error {
	token, err := rfc3161.ParseResponse(der)
	if err != nil {
		return err
	}
	return token.Verify(message, chain)
}

// expect compares an error with what is expected of it, "" for none.
func expect(t *testing.T, name string, err error, want string) {
	t.Helper()
	if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
		t.Errorf("%s: error %v; expected %q", name, err, want)
	}
}

// TestVerify changes one thing at a time about a token that verifies.
func TestVerify(t *testing.T) {
	a := newAuthority(t, newECDSA(), nil)
	leaf, message := a.chain[0], []byte("message")
	drop := func(n int) func([][]byte) [][]byte {
		return func(attrs [][]byte) [][]byte { return slices.Delete(attrs, n, n+1) }
	}
	swap := func(n int, attr []byte) func([][]byte) [][]byte {
		return func(attrs [][]byte) [][]byte { attrs[n] = attr; return attrs }
	}
	more := func(attr []byte) func([][]byte) [][]byte {
		return func(attrs [][]byte) [][]byte { return append(attrs, attr) }
	}
	ess := func(hash asn1.ObjectIdentifier, sum, issuer []byte, serial *big.Int) func([][]byte) [][]byte {
		return swap(2, attribute(oidSigningCertV2, essCertID(hash, sum, issuer, serial)))
	}
	sum512 := func(data []byte) []byte { h := crypto.SHA512.New(); h.Write(data); return h.Sum(nil) }
	for _, tt := range []struct {
		name string
		f    forge
		err  string
	}{
		{"good", forge{}, ""},
		{"imprint SHA-384", forge{imprintOID: oidSHA384, imprint: func() []byte { h := crypto.SHA384.New(); h.Write(message); return h.Sum(nil) }()}, ""},
		{"imprint SHA-512", forge{imprintOID: oidSHA512, imprint: sum512(message)}, ""},
		{"digest SHA-384", forge{digestHash: crypto.SHA384, digestOID: oidSHA384}, ""},
		{"digest SHA-512", forge{digestHash: crypto.SHA512, digestOID: oidSHA512}, ""},
		{"signature SHA-384", forge{sigOID: oidECDSA384, sigOpts: crypto.SHA384}, ""},
		{"signature SHA-512", forge{sigOID: oidECDSA512, sigOpts: crypto.SHA512}, ""},
		{"subject key identifier", forge{sidKeyID: leaf.SubjectKeyId}, ""},
		{"attributes not sorted", forge{unsorted: true}, ""},
		{"another attribute", forge{attributes: more(attribute(oidSigningTime, []byte{0x17, 13, '2', '6', '0', '1', '0', '2', '0', '3', '0', '4', '0', '5', 'Z'}))}, ""},
		{"ESSCertIDv2 with SHA-512", forge{attributes: ess(oidSHA512, sum512(leaf.Raw), nil, nil)}, ""},
		{"ESSCertIDv2 with issuer and serial", forge{attributes: ess(nil, sha256Of(leaf.Raw), leaf.RawIssuer, leaf.SerialNumber)}, ""},
		{"ESSCertID", forge{attributes: swap(2, attribute(oidSigningCert, essCertID(nil, sha1Of(leaf.Raw), nil, nil)))}, ""},
		{"both", forge{attributes: more(attribute(oidSigningCert, essCertID(nil, sha1Of(leaf.Raw), nil, nil)))}, ""},
		{"embedded leaf", forge{certs: [][]byte{leaf.Raw}}, ""},
		{"embedded chain", forge{certs: [][]byte{a.chain[1].Raw, leaf.Raw, a.chain[2].Raw}}, ""},
		{"no digest algorithms", forge{digests: []byte{}}, ""},
		{"revocation list", forge{crls: [][]byte{a.revoked(t)}}, ""},

		{"granted with modifications", forge{status: 1}, "granted with modifications"},
		{"embedded without leaf", forge{certs: [][]byte{a.chain[1].Raw}}, "but not the signer's"},
		{"embedded other than a certificate", forge{certs: [][]byte{{0xa1, 2, 5, 0}}}, "but not the signer's"},
		{"digest algorithms malformed", forge{digests: []byte{0x31, 0}}, "digest algorithms"},
		{"digest algorithm malformed", forge{digests: []byte{0x30, 2, 5, 0}}, "digest algorithms"},
		{"revocation list malformed", forge{crls: [][]byte{{0x30, 0}}}, "revocation list"},
		{"revocation of another kind", forge{crls: [][]byte{{0xa1, 0}}}, "revocation lists"},
		{"another message", forge{message: []byte("another")}, "message imprint differs"},
		{"imprint SHA-1", forge{imprintOID: oidSHA1, imprint: sha1Of(message)}, "SHA-1"},
		{"unknown imprint algorithm", forge{imprintOID: asn1.ObjectIdentifier{1, 2, 3}}, "not supported"},
		{"imprint of the wrong length", forge{imprint: sha1Of(message)}, "message imprint: 20 bytes"},
		{"no SignedData", forge{contentType: oidData}, "expected SignedData"},
		{"content is no TSTInfo", forge{eContentType: oidData}, "expected TSTInfo"},
		{"content changed after signing", forge{afterSigning: func(c []byte) []byte { return bytes.Replace(c, []byte("05Z"), []byte("06Z"), 1) }}, "message-digest is not"},
		{"no signer", forge{signers: -1}, "no signer"},
		{"two signers", forge{signers: 2}, "more than one signer"},
		{"no signed attributes", forge{noAttributes: true}, "no signed attributes"},
		{"no content type", forge{attributes: drop(0)}, "content-type is missing"},
		{"no message digest", forge{attributes: drop(1)}, "message-digest is missing"},
		{"no signing certificate", forge{attributes: drop(2)}, "signing-certificate is missing"},
		{"content type of another kind", forge{attributes: swap(0, attribute(oidContentType, oidDER(oidData)))}, "content-type is 1.2.840"},
		{"two content types", forge{attributes: swap(0, attribute(oidContentType, oidDER(oidTSTInfo), oidDER(oidTSTInfo)))}, "content-type is malformed"},
		{"content type attribute twice", forge{attributes: more(attribute(oidContentType, oidDER(oidTSTInfo)))}, "more than once"},
		{"wrong message digest", forge{attributes: swap(1, attribute(oidMessageDigest, octets(make([]byte, 32))))}, "message-digest is not"},
		{"message digest of another algorithm", forge{digestOID: oidSHA384}, "message-digest is not"},
		{"two message digests", forge{attributes: func(a [][]byte) [][]byte { return append(a, a[1]) }}, "more than once"},
		{"digest SHA-1", forge{digestOID: oidSHA1}, "SHA-1"},
		{"ESSCertIDv2 of another certificate", forge{attributes: ess(nil, sha256Of(a.chain[1].Raw), nil, nil)}, "hash differs"},
		{"ESSCertIDv2 with another serial", forge{attributes: ess(nil, sha256Of(leaf.Raw), leaf.RawIssuer, big.NewInt(1))}, "serial number differs"},
		{"ESSCertIDv2 with another issuer", forge{attributes: ess(nil, sha256Of(leaf.Raw), a.chain[2].RawSubject, leaf.SerialNumber)}, "issuer differs"},
		{"ESSCertIDv2 with SHA-1", forge{attributes: ess(oidSHA1, sha1Of(leaf.Raw), nil, nil)}, "SHA-1"},
		{"ESSCertIDv2 with a short hash", forge{attributes: ess(nil, sha1Of(leaf.Raw), nil, nil)}, "malformed"},
		{"ESSCertID of another certificate", forge{attributes: swap(2, attribute(oidSigningCert, essCertID(nil, sha1Of(a.chain[1].Raw), nil, nil)))}, "hash differs"},
		{"good ESSCertIDv2, wrong ESSCertID", forge{attributes: more(attribute(oidSigningCert, essCertID(nil, sha1Of(nil), nil, nil)))}, "hash differs"},
		{"signer with another serial", forge{sidSerial: big.NewInt(5)}, "signer info differs"},
		{"signer with another issuer", forge{sidIssuer: a.chain[2].RawSubject}, "signer info differs"},
		{"signer with another key identifier", forge{sidKeyID: []byte{1}}, "signer info differs"},
		{"signature damaged", forge{signature: func(s []byte) []byte { s[len(s)-1] ^= 1; return s }}, "wrong signature"},
		{"signature empty", forge{signature: func([]byte) []byte { return nil }}, "wrong signature"},
		{"signature of another hash", forge{sigOID: oidECDSA384}, "wrong signature"},
		{"signature algorithm of RSA", forge{sigOID: oidRSA256}, "does not fit"},
		{"signature algorithm with parameters", forge{sigParams: []byte{5, 0}}, "does not fit"},
		{"garbage embedded", forge{certs: [][]byte{{0x30, 0}}}, "embedded certificate"},
	} {
		tt.f.a = a
		expect(t, tt.name, check(tt.f.response(t), message, a.chain), tt.err)
	}
}

// TestVerifyAlgorithms has a TSA key of every kind.
func TestVerifyAlgorithms(t *testing.T) {
	rsaKey := must(rsa.GenerateKey(rand.Reader, 2048))
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	null := []byte{5, 0}
	pss := func(hash, mgf asn1.ObjectIdentifier, salt int64) []byte {
		return build(elem(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(context(0), func(b *cryptobyte.Builder) { algorithmID(b, hash, null) })
			b.AddASN1(context(1), elem(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1ObjectIdentifier(oidMGF1)
				algorithmID(b, mgf, null)
			}))
			b.AddASN1(context(2), func(b *cryptobyte.Builder) { b.AddASN1Int64(salt) })
		}))
	}
	pssOpts := &rsa.PSSOptions{SaltLength: 32, Hash: crypto.SHA256}
	for _, tt := range []struct {
		name string
		key  crypto.Signer
		f    forge
		err  string
	}{
		{"P-384", must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)), forge{sigOID: oidECDSA384, sigOpts: crypto.SHA384}, ""},
		{"P-384 with SHA-256", must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)), forge{}, ""},
		{"P-521", must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader)), forge{sigOID: oidECDSA512, sigOpts: crypto.SHA512}, ""},
		{"Ed25519", ed, forge{digestHash: crypto.SHA512, digestOID: oidSHA512, sigOID: oidEd25519, sigOpts: crypto.Hash(0)}, ""},
		{"Ed25519 as ECDSA", ed, forge{sigOpts: crypto.Hash(0)}, "does not fit"},
		{"RSA, rsaEncryption", rsaKey, forge{sigOID: oidRSA, sigParams: null}, ""},
		{"RSA, rsaEncryption, SHA-512 by the digest algorithm", rsaKey, forge{sigOID: oidRSA, digestHash: crypto.SHA512, digestOID: oidSHA512, sigOpts: crypto.SHA512}, ""},
		{"RSA, SHA-256", rsaKey, forge{sigOID: oidRSA256}, ""},
		{"RSA, SHA-384", rsaKey, forge{sigOID: oidRSA384, sigOpts: crypto.SHA384}, ""},
		{"RSA, SHA-512", rsaKey, forge{sigOID: oidRSA512, sigOpts: crypto.SHA512}, ""},
		{"RSA, SHA-1", rsaKey, forge{sigOID: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 5}, sigOpts: crypto.SHA1}, "does not fit"},
		{"RSA, wrong hash", rsaKey, forge{sigOID: oidRSA384}, "wrong signature"},
		{"RSA, odd parameters", rsaKey, forge{sigOID: oidRSA256, sigParams: []byte{4, 0}}, "does not fit"},
		{"RSA-PSS", rsaKey, forge{sigOID: oidPSS, sigParams: pss(oidSHA256, oidSHA256, 32), sigOpts: pssOpts}, ""},
		{"RSA-PSS, another salt length", rsaKey, forge{sigOID: oidPSS, sigParams: pss(oidSHA256, oidSHA256, 31), sigOpts: pssOpts}, "wrong signature"},
		{"RSA-PSS, any salt length", rsaKey, forge{sigOID: oidPSS, sigParams: pss(oidSHA256, oidSHA256, 0), sigOpts: pssOpts}, "parameters"},
		{"RSA-PSS, mixed hashes", rsaKey, forge{sigOID: oidPSS, sigParams: pss(oidSHA256, oidSHA512, 32), sigOpts: pssOpts}, "parameters"},
		{"RSA-PSS, SHA-1", rsaKey, forge{sigOID: oidPSS, sigParams: pss(oidSHA1, oidSHA1, 32), sigOpts: pssOpts}, "SHA-1"},
		{"RSA-PSS, no parameters", rsaKey, forge{sigOID: oidPSS, sigOpts: pssOpts}, "parameters"},
		{"RSA-PSS as PKCS #1", rsaKey, forge{sigOID: oidRSA256, sigOpts: pssOpts}, "wrong signature"},
	} {
		tt.f.a = newAuthority(t, tt.key, nil)
		expect(t, tt.name, check(tt.f.response(t), []byte("message"), tt.f.a.chain), tt.err)
	}
}

// TestVerifyCertificate changes one thing at a time about the TSA's certificate.
func TestVerifyCertificate(t *testing.T) {
	eku := func(critical bool, value ...byte) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: oidEKU, Critical: critical, Value: value}}
		}
	}
	timestamping := []byte{6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 8}
	codeSigning := []byte{6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 3}
	seq := func(parts ...[]byte) []byte {
		content := bytes.Join(parts, nil)
		return append([]byte{0x30, byte(len(content))}, content...)
	}
	for _, tt := range []struct {
		name   string
		change func(*x509.Certificate)
		err    string
	}{
		{"good", nil, ""},
		{"no key usage", func(c *x509.Certificate) { c.KeyUsage = 0 }, ""},
		{"contentCommitment", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageContentCommitment }, ""},
		{"key usage without signatures", func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }, "key usage does not allow"},
		{"no EKU", func(c *x509.Certificate) { c.ExtraExtensions = nil }, "not exactly timeStamping"},
		{"EKU not critical", eku(false, seq(timestamping)...), "not critical"},
		{"another EKU", eku(true, seq(codeSigning)...), "not exactly timeStamping"},
		{"one more EKU", eku(true, seq(timestamping, codeSigning)...), "not exactly timeStamping"},
		{"one more, unknown EKU", eku(true, seq(timestamping, []byte{6, 2, 0x2a, 3})...), "not exactly timeStamping"},
		{"not yet valid", func(c *x509.Certificate) { c.NotBefore = genTime.Add(time.Second) }, "expired or is not yet valid"},
		{"expired", func(c *x509.Certificate) { c.NotAfter = genTime.Add(-time.Second) }, "expired or is not yet valid"},
		{"valid at that second only", func(c *x509.Certificate) { c.NotBefore, c.NotAfter = genTime, genTime }, ""},
		{"unknown critical extension", func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: []byte{5, 0}})
		}, "unhandled critical extension"},
	} {
		a := newAuthority(t, newECDSA(), tt.change)
		expect(t, tt.name, check(forge{a: a}.response(t), []byte("message"), a.chain), tt.err)
	}
}

func TestVerifyChain(t *testing.T) {
	a, other := newAuthority(t, newECDSA(), nil), newAuthority(t, newECDSA(), nil)
	leaf, inter, root := a.chain[0], a.chain[1], a.chain[2]
	sibling := issue(t, &x509.Certificate{
		SerialNumber: leaf.SerialNumber, Subject: leaf.Subject, NotBefore: leaf.NotBefore, NotAfter: leaf.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, SubjectKeyId: []byte{9, 8, 7}, ExtraExtensions: []pkix.Extension{ekuTimestamping()},
	}, inter, newECDSA(), a.caKey)
	plain, embedded := forge{a: a}, forge{a: a, certs: [][]byte{leaf.Raw}}
	all := forge{a: a, certs: [][]byte{leaf.Raw, inter.Raw}}
	otherEKU := issue(t, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: inter.Subject, NotBefore: inter.NotBefore, NotAfter: inter.NotAfter,
		BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}, nil, a.caKey, a.caKey)
	for _, tt := range []struct {
		name  string
		f     forge
		chain []*x509.Certificate
		err   string
	}{
		{"leaf, intermediate, root", plain, a.chain, ""},
		{"intermediate as the anchor", plain, a.chain[:2], ""},
		{"leaf as the anchor", plain, a.chain[:1], ""},
		{"no leaf, but embedded", embedded, a.chain[1:], ""},
		{"root only, all embedded", all, a.chain[2:], ""},
		{"intermediate only, leaf embedded", embedded, a.chain[1:2], ""},
		{"nothing", plain, nil, "no certificate"},
		{"no leaf anywhere", plain, a.chain[1:], "does not embed"},
		{"root only, intermediate missing", embedded, a.chain[2:], "unknown authority"},
		{"intermediate missing", plain, []*x509.Certificate{leaf, root}, "unknown authority"},
		{"another root", plain, []*x509.Certificate{leaf, inter, other.chain[2]}, "unknown authority"},
		{"embedded certificates are no anchors", forge{a: a, certs: [][]byte{leaf.Raw, inter.Raw, root.Raw}}, other.chain[1:], "unknown authority"},
		{"another authority", plain, other.chain, "another certificate"},
		{"another authority, leaf embedded", embedded, other.chain, "not the authority's"},
		{"embedded leaf differs from the chain's", forge{a: a, certs: [][]byte{sibling.Raw}}, a.chain, "not the authority's"},
		{"two embedded leaves", forge{a: a, certs: [][]byte{leaf.Raw, sibling.Raw}}, a.chain[1:], "more than one embedded"},
		{"intermediate for other uses", plain, []*x509.Certificate{leaf, otherEKU}, "incompatible key usage"},
		{"leaf is a CA", plain, []*x509.Certificate{inter, root}, "does not embed"},
	} {
		expect(t, tt.name, check(tt.f.response(t), []byte("message"), tt.chain), tt.err)
	}
	if err := rfc3161.CheckLeaf(inter); err == nil {
		t.Error("CheckLeaf accepts a CA")
	}
}

// TestLeaf: callers that validate chains themselves get the same leaf.
func TestLeaf(t *testing.T) {
	a := newAuthority(t, newECDSA(), nil)
	token := must(rfc3161.ParseResponse(forge{a: a, certs: [][]byte{a.chain[0].Raw}}.response(t)))
	for _, chain := range [][]*x509.Certificate{a.chain, a.chain[1:]} {
		leaf, err := token.Leaf(chain)
		if err != nil || !leaf.Equal(a.chain[0]) {
			t.Errorf("Leaf() = %v, %v", leaf, err)
		}
		if err := token.VerifySignedBy([]byte("message"), leaf); err != nil {
			t.Error(err)
		}
	}
	if _, err := token.Leaf(nil); err == nil {
		t.Error("no chain: accepted")
	}
	// VerifySignedBy says nothing about the chain, and all else.
	if err := token.VerifySignedBy([]byte("another"), a.chain[0]); err == nil {
		t.Error("another message: accepted")
	}
}
