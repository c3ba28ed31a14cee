// SPDX-License-Identifier: Apache-2.0

package tsa

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"strings"
	"testing"
	"time"

	"hallmark/internal/format/rfc3161"
)

func TestNewChainProfile(t *testing.T) {
	l := newLab(t, Config{})
	leaf, root := l.chain.Certificates[0], l.chain.Certificates[1]
	if leaf.IsCA || leaf.KeyUsage != x509.KeyUsageDigitalSignature || len(leaf.ExtKeyUsage) != 1 || leaf.ExtKeyUsage[0] != x509.ExtKeyUsageTimeStamping {
		t.Errorf("leaf: CA %v, usage %v, extended %v", leaf.IsCA, leaf.KeyUsage, leaf.ExtKeyUsage)
	}
	if !root.IsCA || !root.MaxPathLenZero || len(root.ExtKeyUsage) != 0 {
		t.Errorf("root: CA %v, path length %d, extended %v", root.IsCA, root.MaxPathLen, root.ExtKeyUsage)
	}
	if !bytes.Equal(leaf.AuthorityKeyId, root.SubjectKeyId) || leaf.Subject.String() == root.Subject.String() {
		t.Error("key identifiers or names do not tell leaf and root apart")
	}
	if !leaf.NotBefore.Equal(l.start) || !leaf.NotAfter.Equal(l.start.Add(DefaultLeafValidity)) || !root.NotAfter.Equal(l.start.Add(DefaultRootValidity)) {
		t.Errorf("validity: %s %s %s", leaf.NotBefore, leaf.NotAfter, root.NotAfter)
	}
	if pub, ok := l.chain.RootKey.Public().(*ecdsa.PublicKey); !ok || !pub.Equal(root.PublicKey) || pub.Curve != elliptic.P256() {
		t.Error("the root's key is not the root's")
	}
	if err := rfc3161.CheckLeaf(leaf); err != nil {
		t.Error(err)
	}
	for _, p := range []ChainParams{{}, {Organization: "x"}, {Now: l.start}, {Organization: "x", Now: l.start, RootValidity: time.Hour, LeafValidity: 2 * time.Hour}} {
		if _, err := NewChain(p); err == nil {
			t.Errorf("%+v: made a chain", p)
		}
	}
}

// issueLeaf is a leaf of the lab's root with something changed.
func issueLeaf(t *testing.T, l *lab, change func(tmpl *x509.Certificate)) *x509.Certificate {
	t.Helper()
	eku, err := asn1.Marshal([]asn1.ObjectIdentifier{oidTimeStamping})
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(5), Subject: pkix.Name{CommonName: "leaf"}, NotBefore: l.start, NotAfter: l.start.Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
		ExtraExtensions: []pkix.Extension{{Id: oidExtKeyUsage, Critical: true, Value: eku}}}
	change(tmpl)
	data, err := x509.CreateCertificate(rand.Reader, tmpl, l.chain.Certificates[1], l.chain.LeafKey.Public(), l.chain.RootKey)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(data)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestNewRefusesUnfitChains(t *testing.T) {
	l, other := newLab(t, Config{}), newLab(t, Config{})
	leaf, root := l.chain.Certificates[0], l.chain.Certificates[1]
	two, err := asn1.Marshal([]asn1.ObjectIdentifier{oidTimeStamping, {1, 3, 6, 1, 5, 5, 7, 3, 3}})
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key := l.chain.LeafKey
	for _, tt := range []struct {
		name  string
		chain []*x509.Certificate
		key   crypto.Signer
		cfg   Config
		want  string
	}{
		{"no chain", nil, key, Config{}, "0 certificates"},
		{"leaf alone", []*x509.Certificate{leaf}, key, Config{}, "1 certificates"},
		{"root first", []*x509.Certificate{root, leaf}, key, Config{}, "is a CA"},
		{"hole", []*x509.Certificate{leaf, nil}, key, Config{}, "missing"},
		{"another root", []*x509.Certificate{leaf, other.chain.Certificates[1]}, key, Config{}, "was not issued by"},
		{"another key", l.chain.Certificates, other.chain.LeafKey, Config{}, "not the one in the certificate"},
		{"no key", l.chain.Certificates, nil, Config{}, "no signing key"},
		{"Ed25519 key", l.chain.Certificates, ed, Config{}, "not the one in the certificate"},
		{"EKU not critical", []*x509.Certificate{issueLeaf(t, l, func(c *x509.Certificate) { c.ExtraExtensions[0].Critical = false }), root}, key, Config{}, "not critical"},
		{"two EKUs", []*x509.Certificate{issueLeaf(t, l, func(c *x509.Certificate) { c.ExtraExtensions[0].Value = two }), root}, key, Config{}, "not exactly timeStamping"},
		{"no EKU", []*x509.Certificate{issueLeaf(t, l, func(c *x509.Certificate) { c.ExtraExtensions = nil }), root}, key, Config{}, "absent"},
		{"CA as leaf", []*x509.Certificate{issueLeaf(t, l, func(c *x509.Certificate) { c.IsCA = true }), root}, key, Config{}, "is a CA"},
		{"wrong usage", []*x509.Certificate{issueLeaf(t, l, func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageKeyEncipherment }), root}, key, Config{}, "key usage"},
		{"policy", l.chain.Certificates, key, Config{Policy: "tsa"}, "policy"},
		{"tolerance", l.chain.Certificates, key, Config{ClockTolerance: -1}, "clock-tolerance"},
	} {
		if _, err := New(tt.cfg, Deps{Chain: tt.chain, Key: tt.key}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
	if _, err := New(Config{}, Deps{Chain: []*x509.Certificate{issueLeaf(t, l, func(*x509.Certificate) {}), root}, Key: key}); err != nil {
		t.Errorf("unchanged: %v", err)
	}
}
