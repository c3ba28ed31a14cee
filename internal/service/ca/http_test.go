// SPDX-License-Identifier: Apache-2.0

package ca

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"hallmark/internal/base/keyring"
	"hallmark/internal/format/certext"
	"hallmark/internal/format/pubkey"
)

// A client is somebody with a key.
type client struct {
	key crypto.Signer
	pem string
	der []byte
}

func newClient(t testing.TB, key crypto.Signer) *client {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return &client{key, string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), der}
}

func p256Client(t testing.TB) *client { return newClient(t, fixedKey(t, "client")) }

// prove signs a challenge and returns base64.
func (c *client) prove(t testing.TB, challenge string) string {
	t.Helper()
	details, err := pubkey.DefaultDetails(c.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	sig, err := pubkey.Sign(c.key, details, []byte(challenge))
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(sig)
}

// csr is a PEM request with names that must not end up in a certificate.
func (c *client) csr(t testing.TB) string {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: "mallory"}, EmailAddresses: []string{"mallory@example.com"},
		ExtraExtensions: []pkix.Extension{{Id: fulcio(8), Value: []byte("\x0c\x01x")}},
	}, c.key)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
}

func v2Body(t testing.TB, c *client, challenge string) string {
	return fmt.Sprintf(`{"publicKeyRequest":{"publicKey":{"algorithm":"ECDSA","content":%q},"proofOfPossession":%q}}`, c.pem, c.prove(t, challenge))
}

// do sends one request straight to the handler. An empty token sends no header.
func (l *lab) do(method, path, token, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	l.ca.Handler().ServeHTTP(w, r)
	return w
}

// chainV2 reads a version 2 answer the way sigstore-go does.
func chainV2(t *testing.T, body []byte) []*x509.Certificate {
	t.Helper()
	var resp struct {
		SignedCertificateEmbeddedSct struct {
			Chain struct {
				Certificates []string `json:"certificates"`
			} `json:"chain"`
		} `json:"signedCertificateEmbeddedSct"`
	}
	if err := json.Unmarshal(body, &resp); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return parsePEM(t, strings.Join(resp.SignedCertificateEmbeddedSct.Chain.Certificates, ""))
}

func parsePEM(t *testing.T, text string) []*x509.Certificate {
	t.Helper()
	var out []*x509.Certificate
	for rest := []byte(text); len(bytes.TrimSpace(rest)) > 0; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil || block.Type != "CERTIFICATE" {
			t.Fatalf("not PEM certificates: %q", text)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, cert)
	}
	return out
}

func checkChain3(t *testing.T, l *lab, chain []*x509.Certificate, c *client) {
	t.Helper()
	if len(chain) != 3 || !chain[1].Equal(l.made.Chain[0]) || !chain[2].Equal(l.made.Chain[1]) {
		t.Fatalf("%d certificates", len(chain))
	}
	if !bytes.Equal(chain[0].RawSubjectPublicKeyInfo, c.der) {
		t.Error("a certificate for another key")
	}
	if names, err := certext.ParseSANs(chain[0]); err != nil || len(names) != 1 || names[0] != alice().SAN {
		t.Errorf("SANs %v, %v", names, err)
	}
	if e, err := certext.ParseExtensions(chain[0]); err != nil || e != alice().Extensions {
		t.Errorf("extensions %+v, %v", e, err)
	}
	verifyIssued(t, l, chain[0])
}

