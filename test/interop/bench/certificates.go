// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"

	"hallmark/test/interop/internal/peers"
)

const (
	certificatePath    = "/api/v2/signingCert" // Fulcio's API, which ours has too
	certificateClients = 64
	person             = "bench@example.com"
)

// signingCert is Fulcio's CreateSigningCertificateRequest.
type signingCert struct {
	Credentials struct {
		OIDCIdentityToken string `json:"oidcIdentityToken"`
	} `json:"credentials"`
	PublicKeyRequest struct {
		PublicKey struct {
			Algorithm string `json:"algorithm"`
			Content   string `json:"content"`
		} `json:"publicKey"`
		ProofOfPossession []byte `json:"proofOfPossession"`
	} `json:"publicKeyRequest"`
}

// newSigningCert asks for a certificate for a new key.
func newSigningCert(token string) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	var r signingCert
	r.Credentials.OIDCIdentityToken = token
	r.PublicKeyRequest.PublicKey.Algorithm = "ECDSA"
	r.PublicKeyRequest.PublicKey.Content = string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	challenge := sha256.Sum256([]byte(person))
	if r.PublicKeyRequest.ProofOfPossession, err = ecdsa.SignASN1(rand.Reader, key, challenge[:]); err != nil {
		return nil, err
	}
	return json.Marshal(r)
}

// certificateLoad is how many certificates per second a CA issues. Ours logs
// each in its CT log before it answers; Fulcio runs without a CT log, which
// spares it that. Both believe the same issuer.
func (b *bench) certificateLoad(ctx context.Context) error {
	authority, err := b.programs.StartAuthority(ctx, b.path("certificates"))
	if err != nil {
		return err
	}
	theirs, ours, err := b.bothCAs(ctx, authority)
	if err := errors.Join(err, authority.Stop()); err != nil {
		return err
	}
	ours.stopped(authority.CPU())
	b.table.add(row{"certificates, 64 clients", "fulcio " + theirs.String() + " (no CT log)", ours.String() + " (with CT log)", "≥ 800/s", ours.perSecond >= 800})
	return nil
}

// bothCAs sends the same requests to Fulcio and to the authority.
func (b *bench) bothCAs(ctx context.Context, authority *peers.Authority) (theirs, ours rate, err error) {
	token, err := authority.Token(ctx, "--email", person, "--audience", "sigstore", "--ttl", "1h")
	if err != nil {
		return theirs, ours, err
	}
	say("signing %d certificate requests", b.certs)
	bodies, err := prepare(b.certs, func() ([]byte, error) { return newSigningCert(token) })
	if err != nil {
		return theirs, ours, err
	}
	say("certificates per second, Fulcio")
	fulcio, err := b.programs.StartFulcio(ctx, b.path("fulcio"), authority.Issuer())
	if err != nil {
		return theirs, ours, err
	}
	theirs, err = underLoad(ctx, fulcio.URL, certificatePath, bodies, certificateClients, b.warmUp, b.load)
	if err := errors.Join(err, fulcio.Stop()); err != nil {
		return theirs, ours, err
	}
	theirs.stopped(fulcio.CPU())
	say("certificates per second, hallmarkd")
	ours, err = underLoad(ctx, authority.URL, certificatePath, bodies, certificateClients, b.warmUp, b.load)
	return theirs, ours, err
}
