// SPDX-License-Identifier: Apache-2.0

package ca

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"hallmark/internal/format/certext"
)

// rsaPEM is a public key that nothing needs to sign with.
func rsaPEM(t *testing.T, n *big.Int, e int) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(&rsa.PublicKey{N: n, E: e})
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// TestRefusals sends what must get no certificate, and looks at the answer, the
// metric, the log and the CT log, which must not have been asked.
func TestRefusals(t *testing.T) {
	c := p256Client(t)
	other := newClient(t, fixedKey(t, "other"))
	good := v2Body(t, c, alice().Challenge)
	proof := c.prove(t, alice().Challenge)
	body := func(key, proof string) string {
		return fmt.Sprintf(`{"publicKeyRequest":{"publicKey":{"content":%q},"proofOfPossession":%q}}`, key, proof)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(alice().Challenge))
	pss, err := rsa.SignPSS(rand.Reader, rsaKey, crypto.SHA256, sum[:], nil)
	if err != nil {
		t.Fatal(err)
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	short := new(big.Int).Add(new(big.Int).Lsh(big.NewInt(1), 1023), big.NewInt(12345))
	csr := c.csr(t)
	csrDER, err := base64.StdEncoding.DecodeString(csr)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(csrDER)
	block.Bytes[len(block.Bytes)-1] ^= 1
	forgedCSR := base64.StdEncoding.EncodeToString(pem.EncodeToMemory(block))
	p224CSR := newClient(t, p224).csr(t)

	const v1, v2 = "/api/v1/signingCert", "/api/v2/signingCert"
	for name, tc := range map[string]struct {
		path, token, body string
		status            int
		category          category
		want              string
	}{
		"no token":          {v2, "", good, 401, noToken, "no identity token"},
		"token twice":       {v2, "workflow", `{"credentials":{"oidcIdentityToken":"alice"},` + good[1:], 400, malformed, "different tokens"},
		"token too long":    {v2, strings.Repeat("x", maxToken+1), good, 400, badToken, "at most 16384"},
		"not a token":       {v2, "secret-token", good, 400, badToken, "identity token: malformed"},
		"expired token":     {v2, "expired", good, 400, badToken, "expired at"},
		"wrong audience":    {v2, "audience", good, 400, badToken, "audience"},
		"unknown issuer":    {v2, "issuer", good, 400, badToken, "not configured"},
		"issuer is down":    {v2, "down", good, 503, tokenCheck, "keys cannot be had"},
		"fault of ours":     {v2, "broken", good, 500, internal, "fault of the server"},
		"empty principal":   {v2, "nobody", good, 500, internal, "fault of the server"},
		"unusable identity": {v2, "odd", good, 400, badIdentity, "not a plain email address"},
		"huge claim":        {v2, "huge", good, 400, badIdentity, "extension 1.3.6.1.4.1.57264.1.4 has 5000 bytes"},
		"huge claims":       {v2, "many", good, 400, badIdentity, "bytes together"},
		"claim not UTF-8":   {v2, "binary", good, 400, badIdentity, "not UTF-8"},

		"proof by another key":         {v2, "alice", body(c.pem, other.prove(t, alice().Challenge)), 400, badProof, "must be a signature over the token's email or subject"},
		"proof over something else":    {v2, "alice", body(c.pem, c.prove(t, "mallory@example.com")), 400, badProof, "proof of possession does not match"},
		"proof with RSA-PSS":           {v2, "alice", body(rsaPEM(t, rsaKey.N, rsaKey.E), base64.StdEncoding.EncodeToString(pss)), 400, badProof, "PKIX_RSA_PKCS1V15_2048_SHA256"},
		"proof is no signature":        {v2, "alice", body(c.pem, "AAAA"), 400, badProof, "proof of possession"},
		"RSA-1024":                     {v2, "alice", body(rsaPEM(t, short, 65537), proof), 400, badKey, "1024 bits"},
		"RSA with a small factor":      {v2, "alice", body(rsaPEM(t, new(big.Int).Lsh(big.NewInt(3), 2046), 65537), proof), 400, badKey, "divisible by"},
		"RSA with exponent 3":          {v2, "alice", body(rsaPEM(t, rsaKey.N, 3), proof), 400, badKey, "exponent 3"},
		"P-224":                        {v2, "alice", body(newClient(t, p224).pem, proof), 400, badKey, "use ECDSA P-256"},
		"key is not PEM":               {v2, "alice", body("hello", proof), 400, malformed, "publicKeyRequest.publicKey.content is not PEM"},
		"key is a certificate":         {v2, "alice", body(strings.ReplaceAll(c.pem, "PUBLIC KEY", "CERTIFICATE"), proof), 400, badKey, "expected PUBLIC KEY"},
		"key is damaged":               {v2, "alice", body(strings.Replace(c.pem, "M", "A", 1), proof), 400, badKey, "public key cannot be used"},
		"CSR signed by another":        {v2, "alice", fmt.Sprintf(`{"certificateSigningRequest":%q}`, forgedCSR), 400, badProof, "not signed by the key in it"},
		"CSR is not PEM":               {v2, "alice", `{"certificateSigningRequest":"AAAA"}`, 400, malformed, "CERTIFICATE REQUEST"},
		"CSR is a public key":          {v2, "alice", fmt.Sprintf(`{"certificateSigningRequest":%q}`, base64.StdEncoding.EncodeToString([]byte(c.pem))), 400, malformed, "CERTIFICATE REQUEST"},
		"CSR is damaged":               {v2, "alice", fmt.Sprintf(`{"certificateSigningRequest":%q}`, base64.StdEncoding.EncodeToString([]byte(strings.ReplaceAll(c.pem, "PUBLIC KEY", "CERTIFICATE REQUEST")))), 400, malformed, "PKCS #10"},
		"CSR of a weak key":            {v2, "alice", fmt.Sprintf(`{"certificateSigningRequest":%q}`, p224CSR), 400, badKey, "use ECDSA P-256"},
		"empty body":                   {v2, "alice", " \n", 400, malformed, "body is empty"},
		"malformed JSON":               {v2, "alice", `{"publicKeyRequest":`, 400, malformed, "JSON, byte 20"},
		"not an object":                {v2, "alice", `[]`, 400, malformed, "expected an object"},
		"name in the wrong case":       {v2, "alice", strings.Replace(good, "publicKeyRequest", "PublicKeyRequest", 1), 400, malformed, `must be written`},
		"field twice":                  {v2, "alice", `{"publicKeyRequest":{},` + good[1:], 400, malformed, "publicKeyRequest"},
		"field in both cases":          {v2, "alice", `{"public_key_request":{},` + good[1:], 400, malformed, "the same field"},
		"key and CSR":                  {v2, "alice", fmt.Sprintf(`{"certificateSigningRequest":%q,`, csr) + good[1:], 400, malformed, "exclude each other"},
		"neither":                      {v2, "alice", `{}`, 400, malformed, "neither publicKeyRequest nor"},
		"no key":                       {v2, "alice", `{"publicKeyRequest":{"proofOfPossession":"AAAA"}}`, 400, malformed, "publicKeyRequest.publicKey is missing"},
		"no content":                   {v2, "alice", `{"publicKeyRequest":{"publicKey":{},"proofOfPossession":"AAAA"}}`, 400, malformed, "publicKeyRequest.publicKey.content is missing"},
		"content is a number":          {v2, "alice", `{"publicKeyRequest":{"publicKey":{"content":5},"proofOfPossession":"AAAA"}}`, 400, malformed, "publicKeyRequest.publicKey.content: expected a string"},
		"no proof":                     {v2, "alice", fmt.Sprintf(`{"publicKeyRequest":{"publicKey":{"content":%q}}}`, c.pem), 400, malformed, "proofOfPossession is missing"},
		"empty proof":                  {v2, "alice", body(c.pem, ""), 400, malformed, "proofOfPossession is empty"},
		"proof is not base64":          {v2, "alice", body(c.pem, "%%%"), 400, malformed, "proofOfPossession: string is not base64"},
		"credentials are a string":     {v2, "", `{"credentials":"secret-token",` + good[1:], 400, malformed, "credentials: expected an object"},
		"credentials' token, a number": {v2, "", `{"credentials":{"oidcIdentityToken":7},` + good[1:], 400, malformed, "credentials.oidcIdentityToken: expected a string"},
		"oversize":                     {v2, "alice", `{"x":"` + strings.Repeat("x", maxBody) + `"}`, 413, badBody, "65536 bytes"},

		"v1 no token":             {v1, "", fmt.Sprintf(`{"publicKey":{"content":"AAAA"},"signedEmailAddress":%q}`, proof), 401, noToken, "no identity token"},
		"v1 no token in the body": {v1, "", fmt.Sprintf(`{"credentials":{"oidcIdentityToken":"alice"},"publicKey":{"content":"AAAA"},"signedEmailAddress":%q}`, proof), 401, noToken, "no identity token"},
		"v1 no proof":             {v1, "alice", `{"publicKey":{"content":"AAAA"}}`, 400, malformed, "signedEmailAddress is missing"},
		"v1 proof by another": {v1, "alice", fmt.Sprintf(`{"publicKey":{"content":%q},"signedEmailAddress":%q}`,
			base64.StdEncoding.EncodeToString(c.der), other.prove(t, alice().Challenge)), 400, badProof, "proof of possession"},
		"v1 not a key": {v1, "alice", fmt.Sprintf(`{"publicKey":{"content":"AAAA"},"signedEmailAddress":%q}`, proof), 400, badKey, "not a DER SubjectPublicKeyInfo"},
		"v1 neither":   {v1, "alice", `{}`, 400, malformed, "neither publicKey nor"},
		"v1 oversize":  {v1, "alice", `{"x":"` + strings.Repeat("x", maxBody) + `"}`, 413, badBody, "65536 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, func(l *lab, _ *Config, _ *Deps) { l.auth.addOdd() })
			w := l.do(http.MethodPost, tc.path, tc.token, tc.body)
			if w.Code != tc.status {
				t.Errorf("status %d, want %d", w.Code, tc.status)
			}
			message := refusalMessage(t, w, tc.status)
			if !strings.Contains(message, tc.want) {
				t.Errorf("message %q, want %q", message, tc.want)
			}
			if got := l.counted(t, string(tc.category)); got != 1 {
				t.Errorf("metric %s is %v", tc.category, got)
			}
			if n := len(l.ct.submissions()); n != 0 {
				t.Errorf("the CT log was asked %d times", n)
			}
			if tc.token == "secret-token" || strings.Contains(tc.body, "secret-token") {
				if strings.Contains(l.log.String()+w.Body.String(), "secret-token") {
					t.Error("the token is in the log or the answer")
				}
			}
			if strings.Contains(message, "dial tcp") || tc.status == 500 && strings.Contains(message, "nil pointer") {
				t.Errorf("the answer tells what only the operator may read: %s", message)
			}
		})
	}
}

