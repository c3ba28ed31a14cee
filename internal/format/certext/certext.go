// SPDX-License-Identifier: Apache-2.0

// Package certext reads and writes what Sigstore certificates carry beyond
// plain X.509: the Fulcio extensions, the subject alternative name that names
// the signer, and the signed certificate timestamps.
//
// Specifications:
//
//   - Fulcio OIDs: https://github.com/sigstore/fulcio/blob/main/docs/oid-info.md
//   - certificate profile: https://github.com/sigstore/fulcio/blob/main/docs/certificate-specification.md
//   - SCT lists and precertificates: RFC 6962, sections 3.1 to 3.3
//
// Invariants:
//
//   - every reader caps what it reads, never panics, and refuses trailing data;
//   - PrecertTBS copies the bytes it keeps: it never decodes and encodes again,
//     so the result is what the log signed, or an error;
//   - nothing here checks a certificate's signature or validity.
package certext

import "encoding/asn1"

// OIDs of the extensions this package knows. They are read-only.
var (
	// OIDPoison marks a precertificate (RFC 6962 §3.1).
	OIDPoison = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 3}
	// OIDSCTList holds the embedded SCT list (RFC 6962 §3.3).
	OIDSCTList = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 4, 2}
	// OIDOtherName is the type of Fulcio's otherName, used for the username
	// identity: a UTF8String.
	OIDOtherName = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, 7}
	// OIDSubjectAltName is X.509's subjectAltName (RFC 5280 §4.2.1.6).
	OIDSubjectAltName = asn1.ObjectIdentifier{2, 5, 29, 17}
)

const (
	// MaxExtension caps the value of each extension this package reads, in bytes.
	MaxExtension = 64 << 10
	// MaxCertificate caps the DER certificates this package takes apart, in bytes.
	MaxCertificate = 1 << 20
	// maxNames caps the names of one subjectAltName.
	maxNames = 100
)

// fulcioOID is the arc 1.3.6.1.4.1.57264.1.N of Fulcio's extensions.
func fulcioOID(n int) asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, n}
}