// TestSigningCert covers every accepted form of a request.
func TestSigningCert(t *testing.T) {
	c := p256Client(t)
	proof := c.prove(t, alice().Challenge)
	rawProof, err := base64.StdEncoding.DecodeString(proof)
	if err != nil {
		t.Fatal(err)
	}
	derB64 := base64.StdEncoding.EncodeToString(c.der)
	pemB64 := base64.StdEncoding.EncodeToString([]byte(c.pem))
	for name, tc := range map[string]struct {
		path, token, body string
	}{
		"v2 as sigstore-go":    {"/api/v2/signingCert", "alice", v2Body(t, c, alice().Challenge)},
		"v2 token in the body": {"/api/v2/signingCert", "", `{"credentials":{"oidcIdentityToken":"alice"},` + v2Body(t, c, alice().Challenge)[1:]},
		"v2 the token twice":   {"/api/v2/signingCert", "alice", `{"credentials":{"oidcIdentityToken":"alice"},` + v2Body(t, c, alice().Challenge)[1:]},
		"v2 snake case": {"/api/v2/signingCert", "", fmt.Sprintf(
			`{"credentials":{"oidc_identity_token":"alice"},"public_key_request":{"public_key":{"content":%q},"proof_of_possession":%q}}`, c.pem, proof)},
		"v2 URL base64, unpadded": {"/api/v2/signingCert", "alice", fmt.Sprintf(
			`{"publicKeyRequest":{"publicKey":{"content":%q},"proofOfPossession":%q}}`, c.pem, base64.RawURLEncoding.EncodeToString(rawProof))},
		"v2 algorithm by number, unknown fields, nulls": {"/api/v2/signingCert", "alice", fmt.Sprintf(
			`{"future":{"x":[1]},"credentials":null,"certificateSigningRequest":null,"publicKeyRequest":{"publicKey":{"algorithm":2,"content":%q},"proofOfPossession":%q}}`, c.pem, proof)},
		"v2 algorithm the enum lacks": {"/api/v2/signingCert", "alice", strings.Replace(v2Body(t, c, alice().Challenge), "ECDSA", "RSA", 1)},
		"v2 CSR":                      {"/api/v2/signingCert", "alice", fmt.Sprintf(`{"certificateSigningRequest":%q}`, c.csr(t))},
		"v2 CSR snake case":           {"/api/v2/signingCert", "alice", fmt.Sprintf(`{"certificate_signing_request":%q}`, c.csr(t))},
		"v1 DER":                      {"/api/v1/signingCert", "alice", fmt.Sprintf(`{"publicKey":{"content":%q,"algorithm":"ecdsa"},"signedEmailAddress":%q}`, derB64, proof)},
		"v1 PEM":                      {"/api/v1/signingCert", "alice", fmt.Sprintf(`{"publicKey":{"content":%q},"signedEmailAddress":%q}`, pemB64, proof)},
		"v1 snake case":               {"/api/v1/signingCert", "alice", fmt.Sprintf(`{"public_key":{"content":%q},"signed_email_address":%q}`, pemB64, proof)},
		"v1 CSR":                      {"/api/v1/signingCert", "alice", fmt.Sprintf(`{"certificateSigningRequest":%q}`, c.csr(t))},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, nil)
			w := l.do(http.MethodPost, tc.path, tc.token, tc.body)
			if strings.HasPrefix(name, "v1") {
				if w.Code != http.StatusCreated || w.Header().Get("Content-Type") != "application/pem-certificate-chain" || w.Header().Get("SCT") != "" {
					t.Fatalf("%d %v %s", w.Code, w.Header(), w.Body)
				}
				checkChain3(t, l, parsePEM(t, w.Body.String()), c)
			} else {
				if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" {
					t.Fatalf("%d %v %s", w.Code, w.Header(), w.Body)
				}
				checkChain3(t, l, chainV2(t, w.Body.Bytes()), c)
			}
			if got := l.counted(t, "PKIX_ECDSA_P256_SHA_256"); got != 1 {
				t.Errorf("issued %v", got)
			}
			log := l.log.String()
			for _, want := range []string{"certificate issued", "san=alice@example.com", "issuer=" + issuerURL, "serial=", "key=PKIX_ECDSA_P256_SHA_256"} {
				if !strings.Contains(log, want) {
					t.Errorf("log lacks %q: %s", want, log)
				}
			}
		})
	}
}

// TestEveryKeyType proves possession with each kind of key, both ways.
func TestEveryKeyType(t *testing.T) {
	keys := map[string]func() (crypto.Signer, error){
		"P-256":    keyring.GenerateP256,
		"P-384":    func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P384(), rand.Reader) },
		"P-521":    func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P521(), rand.Reader) },
		"RSA-2048": func() (crypto.Signer, error) { return keyring.GenerateRSA(2048) },
		"RSA-4096": func() (crypto.Signer, error) { return keyring.GenerateRSA(4096) },
		"Ed25519":  keyring.GenerateEd25519,
	}
	l := newLab(t, nil)
	for name, generate := range keys {
		key, err := generate()
		if err != nil {
			t.Fatal(err)
		}
		c := newClient(t, key)
		for form, body := range map[string]string{
			"key": v2Body(t, c, alice().Challenge),
			"CSR": fmt.Sprintf(`{"certificateSigningRequest":%q}`, c.csr(t)),
		} {
			t.Run(name+"/"+form, func(t *testing.T) {
				w := l.do(http.MethodPost, "/api/v2/signingCert", "alice", body)
				if w.Code != http.StatusOK {
					t.Fatalf("%d %s", w.Code, w.Body)
				}
				checkChain3(t, l, chainV2(t, w.Body.Bytes()), c)
			})
		}
	}
}

