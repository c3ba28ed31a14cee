// SPDX-License-Identifier: Apache-2.0

package pubkey

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"fmt"

	"hallmark/internal/format/digest"
)

// Details names a kind of key together with the signature scheme used with it,
// by the names of the Sigstore enum PublicKeyDetails.
type Details string

// The schemes that are in use.
const (
	ECDSAP256SHA256         Details = "PKIX_ECDSA_P256_SHA_256"
	ECDSAP384SHA384         Details = "PKIX_ECDSA_P384_SHA_384"
	ECDSAP521SHA512         Details = "PKIX_ECDSA_P521_SHA_512"
	RSAPKCS1v15_2048_SHA256 Details = "PKIX_RSA_PKCS1V15_2048_SHA256"
	RSAPKCS1v15_3072_SHA256 Details = "PKIX_RSA_PKCS1V15_3072_SHA256"
	RSAPKCS1v15_4096_SHA256 Details = "PKIX_RSA_PKCS1V15_4096_SHA256"
	RSAPSS_2048_SHA256      Details = "PKIX_RSA_PSS_2048_SHA256"
	RSAPSS_3072_SHA256      Details = "PKIX_RSA_PSS_3072_SHA256"
	RSAPSS_4096_SHA256      Details = "PKIX_RSA_PSS_4096_SHA256"
	Ed25519                 Details = "PKIX_ED25519"    // pure: signs the message itself
	Ed25519ph               Details = "PKIX_ED25519_PH" // signs the message's SHA-512
)

// The schemes that old trusted roots may name. They can be verified with; the
// ones above are the ones to sign with.
const (
	LegacyPKCS1RSAPKCS1v15 Details = "PKCS1_RSA_PKCS1V5" // raw key bytes are PKCS#1, not SPKI
	LegacyPKCS1RSAPSS      Details = "PKCS1_RSA_PSS"     // raw key bytes are PKCS#1, not SPKI
	LegacyRSAPKCS1v15      Details = "PKIX_RSA_PKCS1V5"
	LegacyRSAPSS           Details = "PKIX_RSA_PSS"
	LegacyECDSAP256HMAC    Details = "PKIX_ECDSA_P256_HMAC_SHA_256" // deterministic nonces; verifies like ECDSAP256SHA256
	LegacyECDSAP384SHA256  Details = "PKIX_ECDSA_P384_SHA_256"
	LegacyECDSAP521SHA256  Details = "PKIX_ECDSA_P521_SHA_256"
)

type family uint8

const (
	ecdsaKey family = iota + 1
	rsaPKCS1v15
	rsaPSS
	ed25519Key
)

// scheme is what a Details means.
type scheme struct {
	family family
	bits   int              // curve or modulus size; 0 = any accepted modulus
	hash   digest.Algorithm // 0 = signs the message itself
	number int32            // in the protobuf enum
	pkcs1  bool             // raw key bytes are PKCS#1
}

func (d Details) scheme() (scheme, bool) {
	const sha256, sha384, sha512 = digest.SHA256, digest.SHA384, digest.SHA512
	switch d {
	case ECDSAP256SHA256:
		return scheme{ecdsaKey, 256, sha256, 5, false}, true
	case ECDSAP384SHA384:
		return scheme{ecdsaKey, 384, sha384, 12, false}, true
	case ECDSAP521SHA512:
		return scheme{ecdsaKey, 521, sha512, 13, false}, true
	case RSAPKCS1v15_2048_SHA256:
		return scheme{rsaPKCS1v15, 2048, sha256, 9, false}, true
	case RSAPKCS1v15_3072_SHA256:
		return scheme{rsaPKCS1v15, 3072, sha256, 10, false}, true
	case RSAPKCS1v15_4096_SHA256:
		return scheme{rsaPKCS1v15, 4096, sha256, 11, false}, true
	case RSAPSS_2048_SHA256:
		return scheme{rsaPSS, 2048, sha256, 16, false}, true
	case RSAPSS_3072_SHA256:
		return scheme{rsaPSS, 3072, sha256, 17, false}, true
	case RSAPSS_4096_SHA256:
		return scheme{rsaPSS, 4096, sha256, 18, false}, true
	case Ed25519:
		return scheme{ed25519Key, 256, 0, 7, false}, true
	case Ed25519ph:
		return scheme{ed25519Key, 256, sha512, 8, false}, true
	case LegacyPKCS1RSAPKCS1v15:
		return scheme{rsaPKCS1v15, 0, sha256, 1, true}, true
	case LegacyPKCS1RSAPSS:
		return scheme{rsaPSS, 0, sha256, 2, true}, true
	case LegacyRSAPKCS1v15:
		return scheme{rsaPKCS1v15, 0, sha256, 3, false}, true
	case LegacyRSAPSS:
		return scheme{rsaPSS, 0, sha256, 4, false}, true
	case LegacyECDSAP256HMAC:
		return scheme{ecdsaKey, 256, sha256, 6, false}, true
	case LegacyECDSAP384SHA256:
		return scheme{ecdsaKey, 384, sha256, 19, false}, true
	case LegacyECDSAP521SHA256:
		return scheme{ecdsaKey, 521, sha256, 20, false}, true
	}
	return scheme{}, false
}

