// SPDX-License-Identifier: Apache-2.0

package tsa

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"time"
)

var (
	oidExtKeyUsage  = asn1.ObjectIdentifier{2, 5, 29, 37}
	oidTimeStamping = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 8}
)

// Default lifetimes of the certificates [NewChain] makes.
const (
	DefaultRootValidity = 20 * 365 * 24 * time.Hour
	DefaultLeafValidity = 10 * 365 * 24 * time.Hour
)

// ChainParams says what [NewChain] should make.
type ChainParams struct {
	Organization string        // the subject's O
	Suffix       string        // after both subjects' CN, to tell generations apart; "" is none
	Now          time.Time     // both certificates are valid from here
	RootValidity time.Duration // 0 is [DefaultRootValidity]
	LeafValidity time.Duration // 0 is [DefaultLeafValidity]; at most RootValidity
	RootKey      crypto.Signer // the root's, on P-256; nil makes a new one
}

// Chain is a new authority's certificates and keys, all on P-256. RootKey is
// needed again only to rotate the leaf: it belongs offline.
type Chain struct {
	Certificates []*x509.Certificate // leaf, root
	LeafKey      crypto.Signer
	RootKey      crypto.Signer
}

// NewChain makes a self-signed root and a signing certificate below it. It
// writes nothing.
func NewChain(p ChainParams) (*Chain, error) {
	if p.RootValidity == 0 {
		p.RootValidity = DefaultRootValidity
	}
	switch {
	case p.Organization == "":
		return nil, errors.New("tsa: organization is empty: expected the name for the certificates' subject")
	case p.Now.IsZero():
		return nil, errors.New("tsa: no time to make certificates valid from")
	case p.RootValidity < 0 || p.LeafValidity < 0 || p.LeafValidity > p.RootValidity:
		return nil, fmt.Errorf("tsa: leaf validity %s, root validity %s: expected 0 < leaf ≤ root", p.LeafValidity, p.RootValidity)
	}
	if p.RootKey == nil {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		p.RootKey = key
	}
	root, err := newRoot(p)
	if err != nil {
		return nil, fmt.Errorf("tsa: make root certificate: %w", err)
	}
	return NewLeaf(p, root)
}

// NewLeaf makes a signing certificate with a new key below a root that exists,
// whose key is p.RootKey. It ends no later than the root.
func NewLeaf(p ChainParams, root *x509.Certificate) (*Chain, error) {
	if p.LeafValidity == 0 {
		p.LeafValidity = DefaultLeafValidity
	}
	p.LeafValidity = min(p.LeafValidity, root.NotAfter.Sub(p.Now.UTC().Truncate(time.Second)))
	switch pub, ok := root.PublicKey.(*ecdsa.PublicKey); {
	case p.RootKey == nil || !ok || !pub.Equal(p.RootKey.Public()):
		return nil, fmt.Errorf("tsa: the root key is not the one of the certificate %q: expected the ECDSA key it was made for", root.Subject)
	case p.LeafValidity <= 0 || p.Now.Before(root.NotBefore.Truncate(time.Second)):
		return nil, fmt.Errorf("tsa: the root %q is valid from %s to %s, so it can issue nothing that begins at %s: a new root is due",
			root.Subject, root.NotBefore.UTC().Format(time.RFC3339), root.NotAfter.UTC().Format(time.RFC3339), p.Now.UTC().Format(time.RFC3339))
	}
	leafKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	leaf, err := newLeaf(p, root, leafKey)
	if err != nil {
		return nil, fmt.Errorf("tsa: make signing certificate: %w", err)
	}
	chain := []*x509.Certificate{leaf, root}
	if err := CheckChain(chain); err != nil {
		return nil, fmt.Errorf("tsa: the new chain is wrong: %w", err)
	}
	return &Chain{Certificates: chain, LeafKey: leafKey, RootKey: p.RootKey}, nil
}

func newRoot(p ChainParams) (*x509.Certificate, error) {
	pub, ok := p.RootKey.Public().(*ecdsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("the root key is a %T: expected ECDSA", p.RootKey.Public())
	}
	tmpl, err := template(p.Organization, "TSA root"+p.Suffix, pub, p.Now, p.RootValidity)
	if err != nil {
		return nil, err
	}
	tmpl.IsCA, tmpl.BasicConstraintsValid, tmpl.MaxPathLenZero = true, true, true
	tmpl.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	return create(tmpl, tmpl, pub, p.RootKey)
}

