// SPDX-License-Identifier: Apache-2.0

// Package entry makes requests to Rekor v2's write API:
// https://github.com/sigstore/rekor-tiles, api/proto.
package entry

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
)

// Path is where a log takes them.
const Path = "/api/v2/log/entries"

// Request is a request to log a signature over a digest.
type Request struct {
	HashedRekord HashedRekord `json:"hashedRekordRequestV002"`
}

// HashedRekord is the signature and what verifies it.
type HashedRekord struct {
	Digest    []byte    `json:"digest"`
	Signature Signature `json:"signature"`
}

// Signature is a signature with its verifier.
type Signature struct {
	Content  []byte   `json:"content"`
	Verifier Verifier `json:"verifier"`
}

// Verifier is a public key.
type Verifier struct {
	PublicKey  PublicKey `json:"publicKey"`
	KeyDetails string    `json:"keyDetails"`
}

// PublicKey is a PKIX public key in DER.
type PublicKey struct {
	RawBytes []byte `json:"rawBytes"`
}

// New signs a random SHA-256 digest with a new P-256 key.
func New() (Request, error) {
	var digest [32]byte
	rand.Read(digest[:])
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Request{}, err
	}
	sig, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	if err != nil {
		return Request{}, err
	}
	pub, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return Request{}, err
	}
	return Request{HashedRekord{
		Digest:    digest[:],
		Signature: Signature{sig, Verifier{PublicKey{pub}, "PKIX_ECDSA_P256_SHA_256"}},
	}}, nil
}

// JSON is the request's body.
func (r Request) JSON() ([]byte, error) { return json.Marshal(r) }