// All lists every Details this package knows, current ones first.
func All() []Details {
	return []Details{
		ECDSAP256SHA256, ECDSAP384SHA384, ECDSAP521SHA512,
		RSAPKCS1v15_2048_SHA256, RSAPKCS1v15_3072_SHA256, RSAPKCS1v15_4096_SHA256,
		RSAPSS_2048_SHA256, RSAPSS_3072_SHA256, RSAPSS_4096_SHA256,
		Ed25519, Ed25519ph,
		LegacyPKCS1RSAPKCS1v15, LegacyPKCS1RSAPSS, LegacyRSAPKCS1v15, LegacyRSAPSS,
		LegacyECDSAP256HMAC, LegacyECDSAP384SHA256, LegacyECDSAP521SHA256,
	}
}

// ParseDetails accepts an enum name that this package knows.
func ParseDetails(name string) (Details, error) {
	d := Details(name)
	if _, ok := d.scheme(); !ok {
		return "", d.unknown()
	}
	return d, nil
}

// DetailsByNumber maps a value of the protobuf enum to its name.
func DetailsByNumber(n int32) (Details, error) {
	for _, d := range All() {
		if s, _ := d.scheme(); s.number == n {
			return d, nil
		}
	}
	return "", fmt.Errorf("key details %d are not supported", n)
}

// Number is d's value in the protobuf enum, 0 (unspecified) for unknown ones.
func (d Details) Number() int32 {
	s, _ := d.scheme()
	return s.number
}

func (d Details) unknown() error {
	return fmt.Errorf("key details %.64q are not supported: expected a name such as %s", string(d), ECDSAP256SHA256)
}

// Hash is the hash that is signed, or 0 where the message itself is (pure
// Ed25519) and where d is unknown.
func (d Details) Hash() crypto.Hash {
	return d.Digest().Hash()
}

// Digest is like [Details.Hash], as a digest algorithm.
func (d Details) Digest() digest.Algorithm {
	s, _ := d.scheme()
	return s.hash
}

// Check says whether pub is a key of the kind d names.
func (d Details) Check(pub crypto.PublicKey) error {
	s, ok := d.scheme()
	if !ok {
		return d.unknown()
	}
	if err := checkKind(pub); err != nil {
		return err
	}
	fits := false
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		fits = s.family == ecdsaKey && k.Curve.Params().BitSize == s.bits
	case *rsa.PublicKey:
		fits = (s.family == rsaPKCS1v15 || s.family == rsaPSS) && (s.bits == 0 || k.N.BitLen() == s.bits)
	case ed25519.PublicKey:
		fits = s.family == ed25519Key
	}
	if !fits {
		return fmt.Errorf("%s key does not fit key details %s", describe(pub), d)
	}
	return nil
}

// DefaultDetails is the scheme that Sigstore clients use with pub when nothing
// else is said: the hash as wide as the curve, PKCS #1 v1.5 with SHA-256 for
// RSA of 2048, 3072 or 4096 bits, and pure Ed25519.
func DefaultDetails(pub crypto.PublicKey) (Details, error) {
	if err := checkKind(pub); err != nil {
		return "", err
	}
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256():
			return ECDSAP256SHA256, nil
		case elliptic.P384():
			return ECDSAP384SHA384, nil
		case elliptic.P521():
			return ECDSAP521SHA512, nil
		}
	case *rsa.PublicKey:
		switch k.N.BitLen() {
		case 2048:
			return RSAPKCS1v15_2048_SHA256, nil
		case 3072:
			return RSAPKCS1v15_3072_SHA256, nil
		case 4096:
			return RSAPKCS1v15_4096_SHA256, nil
		}
	case ed25519.PublicKey:
		return Ed25519, nil
	}
	return "", fmt.Errorf("%s key has no standard signature scheme: expected RSA with 2048, 3072 or 4096 bits", describe(pub))
}

// LogDetails is the scheme under which a Rekor v2 log records a signature by
// pub: as [DefaultDetails], but Ed25519ph, since a log sees digests only.
func LogDetails(pub crypto.PublicKey) (Details, error) {
	d, err := DefaultDetails(pub)
	if d == Ed25519 {
		d = Ed25519ph
	}
	return d, err
}
