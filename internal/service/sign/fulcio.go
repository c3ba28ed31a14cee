// SPDX-License-Identifier: Apache-2.0

package sign

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"hallmark/internal/base/fetch"
	"hallmark/internal/format/pubkey"
	"hallmark/internal/judge/verify"
)

// Fulcio's CreateSigningCertificate,
// https://github.com/sigstore/fulcio/blob/main/fulcio.proto.
type certificateRequest struct {
	PublicKeyRequest publicKeyRequest `json:"publicKeyRequest"`
}

type publicKeyRequest struct {
	PublicKey struct {
		Algorithm string `json:"algorithm"`
		Content   string `json:"content"` // PEM
	} `json:"publicKey"`
	ProofOfPossession []byte `json:"proofOfPossession"`
}

type certificateAnswer struct {
	Embedded *struct {
		Chain struct {
			Certificates []string `json:"certificates"` // PEM, leaf first
		} `json:"chain"`
	} `json:"signedCertificateEmbeddedSct"`
	Detached json.RawMessage `json:"signedCertificateDetachedSct"`
}

// certificate gets a certificate for key and decides, before anything is
// signed with it, whether it is to be used.
func (s *Signer) certificate(ctx context.Context, token Token, key crypto.Signer, challenge string) (cert *x509.Certificate, err error) {
	url := join(s.ca.URL, "/api/v2/signingCert")
	err = s.step(StepCertificate, s.ca.URL, func() error {
		body, err := newCertificateRequest(key, s.cfg.Key, challenge)
		if err != nil {
			return err
		}
		resp, err := s.http.Do(ctx, http.MethodPost, url,
			http.Header{"Authorization": {"Bearer " + token.Raw()}, "Content-Type": {"application/json"}}, body)
		if err != nil {
			return unreachable(StepCertificate, s.ca.URL, err)
		}
		if resp.Status != http.StatusOK {
			return refusedByCA(s.ca.URL, resp)
		}
		if cert, err = parseCertificateAnswer(resp.Body); err != nil {
			return err
		}
		return s.usable(cert, key)
	})
	if err != nil {
		return nil, err
	}
	return cert, nil
}

func newCertificateRequest(key crypto.Signer, details pubkey.Details, challenge string) ([]byte, error) {
	proof, err := pubkey.Sign(key, details, []byte(challenge))
	if err != nil {
		return nil, err
	}
	pub, err := pubkey.MarshalPEM(key.Public())
	if err != nil {
		return nil, err
	}
	var req certificateRequest
	req.PublicKeyRequest.PublicKey.Algorithm = "RSA_PSS" // the protocol's only name for RSA; the key itself decides
	if _, ok := key.Public().(*ecdsa.PublicKey); ok {
		req.PublicKeyRequest.PublicKey.Algorithm = "ECDSA"
	}
	req.PublicKeyRequest.PublicKey.Content = string(pub)
	req.PublicKeyRequest.ProofOfPossession = proof
	return json.Marshal(req)
}

func parseCertificateAnswer(body []byte) (*x509.Certificate, error) {
	var answer certificateAnswer
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("the answer is malformed JSON: %v", err)
	}
	if answer.Embedded == nil {
		if len(answer.Detached) > 0 {
			return nil, errors.New("the certificate's SCT is detached, and a bundle has no place for it: the certificate authority has to embed SCTs")
		}
		return nil, errors.New("the answer holds no certificate (signedCertificateEmbeddedSct)")
	}
	if len(answer.Embedded.Chain.Certificates) == 0 {
		return nil, errors.New("the answer holds an empty certificate chain")
	}
	block, _ := pem.Decode([]byte(answer.Embedded.Chain.Certificates[0]))
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("the answer's first certificate is not PEM")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("the answer's first certificate is malformed: %w", err)
	}
	return cert, nil
}

// usable decides whether to sign with a certificate.
func (s *Signer) usable(cert *x509.Certificate, key crypto.Signer) error {
	if pub, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !pub.Equal(cert.PublicKey) {
		return errors.New("the certificate is for another key than the one it was asked for")
	}
	// Its own start, not this computer's clock, which may be off: the time that
	// counts comes from the timestamp authority.
	_, err := verify.CheckCertificate(cert.Raw, s.cfg.Root, s.policy, cert.NotBefore)
	if err == nil {
		return nil
	}
	failed := &Error{Step: StepCertificate, URL: s.ca.URL, Err: err}
	var why *verify.Error
	if errors.As(err, &why) {
		switch why.Code {
		case verify.CodeNoMatchingIdentity:
			failed.Hint = "the token stands for another identity than the expected one; nothing was signed or logged"
		case verify.CodeCertificateChain, verify.CodeSCT, verify.CodeSCTThreshold:
			failed.Hint = "the trusted root is not this certificate authority's, or is out of date: refresh it with `hallmark trust refresh`; nothing was signed or logged"
		}
	}
	return failed
}

func refusedByCA(url string, resp *fetch.Response) error {
	hint := ""
	switch {
	case resp.Status == http.StatusUnauthorized, resp.Status == http.StatusForbidden, resp.Status == http.StatusBadRequest:
		hint = "check that the identity token is fresh, is for this instance's audience, and comes from an issuer it accepts"
	case resp.Status == http.StatusNotFound:
		hint = "check the certificate authority's URL in the signing config"
	case resp.Status == http.StatusTooManyRequests || resp.Status >= 500:
		hint = "try again later"
	}
	return &Error{Step: StepCertificate, URL: url, Hint: hint, Err: status(resp)}
}

func join(base, path string) string { return strings.TrimRight(base, "/") + path }

func unreachable(step Step, url string, err error) error {
	return &Error{Step: step, URL: url, Hint: "check the URL in the signing config and the network", Err: err}
}

// status is a service's refusal: grpc-gateway's JSON, or the start of the text.
func status(resp *fetch.Response) error {
	var answer struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(resp.Body, &answer) != nil || answer.Message == "" {
		answer.Message = string(resp.Body)
	}
	msg := printable(answer.Message, 300)
	if msg == "" {
		return fmt.Errorf("it answered status %d", resp.Status)
	}
	return fmt.Errorf("it answered status %d: %s", resp.Status, msg)
}
