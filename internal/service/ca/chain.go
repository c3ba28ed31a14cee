// SPDX-License-Identifier: Apache-2.0

package ca

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
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"hallmark/internal/base/keyring"
)

const (
	defaultRootLifetime         = 10 * 365 * 24 * time.Hour
	defaultIntermediateLifetime = 5 * 365 * 24 * time.Hour
	maxChain                    = 5
	serialBits                  = 159
)

// ChainConfig says what [NewChain] makes. The zero durations stand for ten
// years (root) and five years (intermediate), of 365 days each.
type ChainConfig struct {
	// Organization is the O of both subjects. Required.
	Organization string
	// CommonName is the CN of the root. Required by [NewChain].
	CommonName string
	// IntermediateName is the CN of the intermediate; "" is CommonName with
	// " intermediate" after it.
	IntermediateName string
	// RootLifetime is how long the root is valid.
	RootLifetime time.Duration
	// IntermediateLifetime is how long the intermediate is valid, never beyond
	// the root.
	IntermediateLifetime time.Duration
	// RootKey is the root's key; nil makes a new one.
	RootKey crypto.Signer
}

// NewAuthority is what [NewChain] made: two certificates and both their keys.
// The root key signs nothing but intermediates, so it belongs off line.
type NewAuthority struct {
	// Chain is the intermediate, then the root.
	Chain []*x509.Certificate
	// Key is the intermediate's key, the one [Deps] wants.
	Key crypto.Signer
	// RootKey is the root's key.
	RootKey crypto.Signer
}

// NewChain makes a self-signed root and an intermediate below it that may
// issue code signing certificates, each with a new P-256 key (unless the root's
// is given) and a random serial number, valid from now (cut to seconds).
func NewChain(cfg ChainConfig, now time.Time) (*NewAuthority, error) {
	if cfg.Organization == "" || cfg.CommonName == "" {
		return nil, errors.New("new CA chain: Organization and CommonName must both be set")
	}
	if cfg.RootLifetime == 0 {
		cfg.RootLifetime = defaultRootLifetime
	}
	if cfg.IntermediateLifetime > cfg.RootLifetime || cfg.IntermediateLifetime < 0 {
		return nil, fmt.Errorf("new CA chain: intermediate lifetime %v must be positive and at most the root's %v", cfg.IntermediateLifetime, cfg.RootLifetime)
	}
	if cfg.IntermediateName == "" {
		cfg.IntermediateName = cfg.CommonName + " intermediate"
	}
	now = now.UTC().Truncate(time.Second)

	if cfg.RootKey == nil {
		key, err := keyring.GenerateP256()
		if err != nil {
			return nil, fmt.Errorf("new CA root key: %w", err)
		}
		cfg.RootKey = key
	}
	root := &x509.Certificate{
		Subject:    pkix.Name{Organization: []string{cfg.Organization}, CommonName: cfg.CommonName},
		NotAfter:   now.Add(cfg.RootLifetime),
		MaxPathLen: 1,
	}
	rootCert, err := signCA(root, root, cfg.RootKey.Public(), cfg.RootKey, now)
	if err != nil {
		return nil, fmt.Errorf("new CA root: %w", err)
	}
	return NewIntermediate(cfg, rootCert, now)
}

