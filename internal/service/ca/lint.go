// SPDX-License-Identifier: Apache-2.0

package ca

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"hallmark/internal/format/certext"
	"hallmark/internal/format/pubkey"
)

const (
	maxLifetime    = 10 * time.Minute
	maxExtension   = 4 << 10
	maxCertificate = 32 << 10
	maxSAN         = 2 << 10
	// reserve is what a certificate grows by after it is linted: its signature
	// (RSA-8192: 1 KiB) and the SCT list in the place of the poison.
	reserve = 2 << 10
)

// A candidate is a precertificate that is about to be signed, with what it must
// agree with. cert is parsed from the very bytes that would be signed.
type candidate struct {
	cert        *x509.Certificate
	issuer      *x509.Certificate
	algorithm   x509.SignatureAlgorithm
	from, until time.Time // what the whole chain is valid for; inclusive
	principal   certext.Principal
	spki        []byte
}

// A lint is one rule that every certificate of ours keeps. Breaking one is a
// fault of this program, or of the authenticator that let an odd identity
// through: the certificate is not signed.
type lint struct {
	name  string
	check func(*candidate) error
}

// lints is the profile, said a second time in the form of questions. Nothing
// here shares code with what encodes certificates, but for subjectKeyID.
var lints = []lint{
	{"version", lintVersion},
	{"serial", lintSerial},
	{"signature-algorithm", lintSignatureAlgorithm},
	{"issuer", lintIssuer},
	{"subject", lintSubject},
	{"validity", lintValidity},
	{"chain-validity", lintChainValidity},
	{"public-key", lintPublicKey},
	{"key-strength", lintKeyStrength},
	{"key-usage", lintKeyUsage},
	{"extended-key-usage", lintExtendedKeyUsage},
	{"subject-key-id", lintSubjectKeyID},
	{"authority-key-id", lintAuthorityKeyID},
	{"san", lintSAN},
	{"identity", lintIdentity},
	{"token-issuer", lintTokenIssuer},
	{"extension-set", lintExtensionSet},
	{"extension-text", lintExtensionText},
	{"extension-size", lintExtensionSize},
	{"certificate-size", lintCertificateSize},
	{"poison", lintPoison},
}

// A lintError says which rule a candidate breaks.
type lintError struct {
	name string
	err  error
}

func (e *lintError) Error() string { return "lint " + e.name + ": " + e.err.Error() }

// check returns every rule that c breaks.
func (c *candidate) check() []*lintError {
	var broken []*lintError
	for _, l := range lints {
		if err := l.check(c); err != nil {
			broken = append(broken, &lintError{l.name, err})
		}
	}
	return broken
}

// extension finds an extension by its OID; nil where there is none. (x509 has
// refused certificates that hold one twice.)
func (c *candidate) extension(id asn1.ObjectIdentifier) *pkix.Extension {
	for i := range c.cert.Extensions {
		if c.cert.Extensions[i].Id.Equal(id) {
			return &c.cert.Extensions[i]
		}
	}
	return nil
}

func lintVersion(c *candidate) error {
	if c.cert.Version != 3 {
		return fmt.Errorf("version is %d, not 3", c.cert.Version)
	}
	return nil
}

func lintSerial(c *candidate) error {
	if s := c.cert.SerialNumber; s.Sign() <= 0 || s.BitLen() > serialBits {
		return fmt.Errorf("serial number has %d bits and sign %d: it must be positive and of at most %d bits", s.BitLen(), s.Sign(), serialBits)
	}
	return nil
}

func lintSignatureAlgorithm(c *candidate) error {
	if c.cert.SignatureAlgorithm != c.algorithm {
		return fmt.Errorf("signature algorithm is %s, the issuer's is %s", c.cert.SignatureAlgorithm, c.algorithm)
	}
	return nil
}

func lintIssuer(c *candidate) error {
	if !bytes.Equal(c.cert.RawIssuer, c.issuer.RawSubject) {
		return fmt.Errorf("issuer is %q, not %q", c.cert.Issuer, c.issuer.Subject)
	}
	return nil
}

func lintSubject(c *candidate) error {
	if !bytes.Equal(c.cert.RawSubject, []byte{0x30, 0x00}) {
		return fmt.Errorf("subject is %q, not empty", c.cert.Subject)
	}
	return nil
}

func lintValidity(c *candidate) error {
	life := c.cert.NotAfter.Sub(c.cert.NotBefore)
	if life <= 0 || life > maxLifetime {
		return fmt.Errorf("is valid for %v: it must be more than nothing and at most %v", life, maxLifetime)
	}
	return nil
}

func lintChainValidity(c *candidate) error {
	if c.cert.NotBefore.Before(c.from) || c.cert.NotAfter.After(c.until) {
		return fmt.Errorf("is valid from %s to %s, its chain from %s to %s",
			stamp(c.cert.NotBefore), stamp(c.cert.NotAfter), stamp(c.from), stamp(c.until))
	}
	return nil
}

func lintPublicKey(c *candidate) error {
	if !bytes.Equal(c.cert.RawSubjectPublicKeyInfo, c.spki) {
		return errors.New("public key is not the one whose possession was proven")
	}
	return nil
}

func lintKeyStrength(c *candidate) error { return pubkey.CheckStrength(c.cert.PublicKey) }

func lintKeyUsage(c *candidate) error {
	e := c.extension(oidKeyUsage)
	if e == nil || !e.Critical || c.cert.KeyUsage != x509.KeyUsageDigitalSignature {
		return errors.New("keyUsage is not a critical digitalSignature alone")
	}
	return nil
}

