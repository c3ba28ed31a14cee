// SPDX-License-Identifier: Apache-2.0

package rfc3161

import (
	"crypto"
	"crypto/sha256"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// maxNonce caps a request's nonce, in bits.
const maxNonce = 512

// Request is a TimeStampReq (RFC 3161 §2.4.1).
type Request struct {
	HashAlg       crypto.Hash // SHA-256, SHA-384 or SHA-512
	HashedMessage []byte      // HashAlg.Size() bytes
	Nonce         *big.Int    // nil when absent
	CertReq       bool        // whether the response is to embed the signing certificate
	PolicyOID     asn1.ObjectIdentifier
}

// RequestError says why a request is refused, and with which failure
// information a TSA answers it.
type RequestError struct {
	Failure FailureInfo
	Err     error
}

// Error describes the problem.
func (e *RequestError) Error() string { return "timestamp request: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *RequestError) Unwrap() error { return e.Err }

// ParseRequest reads a DER TimeStampReq. Its errors are *RequestError: SHA-1
// and unknown hash algorithms, hashes of the wrong length, critical extensions
// and anything malformed are refused.
func ParseRequest(der []byte) (*Request, error) {
	if len(der) > MaxSize {
		return nil, &RequestError{BadRequest, fmt.Errorf("%d bytes, at most %d are allowed", len(der), MaxSize)}
	}
	malformed := &RequestError{BadDataFormat, errors.New("malformed DER")}
	in := cryptobyte.String(der)
	var seq cryptobyte.String
	var version int64
	if !in.ReadASN1(&seq, casn1.SEQUENCE) || !in.Empty() || !seq.ReadASN1Integer(&version) {
		return nil, malformed
	}
	if version != 1 {
		return nil, &RequestError{BadRequest, fmt.Errorf("version %d; expected 1", version)}
	}
	imprint, err := readMessageImprint(&seq)
	if err != nil {
		return nil, &RequestError{BadAlgorithm, err}
	}
	r := &Request{HashAlg: imprint.hash, HashedMessage: imprint.sum}
	if seq.PeekASN1Tag(casn1.OBJECT_IDENTIFIER) && !seq.ReadASN1ObjectIdentifier(&r.PolicyOID) {
		return nil, malformed
	}
	if seq.PeekASN1Tag(casn1.INTEGER) {
		r.Nonce = new(big.Int)
		if !seq.ReadASN1Integer(r.Nonce) {
			return nil, malformed
		}
		if r.Nonce.BitLen() > maxNonce {
			return nil, &RequestError{BadRequest, fmt.Errorf("nonce of %d bits, at most %d are allowed", r.Nonce.BitLen(), maxNonce)}
		}
	}
	if seq.PeekASN1Tag(casn1.BOOLEAN) && !seq.ReadASN1Boolean(&r.CertReq) {
		return nil, malformed
	}
	var extensions cryptobyte.String
	var present bool
	if !seq.ReadOptionalASN1(&extensions, &present, tag0) || !seq.Empty() {
		return nil, malformed
	}
	if present {
		if err := skipExtensions(extensions); err != nil {
			return nil, &RequestError{UnacceptedExtension, err}
		}
	}
	return r, nil
}

// Marshal returns the DER TimeStampReq. It refuses a hash algorithm that
// ParseRequest would refuse and a hash of the wrong length.
func (r *Request) Marshal() ([]byte, error) {
	oid, ok := oidByHash(r.HashAlg)
	if !ok {
		return nil, fmt.Errorf("timestamp request: hash algorithm %v; expected SHA-256, SHA-384 or SHA-512", r.HashAlg)
	}
	if len(r.HashedMessage) != r.HashAlg.Size() {
		return nil, fmt.Errorf("timestamp request: hash of %d bytes; %v has %d", len(r.HashedMessage), r.HashAlg, r.HashAlg.Size())
	}
	var b cryptobyte.Builder
	b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(1)
		b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1ObjectIdentifier(oid)
				b.AddASN1NULL()
			})
			b.AddASN1OctetString(r.HashedMessage)
		})
		if r.PolicyOID != nil {
			b.AddASN1ObjectIdentifier(r.PolicyOID)
		}
		if r.Nonce != nil {
			b.AddASN1BigInt(r.Nonce)
		}
		if r.CertReq {
			b.AddASN1Boolean(true)
		}
	})
	der, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("timestamp request: %w", err)
	}
	return der, nil
}

// NewRequest returns the DER TimeStampReq for a message: its SHA-256, no nonce,
// no policy, no certificate wanted, which is what Sigstore clients send.
func NewRequest(message []byte) []byte {
	digest := sha256.Sum256(message)
	der, err := (&Request{HashAlg: crypto.SHA256, HashedMessage: digest[:]}).Marshal()
	if err != nil {
		panic("rfc3161: a SHA-256 request does not encode: " + err.Error())
	}
	return der
}
