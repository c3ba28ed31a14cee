// SPDX-License-Identifier: Apache-2.0

package tsa

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/digitorus/pkcs7"
	"github.com/digitorus/timestamp"
	"github.com/prometheus/client_golang/prometheus"

	"hallmark/internal/format/rfc3161"
)

// start is near the present, because the library's signingTime attribute is.
func startTime() time.Time { return time.Now().UTC().Truncate(time.Second).Add(-time.Hour) }

type lab struct {
	*Authority
	chain *Chain
	now   atomic.Int64 // nanoseconds
	log   bytes.Buffer
	start time.Time
}

func (l *lab) set(t time.Time) { l.now.Store(t.UnixNano()) }

func newLab(t testing.TB, cfg Config) *lab {
	t.Helper()
	l := &lab{start: startTime()}
	l.set(l.start)
	chain, err := NewChain(ChainParams{Organization: "lab", Now: l.start})
	if err != nil {
		t.Fatal(err)
	}
	l.chain = chain
	l.Authority, err = New(cfg, Deps{Chain: chain.Certificates, Key: chain.LeafKey,
		Now: func() time.Time { return time.Unix(0, l.now.Load()) }, Log: slog.New(slog.NewTextHandler(&l.log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (l *lab) post(contentType string, body []byte) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", Path, bytes.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	w := httptest.NewRecorder()
	l.Handler().ServeHTTP(w, r)
	return w
}

func der(t testing.TB, r rfc3161.Request) []byte {
	t.Helper()
	data, err := r.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

var message = []byte("a signature")

func TestTokensVerify(t *testing.T) {
	l := newLab(t, Config{})
	s256, s384, s512 := sha256.Sum256(message), sha512.Sum384(message), sha512.Sum512(message)
	nonce, _ := new(big.Int).SetString("123456789012345678901234567890", 10)
	policy, _ := parseOID(DefaultPolicy)
	for _, tt := range []struct {
		name string
		req  rfc3161.Request
		json string
	}{
		{"plain", rfc3161.Request{HashAlg: crypto.SHA256, HashedMessage: s256[:]},
			`{"artifactHash":"%s","hashAlgorithm":"sha256"}`},
		{"all", rfc3161.Request{HashAlg: crypto.SHA256, HashedMessage: s256[:], CertReq: true, Nonce: nonce, PolicyOID: policy},
			`{"artifactHash":"%s","hashAlgorithm":"SHA256","certificates":true,"nonce":123456789012345678901234567890,"tsaPolicyOID":"1.3.6.1.4.1.57264.2"}`},
		{"sha384", rfc3161.Request{HashAlg: crypto.SHA384, HashedMessage: s384[:]},
			`{"artifactHash":"%s","hashAlgorithm":"sha384"}`},
		{"sha512", rfc3161.Request{HashAlg: crypto.SHA512, HashedMessage: s512[:], CertReq: true},
			`{"artifactHash":"%s","hashAlgorithm":"sha512","certificates":true}`},
	} {
		for contentType, body := range map[string][]byte{
			typeQuery: der(t, tt.req),
			typeJSON:  fmt.Appendf(nil, tt.json, base64.StdEncoding.EncodeToString(tt.req.HashedMessage)),
		} {
			t.Run(tt.name+" "+contentType, func(t *testing.T) {
				w := l.post(contentType+"; charset=utf-8", body)
				if w.Code != 200 || w.Header().Get("Content-Type") != typeReply {
					t.Fatalf("%d %v %s", w.Code, w.Header(), w.Body)
				}
				l.checkToken(t, tt.req, w.Body.Bytes())
			})
		}
	}
}

// checkToken holds a response against the request, by our verifier and by
// digitorus's.
func (l *lab) checkToken(t *testing.T, req rfc3161.Request, resp []byte) {
	t.Helper()
	token, err := rfc3161.ParseResponse(resp)
	if err != nil {
		t.Fatal(err)
	}
	if err := token.Verify(message, l.chain.Certificates); err != nil {
		t.Errorf("our verifier: %v", err)
	}
	if !token.Time().Equal(l.start) || token.Accuracy() != time.Second || token.Policy().String() != DefaultPolicy || token.HashAlgorithm() != req.HashAlg {
		t.Errorf("time %s, accuracy %s, policy %v, hash %v", token.Time(), token.Accuracy(), token.Policy(), token.HashAlgorithm())
	}
	if got := token.Nonce(); (got == nil) != (req.Nonce == nil) || got != nil && got.Cmp(req.Nonce) != 0 {
		t.Errorf("nonce %v, want %v", got, req.Nonce)
	}
	if n := token.SerialNumber().BitLen(); n < 100 || n > 160 {
		t.Errorf("serial number of %d bits", n)
	}
	want := 0
	if req.CertReq {
		want = 1
	}
	if len(token.Embedded()) != want {
		t.Errorf("%d certificates, want %d", len(token.Embedded()), want)
	}
	theirs, err := timestamp.ParseResponse(resp) // verifies when certificates are embedded
	if err != nil {
		t.Fatalf("digitorus: %v", err)
	}
	p7, err := pkcs7.Parse(theirs.RawToken)
	if err != nil {
		t.Fatal(err)
	}
	p7.Certificates = l.chain.Certificates[:1]
	roots := x509.NewCertPool()
	roots.AddCert(l.chain.Certificates[1])
	if err := p7.VerifyWithOpts(x509.VerifyOptions{Roots: roots, CurrentTime: theirs.Time, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping}}); err != nil {
		t.Errorf("pkcs7: %v", err)
	}
}

func TestSerialNumbersDiffer(t *testing.T) {
	l := newLab(t, Config{})
	seen := map[string]bool{}
	for range 50 {
		token, err := rfc3161.ParseResponse(l.post(typeQuery, rfc3161.NewRequest(message)).Body.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		seen[token.SerialNumber().String()] = true
	}
	if len(seen) != 50 {
		t.Errorf("%d serial numbers for 50 tokens", len(seen))
	}
}

func TestRefusals(t *testing.T) {
	l := newLab(t, Config{})
	good := rfc3161.NewRequest(message)
	sum := sha256.Sum256(message)
	theirs := func(change func(r *timestamp.Request)) []byte {
		r := &timestamp.Request{HashAlgorithm: crypto.SHA256, HashedMessage: sum[:]}
		change(r)
		data, err := r.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	b64 := base64.StdEncoding.EncodeToString
	for _, tt := range []struct {
		name, contentType string
		body              []byte
		status            int
		failure           rfc3161.FailureInfo // with status 200
		want              string
	}{
		{"SHA-1", typeQuery, theirs(func(r *timestamp.Request) { r.HashAlgorithm, r.HashedMessage = crypto.SHA1, sum[:20] }), 200, rfc3161.BadAlgorithm, "SHA-1"},
		{"digest too short", typeQuery, theirs(func(r *timestamp.Request) { r.HashedMessage = sum[:31] }), 200, rfc3161.BadAlgorithm, "31 bytes"},
		{"other policy", typeQuery, theirs(func(r *timestamp.Request) { r.TSAPolicyOID = asn1.ObjectIdentifier{1, 2, 3} }), 200, rfc3161.UnacceptedPolicy, "policy 1.2.3: expected 1.3.6.1.4.1.57264.2"},
		{"critical extension", typeQuery, theirs(func(r *timestamp.Request) {
			r.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: []byte{5, 0}}}
		}), 200, rfc3161.UnacceptedExtension, "1.2.3"},
		{"other extension", typeQuery, theirs(func(r *timestamp.Request) {
			r.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3}, Value: []byte{5, 0}}}
		}), 200, rfc3161.UnacceptedExtension, "1.2.3"},
		{"huge nonce", typeQuery, theirs(func(r *timestamp.Request) { r.Nonce = new(big.Int).Lsh(big.NewInt(1), 2000) }), 200, rfc3161.BadRequest, "nonce"},
		{"empty", typeQuery, nil, 400, 0, "malformed"},
		{"truncated", typeQuery, good[:len(good)-1], 400, 0, "malformed"},
		{"trailing byte", typeQuery, append(bytes.Clone(good), 0), 400, 0, "malformed"},
		{"JSON as DER", typeQuery, []byte(`{}`), 400, 0, "malformed"},
		{"DER as JSON", typeJSON, good, 400, 0, "timestamp request"},
		{"no digest", typeJSON, []byte(`{"hashAlgorithm":"sha256"}`), 400, 0, "hash of 0 bytes"},
		{"JSON: SHA-1", typeJSON, []byte(`{"artifactHash":"` + b64(sum[:20]) + `","hashAlgorithm":"sha1"}`), 200, rfc3161.BadAlgorithm, "expected sha256"},
		{"JSON: digest too long", typeJSON, []byte(`{"artifactHash":"` + b64(make([]byte, 48)) + `","hashAlgorithm":"sha256"}`), 400, 0, "hash of 48 bytes"},
		{"JSON: not base64", typeJSON, []byte(`{"artifactHash":"%","hashAlgorithm":"sha256"}`), 400, 0, "base64"},
		{"JSON: unknown field", typeJSON, []byte(`{"artifact":"x"}`), 400, 0, "artifact"},
		{"JSON: twice", typeJSON, []byte(`{"nonce":1,"nonce":2}`), 400, 0, "nonce"},
		{"JSON: policy", typeJSON, []byte(`{"artifactHash":"` + b64(sum[:]) + `","hashAlgorithm":"sha256","tsaPolicyOID":"1.2.3"}`), 200, rfc3161.UnacceptedPolicy, "1.2.3"},
		{"JSON: bad policy", typeJSON, []byte(`{"artifactHash":"` + b64(sum[:]) + `","hashAlgorithm":"sha256","tsaPolicyOID":"x"}`), 400, 0, "tsaPolicyOID"},
		{"JSON: huge nonce", typeJSON, []byte(`{"artifactHash":"` + b64(sum[:]) + `","hashAlgorithm":"sha256","nonce":1` + strings.Repeat("0", 300) + `}`), 200, rfc3161.BadRequest, "nonce"},
		{"no type", "", good, 415, 0, "Content-Type"},
		{"other type", "text/plain", good, 415, 0, "Content-Type"},
		{"too large", typeQuery, make([]byte, MaxRequest+1), 413, 0, "larger than the limit"},
	} {
		w := l.post(tt.contentType, tt.body)
		if w.Code != tt.status {
			t.Errorf("%s: status %d, want %d: %s", tt.name, w.Code, tt.status, w.Body)
			continue
		}
		if tt.status != 200 {
			if !strings.Contains(w.Body.String(), tt.want) {
				t.Errorf("%s: %s, want %q", tt.name, w.Body, tt.want)
			}
			continue
		}
		_, err := rfc3161.ParseResponse(w.Body.Bytes())
		var status *rfc3161.StatusError
		if !errors.As(err, &status) || status.Failure != tt.failure || !strings.Contains(status.Text, tt.want) {
			t.Errorf("%s: %v, want %v and %q", tt.name, err, tt.failure, tt.want)
		}
		if _, err := timestamp.ParseResponse(w.Body.Bytes()); err == nil || !strings.Contains(err.Error(), "rejected") {
			t.Errorf("%s: digitorus reads %v", tt.name, err)
		}
	}
	for method, path := range map[string]string{"GET": Path, "POST": ChainPath} {
		w := httptest.NewRecorder()
		l.Handler().ServeHTTP(w, httptest.NewRequest(method, path, nil))
		if w.Code != 405 {
			t.Errorf("%s %s: %d", method, path, w.Code)
		}
	}
}

func TestCertChain(t *testing.T) {
	l := newLab(t, Config{})
	w := httptest.NewRecorder()
	l.Handler().ServeHTTP(w, httptest.NewRequest("GET", ChainPath, nil))
	rest := w.Body.Bytes()
	for i, want := range l.chain.Certificates {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil || !bytes.Equal(block.Bytes, want.Raw) {
			t.Fatalf("certificate %d is not the chain's", i)
		}
	}
	if len(rest) != 0 || w.Header().Get("Content-Type") != typeChain {
		t.Errorf("rest %q, %v", rest, w.Header())
	}
}

func TestClockNeverGoesBack(t *testing.T) {
	l := newLab(t, Config{})
	ask := func() (*rfc3161.Token, error) {
		return rfc3161.ParseResponse(l.post(typeQuery, rfc3161.NewRequest(message)).Body.Bytes())
	}
	for _, step := range []struct {
		name string
		at   time.Duration // the clock, after the start
		want time.Duration // the token's time; -1: refused
	}{
		{"cut to seconds", 10*time.Second + 900*time.Millisecond, 10 * time.Second},
		{"forward", 20 * time.Second, 20 * time.Second},
		{"back within the accuracy", 19 * time.Second, 20 * time.Second},
		{"back further", 18 * time.Second, -1},
		{"an hour back", -time.Hour, -1},
		{"nearly there", 18500 * time.Millisecond, -1},
		{"caught up", 19500 * time.Millisecond, 20 * time.Second},
		{"onward", 21 * time.Second, 21 * time.Second},
	} {
		l.set(l.start.Add(step.at))
		token, err := ask()
		if step.want < 0 {
			var status *rfc3161.StatusError
			if !errors.As(err, &status) || status.Failure != rfc3161.TimeNotAvailable {
				t.Errorf("%s: %v, %v", step.name, token, err)
			}
			if l.Ready() == nil {
				t.Errorf("%s: ready", step.name)
			}
			continue
		}
		if err != nil || !token.Time().Equal(l.start.Add(step.want)) {
			t.Errorf("%s: %v, %v", step.name, token, err)
		}
		if err := l.Ready(); err != nil {
			t.Errorf("%s: not ready: %v", step.name, err)
		}
	}
	if n := strings.Count(l.log.String(), "clock stepped back"); n != 1 {
		t.Errorf("logged %d times:\n%s", n, l.log.String())
	}
	if !strings.Contains(l.log.String(), "caught up") {
		t.Error("catching up was not logged")
	}
}

func TestCertificateValidityHolds(t *testing.T) {
	l := newLab(t, Config{})
	for _, at := range []time.Time{l.start.Add(-time.Second), l.start.Add(DefaultLeafValidity + time.Second)} {
		l.set(at)
		_, err := rfc3161.ParseResponse(l.post(typeQuery, rfc3161.NewRequest(message)).Body.Bytes())
		var status *rfc3161.StatusError
		if !errors.As(err, &status) || status.Failure != rfc3161.TimeNotAvailable || !strings.Contains(status.Text, "valid from") {
			t.Errorf("%s: %v", at, err)
		}
		if l.Ready() == nil {
			t.Errorf("%s: ready", at)
		}
	}
	l.set(l.start) // a time that was refused does not hold the clock up
	if w := l.post(typeQuery, rfc3161.NewRequest(message)); w.Code != 200 {
		t.Error(w.Code)
	}
	if _, err := rfc3161.ParseResponse(l.post(typeQuery, rfc3161.NewRequest(message)).Body.Bytes()); err != nil {
		t.Error(err)
	}
}

// broken is a signer whose device went away.
type broken struct{ crypto.Signer }

func (broken) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("device is gone")
}

