// SPDX-License-Identifier: Apache-2.0

// Package rfc3161 reads and verifies timestamps: requests, responses, and the
// CMS SignedData inside them.
//
// Specifications:
//
//   - Time-Stamp Protocol: https://www.rfc-editor.org/rfc/rfc3161, updated by
//     https://www.rfc-editor.org/rfc/rfc5816 (ESSCertIDv2)
//   - CMS: https://www.rfc-editor.org/rfc/rfc5652
//
// It knows the subset of CMS that timestamps use, in DER, and refuses the rest.
//
// Invariants:
//
//   - a Token has exactly one signer, whose signed attributes name the content
//     type TSTInfo, the digest of the content and the signing certificate;
//   - SHA-1 is refused for the message and for the signature;
//   - a Token from ParseResponse is not verified: only Verify says so. Its time
//     means nothing before.
package rfc3161

import (
	"crypto"
	_ "crypto/sha256" // SHA-256
	_ "crypto/sha512" // SHA-384 and SHA-512
	"encoding/asn1"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// MaxSize caps requests and responses, in bytes.
const MaxSize = 1 << 20

// OIDs; they are read-only.
var (
	oidSHA1   = asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}
	oidSHA256 = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	oidSHA384 = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 2}
	oidSHA512 = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3}

	oidSignedData = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	oidTSTInfo    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 4}

	oidContentType          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	oidMessageDigest        = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
	oidSigningCertificate   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 12}
	oidSigningCertificateV2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 47}

	oidRSA             = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	oidSHA256WithRSA   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}
	oidSHA384WithRSA   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 12}
	oidSHA512WithRSA   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 13}
	oidRSAPSS          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10}
	oidMGF1            = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 8}
	oidECDSAWithSHA256 = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}
	oidECDSAWithSHA384 = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 3}
	oidECDSAWithSHA512 = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 4}
	oidEd25519         = asn1.ObjectIdentifier{1, 3, 101, 112}

	oidExtKeyUsage = asn1.ObjectIdentifier{2, 5, 29, 37}
)

// tag0 and tag1 are the constructed context-specific tags [0] and [1].
const (
	tag0 = casn1.Tag(0xa0)
	tag1 = casn1.Tag(0xa1)
)

// errWeakHash says that SHA-1 is not accepted.
var errWeakHash = errors.New("hash algorithm SHA-1 is too weak; expected SHA-256, SHA-384 or SHA-512")

// hashByOID maps an OID to the hash algorithm it names.
func hashByOID(oid asn1.ObjectIdentifier) (crypto.Hash, error) {
	switch {
	case oid.Equal(oidSHA256):
		return crypto.SHA256, nil
	case oid.Equal(oidSHA384):
		return crypto.SHA384, nil
	case oid.Equal(oidSHA512):
		return crypto.SHA512, nil
	case oid.Equal(oidSHA1):
		return 0, errWeakHash
	}
	return 0, fmt.Errorf("hash algorithm %v is not supported; expected SHA-256, SHA-384 or SHA-512", oid)
}

// oidByHash is the inverse of hashByOID.
func oidByHash(h crypto.Hash) (asn1.ObjectIdentifier, bool) {
	switch h {
	case crypto.SHA256:
		return oidSHA256, true
	case crypto.SHA384:
		return oidSHA384, true
	case crypto.SHA512:
		return oidSHA512, true
	}
	return nil, false
}

// sum hashes data.
func sum(h crypto.Hash, data []byte) []byte {
	w := h.New()
	w.Write(data)
	return w.Sum(nil)
}

// An algorithm is an AlgorithmIdentifier.
type algorithm struct {
	oid    asn1.ObjectIdentifier
	params cryptobyte.String // the DER element, empty when absent
}

// readAlgorithm reads an AlgorithmIdentifier.
func readAlgorithm(s *cryptobyte.String) (algorithm, bool) {
	var seq cryptobyte.String
	var a algorithm
	if !s.ReadASN1(&seq, casn1.SEQUENCE) || !seq.ReadASN1ObjectIdentifier(&a.oid) {
		return algorithm{}, false
	}
	if !seq.Empty() {
		var tag casn1.Tag
		if !seq.ReadAnyASN1Element(&a.params, &tag) || !seq.Empty() {
			return algorithm{}, false
		}
	}
	return a, true
}

// hash reads the algorithm as that of a hash: parameters absent or NULL (RFC
// 5754 §2).
func (a algorithm) hash() (crypto.Hash, error) {
	if !a.noParams() {
		return 0, fmt.Errorf("hash algorithm %v has parameters", a.oid)
	}
	return hashByOID(a.oid)
}

// noParams reports whether the parameters are absent or NULL.
func (a algorithm) noParams() bool {
	return len(a.params) == 0 || string(a.params) == "\x05\x00"
}

// A messageImprint says what is timestamped.
type messageImprint struct {
	hash crypto.Hash
	sum  []byte
}

// readMessageImprint reads a MessageImprint whose sum has the length of its hash.
func readMessageImprint(s *cryptobyte.String) (messageImprint, error) {
	var seq, digest cryptobyte.String
	if !s.ReadASN1(&seq, casn1.SEQUENCE) {
		return messageImprint{}, errors.New("message imprint: malformed DER")
	}
	alg, ok := readAlgorithm(&seq)
	if !ok || !seq.ReadASN1(&digest, casn1.OCTET_STRING) || !seq.Empty() {
		return messageImprint{}, errors.New("message imprint: malformed DER")
	}
	hash, err := alg.hash()
	if err != nil {
		return messageImprint{}, fmt.Errorf("message imprint: %w", err)
	}
	if len(digest) != hash.Size() {
		return messageImprint{}, fmt.Errorf("message imprint: %d bytes; %v has %d", len(digest), hash, hash.Size())
	}
	return messageImprint{hash, digest}, nil
}

// skipExtensions reads the content of Extensions and refuses critical ones,
// none of which is known here.
func skipExtensions(list cryptobyte.String) error {
	if list.Empty() {
		return errors.New("extensions: empty")
	}
	for !list.Empty() {
		var ext cryptobyte.String
		var oid asn1.ObjectIdentifier
		critical := false
		if !list.ReadASN1(&ext, casn1.SEQUENCE) || !ext.ReadASN1ObjectIdentifier(&oid) ||
			ext.PeekASN1Tag(casn1.BOOLEAN) && !ext.ReadASN1Boolean(&critical) ||
			!ext.SkipASN1(casn1.OCTET_STRING) || !ext.Empty() {
			return errors.New("extensions: malformed DER")
		}
		if critical {
			return fmt.Errorf("extension %v is critical and not supported", oid)
		}
	}
	return nil
}
