// SPDX-License-Identifier: Apache-2.0

package ca

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"

	"hallmark/internal/format/certext"
)

// depart looks at a certificate as a verifier will, just before it leaves: it
// parses, it is what the CT log was shown, with that log's SCT and nothing
// else, and the issuer's key verifies it. What it says was linted before; being
// the same bytes as the precertificate, it needs no second look.
//
// The last check costs one verification by the issuer's key: about as much as
// all other work here. It stays because a signature that a failing key module
// got wrong would otherwise be found by users.
func (c *CA) depart(der, logged []byte, sct certext.SCT) error {
	if len(der) > maxCertificate {
		return fmt.Errorf("certificate has %d bytes, more than %d", len(der), maxCertificate)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return fmt.Errorf("the certificate just made does not parse: %w", err)
	}
	tbs, err := certext.PrecertTBS(der)
	if err != nil {
		return fmt.Errorf("the certificate just made: %w", err)
	}
	if !bytes.Equal(tbs, logged) {
		return errors.New("the certificate just made is not the one that was logged")
	}
	scts, err := certext.SCTs(cert)
	if err != nil {
		return fmt.Errorf("the certificate just made: %w", err)
	}
	if len(scts) != 1 || !sameSCT(scts[0], sct) {
		return errors.New("the certificate just made does not hold the SCT that the log gave")
	}
	issuer := c.deps.Chain[0]
	if err := issuer.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature); err != nil {
		return fmt.Errorf("the certificate just made is not verified by %s: %w", issuer.Subject, err)
	}
	return nil
}

func sameSCT(a, b certext.SCT) bool {
	return a.LogID == b.LogID && a.Timestamp == b.Timestamp && a.HashAlg == b.HashAlg && a.SigAlg == b.SigAlg &&
		bytes.Equal(a.Extensions, b.Extensions) && bytes.Equal(a.Signature, b.Signature)
}