func TestSignerFailure(t *testing.T) {
	l := newLab(t, Config{})
	l.key = broken{l.chain.LeafKey}
	w := l.post(typeQuery, rfc3161.NewRequest(message))
	if w.Code != 500 || strings.Contains(w.Body.String(), "device") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if !strings.Contains(l.log.String(), "device is gone") {
		t.Errorf("log: %s", l.log.String())
	}
}

func TestMetrics(t *testing.T) {
	l := newLab(t, Config{})
	reg := prometheus.NewRegistry()
	reg.MustRegister(l.Collectors()...)
	l.post(typeQuery, rfc3161.NewRequest(message))
	l.post(typeQuery, nil)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, label := range m.GetLabel() {
				got[label.GetValue()] = m.GetCounter().GetValue()
			}
		}
	}
	if got["granted"] != 1 || got["malformed"] != 1 || got["rejected"] != 0 || len(got) != 4 {
		t.Errorf("%v", got)
	}
}

func FuzzRequests(f *testing.F) {
	f.Add(rfc3161.NewRequest(message))
	f.Add([]byte(`{"artifactHash":"AA==","hashAlgorithm":"sha256","nonce":1}`))
	f.Add([]byte{0x30, 0x80})
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, parse := range []func([]byte) (*rfc3161.Request, error){parseDER, parseJSON} {
			req, err := parse(data)
			var refused *rfc3161.RequestError
			if err != nil && !errors.As(err, &refused) {
				t.Fatalf("%T: %v", err, err)
			}
			if err == nil && len(req.HashedMessage) != req.HashAlg.Size() {
				t.Fatal("a digest of the wrong length")
			}
		}
	})
}