func lintExtendedKeyUsage(c *candidate) error {
	e := c.extension(oidExtendedKeyUsage)
	if e == nil || e.Critical || len(c.cert.UnknownExtKeyUsage) > 0 ||
		!slices.Equal(c.cert.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}) {
		return errors.New("extendedKeyUsage is not codeSigning alone, not critical")
	}
	return nil
}

func lintSubjectKeyID(c *candidate) error {
	want, err := subjectKeyID(c.cert.RawSubjectPublicKeyInfo)
	if err != nil {
		return err
	}
	if !bytes.Equal(c.cert.SubjectKeyId, want) {
		return fmt.Errorf("subjectKeyIdentifier is %x, the key's is %x", c.cert.SubjectKeyId, want)
	}
	return nil
}

func lintAuthorityKeyID(c *candidate) error {
	if !bytes.Equal(c.cert.AuthorityKeyId, c.issuer.SubjectKeyId) {
		return fmt.Errorf("authorityKeyIdentifier is %x, the issuer's key has %x", c.cert.AuthorityKeyId, c.issuer.SubjectKeyId)
	}
	return nil
}

func lintSAN(c *candidate) error {
	e := c.extension(certext.OIDSubjectAltName)
	if e == nil || !e.Critical {
		return errors.New("there is no critical subjectAltName")
	}
	names, err := certext.ParseSANs(c.cert)
	if err != nil {
		return err
	}
	if len(names) != 1 {
		return fmt.Errorf("subjectAltName holds %d names, not one", len(names))
	}
	return checkSAN(names[0])
}

func lintIdentity(c *candidate) error {
	names, err := certext.ParseSANs(c.cert)
	if err != nil {
		return err
	}
	if !slices.Contains(names, c.principal.SAN) {
		return errors.New("subjectAltName is not the one the token stands for")
	}
	have, err := certext.ParseExtensions(c.cert)
	if err != nil {
		return err
	}
	if have != c.principal.Extensions {
		return errors.New("the extensions do not say what the token says")
	}
	return nil
}

func lintTokenIssuer(c *candidate) error {
	e, err := certext.ParseExtensions(c.cert)
	if err != nil {
		return err
	}
	if e.Issuer == "" || e.Issuer != e.IssuerV2 {
		return fmt.Errorf("token issuer is %q in extension .1 and %q in .8: they must be equal and not empty", e.Issuer, e.IssuerV2)
	}
	return nil
}

// lintExtensionSet allows the extensions of the profile and no others, each
// with the criticality it has there.
func lintExtensionSet(c *candidate) error {
	for _, e := range c.cert.Extensions {
		critical, ok := criticality(e.Id)
		if !ok {
			return fmt.Errorf("extension %s has no place in the profile", e.Id)
		}
		if e.Critical != critical {
			return fmt.Errorf("extension %s has critical = %t", e.Id, e.Critical)
		}
	}
	return nil
}

// criticality says whether a precertificate may hold the extension id, and
// whether that is critical then.
func criticality(id asn1.ObjectIdentifier) (critical, known bool) {
	switch {
	case id.Equal(oidKeyUsage), id.Equal(certext.OIDSubjectAltName), id.Equal(certext.OIDPoison):
		return true, true
	case id.Equal(oidExtendedKeyUsage), id.Equal(oidSubjectKeyID), id.Equal(oidAuthorityKeyID):
		return false, true
	}
	n, ok := fulcioArc(id)
	return false, ok && n >= 1 && n <= 24 && n != 7 // .7 is a SAN's type, not an extension
}

// fulcioArc is N of an OID 1.3.6.1.4.1.57264.1.N.
func fulcioArc(id asn1.ObjectIdentifier) (int, bool) {
	arc := asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1}
	if len(id) != len(arc)+1 || !id[:len(arc)].Equal(arc) {
		return 0, false
	}
	return id[len(arc)], true
}

// lintExtensionText asks that what a token said is text, in .1–.6 as it stands
// and from .8 on inside one UTF8String.
func lintExtensionText(c *candidate) error {
	for _, e := range c.cert.Extensions {
		n, ok := fulcioArc(e.Id)
		if !ok {
			continue
		}
		text := e.Value
		if n >= 8 {
			var raw asn1.RawValue
			rest, err := asn1.Unmarshal(e.Value, &raw)
			if err != nil || len(rest) > 0 || raw.Class != asn1.ClassUniversal || raw.Tag != asn1.TagUTF8String || raw.IsCompound {
				return fmt.Errorf("extension %s is not one DER UTF8String", e.Id)
			}
			text = raw.Bytes
		}
		if len(text) == 0 || !utf8.Valid(text) {
			return fmt.Errorf("extension %s is empty or not UTF-8", e.Id)
		}
	}
	return nil
}

func lintExtensionSize(c *candidate) error {
	for _, e := range c.cert.Extensions {
		if len(e.Value) > maxExtension {
			return fmt.Errorf("extension %s has %d bytes, more than %d", e.Id, len(e.Value), maxExtension)
		}
	}
	return nil
}

func lintCertificateSize(c *candidate) error {
	if n := len(c.cert.Raw) + reserve; n > maxCertificate {
		return fmt.Errorf("certificate would have about %d bytes, more than %d", n, maxCertificate)
	}
	return nil
}

// lintPoison asks for RFC 6962 §3.1's poison, as the last extension: the place
// of the SCT list in the certificate.
func lintPoison(c *candidate) error {
	all := c.cert.Extensions
	if len(all) == 0 {
		return errors.New("there are no extensions")
	}
	last := all[len(all)-1]
	if !last.Id.Equal(certext.OIDPoison) || !last.Critical || !bytes.Equal(last.Value, asn1.NullBytes) {
		return errors.New("the last extension is not a critical poison of value NULL")
	}
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