// addOdd adds tokens of which each is refused for its own reason.
func (a *fakeAuth) addOdd() {
	for token, change := range map[string]func(*certext.Principal){
		"odd":    func(p *certext.Principal) { p.SAN.Value = "alice" },
		"huge":   func(p *certext.Principal) { p.Extensions.GitHubWorkflowName = strings.Repeat("x", 5000) },
		"binary": func(p *certext.Principal) { p.Extensions.GitHubWorkflowName = "\xff" },
		"nobody": func(p *certext.Principal) { p.Challenge = "" },
		"many": func(p *certext.Principal) {
			x := strings.Repeat("x", maxExtension-8)
			e := &p.Extensions
			e.GitHubRef, e.GitHubSHA, e.GitHubTrigger, e.BuildSignerURI, e.BuildTrigger, e.BuildConfigURI = x, x, x, x, x, x
		},
	} {
		p := alice()
		change(&p)
		a.principals[token] = p
	}
	for token, text := range map[string]string{
		"expired":  "identity token of https://issuer.example: expired at 2026-03-01T11:00:00Z: get a new one",
		"audience": `identity token of https://issuer.example: audience is "other": expected "acme"`,
		"issuer":   `identity token: issuer "https://evil.example" is not configured here`,
	} {
		a.errors[token] = &tokenError{text: text}
	}
	a.errors["down"] = &tokenError{text: "identity token of https://issuer.example: its keys cannot be had now: try again", temporary: true}
	a.errors["broken"] = errors.New("nil pointer somewhere")
}

