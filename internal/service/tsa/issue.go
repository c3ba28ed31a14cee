// SPDX-License-Identifier: Apache-2.0

package tsa

import (
	"crypto"
	"crypto/ecdsa"
	"fmt"

	"github.com/digitorus/timestamp"

	"hallmark/internal/format/rfc3161"
)

// issue makes the granted response to req. An error that is no
// *rfc3161.RequestError is ours.
func (a *Authority) issue(req *rfc3161.Request) ([]byte, error) {
	if len(req.PolicyOID) > 0 && !req.PolicyOID.Equal(a.policy) {
		return nil, &rfc3161.RequestError{Failure: rfc3161.UnacceptedPolicy,
			Err: fmt.Errorf("policy %v: expected %v, or none", req.PolicyOID, a.policy)}
	}
	now, err := a.clock.take(a.checkValidity)
	if err != nil {
		return nil, &rfc3161.RequestError{Failure: rfc3161.TimeNotAvailable, Err: err}
	}
	token := timestamp.Timestamp{
		HashAlgorithm:     req.HashAlg,
		HashedMessage:     req.HashedMessage,
		Time:              now,
		Accuracy:          accuracy,
		Policy:            a.policy,
		Nonce:             req.Nonce,
		AddTSACertificate: req.CertReq,
	}
	// The library draws a serial number of 160 random bits, names the signing
	// certificate by ESSCertIDv2, and adds a signingTime attribute, which is
	// the system clock's and nothing that a verifier may rely on.
	der, err := token.CreateResponseWithOpts(a.chain[0], a.key, a.digest())
	if err != nil {
		return nil, fmt.Errorf("tsa: sign: %w", err)
	}
	return der, nil
}

// digest is the hash to sign with: as strong as the key.
func (a *Authority) digest() crypto.Hash {
	switch bits := a.key.Public().(*ecdsa.PublicKey).Curve.Params().BitSize; {
	case bits <= 256:
		return crypto.SHA256
	case bits <= 384:
		return crypto.SHA384
	}
	return crypto.SHA512
}
