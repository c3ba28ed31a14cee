// SPDX-License-Identifier: Apache-2.0

package ca

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"time"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Extensions of RFC 5280 that every leaf carries; the SAN comes from certext.
var (
	oidSubjectKeyID     = asn1.ObjectIdentifier{2, 5, 29, 14}
	oidKeyUsage         = asn1.ObjectIdentifier{2, 5, 29, 15}
	oidAuthorityKeyID   = asn1.ObjectIdentifier{2, 5, 29, 35}
	oidExtendedKeyUsage = asn1.ObjectIdentifier{2, 5, 29, 37}
)

// A profile is what all certificates of one issuer have alike, encoded once.
// It is immutable and safe for concurrent use.
type profile struct {
	algorithm     signatureAlgorithm
	issuer        []byte // Name, DER
	keyUsage      pkix.Extension
	extKeyUsage   pkix.Extension
	authorityID   pkix.Extension
	issuerKeyHash [32]byte
}

// newProfile prepares the certificates that issuer signs.
func newProfile(issuer *x509.Certificate) (*profile, error) {
	algorithm, err := algorithmFor(issuer.PublicKey)
	if err != nil {
		return nil, err
	}
	var b cryptobyte.Builder
	b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(casn1.Tag(0).ContextSpecific(), func(b *cryptobyte.Builder) {
			b.AddBytes(issuer.SubjectKeyId)
		})
	})
	aki, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("encode authorityKeyIdentifier: %w", err)
	}
	return &profile{
		algorithm: algorithm,
		issuer:    issuer.RawSubject,
		// digitalSignature: bit 0 of a BIT STRING with seven unused bits.
		keyUsage: pkix.Extension{Id: oidKeyUsage, Critical: true, Value: []byte{0x03, 0x02, 0x07, 0x80}},
		// id-kp-codeSigning, 1.3.6.1.5.5.7.3.3.
		extKeyUsage:   pkix.Extension{Id: oidExtendedKeyUsage, Value: []byte{0x30, 0x0a, 0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x03}},
		authorityID:   pkix.Extension{Id: oidAuthorityKeyID, Value: aki},
		issuerKeyHash: sha256.Sum256(issuer.RawSubjectPublicKeyInfo),
	}, nil
}

// A leaf is what one certificate has of its own.
type leaf struct {
	serial    *big.Int
	notBefore time.Time // UTC, whole seconds
	notAfter  time.Time
	spki      []byte           // SubjectPublicKeyInfo, DER
	identity  []pkix.Extension // the SAN, then what the token says
	common    []byte           // all extensions but the last, encoded by the first tbs
}

// tbs encodes the TBSCertificate of l (RFC 5280 §4.1) with last as its last
// extension: the poison in a precertificate, the SCT list in the certificate.
// Everything else being equal, RFC 6962 §3.2 holds by construction: taking the
// last extension away leaves the same bytes in both.
func (p *profile) tbs(l *leaf, last pkix.Extension) ([]byte, error) {
	if l.common == nil {
		if err := p.encodeCommon(l); err != nil {
			return nil, err
		}
	}
	b := cryptobyte.NewBuilder(make([]byte, 0, len(l.common)+len(l.spki)+len(last.Value)+512))
	b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(casn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
			b.AddASN1Int64(2) // v3
		})
		b.AddASN1BigInt(l.serial)
		b.AddBytes(p.algorithm.der)
		b.AddBytes(p.issuer)
		b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
			addTime(b, l.notBefore)
			addTime(b, l.notAfter)
		})
		b.AddASN1(casn1.SEQUENCE, func(*cryptobyte.Builder) {}) // the subject is empty: the SAN names it
		b.AddBytes(l.spki)
		b.AddASN1(casn1.Tag(3).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
			b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddBytes(l.common)
				addExtension(b, last)
			})
		})
	})
	der, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("encode certificate: %w", err)
	}
	return der, nil
}

// encodeCommon sets l.common.
func (p *profile) encodeCommon(l *leaf) error {
	ski, err := subjectKeyID(l.spki)
	if err != nil {
		return err
	}
	var keyID cryptobyte.Builder
	keyID.AddASN1OctetString(ski)
	b := cryptobyte.NewBuilder(make([]byte, 0, 2048))
	addExtension(b, p.keyUsage)
	addExtension(b, p.extKeyUsage)
	addExtension(b, pkix.Extension{Id: oidSubjectKeyID, Value: keyID.BytesOrPanic()})
	addExtension(b, p.authorityID)
	for _, e := range l.identity {
		addExtension(b, e)
	}
	if l.common, err = b.Bytes(); err != nil {
		return fmt.Errorf("encode extensions: %w", err)
	}
	return nil
}

func addExtension(b *cryptobyte.Builder, e pkix.Extension) {
	b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(e.Id)
		if e.Critical {
			b.AddASN1Boolean(true)
		}
		b.AddASN1OctetString(e.Value)
	})
}

// addTime encodes t as RFC 5280 §4.1.2.5 asks: UTCTime through 2049,
// GeneralizedTime from 2050.
func addTime(b *cryptobyte.Builder, t time.Time) {
	if y := t.Year(); y >= 1950 && y < 2050 {
		b.AddASN1UTCTime(t)
		return
	}
	b.AddASN1GeneralizedTime(t)
}

// sign makes a certificate of tbs.
func (p *profile) sign(key crypto.Signer, tbs []byte) ([]byte, error) {
	message := tbs
	if p.algorithm.hash != 0 {
		h := p.algorithm.hash.New()
		h.Write(tbs)
		message = h.Sum(nil)
	}
	signature, err := key.Sign(rand.Reader, message, p.algorithm.hash)
	if err != nil {
		return nil, fmt.Errorf("sign certificate: %w", err)
	}
	return p.seal(tbs, signature)
}

// seal puts a signature after tbs.
func (p *profile) seal(tbs, signature []byte) ([]byte, error) {
	b := cryptobyte.NewBuilder(make([]byte, 0, len(tbs)+len(signature)+32))
	b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(tbs)
		b.AddBytes(p.algorithm.der)
		b.AddASN1BitString(signature)
	})
	der, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("encode certificate: %w", err)
	}
	return der, nil
}

// unsigned parses tbs as the certificate it would become, so that it can be
// judged before any key touches it. The signature in it is empty.
func (p *profile) unsigned(tbs []byte) (*x509.Certificate, error) {
	der, err := p.seal(tbs, nil)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// subjectKeyID is method 1 of RFC 7093 §2: the leftmost 160 bits of the SHA-256
// of the public key's BIT STRING, without tag, length and unused bits.
func subjectKeyID(spki []byte) ([]byte, error) {
	var inner cryptobyte.String
	var key asn1.BitString
	in := cryptobyte.String(spki)
	if !in.ReadASN1(&inner, casn1.SEQUENCE) || !in.Empty() ||
		!inner.SkipASN1(casn1.SEQUENCE) || !inner.ReadASN1BitString(&key) || !inner.Empty() {
		return nil, errors.New("public key is not a DER SubjectPublicKeyInfo")
	}
	sum := sha256.Sum256(key.Bytes)
	return sum[:20], nil
}
