// SPDX-License-Identifier: Apache-2.0

package ctlog

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"path/filepath"

	"hallmark/internal/base/durable"
)

// storeIssuer makes sure that an issuer certificate is durably at issuer/<SHA-256 of its DER>.
func (l *Log) storeIssuer(fingerprint [32]byte, der []byte) (issuer, error) {
	l.issuersMu.Lock()
	defer l.issuersMu.Unlock()
	if is, ok := l.issuers[fingerprint]; ok {
		return is, nil
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return issuer{}, fmt.Errorf("issuer certificate: %w", err)
	}
	if !cert.IsCA {
		return issuer{}, fmt.Errorf("issuer certificate %q is not a CA", cert.Subject)
	}
	if err := durable.WriteFile(issuerPath(l.cfg.Dir, fingerprint), der, 0o644); err != nil {
		return issuer{}, fmt.Errorf("store issuer: %w", err)
	}
	is := issuer{keyHash: sha256.Sum256(cert.RawSubjectPublicKeyInfo)}
	l.issuers[fingerprint] = is
	return is, nil
}

func issuerPath(dir string, fingerprint [32]byte) string {
	return filepath.Join(dir, "issuer", hex.EncodeToString(fingerprint[:]))
}
