// SPDX-License-Identifier: Apache-2.0

package rfc3161

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Caps of what a token may hold.
const (
	maxEmbedded   = 32
	maxAttributes = 64
)

// signerInfo is the one SignerInfo of a token (RFC 5652 §5.3).
type signerInfo struct {
	issuer, serial []byte // raw DER Name and INTEGER content; nil with a key identifier
	keyID          []byte // subject key identifier; nil with issuer and serial
	digestHash     crypto.Hash
	signatureAlg   algorithm
	signature      []byte
	messageDigest  []byte
	certIDs        []certID
}

// certID is the first ESSCertID or ESSCertIDv2 of a signing certificate
// attribute (RFC 5035): the one that names the signer's certificate.
type certID struct {
	hash           crypto.Hash // SHA-1 for ESSCertID
	sum            []byte
	issuers        []byte // content of GeneralNames; nil when absent
	serial         []byte // INTEGER content; nil when absent
	hasIssuerAndSN bool
}

// parseToken reads a ContentInfo that holds the SignedData of a timestamp.
func parseToken(der cryptobyte.String) (*Token, error) {
	malformed := errors.New("malformed DER in the CMS SignedData")
	var contentInfo, explicit, sd, digests, encap cryptobyte.String
	var contentType, encapType asn1.ObjectIdentifier
	if !der.ReadASN1(&contentInfo, casn1.SEQUENCE) || !der.Empty() || !contentInfo.ReadASN1ObjectIdentifier(&contentType) {
		return nil, malformed
	}
	if !contentType.Equal(oidSignedData) {
		return nil, fmt.Errorf("content type %v; expected SignedData", contentType)
	}
	var version int64
	if !contentInfo.ReadASN1(&explicit, tag0) || !contentInfo.Empty() ||
		!explicit.ReadASN1(&sd, casn1.SEQUENCE) || !explicit.Empty() ||
		!sd.ReadASN1Integer(&version) || version < 1 || version > 5 ||
		!sd.ReadASN1(&digests, casn1.SET) || !sd.ReadASN1(&encap, casn1.SEQUENCE) ||
		!encap.ReadASN1ObjectIdentifier(&encapType) {
		return nil, malformed
	}
	if !encapType.Equal(oidTSTInfo) {
		return nil, fmt.Errorf("encapsulated content type %v; expected TSTInfo", encapType)
	}
	var eContent, content cryptobyte.String
	if !encap.ReadASN1(&eContent, tag0) || !encap.Empty() ||
		!eContent.ReadASN1(&content, casn1.OCTET_STRING) || !eContent.Empty() {
		return nil, malformed
	}
	var certs, crls, signers cryptobyte.String
	var present bool
	if !sd.ReadOptionalASN1(&certs, &present, tag0) || !sd.ReadOptionalASN1(&crls, &present, tag1) ||
		!sd.ReadASN1(&signers, casn1.SET) || !sd.Empty() {
		return nil, malformed
	}
	t := &Token{content: content, embeds: !certs.Empty()}
	var err error
	if err = checkAlgorithms(digests); err != nil {
		return nil, err
	}
	if err = checkCRLs(crls); err != nil {
		return nil, err
	}
	if t.embedded, err = readCertificates(certs); err != nil {
		return nil, err
	}
	if t.signer, t.signedSet, err = readSignerInfos(signers); err != nil {
		return nil, err
	}
	if t.info, err = parseTSTInfo(content); err != nil {
		return nil, err
	}
	return t, nil
}

// checkAlgorithms reads a DigestAlgorithmIdentifiers, which decides nothing: the
// signer info names the algorithm that is used.
func checkAlgorithms(set cryptobyte.String) error {
	for !set.Empty() {
		if _, ok := readAlgorithm(&set); !ok {
			return errors.New("malformed DER in the digest algorithms")
		}
	}
	return nil
}

// checkCRLs reads a RevocationInfoChoices, which decides nothing either: a chain
// is judged at the token's time.
func checkCRLs(set cryptobyte.String) error {
	for !set.Empty() {
		var crl cryptobyte.String
		if !set.ReadASN1Element(&crl, casn1.SEQUENCE) {
			return errors.New("malformed DER in the revocation lists")
		}
		if _, err := x509.ParseRevocationList(crl); err != nil {
			return fmt.Errorf("revocation list: %w", err)
		}
	}
	return nil
}

