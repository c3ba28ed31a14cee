// SPDX-License-Identifier: Apache-2.0

package rfc3161

import (
	"bytes"
	"crypto"
	"crypto/sha1" // identifies a certificate in ESSCertID; nothing rests on it
	"crypto/x509"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Verify checks that the timestamp is one of message by the authority with the
// given chain, and returns nil if it is: then Time is the authority's word.
//
// chain is leaf first and ends with the trust anchor, as in a trusted root. A
// chain that starts with a CA has no leaf: the token must then embed it, and
// may embed intermediates. A leaf that is both in the chain and in the token
// must be the same certificate.
//
// The chain is validated at Time, never at the present. Callers still have to
// hold Time against the authority's own validity window.
func (t *Token) Verify(message []byte, chain []*x509.Certificate) error {
	leaf, embedded, err := t.leafOf(chain)
	if err != nil {
		return fmt.Errorf("timestamp: %w", err)
	}
	if err := t.VerifySignedBy(message, leaf); err != nil {
		return err
	}
	roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(chain[len(chain)-1])
	for _, cert := range chain[:len(chain)-1] {
		intermediates.AddCert(cert)
	}
	for _, cert := range embedded {
		intermediates.AddCert(cert)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{
		Roots:         roots,
		Intermediates: intermediates,
		CurrentTime:   t.info.time, // never zero: see parseGeneralizedTime
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping},
	}); err != nil {
		return fmt.Errorf("timestamp: certificate chain of the TSA: %w", err)
	}
	return nil
}

// Leaf returns the certificate that must have signed the token if chain, in
// the form that Verify takes, is the authority's: its first certificate, or
// where that is a CA the embedded one that the signer info names.
func (t *Token) Leaf(chain []*x509.Certificate) (*x509.Certificate, error) {
	leaf, _, err := t.leafOf(chain)
	if err != nil {
		return nil, fmt.Errorf("timestamp: %w", err)
	}
	return leaf, nil
}

// leafOf is Leaf; embedded holds the token's certificates if the leaf is
// among them and not in chain.
func (t *Token) leafOf(chain []*x509.Certificate) (leaf *x509.Certificate, embedded []*x509.Certificate, err error) {
	if len(chain) == 0 {
		return nil, nil, errors.New("the authority has no certificate to verify with")
	}
	for _, der := range t.embedded {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, nil, fmt.Errorf("embedded certificate: %w", err)
		}
		embedded = append(embedded, cert)
		if t.signer.names(cert) {
			if leaf != nil && !leaf.Equal(cert) {
				return nil, nil, errors.New("more than one embedded certificate fits the signer")
			}
			leaf = cert
		}
	}
	if leaf == nil && t.embeds { // RFC 3161 §2.4.1: "MUST be provided"
		return nil, nil, errors.New("the token embeds certificates, but not the signer's")
	}
	if isCA(chain[0]) {
		if leaf == nil {
			return nil, nil, errors.New("the authority's chain starts with a CA and the token does not embed the signer's certificate")
		}
		return leaf, embedded, nil
	}
	if leaf != nil && !leaf.Equal(chain[0]) {
		return nil, nil, errors.New("the embedded certificate of the signer is not the authority's")
	}
	return chain[0], nil, nil
}

func isCA(cert *x509.Certificate) bool { return cert.BasicConstraintsValid && cert.IsCA }

// VerifySignedBy checks everything about the token but the chain of the
// certificate that signed it: the message, the signed attributes, the
// signature, and that leaf is a certificate for timestamping alone. It is for
// callers that validate chains themselves; it says nothing about trust in leaf.
func (t *Token) VerifySignedBy(message []byte, leaf *x509.Certificate) error {
	if err := t.verifySignedBy(message, leaf); err != nil {
		return fmt.Errorf("timestamp: %w", err)
	}
	return nil
}

func (t *Token) verifySignedBy(message []byte, leaf *x509.Certificate) error {
	if !bytes.Equal(sum(t.info.imprint.hash, message), t.info.imprint.sum) {
		return errors.New("is of another message: the message imprint differs")
	}
	if err := CheckLeaf(leaf); err != nil {
		return err
	}
	if !t.signer.names(leaf) {
		return errors.New("signed by another certificate than the authority's: the signer info differs")
	}
	for _, id := range t.signer.certIDs {
		if err := id.check(leaf); err != nil {
			return err
		}
	}
	if !bytes.Equal(sum(t.signer.digestHash, t.content), t.signer.messageDigest) {
		return errors.New("the signed attribute message-digest is not the digest of the content")
	}
	return t.signer.verify(leaf.PublicKey, t.signedSet)
}

// CheckLeaf checks that a certificate may sign timestamps (RFC 3161 §2.3): its
// extended key usage is critical and exactly timeStamping, it is not a CA, and
// its key usage, if there is one, allows signatures.
func CheckLeaf(leaf *x509.Certificate) error {
	if isCA(leaf) {
		return errors.New("TSA certificate is a CA; expected a certificate for timestamping alone")
	}
	if len(leaf.ExtKeyUsage) != 1 || leaf.ExtKeyUsage[0] != x509.ExtKeyUsageTimeStamping || len(leaf.UnknownExtKeyUsage) != 0 {
		return errors.New("TSA certificate: extended key usage is not exactly timeStamping")
	}
	for _, ext := range leaf.Extensions {
		if ext.Id.Equal(oidExtKeyUsage) && !ext.Critical {
			return errors.New("TSA certificate: extended key usage is not critical")
		}
	}
	if leaf.KeyUsage != 0 && leaf.KeyUsage&(x509.KeyUsageDigitalSignature|x509.KeyUsageContentCommitment) == 0 {
		return errors.New("TSA certificate: key usage does not allow signatures")
	}
	return nil
}

// names reports whether the signer identifier is that of cert.
func (s *signerInfo) names(cert *x509.Certificate) bool {
	if s.keyID != nil {
		return bytes.Equal(s.keyID, cert.SubjectKeyId)
	}
	return bytes.Equal(s.issuer, cert.RawIssuer) && integerIs(s.serial, cert.SerialNumber)
}

// check compares a signing certificate identifier with the certificate.
func (c certID) check(leaf *x509.Certificate) error {
	var digest []byte
	if c.hash == crypto.SHA1 {
		s := sha1.Sum(leaf.Raw)
		digest = s[:]
	} else {
		digest = sum(c.hash, leaf.Raw)
	}
	if !bytes.Equal(digest, c.sum) {
		return errors.New("the signed attribute signing-certificate names another certificate: the hash differs")
	}
	if !c.hasIssuerAndSN {
		return nil
	}
	if !integerIs(c.serial, leaf.SerialNumber) {
		return errors.New("the signed attribute signing-certificate names another certificate: the serial number differs")
	}
	names := cryptobyte.String(c.issuers)
	for !names.Empty() {
		var name, directory cryptobyte.String
		var tag casn1.Tag
		if !names.ReadAnyASN1(&name, &tag) {
			return errors.New("the signed attribute signing-certificate is malformed")
		}
		if tag == casn1.Tag(4).ContextSpecific().Constructed() &&
			name.ReadASN1Element(&directory, casn1.SEQUENCE) && name.Empty() && bytes.Equal(directory, leaf.RawIssuer) {
			return nil
		}
	}
	return errors.New("the signed attribute signing-certificate names another certificate: the issuer differs")
}
