// SPDX-License-Identifier: Apache-2.0

package certext

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	_ "crypto/sha256" // SHA-256, which SCTs are signed with
	_ "crypto/sha512" // SHA-384 and SHA-512
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Algorithms of a DigitallySigned struct (RFC 5246 §7.4.1.4.1; Ed25519 as in
// RFC 8422 §5.1.3).
const (
	HashNone      uint8 = 0
	HashSHA256    uint8 = 4
	HashSHA384    uint8 = 5
	HashSHA512    uint8 = 6
	HashIntrinsic uint8 = 8
	SigRSA        uint8 = 1
	SigECDSA      uint8 = 3
	SigEd25519    uint8 = 7
)

// Entry types of a MerkleTreeLeaf (RFC 6962 §3.1).
const (
	entryX509    = 0
	entryPrecert = 1
)

// SCT is one signed certificate timestamp, version 1 (RFC 6962 §3.2).
type SCT struct {
	LogID      [32]byte // SHA-256 of the log's DER SubjectPublicKeyInfo
	Timestamp  uint64   // milliseconds since the Unix epoch
	Extensions []byte   // opaque to the signature; static CT logs put the leaf index here
	HashAlg    uint8    // a Hash constant
	SigAlg     uint8    // a Sig constant
	Signature  []byte
}

// SCTs reads the SCTs embedded in a certificate: none where the extension is
// absent, an error where it is malformed or present twice.
func SCTs(cert *x509.Certificate) ([]SCT, error) {
	var value []byte
	found := false
	for _, ext := range cert.Extensions {
		if !ext.Id.Equal(OIDSCTList) {
			continue
		}
		if found {
			return nil, errors.New("SCT list: extension present more than once")
		}
		found, value = true, ext.Value
	}
	if !found {
		return nil, nil
	}
	return ParseSCTList(value)
}

// ParseSCTList reads the value of an SCT list extension: a DER OCTET STRING
// that holds a TLS-encoded list (RFC 6962 §3.3). SCTs of another version than
// v1 are skipped, as the specification allows; an empty list, an empty SCT and
// trailing data are refused.
func ParseSCTList(ext []byte) ([]SCT, error) {
	if len(ext) > MaxExtension+8 {
		return nil, fmt.Errorf("SCT list: extension has %d bytes, at most %d are allowed", len(ext), MaxExtension+8)
	}
	der := cryptobyte.String(ext)
	var tls, list cryptobyte.String
	if !der.ReadASN1(&tls, casn1.OCTET_STRING) || !der.Empty() {
		return nil, errors.New("SCT list: value is not one DER OCTET STRING")
	}
	if !tls.ReadUint16LengthPrefixed(&list) || !tls.Empty() || list.Empty() {
		return nil, errors.New("SCT list: malformed or empty TLS list")
	}
	var scts []SCT
	for i := 0; !list.Empty(); i++ {
		var item cryptobyte.String
		if !list.ReadUint16LengthPrefixed(&item) || item.Empty() {
			return nil, fmt.Errorf("SCT list: SCT %d: malformed or empty", i)
		}
		if item[0] != 0 {
			continue // "skipping over new SCTs whose versions they don't understand"
		}
		sct, err := parseSCT(item)
		if err != nil {
			return nil, fmt.Errorf("SCT list: SCT %d: %w", i, err)
		}
		scts = append(scts, sct)
	}
	return scts, nil
}

// parseSCT reads a SignedCertificateTimestamp.
func parseSCT(s cryptobyte.String) (SCT, error) {
	var sct SCT
	var version uint8
	var extensions, signature cryptobyte.String
	if !s.ReadUint8(&version) || !s.CopyBytes(sct.LogID[:]) || !s.ReadUint64(&sct.Timestamp) ||
		!s.ReadUint16LengthPrefixed(&extensions) ||
		!s.ReadUint8(&sct.HashAlg) || !s.ReadUint8(&sct.SigAlg) ||
		!s.ReadUint16LengthPrefixed(&signature) || !s.Empty() {
		return SCT{}, errors.New("malformed TLS encoding")
	}
	if version != 0 {
		return SCT{}, fmt.Errorf("version %d; only 0 (v1) is known", version)
	}
	if len(extensions) > 0 {
		sct.Extensions = extensions
	}
	sct.Signature = signature
	return sct, nil
}

// MarshalSCTList returns the extension that embeds the SCTs. It refuses an
// empty list and SCTs that do not fit its length fields.
func MarshalSCTList(scts []SCT) (pkix.Extension, error) {
	if len(scts) == 0 {
		return pkix.Extension{}, errors.New("SCT list: no SCT to embed")
	}
	var tls cryptobyte.Builder
	tls.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
		for _, sct := range scts {
			b.AddUint16LengthPrefixed(sct.marshal)
		}
	})
	list, err := tls.Bytes()
	if err != nil {
		return pkix.Extension{}, fmt.Errorf("SCT list: %w", err)
	}
	var der cryptobyte.Builder
	der.AddASN1OctetString(list)
	value, err := der.Bytes()
	if err != nil {
		return pkix.Extension{}, fmt.Errorf("SCT list: %w", err)
	}
	return pkix.Extension{Id: OIDSCTList, Value: value}, nil
}