// NewIntermediate makes an intermediate with a new P-256 key below a root that
// exists, valid from the given time (cut to seconds), and no longer than the
// root. Of cfg it takes Organization, IntermediateName, IntermediateLifetime
// and RootKey, which is the root's.
func NewIntermediate(cfg ChainConfig, root *x509.Certificate, from time.Time) (*NewAuthority, error) {
	if cfg.Organization == "" || cfg.IntermediateName == "" || cfg.RootKey == nil {
		return nil, errors.New("new CA intermediate: Organization, IntermediateName and RootKey must be set")
	}
	if err := matchKey(root, cfg.RootKey); err != nil {
		return nil, fmt.Errorf("new CA intermediate: %w", err)
	}
	if cfg.IntermediateLifetime == 0 {
		cfg.IntermediateLifetime = defaultIntermediateLifetime
	}
	from = from.UTC().Truncate(time.Second)
	until := from.Add(cfg.IntermediateLifetime)
	if until.After(root.NotAfter) {
		until = root.NotAfter
	}
	if from.Before(root.NotBefore) || !until.After(from) {
		return nil, fmt.Errorf("new CA intermediate: the root is valid from %s to %s, so it can issue nothing that begins at %s: a new root is due", stamp(root.NotBefore), stamp(root.NotAfter), stamp(from))
	}
	key, err := keyring.GenerateP256()
	if err != nil {
		return nil, fmt.Errorf("new CA intermediate key: %w", err)
	}
	cert, err := signCA(&x509.Certificate{
		Subject:        pkix.Name{Organization: []string{cfg.Organization}, CommonName: cfg.IntermediateName},
		NotAfter:       until,
		ExtKeyUsage:    []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
		MaxPathLenZero: true,
	}, root, key.Public(), cfg.RootKey, from)
	if err != nil {
		return nil, fmt.Errorf("new CA intermediate: %w", err)
	}
	chain := []*x509.Certificate{cert, root}
	if err := checkChain(chain, key); err != nil {
		return nil, err
	}
	return &NewAuthority{Chain: chain, Key: key, RootKey: cfg.RootKey}, nil
}

// signCA fills in what both CA certificates have alike and signs t.
func signCA(t, parent *x509.Certificate, pub crypto.PublicKey, key crypto.Signer, now time.Time) (*x509.Certificate, error) {
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	spki, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, err
	}
	t.SerialNumber = serial
	t.NotBefore = now
	t.IsCA = true
	t.BasicConstraintsValid = true
	t.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	if t.SubjectKeyId, err = subjectKeyID(spki); err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, t, parent, pub, key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// newSerial draws a serial number of 159 random bits: positive in 20 octets, as
// RFC 5280 §4.1.2.2 asks, and never zero.
func newSerial() (*big.Int, error) {
	var b [(serialBits + 7) / 8]byte
	for {
		if _, err := rand.Read(b[:]); err != nil {
			return nil, fmt.Errorf("serial number: %w", err)
		}
		b[0] &= 0x7f
		if serial := new(big.Int).SetBytes(b[:]); serial.Sign() > 0 {
			return serial, nil
		}
	}
}

// checkChain decides whether a service may issue from chain with key. The
// chain is judged at the latest moment any of its certificates begins, so that
// one which has run out is told from one which never held: the first refuses
// requests, the second refuses to start.
func checkChain(chain []*x509.Certificate, key crypto.Signer) error {
	if len(chain) < 2 || len(chain) > maxChain {
		return fmt.Errorf("CA chain has %d certificates: expected the issuing intermediate first and the root last, 2 to %d in all", len(chain), maxChain)
	}
	if key == nil {
		return errors.New("CA key is missing")
	}
	at := time.Time{}
	intermediates := x509.NewCertPool()
	for i, cert := range chain {
		if cert.NotBefore.After(at) {
			at = cert.NotBefore
		}
		last := i == len(chain)-1
		if err := checkAuthority(cert, last); err != nil {
			return fmt.Errorf("CA chain certificate %d (%s): %w", i+1, cert.Subject, err)
		}
		if !last && i > 0 {
			intermediates.AddCert(cert)
		}
	}
	issuer, root := chain[0], chain[len(chain)-1]
	if err := root.CheckSignatureFrom(root); err != nil {
		return fmt.Errorf("CA chain: the last certificate (%s) is not a self-signed root: %w", root.Subject, err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(root)
	found, err := issuer.Verify(x509.VerifyOptions{
		Roots:         roots,
		Intermediates: intermediates,
		CurrentTime:   at,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	})
	if err != nil {
		return fmt.Errorf("CA chain does not lead from %s to %s: %w", issuer.Subject, root.Subject, err)
	}
	if !slices.ContainsFunc(found, func(c []*x509.Certificate) bool {
		return slices.EqualFunc(c, chain, (*x509.Certificate).Equal)
	}) {
		return errors.New("CA chain is not in order: expected each certificate to be signed by the next")
	}
	return matchKey(issuer, key)
}

// checkAuthority judges one certificate of a CA chain by itself.
func checkAuthority(cert *x509.Certificate, root bool) error {
	switch {
	case !cert.BasicConstraintsValid || !cert.IsCA:
		return errors.New("is not a CA certificate (basicConstraints CA:TRUE is missing)")
	case cert.KeyUsage&x509.KeyUsageCertSign == 0:
		return errors.New("keyUsage lacks certSign")
	case len(cert.SubjectKeyId) == 0:
		return errors.New("subjectKeyIdentifier is missing")
	case !root && !slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageCodeSigning):
		return errors.New("extendedKeyUsage lacks codeSigning, so verifiers would refuse what it issues")
	}
	if _, err := algorithmFor(cert.PublicKey); err != nil {
		return err
	}
	switch cert.SignatureAlgorithm {
	case x509.ECDSAWithSHA256, x509.ECDSAWithSHA384, x509.ECDSAWithSHA512, x509.PureEd25519,
		x509.SHA256WithRSA, x509.SHA384WithRSA, x509.SHA512WithRSA,
		x509.SHA256WithRSAPSS, x509.SHA384WithRSAPSS, x509.SHA512WithRSAPSS:
		return nil
	}
	return fmt.Errorf("signature algorithm %s is too weak or unknown", cert.SignatureAlgorithm)
}

// matchKey checks that key is the private half of cert's key.
func matchKey(cert *x509.Certificate, key crypto.Signer) error {
	want, err := x509.MarshalPKIXPublicKey(cert.PublicKey)
	if err != nil {
		return fmt.Errorf("CA certificate %s: %w", cert.Subject, err)
	}
	have, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return fmt.Errorf("CA key: %w", err)
	}
	if !bytes.Equal(want, have) {
		return fmt.Errorf("CA key does not belong to the issuing certificate %s: give the key that certificate was made for", cert.Subject)
	}
	return nil
}