// refusalMessage checks the shape of an error and returns its text.
func refusalMessage(t *testing.T, w *httptest.ResponseRecorder, status int) string {
	t.Helper()
	var e struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
		Details []any  `json:"details"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil || e.Details == nil || e.Message == "" {
		t.Fatalf("not a gRPC status: %v in %s", err, w.Body)
	}
	if want := map[int]int{400: 3, 401: 16, 413: 8, 500: 13, 501: 12, 503: 14, 404: 5}[status]; e.Code != want {
		t.Errorf("code %d, want %d", e.Code, want)
	}
	if (w.Header().Get("WWW-Authenticate") != "") != (status == 401) {
		t.Errorf("WWW-Authenticate %q with status %d", w.Header().Get("WWW-Authenticate"), status)
	}
	return e.Message
}

func TestAuthorizationHeader(t *testing.T) {
	c := p256Client(t)
	for name, tc := range map[string]struct {
		values []string
		status int
	}{
		"Bearer":         {[]string{"Bearer alice"}, 200},
		"lower case":     {[]string{"bearer alice"}, 200},
		"more blanks":    {[]string{"Bearer   alice "}, 200},
		"none":           {nil, 401},
		"empty":          {[]string{""}, 401},
		"Basic":          {[]string{"Basic alice"}, 401},
		"scheme missing": {[]string{"alice"}, 401},
		"nothing after":  {[]string{"Bearer "}, 401},
		"two headers":    {[]string{"Bearer alice", "Bearer workflow"}, 401},
	} {
		l := newLab(t, nil)
		r := httptest.NewRequest(http.MethodPost, "/api/v2/signingCert", strings.NewReader(v2Body(t, c, alice().Challenge)))
		r.Header["Authorization"] = tc.values
		w := httptest.NewRecorder()
		l.ca.Handler().ServeHTTP(w, r)
		if w.Code != tc.status {
			t.Errorf("%s: %d, want %d: %s", name, w.Code, tc.status, w.Body)
		}
	}
}

// TestCTFailures shows that there is no certificate without an SCT.
func TestCTFailures(t *testing.T) {
	body := v2Body(t, p256Client(t), alice().Challenge)
	for name, change := range map[string]func(*lab, *Config, *Deps){
		"refuses":      func(l *lab, _ *Config, _ *Deps) { l.ct.refuse = errors.New("open /secret/place: disk full") },
		"hangs":        func(l *lab, c *Config, _ *Deps) { l.ct.hang, c.CTTimeout = true, 20*time.Millisecond },
		"no log ID":    func(l *lab, _ *Config, _ *Deps) { l.ct.bend = func(s *certext.SCT) { s.LogID = [32]byte{} } },
		"no time":      func(l *lab, _ *Config, _ *Deps) { l.ct.bend = func(s *certext.SCT) { s.Timestamp = 0 } },
		"no signature": func(l *lab, _ *Config, _ *Deps) { l.ct.bend = func(s *certext.SCT) { s.Signature = nil } },
		"too large SCT": func(l *lab, _ *Config, _ *Deps) {
			l.ct.bend = func(s *certext.SCT) { s.Signature = make([]byte, 70000) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, change)
			w := l.do(http.MethodPost, "/api/v2/signingCert", "alice", body)
			if w.Code != http.StatusServiceUnavailable || strings.Contains(w.Body.String(), "BEGIN CERTIFICATE") {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			if message := refusalMessage(t, w, 503); !strings.Contains(message, "CT log") || strings.Contains(message, "/secret/place") {
				t.Errorf("message %q", message)
			}
			if got := l.counted(t, "ct-log"); got != 1 {
				t.Errorf("metric %v", got)
			}
			if name == "refuses" && !strings.Contains(l.log.String(), "disk full") {
				t.Errorf("the operator is not told: %s", l.log)
			}
		})
	}
}

// TestClientGone tells a client's hanging up from a failing log.
func TestClientGone(t *testing.T) {
	l := newLab(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	l.ct.hang, l.ct.inside = true, cancel
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/api/v2/signingCert", strings.NewReader(v2Body(t, p256Client(t), alice().Challenge)))
	r.Header.Set("Authorization", "Bearer alice")
	l.ca.Handler().ServeHTTP(httptest.NewRecorder(), r)
	if got := l.counted(t, "client-gone"); got != 1 {
		t.Errorf("metric %v; log %s", got, l.log)
	}
}

// failingSigner signs, but not what it was asked to.
type failingSigner struct{ crypto.Signer }

func (f failingSigner) Sign(r io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	return f.Signer.Sign(r, make([]byte, len(digest)), o)
}

// TestFailingKey shows that a signature nobody can verify does not leave.
func TestFailingKey(t *testing.T) {
	l := newLab(t, func(_ *lab, _ *Config, d *Deps) { d.Key = failingSigner{d.Key} })
	w := l.do(http.MethodPost, "/api/v2/signingCert", "alice", v2Body(t, p256Client(t), alice().Challenge))
	if w.Code != http.StatusInternalServerError || !strings.Contains(l.log.String(), "not verified by") {
		t.Fatalf("%d %s; log %s", w.Code, w.Body, l.log)
	}
}
