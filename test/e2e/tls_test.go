// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// selfSigned makes a certificate for 127.0.0.1 and gives its files.
func selfSigned(t *testing.T) (cert, key string, pool *x509.CertPool) {
	t.Helper()
	priv, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "e2e"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, priv.Public(), priv)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(priv)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	pool.AddCert(parsed)
	return cert, key, pool
}

// With a certificate the listener speaks HTTPS, HTTP/2 included, and nothing else.
func TestTLS(t *testing.T) {
	cert, key, pool := selfSigned(t)
	s := newServer(t, "--log-accept", "any", "--dev-issuer", "--tls-cert", cert, "--tls-key", key)
	s.tls = &http.Client{Timeout: startLimit, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}}
	s.start()
	want(t, s.printed(), "Hallmark serves https://"+s.address()+"\n")

	resp, err := s.tls.Get(s.url() + "/.well-known/hallmark.json")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.ProtoMajor != 2 || resp.TLS == nil || resp.TLS.Version != tls.VersionTLS13 || resp.StatusCode != http.StatusOK {
		t.Errorf("%s %s, TLS version %x", resp.Proto, resp.Status, resp.TLS.Version)
	}
	one := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{}}}
	resp, err = one.Get(s.url() + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.ProtoMajor != 1 {
		t.Errorf("a client without HTTP/2 got %s", resp.Proto)
	}
	status, body, err := answer(plain.Get("http://" + s.address() + "/healthz"))
	if err == nil && status != http.StatusBadRequest {
		t.Errorf("plain HTTP is answered: %d %s", status, body)
	}
	if _, err := plain.Get(s.url() + "/healthz"); err == nil {
		t.Error("a client that does not know the certificate connected")
	}
	old := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}}}
	if _, err := old.Get(s.url() + "/healthz"); err == nil {
		t.Error("TLS 1.1 is accepted")
	}

	l, _ := seeded(t, s)
	l.kept()

	// The client program, which knows the certificate as the system's.
	home := t.TempDir()
	blob := filepath.Join(home, "blob")
	if err := os.WriteFile(blob, []byte("over TLS"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, token := hallmarkd(t, "dev-token", "--data", s.data, "--email", "e2e@example.test")
	for _, args := range [][]string{
		{"trust", "init", s.url(), "--tofu", "--name", "tls"},
		{"sign-blob", blob, "--bundle", blob + ".json", "--identity-token", token, "--yes"},
		{"verify-blob", blob, "--bundle", blob + ".json", "--certificate-identity", "e2e@example.test", "--certificate-oidc-issuer", s.url() + "/dev-issuer"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), startLimit)
		defer cancel()
		cmd := exec.CommandContext(ctx, program("hallmark"), args...)
		cmd.Env = append(os.Environ(), "HOME="+home, "XDG_CONFIG_HOME="+home, "SSL_CERT_FILE="+cert)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("hallmark %s: %v\n%s", args[0], err, out)
		}
	}
	s.stop()
	s.fsck()
}

// What cannot be served with is said at the start.
func TestTLSFilesThatDoNotFit(t *testing.T) {
	cert, _, _ := selfSigned(t)
	_, other, _ := selfSigned(t)
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{"--tls-cert", cert, "--tls-key", other}, "private key does not match public key"},
		{[]string{"--tls-cert", cert, "--tls-key", cert + ".absent"}, "no such file"},
		{[]string{"--tls-cert", cert}, "--tls-cert and --tls-key go together"},
		{[]string{"--listen", "0.0.0.0:0"}, "would speak plain HTTP"},
	} {
		data := filepath.Join(t.TempDir(), "data")
		code, out := hallmarkd(t, append([]string{"serve", "--data", data, "--listen", "127.0.0.1:0"}, tc.args...)...)
		if code != 1 && code != 64 {
			t.Errorf("%v: exit code %d", tc.args, code)
		}
		want(t, out, tc.want)
		if _, err := os.Stat(filepath.Join(data, "instance")); err == nil {
			t.Errorf("%v: an instance was made all the same", tc.args)
		}
	}
}