// signatureAlgorithm is how an issuer of some key type signs certificates.
type signatureAlgorithm struct {
	name x509.SignatureAlgorithm
	hash crypto.Hash // 0: the message is signed as it is
	der  []byte      // AlgorithmIdentifier
}

// algorithmFor names the signature algorithm that pub's owner uses.
func algorithmFor(pub crypto.PublicKey) (signatureAlgorithm, error) {
	switch pub := pub.(type) {
	case *ecdsa.PublicKey:
		switch pub.Curve {
		case elliptic.P256():
			return ecdsaSHA256, nil
		case elliptic.P384():
			return ecdsaSHA384, nil
		case elliptic.P521():
			return ecdsaSHA512, nil
		}
		return signatureAlgorithm{}, fmt.Errorf("ECDSA curve %s: a CA key must be on P-256, P-384 or P-521", pub.Curve.Params().Name)
	case *rsa.PublicKey:
		if n := pub.N.BitLen(); n < 2048 || n > 8192 {
			return signatureAlgorithm{}, fmt.Errorf("RSA-%d: a CA key must have 2048 to 8192 bits", n)
		}
		return rsaSHA256, nil
	case ed25519.PublicKey:
		return pureEd25519, nil
	}
	return signatureAlgorithm{}, fmt.Errorf("public key is a %T: a CA key must be ECDSA, RSA or Ed25519", pub)
}

// AlgorithmIdentifiers of RFC 5758 §3.2 (ECDSA, no parameters), RFC 4055 §5
// (RSA, NULL parameters) and RFC 8410 §3 (Ed25519, no parameters).
var (
	ecdsaSHA256 = signatureAlgorithm{x509.ECDSAWithSHA256, crypto.SHA256, []byte{0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02}}
	ecdsaSHA384 = signatureAlgorithm{x509.ECDSAWithSHA384, crypto.SHA384, []byte{0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03}}
	ecdsaSHA512 = signatureAlgorithm{x509.ECDSAWithSHA512, crypto.SHA512, []byte{0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04}}
	rsaSHA256   = signatureAlgorithm{x509.SHA256WithRSA, crypto.SHA256, []byte{0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b, 0x05, 0x00}}
	pureEd25519 = signatureAlgorithm{x509.PureEd25519, 0, []byte{0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70}}
)