func TestReads(t *testing.T) {
	l := newLab(t, nil)
	w := l.do(http.MethodGet, "/api/v2/trustBundle", "", "")
	var bundle struct {
		Chains []struct {
			Certificates []string `json:"certificates"`
		} `json:"chains"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &bundle); err != nil || w.Code != 200 || len(bundle.Chains) != 1 {
		t.Fatalf("%d %v %s", w.Code, err, w.Body)
	}
	chain := parsePEM(t, strings.Join(bundle.Chains[0].Certificates, ""))
	if len(chain) != 2 || !chain[0].Equal(l.made.Chain[0]) || !chain[1].Equal(l.made.Chain[1]) {
		t.Error("trustBundle is not intermediate, root")
	}

	w = l.do(http.MethodGet, "/api/v1/rootCert", "", "")
	chain = parsePEM(t, w.Body.String())
	if w.Code != 200 || w.Header().Get("Content-Type") != "application/pem-certificate-chain" || len(chain) != 2 || !chain[1].Equal(l.made.Chain[1]) {
		t.Errorf("rootCert: %d %v, %d certificates", w.Code, w.Header(), len(chain))
	}

	w = l.do(http.MethodGet, "/api/v2/configuration", "", "")
	const want = `{"issuers":[` +
		`{"issuerUrl":"https://issuer.example","audience":"acme","challengeClaim":"email","spiffeTrustDomain":"","issuerType":"email","subjectDomain":"","skipEmailVerification":false},` +
		`{"wildcardIssuerUrl":"https://oidc.*.example","audience":"acme","challengeClaim":"sub","spiffeTrustDomain":"td.example","issuerType":"spiffe","subjectDomain":"","skipEmailVerification":false}]}`
	if w.Code != 200 || w.Body.String() != want {
		t.Errorf("configuration: %d %s", w.Code, w.Body)
	}
	l.auth.issuers = nil
	if w = l.do(http.MethodGet, "/api/v2/configuration", "", ""); w.Body.String() != `{"issuers":[]}` {
		t.Errorf("no issuers: %s", w.Body)
	}
}

func TestMethodsAndPaths(t *testing.T) {
	l := newLab(t, nil)
	for path, method := range map[string]string{
		"/api/v2/signingCert": "POST", "/api/v1/signingCert": "POST",
		"/api/v2/trustBundle": "GET", "/api/v2/configuration": "GET", "/api/v1/rootCert": "GET",
	} {
		for _, m := range []string{"GET", "POST", "PUT", "DELETE", "OPTIONS"} {
			if m == method {
				continue
			}
			w := l.do(m, path, "alice", "")
			refusalMessage(t, w, 501)
			if w.Code != 501 || w.Header().Get("Allow") != method {
				t.Errorf("%s %s: %d %v", m, path, w.Code, w.Header())
			}
		}
	}
	for _, path := range []string{"/", "/api/v2", "/api/v2/signingCert/", "/api/v3/signingCert"} {
		w := l.do("GET", path, "", "")
		refusalMessage(t, w, 404)
		if w.Code != 404 {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

// TestOverTheWire runs 64 clients through a real server: each gets its own
// certificate, and each precertificate is logged once.
func TestOverTheWire(t *testing.T) {
	l := newLab(t, nil)
	server := httptest.NewServer(l.ca.Handler())
	defer server.Close()
	const clients = 64
	bodies := make([][]byte, clients)
	var wg sync.WaitGroup
	for i := range clients {
		c := newClient(t, fixedKey(t, fmt.Sprint("client", i)))
		body := v2Body(t, c, workflow().Challenge)
		wg.Go(func() {
			r, err := http.NewRequest(http.MethodPost, server.URL+"/api/v2/signingCert", strings.NewReader(body))
			if err != nil {
				t.Error(err)
				return
			}
			r.Header.Set("Authorization", "Bearer workflow")
			resp, err := server.Client().Do(r)
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			if bodies[i], err = io.ReadAll(resp.Body); err != nil || resp.StatusCode != 200 {
				t.Errorf("%d %v %s", resp.StatusCode, err, bodies[i])
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	serials := map[string]bool{}
	for _, body := range bodies {
		cert := chainV2(t, body)[0]
		verifyIssued(t, l, cert)
		serials[cert.SerialNumber.String()] = true
	}
	if n := len(l.ct.submissions()); len(serials) != clients || n != clients {
		t.Errorf("%d serial numbers and %d log entries for %d clients", len(serials), n, clients)
	}
}

func TestMetrics(t *testing.T) {
	l := newLab(t, nil)
	l.counted(t, string(pubkey.ECDSAP256SHA256))
	for _, c := range categories {
		l.counted(t, string(c))
	}
}

// counted reads the counter that has the given label, which must be there.
func (l *lab) counted(t *testing.T, label string) float64 {
	t.Helper()
	reg := prometheus.NewRegistry()
	reg.MustRegister(l.ca.Metrics()...)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if m.GetLabel()[0].GetValue() == label {
				return m.GetCounter().GetValue()
			}
		}
	}
	t.Errorf("no counter for %q", label)
	return 0
}
