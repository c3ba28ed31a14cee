// SPDX-License-Identifier: Apache-2.0

package certext_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"testing"
	"time"
)

// An issuer is a CA for tests.
type issuer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

var (
	notBefore = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	notAfter  = notBefore.Add(10 * time.Minute)
)

func newIssuer(t testing.TB) issuer {
	t.Helper()
	key := newKey(t)
	cert := create(t, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"},
		NotBefore: notBefore.Add(-time.Hour), NotAfter: notAfter.Add(time.Hour),
		BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageCertSign,
	}, nil, key, &key.PublicKey)
	return issuer{cert, key}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// leaf issues a certificate with exactly these extra extensions.
func (i issuer) leaf(t testing.TB, pub *ecdsa.PublicKey, extra ...pkix.Extension) *x509.Certificate {
	t.Helper()
	return create(t, &x509.Certificate{
		SerialNumber: big.NewInt(0x1234), NotBefore: notBefore, NotAfter: notAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
		SubjectKeyId: []byte{1, 2, 3, 4}, ExtraExtensions: extra,
	}, i.cert, i.key, pub)
}

func create(t testing.TB, template, parent *x509.Certificate, key *ecdsa.PrivateKey, pub *ecdsa.PublicKey) *x509.Certificate {
	t.Helper()
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, pub, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}
