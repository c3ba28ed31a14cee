// SPDX-License-Identifier: Apache-2.0

package translog

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"

	"hallmark/internal/base/httpapi"
	"hallmark/internal/format/logentry"
	"hallmark/internal/format/pubkey"
)

// allowed reports whether the log takes signatures made like this; the list is Rekor v2's default.
func allowed(d pubkey.Details) bool {
	switch d {
	case pubkey.RSAPKCS1v15_2048_SHA256, pubkey.RSAPKCS1v15_3072_SHA256, pubkey.RSAPKCS1v15_4096_SHA256,
		pubkey.ECDSAP256SHA256, pubkey.ECDSAP384SHA384, pubkey.ECDSAP521SHA512, pubkey.Ed25519ph:
		return true
	}
	return false
}

// check decides whether a valid h may be logged, and returns what to index it by.
func (l *Log) check(h logentry.HashedRekord) ([]term, *Refusal) {
	if !allowed(h.Details) {
		return nil, refusalf("algorithm", httpapi.InvalidArgument,
			"keyDetails %s is not accepted: expected ECDSA on P-256, P-384 or P-521 with SHA-256, -384 or -512, RSA PKCS #1 v1.5 of 2048, 3072 or 4096 bits, or %s", h.Details, pubkey.Ed25519ph)
	}
	s, r := l.accepted(h)
	if r != nil {
		return nil, r
	}
	if err := pubkey.VerifyDigest(s.key, h.Details, h.Digest.Bytes(), h.Signature); err != nil {
		return nil, refusalf("signature", httpapi.InvalidArgument, "the signature over the digest does not verify with the given key: %w", err)
	}
	return s.terms(h.Digest), nil
}

// accepted parses the verifier of h and decides whether this log takes its signatures, made
// with the stated key details.
func (l *Log) accepted(h logentry.HashedRekord) (signer, *Refusal) {
	hash := verifierHash(h)
	s, known := l.known.get(hash)
	if !known {
		var cert *x509.Certificate
		var err error
		if s, cert, err = signerOf(h); err != nil {
			return signer{}, refusal("key", httpapi.InvalidArgument, err)
		}
		if err := l.accepts(cert); err != nil {
			return signer{}, refusal("policy", httpapi.PermissionDenied, err)
		}
	}
	// Verifiers rebuild the entry from a bundle, which says nothing about key details: they
	// take the key's default, and would not find an entry with others.
	if err := h.Details.Check(s.key); err != nil {
		return signer{}, refusal("key", httpapi.InvalidArgument, err)
	}
	if want, err := pubkey.LogDetails(s.key); err != nil {
		return signer{}, refusal("key", httpapi.InvalidArgument, err)
	} else if want != h.Details {
		return signer{}, refusalf("algorithm", httpapi.InvalidArgument, "keyDetails is %s: for this key expected %s", h.Details, want)
	}
	if !known {
		l.known.add(hash, s)
	}
	return s, nil
}

// signer is the verifier of an entry, parsed once.
type signer struct {
	key   crypto.PublicKey
	spki  [32]byte // SHA-256
	names []string // subject alternative names; none for a bare key
}

// signerOf parses the verifier of h; cert is nil for a bare key.
func signerOf(h logentry.HashedRekord) (s signer, cert *x509.Certificate, err error) {
	if len(h.Certificate) == 0 {
		key, err := pubkey.ParsePKIX(h.PublicKey)
		if err != nil {
			return signer{}, nil, fmt.Errorf("publicKey: %w", err)
		}
		return signer{key: key, spki: sha256.Sum256(h.PublicKey)}, nil, nil
	}
	if cert, err = x509.ParseCertificate(h.Certificate); err != nil {
		return signer{}, nil, fmt.Errorf("x509Certificate is not a DER certificate: %w", err)
	}
	return signer{cert.PublicKey, sha256.Sum256(cert.RawSubjectPublicKeyInfo), namesIn(cert)}, cert, nil
}

// accepts applies the policy to a verifier; cert is nil for a bare key.
func (l *Log) accepts(cert *x509.Certificate) error {
	switch {
	case l.cfg.Accept == Any:
		return nil
	case cert == nil && l.cfg.Accept == Keys:
		return nil
	case cert == nil:
		return errors.New("this log takes only certificates of its own CA, not bare public keys (accept: own-ca)")
	}
	return issuedBy(cert, l.deps.OwnCAs)
}

// issuedBy checks that one of cas issued cert, and could at cert's own notBefore.
func issuedBy(cert *x509.Certificate, cas []*x509.Certificate) error {
	if cert.IsCA {
		return errors.New("the verifier is a CA certificate: expected a signing certificate")
	}
	for _, ca := range cas {
		if !ca.IsCA || !bytes.Equal(ca.RawSubject, cert.RawIssuer) {
			continue
		}
		if cert.NotBefore.Before(ca.NotBefore) || cert.NotBefore.After(ca.NotAfter) {
			continue
		}
		if ca.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature) == nil {
			return nil
		}
	}
	return fmt.Errorf("the certificate, issued by %.200q, is not from this instance's CA (accept: own-ca)", cert.Issuer.String())
}
