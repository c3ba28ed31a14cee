// SPDX-License-Identifier: Apache-2.0

package ca

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"hallmark/internal/format/certext"
)

// rsaAuth spends on each token what an RS256 signature costs.
type rsaAuth struct {
	*fakeAuth
	key *rsa.PublicKey
	sum [32]byte
	sig []byte
}

func (a *rsaAuth) Authenticate(ctx context.Context, token string) (certext.Principal, error) {
	if err := rsa.VerifyPKCS1v15(a.key, crypto.SHA256, a.sum[:], a.sig); err != nil {
		return certext.Principal{}, err
	}
	return a.fakeAuth.Authenticate(ctx, token)
}

// BenchmarkIssue is one certificate from request to answer without a network:
// token (RS256), proof of possession (P-256), precertificate, SCT (P-256),
// certificate, and the check of it. 64 clients are at it.
func BenchmarkIssue(b *testing.B) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		b.Fatal(err)
	}
	sum := sha256.Sum256([]byte("token"))
	sig, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		b.Fatal(err)
	}
	l := newLab(b, func(l *lab, _ *Config, d *Deps) {
		d.Auth = &rsaAuth{l.auth, &key.PublicKey, sum, sig}
		d.CT = &signingCT{l.ct}
		d.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	})
	handler := l.ca.Handler()
	body := v2Body(b, p256Client(b), workflow().Challenge)
	b.ReportAllocs()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r := httptest.NewRequest(http.MethodPost, "/api/v2/signingCert", strings.NewReader(body))
			r.Header.Set("Authorization", "Bearer workflow")
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			if w.Code != http.StatusOK {
				b.Errorf("%d %s", w.Code, w.Body)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "certs/s")
}

// signingCT is a fakeCT that keeps nothing.
type signingCT struct{ *fakeCT }

func (s *signingCT) AddPrecert(_ context.Context, p certext.Precert) (certext.SCT, error) {
	sct := certext.SCT{LogID: s.id, Timestamp: uint64(start.UnixMilli()), HashAlg: certext.HashSHA256, SigAlg: certext.SigECDSA}
	sum := sha256.Sum256(certext.SCTSignedData(sct.Timestamp, nil, p.IssuerKeyHash, p.TBS))
	var err error
	sct.Signature, err = s.key.Sign(rand.Reader, sum[:], crypto.SHA256)
	return sct, err
}

// BenchmarkDepart is the last check, of which the issuer's signature is most.
func BenchmarkDepart(b *testing.B) {
	l := newLab(b, nil)
	out, err := l.ca.issue(b.Context(), workflow(), fixedKey(b, "leaf").Public())
	if err != nil {
		b.Fatal(err)
	}
	logged, err := certext.PrecertTBS(out.der)
	if err != nil {
		b.Fatal(err)
	}
	cert, err := x509.ParseCertificate(out.der)
	if err != nil {
		b.Fatal(err)
	}
	scts, err := certext.SCTs(cert)
	if err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	for b.Loop() {
		if err := l.ca.depart(out.der, logged, scts[0]); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLint is parsing and judging a precertificate.
func BenchmarkLint(b *testing.B) {
	l := newLab(b, nil)
	lf, err := l.ca.leaf(workflow(), fixedKey(b, "leaf").Public())
	if err != nil {
		b.Fatal(err)
	}
	tbs, err := l.ca.profile.tbs(lf, poison)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := l.ca.lint(tbs, workflow(), lf.spki); err != nil {
			b.Fatal(err)
		}
	}
}