// marshal writes the SignedCertificateTimestamp.
func (s SCT) marshal(b *cryptobyte.Builder) {
	b.AddUint8(0) // version v1
	b.AddBytes(s.LogID[:])
	b.AddUint64(s.Timestamp)
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(s.Extensions) })
	b.AddUint8(s.HashAlg)
	b.AddUint8(s.SigAlg)
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(s.Signature) })
}

// SCTSignedData returns the bytes that an SCT for a precertificate signs (RFC
// 6962 §3.2): ts in milliseconds, ext the SCT's extensions, tbs as PrecertTBS
// returns it. It returns nil where ext or tbs do not fit their length fields
// (64 KiB, 16 MiB), so that nothing verifies.
func SCTSignedData(ts uint64, ext []byte, issuerKeyHash [32]byte, tbs []byte) []byte {
	return sctSignedData(ts, ext, entryPrecert, issuerKeyHash[:], tbs)
}

// SCTSignedDataX509 returns the bytes that an SCT for a final certificate
// signs: an x509_entry, as a CT log's add-chain gives it.
func SCTSignedDataX509(ts uint64, ext []byte, certDER []byte) []byte {
	return sctSignedData(ts, ext, entryX509, nil, certDER)
}

func sctSignedData(ts uint64, ext []byte, entryType uint16, prefix, entry []byte) []byte {
	b := cryptobyte.NewBuilder(make([]byte, 0, 64+len(ext)+len(entry)))
	b.AddUint8(0) // version v1
	b.AddUint8(0) // signature type certificate_timestamp
	b.AddUint64(ts)
	b.AddUint16(entryType)
	b.AddBytes(prefix)
	b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(entry) })
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(ext) })
	data, err := b.Bytes()
	if err != nil {
		return nil
	}
	return data
}

// Verify checks the SCT's signature over a precertificate: pub is the log's
// key, issuerKeyHash the SHA-256 of the issuer's SubjectPublicKeyInfo, tbs what
// PrecertTBS returns. It accepts ECDSA (P-256, P-384, P-521) and RSA with
// SHA-256, -384 or -512, and Ed25519, as the SCT says it is signed. It does not
// compare LogID with the key.
func (s SCT) Verify(pub crypto.PublicKey, issuerKeyHash [32]byte, tbs []byte) error {
	return s.verify(pub, SCTSignedData(s.Timestamp, s.Extensions, issuerKeyHash, tbs))
}

// VerifyX509 checks the SCT's signature over a final certificate, for SCTs
// that are not embedded in it.
func (s SCT) VerifyX509(pub crypto.PublicKey, certDER []byte) error {
	return s.verify(pub, SCTSignedDataX509(s.Timestamp, s.Extensions, certDER))
}

func (s SCT) verify(pub crypto.PublicKey, data []byte) error {
	if data == nil {
		return errors.New("SCT: certificate or extensions too long to have been signed")
	}
	if key, ok := pub.(ed25519.PublicKey); ok {
		if s.SigAlg != SigEd25519 || s.HashAlg != HashNone && s.HashAlg != HashIntrinsic {
			return s.algorithmError("Ed25519")
		}
		if len(key) != ed25519.PublicKeySize || !ed25519.Verify(key, data, s.Signature) {
			return errors.New("SCT: wrong signature")
		}
		return nil
	}
	var hash crypto.Hash
	switch s.HashAlg {
	case HashSHA256:
		hash = crypto.SHA256
	case HashSHA384:
		hash = crypto.SHA384
	case HashSHA512:
		hash = crypto.SHA512
	default:
		return s.algorithmError("SHA-256, SHA-384 or SHA-512")
	}
	h := hash.New()
	h.Write(data)
	switch key := pub.(type) {
	case *ecdsa.PublicKey:
		if s.SigAlg != SigECDSA {
			return s.algorithmError("ECDSA")
		}
		if !ecdsa.VerifyASN1(key, h.Sum(nil), s.Signature) {
			return errors.New("SCT: wrong signature")
		}
	case *rsa.PublicKey:
		if s.SigAlg != SigRSA {
			return s.algorithmError("RSA")
		}
		if rsa.VerifyPKCS1v15(key, hash, h.Sum(nil), s.Signature) != nil {
			return errors.New("SCT: wrong signature")
		}
	default:
		return fmt.Errorf("SCT: log key of type %T; expected ECDSA, RSA or Ed25519", pub)
	}
	return nil
}

// algorithmError says that the SCT's algorithms do not fit the log's key.
func (s SCT) algorithmError(want string) error {
	return fmt.Errorf("SCT: signed with hash algorithm %d and signature algorithm %d; expected %s", s.HashAlg, s.SigAlg, want)
}