// readCertificates reads the content of a CertificateSet; choices other than a
// certificate are left out.
func readCertificates(set cryptobyte.String) ([][]byte, error) {
	var certs [][]byte
	for !set.Empty() {
		var element cryptobyte.String
		var tag casn1.Tag
		if !set.ReadAnyASN1Element(&element, &tag) {
			return nil, errors.New("malformed DER in the embedded certificates")
		}
		if len(certs) == maxEmbedded {
			return nil, fmt.Errorf("more than %d embedded certificates", maxEmbedded)
		}
		if tag == casn1.SEQUENCE {
			certs = append(certs, element)
		}
	}
	return certs, nil
}

// readSignerInfos reads the one SignerInfo, and returns with it the signed
// attributes as they are signed.
func readSignerInfos(set cryptobyte.String) (signerInfo, []byte, error) {
	var si cryptobyte.String
	if set.Empty() {
		return signerInfo{}, nil, errors.New("no signer; expected exactly one")
	}
	if !set.ReadASN1(&si, casn1.SEQUENCE) {
		return signerInfo{}, nil, errors.New("malformed DER in the signer info")
	}
	if !set.Empty() {
		return signerInfo{}, nil, errors.New("more than one signer; expected exactly one")
	}
	return readSignerInfo(si)
}

func readSignerInfo(si cryptobyte.String) (s signerInfo, signedSet []byte, err error) {
	malformed := errors.New("malformed DER in the signer info")
	var version int64
	if !si.ReadASN1Integer(&version) {
		return s, nil, malformed
	}
	keyIDTag := casn1.Tag(0).ContextSpecific()
	switch {
	case version == 1 && si.PeekASN1Tag(casn1.SEQUENCE):
		var sid, issuer, serial cryptobyte.String
		if !si.ReadASN1(&sid, casn1.SEQUENCE) || !sid.ReadASN1Element(&issuer, casn1.SEQUENCE) ||
			!sid.ReadASN1(&serial, casn1.INTEGER) || !sid.Empty() {
			return s, nil, malformed
		}
		s.issuer, s.serial = issuer, serial
	case version == 3 && si.PeekASN1Tag(keyIDTag):
		var keyID cryptobyte.String
		if !si.ReadASN1(&keyID, keyIDTag) || keyID.Empty() {
			return s, nil, malformed
		}
		s.keyID = keyID
	default:
		return s, nil, errors.New("signer info: expected version 1 with issuer and serial number, or version 3 with a subject key identifier")
	}
	digestAlg, ok := readAlgorithm(&si)
	if !ok {
		return s, nil, malformed
	}
	if s.digestHash, err = digestAlg.hash(); err != nil {
		return s, nil, fmt.Errorf("signer info: digest algorithm: %w", err)
	}
	if !si.PeekASN1Tag(tag0) {
		return s, nil, errors.New("signer info: no signed attributes")
	}
	var attributes, signature, unsigned cryptobyte.String
	var present bool
	if !si.ReadASN1(&attributes, tag0) {
		return s, nil, malformed
	}
	if s.signatureAlg, ok = readAlgorithm(&si); !ok ||
		!si.ReadASN1(&signature, casn1.OCTET_STRING) ||
		!si.ReadOptionalASN1(&unsigned, &present, tag1) || !si.Empty() {
		return s, nil, malformed
	}
	s.signature = signature
	signedSet, err = s.readSignedAttributes(attributes)
	return s, signedSet, err
}

