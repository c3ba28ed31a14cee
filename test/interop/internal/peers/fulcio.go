// SPDX-License-Identifier: Apache-2.0

package peers

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

// StartFulcio starts Fulcio with a CA in files in dir, which is made. It
// believes the e-mail tokens that issuer makes for the audience "sigstore". It
// has no CT log, so that its certificates carry no SCT.
func (p Programs) StartFulcio(ctx context.Context, dir, issuer string) (*Server, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	cert, key := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "ca.key")
	if err := writeCA(cert, key); err != nil {
		return nil, err
	}
	config := fmt.Sprintf("oidc-issuers:\n  %[1]s:\n    issuer-url: %[1]s\n    client-id: sigstore\n    type: email\n", issuer)
	path := filepath.Join(dir, "identity.yaml")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		return nil, err
	}
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	return p.listening(ctx, dir, ports[0], Fulcio, "serve",
		"--ca", "fileca", "--fileca-cert", cert, "--fileca-key", key, "--fileca-key-passwd", "", "--fileca-watch=false",
		"--ct-log-url", "", "--config-path", path, "--log_type", "prod",
		"--host", "127.0.0.1", "--port", ports[0], "--grpc-host", "127.0.0.1", "--grpc-port", ports[1],
		"--metrics-port", ports[2], "--legacy-unix-domain-socket", filepath.Join(dir, "legacy.sock"))
}

// writeCA makes a self-signed P-256 certificate authority.
func writeCA(certPath, keyPath string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, MaxPathLen: 1,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	if err := os.WriteFile(certPath, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		return err
	}
	return writeKey(keyPath, key)
}
