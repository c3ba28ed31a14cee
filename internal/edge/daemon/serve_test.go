// SPDX-License-Identifier: Apache-2.0

package daemon_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hallmark/internal/base/localsock"
	"hallmark/internal/edge/daemon"
	"hallmark/internal/format/digest"
	"hallmark/internal/format/pubkey"
	"hallmark/internal/judge/verify"
	"hallmark/internal/lab"
	"hallmark/internal/service/devissuer"
)

func TestSignAndVerifyThroughRestarts(t *testing.T) {
	l := lab.New(t, nil)
	active := l.Trust()
	first := l.SignBlob(active, "ada@example.com", []byte("one"))
	l.Stop()
	l.Fsck()
	if err := os.RemoveAll(filepath.Join(l.Data, "offline")); err != nil {
		t.Fatal(err)
	}
	l.Start()
	second := l.SignBlob(active, "ada@example.com", []byte("two"))
	if a, b := first.Bundle.Entries[0].LogIndex, second.Bundle.Entries[0].LogIndex; b != a+1 {
		t.Errorf("entries %d and %d: the log did not go on", a, b)
	}
	id, err := verify.NewIdentity(verify.Identity{SAN: "ada@example.com", Issuer: l.URL() + "/dev-issuer"})
	if err != nil {
		t.Fatal(err)
	}
	policy := verify.DefaultPolicy()
	policy.Identities = []verify.Identity{id}
	if _, err := verify.Check(first.Bundle, verify.Artifact{Digests: []digest.Digest{digest.Of(digest.SHA256, []byte("one"))}}, active.Root, policy); err != nil {
		t.Error(err)
	}
	if l.Daemon.OfflineKeys() != "" {
		t.Error("the offline folder came back")
	}
	l.Stop()
	l.Fsck()
}

// certificateRequest is what a client sends to the CA.
func certificateRequest(t *testing.T, key crypto.Signer, proofOver string) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key.Public()) // pubkey would refuse a weak one
	if err != nil {
		t.Fatal(err)
	}
	spki := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	details, err := pubkey.DefaultDetails(key.Public())
	if err != nil {
		details = pubkey.RSAPKCS1v15_2048_SHA256
	}
	proof, err := pubkey.Sign(key, details, []byte(proofOver))
	if err != nil {
		proof = []byte("none")
	}
	body, err := json.Marshal(map[string]any{"publicKeyRequest": map[string]any{
		"publicKey": map[string]string{"algorithm": "ECDSA", "content": string(spki)}, "proofOfPossession": base64.StdEncoding.EncodeToString(proof),
	}})
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestTheCARefusesWithAReason(t *testing.T) {
	l := lab.New(t, nil)
	audience := l.URL()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("GODEBUG", "rsa1024min=0")
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	good := certificateRequest(t, key, "someone@example.com")
	stranger := lab.NewIssuer(t)
	for _, tc := range []struct {
		name, token, body string
		status            int
		want              string
	}{
		{"good", l.Issuer.Mint(audience, nil), good, 200, "signedCertificateEmbeddedSct"},
		{"no token", "", good, 401, "token"},
		{"expired token", l.Issuer.Mint(audience, map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}), good, 400, "expired"},
		{"wrong audience", l.Issuer.Mint("https://other.example.com", nil), good, 400, audience},
		{"the public audience, not configured", l.Issuer.Mint("sigstore", nil), good, 400, audience},
		{"unknown issuer", stranger.Mint(audience, nil), good, 400, stranger.URL},
		{"unverified email", l.Issuer.Mint(audience, map[string]any{"email_verified": false}), good, 400, "verified"},
		{"not a token", "abc", good, 400, "token"},
		{"proof over somebody else", l.Issuer.Mint(audience, nil), certificateRequest(t, key, "mallory@example.com"), 400, "proof of possession"},
		{"proof by another key", l.Issuer.Mint(audience, nil), swapKey(t, good, other), 400, "proof of possession"},
		{"RSA-1024", l.Issuer.Mint(audience, nil), certificateRequest(t, weak, "someone@example.com"), 400, "1024"},
		{"malformed JSON", l.Issuer.Mint(audience, nil), good[:len(good)-1], 400, "JSON"},
		{"oversize body", l.Issuer.Mint(audience, nil), `{"x":"` + strings.Repeat("a", 1<<20) + `"}`, 413, "limit"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			status, answer := l.Do("POST", "/api/v2/signingCert", tc.token, "application/json", tc.body)
			if status != tc.status || !strings.Contains(answer, tc.want) {
				t.Fatalf("status %d: %s\nwant %d and %q", status, answer, tc.status, tc.want)
			}
			if tc.token != "" && strings.Contains(answer, tc.token) && len(tc.token) > 10 {
				t.Fatal("the answer quotes the token")
			}
		})
	}
}