// readSignedAttributes reads the content of the signed attributes, checks the
// content type, and returns them as the DER SET OF that is signed (RFC 5652
// §5.4): sorted, with the tag of a SET.
func (s *signerInfo) readSignedAttributes(content cryptobyte.String) ([]byte, error) {
	malformed := errors.New("malformed DER in the signed attributes")
	var elements [][]byte
	seen := map[string]bool{}
	for !content.Empty() {
		var element, attribute, values cryptobyte.String
		var oid asn1.ObjectIdentifier
		if len(elements) == maxAttributes {
			return nil, fmt.Errorf("more than %d signed attributes", maxAttributes)
		}
		if !content.ReadASN1Element(&element, casn1.SEQUENCE) {
			return nil, malformed
		}
		elements = append(elements, element)
		rest := element
		if !rest.ReadASN1(&attribute, casn1.SEQUENCE) || !attribute.ReadASN1ObjectIdentifier(&oid) ||
			!attribute.ReadASN1(&values, casn1.SET) || !attribute.Empty() {
			return nil, malformed
		}
		if seen[oid.String()] {
			return nil, fmt.Errorf("signed attribute %v is present more than once", oid)
		}
		seen[oid.String()] = true
		if err := s.readSignedAttribute(oid, values); err != nil {
			return nil, err
		}
	}
	if !seen[oidContentType.String()] {
		return nil, errors.New("signed attribute content-type is missing")
	}
	if s.messageDigest == nil {
		return nil, errors.New("signed attribute message-digest is missing")
	}
	if len(s.certIDs) == 0 {
		return nil, errors.New("signed attribute signing-certificate is missing; it must name the TSA's certificate")
	}
	slices.SortFunc(elements, bytes.Compare)
	var b cryptobyte.Builder
	b.AddASN1(casn1.SET, func(b *cryptobyte.Builder) {
		for _, e := range elements {
			b.AddBytes(e)
		}
	})
	return b.Bytes()
}

// readSignedAttribute takes up the attributes that matter; others are only
// covered by the signature.
func (s *signerInfo) readSignedAttribute(oid asn1.ObjectIdentifier, values cryptobyte.String) error {
	switch {
	case oid.Equal(oidContentType):
		var contentType asn1.ObjectIdentifier
		if !values.ReadASN1ObjectIdentifier(&contentType) || !values.Empty() {
			return errors.New("signed attribute content-type is malformed")
		}
		if !contentType.Equal(oidTSTInfo) {
			return fmt.Errorf("signed attribute content-type is %v; expected TSTInfo", contentType)
		}
	case oid.Equal(oidMessageDigest):
		var digest cryptobyte.String
		if !values.ReadASN1(&digest, casn1.OCTET_STRING) || !values.Empty() || digest.Empty() {
			return errors.New("signed attribute message-digest is malformed")
		}
		s.messageDigest = digest
	case oid.Equal(oidSigningCertificate), oid.Equal(oidSigningCertificateV2):
		id, err := readSigningCertificate(values, oid.Equal(oidSigningCertificateV2))
		if err != nil {
			return fmt.Errorf("signed attribute signing-certificate: %w", err)
		}
		s.certIDs = append(s.certIDs, id)
	}
	return nil
}

// readSigningCertificate reads the first certificate identifier of a
// SigningCertificate or SigningCertificateV2 attribute.
func readSigningCertificate(values cryptobyte.String, v2 bool) (certID, error) {
	malformed := errors.New("malformed DER")
	var sc, ids, id, sum cryptobyte.String
	if !values.ReadASN1(&sc, casn1.SEQUENCE) || !values.Empty() ||
		!sc.ReadASN1(&ids, casn1.SEQUENCE) || !ids.ReadASN1(&id, casn1.SEQUENCE) {
		return certID{}, malformed
	}
	c := certID{hash: crypto.SHA1}
	if v2 {
		c.hash = crypto.SHA256 // DEFAULT
		if id.PeekASN1Tag(casn1.SEQUENCE) {
			alg, ok := readAlgorithm(&id)
			if !ok {
				return certID{}, malformed
			}
			var err error
			if c.hash, err = alg.hash(); err != nil {
				return certID{}, err
			}
		}
	}
	if !id.ReadASN1(&sum, casn1.OCTET_STRING) || len(sum) != c.hash.Size() {
		return certID{}, malformed
	}
	c.sum = sum
	if !id.Empty() {
		var issuerSerial, names, serial cryptobyte.String
		if !id.ReadASN1(&issuerSerial, casn1.SEQUENCE) || !id.Empty() ||
			!issuerSerial.ReadASN1(&names, casn1.SEQUENCE) || !issuerSerial.ReadASN1(&serial, casn1.INTEGER) {
			return certID{}, malformed
		}
		c.hasIssuerAndSN, c.issuers, c.serial = true, names, serial
	}
	return c, nil
}

// integerIs reports whether the content of a DER INTEGER is n.
func integerIs(content []byte, n *big.Int) bool {
	var b cryptobyte.Builder
	b.AddASN1BigInt(n)
	der := cryptobyte.String(b.BytesOrPanic())
	var want cryptobyte.String
	return der.ReadASN1(&want, casn1.INTEGER) && bytes.Equal(content, want)
}