func newLeaf(p ChainParams, root *x509.Certificate, leafKey *ecdsa.PrivateKey) (*x509.Certificate, error) {
	tmpl, err := template(p.Organization, "TSA"+p.Suffix, &leafKey.PublicKey, p.Now, p.LeafValidity)
	if err != nil {
		return nil, err
	}
	// "The corresponding certificate MUST contain only one instance of the
	// extended key usage field extension [...] This extension MUST be
	// critical." RFC 3161 section 2.3
	eku, err := asn1.Marshal([]asn1.ObjectIdentifier{oidTimeStamping})
	if err != nil {
		return nil, err
	}
	tmpl.BasicConstraintsValid = true // cA FALSE, said aloud
	tmpl.KeyUsage = x509.KeyUsageDigitalSignature
	tmpl.ExtraExtensions = []pkix.Extension{{Id: oidExtKeyUsage, Critical: true, Value: eku}}
	return create(tmpl, root, &leafKey.PublicKey, p.RootKey)
}

func template(org, name string, pub *ecdsa.PublicKey, from time.Time, validity time.Duration) (*x509.Certificate, error) {
	serial := make([]byte, 20)
	if _, err := rand.Read(serial); err != nil {
		return nil, err
	}
	serial[0] = serial[0]&0x7f | 0x40 // positive, 20 octets: RFC 5280 section 4.1.2.2
	spki, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, err
	}
	keyID := sha256.Sum256(spki) // RFC 7093 section 2, method 4
	from = from.UTC().Truncate(time.Second)
	return &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(serial),
		Subject:      pkix.Name{Organization: []string{org}, CommonName: org + " " + name},
		NotBefore:    from,
		NotAfter:     from.Add(validity),
		SubjectKeyId: keyID[:20],
	}, nil
}

func create(tmpl, parent *x509.Certificate, pub *ecdsa.PublicKey, key crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, pub, key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// CheckChain is whether chain (leaf first, self-signed root last) may sign time
// stamps: names and signatures link up, every issuer is a CA that may sign
// certificates and time stamps, and the leaf has exactly the usage that
// RFC 3161 section 2.3 demands. It does not look at the clock.
func CheckChain(chain []*x509.Certificate) error {
	if len(chain) < 2 || len(chain) > 5 {
		return fmt.Errorf("certificate chain has %d certificates: expected the signing certificate first, then its issuers up to the root", len(chain))
	}
	for i, c := range chain {
		if c == nil {
			return fmt.Errorf("certificate %d of the chain is missing", i+1)
		}
	}
	if err := checkLeaf(chain[0]); err != nil {
		return fmt.Errorf("certificate %q: %w", chain[0].Subject, err)
	}
	for i, c := range chain {
		issuer := chain[min(i+1, len(chain)-1)] // the root issued itself
		if err := c.CheckSignatureFrom(issuer); err != nil {
			return fmt.Errorf("certificate %q was not issued by %q, which follows it: %w", c.Subject, issuer.Subject, err)
		}
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(chain[len(chain)-1])
	for _, c := range chain[1 : len(chain)-1] {
		between.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: newestStart(chain),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping},
	})
	if err != nil {
		return fmt.Errorf("certificate chain of %q: %w", chain[0].Subject, err)
	}
	return nil
}

// newestStart is the first instant at which all of chain can be valid.
func newestStart(chain []*x509.Certificate) time.Time {
	var t time.Time
	for _, c := range chain {
		if c.NotBefore.After(t) {
			t = c.NotBefore
		}
	}
	return t
}

func checkLeaf(c *x509.Certificate) error {
	var eku *pkix.Extension
	for i := range c.Extensions {
		if c.Extensions[i].Id.Equal(oidExtKeyUsage) {
			eku = &c.Extensions[i]
		}
	}
	switch {
	case c.IsCA:
		return errors.New("is a CA: expected an end-entity certificate first in the chain")
	case eku == nil || !eku.Critical:
		return errors.New("extended key usage is absent or not critical: RFC 3161 section 2.3 wants a critical one")
	case len(c.UnknownExtKeyUsage) != 0 || len(c.ExtKeyUsage) != 1 || c.ExtKeyUsage[0] != x509.ExtKeyUsageTimeStamping:
		return errors.New("extended key usage is not exactly timeStamping")
	case c.KeyUsage != x509.KeyUsageDigitalSignature:
		return errors.New("key usage is not exactly digitalSignature")
	}
	if _, ok := c.PublicKey.(*ecdsa.PublicKey); !ok {
		return fmt.Errorf("key is a %T: expected ECDSA", c.PublicKey)
	}
	return nil
}