// swapKey puts another key into a request, with the old proof.
func swapKey(t *testing.T, request string, key crypto.Signer) string {
	t.Helper()
	var body map[string]map[string]any
	if err := json.Unmarshal([]byte(request), &body); err != nil {
		t.Fatal(err)
	}
	spki, err := pubkey.MarshalPEM(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	body["publicKeyRequest"]["publicKey"] = map[string]string{"content": string(spki)}
	out, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// Each fault of an issuer refuses that issuer's tokens with a reason, in
// bounded time, and nobody else's.
func TestAFaultyIssuerStopsNobodyElse(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for fault, name := range map[lab.Fault]string{lab.Failing: "failing", lab.Redirecting: "redirecting", lab.Stalling: "stalling", lab.Flooding: "a JWKS of a GiB", lab.Lying: "another name in discovery"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := lab.New(t, nil)
			l.Issuer.Set(fault)
			slow := make(chan string, 1)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			go func() {
				status, answer := l.Do("POST", "/api/v2/signingCert", l.Issuer.Mint(l.URL(), nil), "application/json", certificateRequest(t, key, "someone@example.com"))
				slow <- fmt.Sprintf("%d %s", status, answer)
			}()
			// Meanwhile another issuer's token is served.
			token := l.Token(devissuer.Request{Email: "ada@example.com"})
			if status, answer := l.Do("POST", "/api/v2/signingCert", token.Raw(), "application/json", certificateRequest(t, key, "ada@example.com")); status != 200 {
				t.Errorf("the development issuer's token: status %d: %s", status, answer)
			}
			select {
			case answer := <-slow:
				if !strings.HasPrefix(answer, "503") || !strings.Contains(answer, l.Issuer.URL) {
					t.Errorf("answer %s, want 503 and the issuer's name", answer)
				}
			case <-ctx.Done():
				t.Error("no answer in 30 s")
			}
			if sent := l.Issuer.Sent(); sent > 64<<20 {
				t.Errorf("%d bytes of the flood were taken", sent)
			}
		})
	}
}

func TestOneProcessOwnsADataFolder(t *testing.T) {
	l := lab.New(t, nil)
	_, err := daemon.New(t.Context(), daemon.Config{Listen: "127.0.0.1:0", Data: l.Data}, daemon.Deps{})
	if err == nil || !strings.Contains(err.Error(), "in use by another hallmarkd") {
		t.Fatalf("error %v", err)
	}
	if _, err := daemon.Fsck(t.Context(), l.Data); err == nil || !strings.Contains(err.Error(), "running hallmarkd") {
		t.Fatalf("fsck of a served folder: %v", err)
	}
}

func TestAFullDiskMakesTheLogReadOnly(t *testing.T) {
	l := lab.New(t, nil)
	active := l.Trust()
	l.SignBlob(active, "ada@example.com", []byte("x"))
	l.Disk.Fill(1 << 20)
	time.Sleep(300 * time.Millisecond) // the free space is asked for four times a second
	if status, answer := l.Do("GET", "/readyz", "", "", ""); status != 503 || !strings.Contains(answer, "read-only") {
		t.Errorf("readyz: status %d: %s", status, answer)
	}
	if status, _ := l.Do("GET", "/healthz", "", "", ""); status != 200 {
		t.Errorf("healthz: status %d", status)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	token := l.Token(devissuer.Request{Email: "ada@example.com"})
	if status, answer := l.Do("POST", "/api/v2/signingCert", token.Raw(), "application/json", certificateRequest(t, key, "ada@example.com")); status != 503 || !strings.Contains(answer, "read-only") {
		t.Errorf("certificate: status %d: %s", status, answer)
	}
	if status, _ := l.Do("GET", "/api/v2/checkpoint", "", "", ""); status != 200 {
		t.Errorf("reading: status %d", status)
	}
	l.Disk.Mend()
	time.Sleep(300 * time.Millisecond)
	l.SignBlob(active, "ada@example.com", []byte("y"))
}

func TestEverythingSaysDEV(t *testing.T) {
	l := lab.New(t, nil)
	if status, body := l.Do("GET", "/", "", "", ""); status != 200 || !strings.Contains(body, "DEV") || !strings.Contains(body, l.Daemon.RootSHA256()) {
		t.Errorf("front page: %d %s", status, body)
	}
	if _, body := l.Do("GET", "/.well-known/hallmark.json", "", "", ""); !strings.Contains(body, `"development": true`) {
		t.Errorf("discovery: %s", body)
	}
	active := l.Trust()
	if subject := active.Root.CAs[0].Subject.Organization; !strings.HasPrefix(subject, "DEV ") {
		t.Errorf("the CA is called %q", subject)
	}
	if active.Instance == nil || !active.Instance.Development {
		t.Error("the trust root does not know that it is for development")
	}
}

func TestMetricsAreOnTheAdminSocketAlone(t *testing.T) {
	l := lab.New(t, nil)
	l.SignBlob(l.Trust(), "ada@example.com", []byte("x"))
	if status, _ := l.Do("GET", "/metrics", "", "", ""); status != 404 {
		t.Errorf("the public listener answers /metrics with %d", status)
	}
	resp, err := localsock.HTTPClient(filepath.Join(l.Data, "admin.sock")).Get("http://hallmarkd/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`hallmark_http_requests_total{endpoint="ca-sign",status="2xx"} 1`, `endpoint="log-write"`, `endpoint="timestamp"`} {
		if !strings.Contains(string(body), want) {
			t.Errorf("metrics lack %s", want)
		}
	}
}

func TestTUFStaysFresh(t *testing.T) {
	l := lab.New(t, nil)
	l.Trust()
	l.Stop()
	l.Clock.Move(8 * 24 * time.Hour) // past the timestamp's expiry, while nobody ran
	l.Start()
	l.Trust() // fails if the timestamp has expired on this clock
	if status, answer := l.Do("GET", "/readyz", "", "", ""); status != 200 {
		t.Errorf("readyz: status %d: %s", status, answer)
	}
}
