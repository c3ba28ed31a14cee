// SPDX-License-Identifier: Apache-2.0

package certext

import (
	"encoding/asn1"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Precert is a precertificate on its way from a CA to a CT log.
type Precert struct {
	// TBS is the DER TBSCertificate without the poison: what the log signs.
	TBS []byte
	// IssuerKeyHash is the SHA-256 of the issuer's DER SubjectPublicKeyInfo.
	IssuerKeyHash [32]byte
	// DER is the signed precertificate, with the poison.
	DER []byte
	// Chain holds the issuer's certificates in DER, issuer first.
	Chain [][]byte
}

// PrecertTBS returns the DER TBSCertificate of a certificate or precertificate
// without its poison and SCT list extensions: what an SCT for a precert_entry
// signs (RFC 6962 §3.2). Everything else is copied byte for byte. A certificate
// that is not DER, or that has one of the two extensions twice, is refused.
func PrecertTBS(certDER []byte) ([]byte, error) {
	if len(certDER) > MaxCertificate {
		return nil, fmt.Errorf("precertificate TBS: certificate has %d bytes, at most %d are allowed", len(certDER), MaxCertificate)
	}
	der := cryptobyte.String(certDER)
	var cert, tbs cryptobyte.String
	if !der.ReadASN1(&cert, casn1.SEQUENCE) || !der.Empty() || !cert.ReadASN1(&tbs, casn1.SEQUENCE) {
		return nil, errors.New("precertificate TBS: not a DER certificate")
	}
	extensionsTag := casn1.Tag(3).ContextSpecific().Constructed()
	out := cryptobyte.NewBuilder(make([]byte, 0, len(certDER)))
	var failed error
	out.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for !tbs.Empty() {
			var element cryptobyte.String
			var tag casn1.Tag
			if !tbs.ReadAnyASN1Element(&element, &tag) {
				failed = errors.New("malformed TBSCertificate")
				return
			}
			if tag != extensionsTag {
				b.AddBytes(element)
				continue
			}
			if !tbs.Empty() {
				failed = errors.New("data after the extensions")
				return
			}
			kept, err := keptExtensions(element, extensionsTag)
			if err != nil {
				failed = err
				return
			}
			if len(kept) == 0 { // Extensions is SIZE (1..MAX), RFC 5280 §4.1
				return
			}
			b.AddASN1(extensionsTag, func(b *cryptobyte.Builder) {
				b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddBytes(kept) })
			})
		}
	})
	if failed != nil {
		return nil, fmt.Errorf("precertificate TBS: %w", failed)
	}
	b, err := out.Bytes()
	if err != nil {
		return nil, fmt.Errorf("precertificate TBS: %w", err)
	}
	return b, nil
}

// keptExtensions returns the concatenated DER extensions that are neither the
// poison nor the SCT list.
func keptExtensions(element cryptobyte.String, tag casn1.Tag) ([]byte, error) {
	var explicit, list cryptobyte.String
	if !element.ReadASN1(&explicit, tag) || !explicit.ReadASN1(&list, casn1.SEQUENCE) || !explicit.Empty() {
		return nil, errors.New("malformed extensions")
	}
	kept := make([]byte, 0, len(list))
	poisons, sctLists := 0, 0
	for !list.Empty() {
		var ext, content cryptobyte.String
		var id asn1.ObjectIdentifier
		if !list.ReadASN1Element(&ext, casn1.SEQUENCE) {
			return nil, errors.New("malformed extension")
		}
		rest := ext
		if !rest.ReadASN1(&content, casn1.SEQUENCE) || !content.ReadASN1ObjectIdentifier(&id) {
			return nil, errors.New("malformed extension")
		}
		switch {
		case id.Equal(OIDPoison):
			poisons++
		case id.Equal(OIDSCTList):
			sctLists++
		default:
			kept = append(kept, ext...)
		}
	}
	if poisons > 1 || sctLists > 1 {
		return nil, errors.New("poison or SCT list extension present more than once")
	}
	return kept, nil
}
