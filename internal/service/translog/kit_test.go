// SPDX-License-Identifier: Apache-2.0

package translog

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/json"
	"io"
	"log/slog"
	"math/big"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"

	"hallmark/internal/base/tilelog"
	"hallmark/internal/format/checkpoint"
	"hallmark/internal/format/digest"
	"hallmark/internal/format/logentry"
	"hallmark/internal/format/pubkey"
)

func TestMain(m *testing.M) {
	tilelog.RouteTessera(slog.New(slog.DiscardHandler))
	os.Exit(m.Run())
}

const origin = "log.example.test"

// authority is a CA whose certificates sign entries.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB, name string) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return authority{cert, key}
}

// identity is a certified signing key.
type identity struct {
	cert []byte
	key  crypto.Signer
}

func (a authority) issue(t testing.TB, email string, key crypto.Signer, change ...func(*x509.Certificate)) identity {
	t.Helper()
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), EmailAddresses: []string{email},
		NotBefore: time.Now(), NotAfter: time.Now().Add(10 * time.Minute), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}}
	for _, c := range change {
		c(tmpl)
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return identity{der, key}
}

func p256(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// sign makes an entry over message; without a certificate it carries the bare key.
func (id identity) sign(t testing.TB, message []byte) logentry.HashedRekord {
	t.Helper()
	d, err := pubkey.LogDetails(id.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	sig, err := pubkey.Sign(id.key, d, message)
	if err != nil {
		t.Fatal(err)
	}
	h := logentry.HashedRekord{Digest: digest.Of(d.Digest(), message), Signature: sig, Details: d, Certificate: id.cert}
	if id.cert == nil {
		if h.PublicKey, err = pubkey.MarshalPKIX(id.key.Public()); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

// fixture is a log with its CA and key, which survive reopening.
type fixture struct {
	cfg  Config
	deps Deps
	ca   authority
	pub  crypto.PublicKey
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{ca: newAuthority(t, "our CA"), pub: pub}
	f.cfg = Config{Dir: t.TempDir(), Origin: origin}
	f.deps = Deps{Key: key, OwnCAs: []*x509.Certificate{f.ca.cert}}
	return f
}

func (f *fixture) open(t testing.TB) *Log {
	t.Helper()
	l, err := New(context.Background(), f.cfg, f.deps)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shut(t, l) })
	return l
}

func shut(t testing.TB, l *Log) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := l.Close(ctx); err != nil {
		t.Error(err)
	}
}

var serial atomic.Uint64

// fresh is a message nobody signed before.
func fresh() []byte { return binary.BigEndian.AppendUint64([]byte("message "), serial.Add(1)) }

func (f *fixture) entry(t testing.TB) logentry.HashedRekord {
	t.Helper()
	return f.ca.issue(t, "a@example.test", p256(t)).sign(t, fresh())
}

// verifyEntry checks an entry as a client would: checkpoint signature, proof, key ID.
func verifyEntry(t testing.TB, f *fixture, e *logentry.Entry, body []byte) {
	t.Helper()
	if string(e.Body) != string(body) {
		t.Fatal("the entry's body is not the submitted one")
	}
	cp, err := checkpoint.Parse([]byte(e.Proof.Checkpoint))
	if err != nil {
		t.Fatal(err)
	}
	if err := cp.VerifiedBy(origin, f.pub); err != nil {
		t.Fatal(err)
	}
	leaf := logentry.LeafHash(e.Body)
	if err := proof.VerifyInclusion(rfc6962.DefaultHasher, uint64(e.LogIndex), cp.Size, leaf[:], e.Proof.Hashes, cp.Root[:]); err != nil {
		t.Fatal(err)
	}
	if e.Proof.LogIndex != e.LogIndex || uint64(e.Proof.TreeSize) != cp.Size || string(e.Proof.RootHash) != string(cp.Root[:]) {
		t.Fatalf("the proof's numbers are not the checkpoint's: %+v", e.Proof)
	}
	if want, _ := checkpoint.LogID(origin, f.pub); string(e.LogID) != string(want[:]) {
		t.Fatalf("log ID %x, want %x", e.LogID, want)
	}
}

func treeSize(t testing.TB, l *Log) uint64 {
	t.Helper()
	n, err := l.tiles.IntegratedSize(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// settle waits until the index has every entry.
func settle(t testing.TB, l *Log) {
	t.Helper()
	for range 500 {
		l.mu.Lock()
		n := len(l.flights)
		l.mu.Unlock()
		if n == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("the index did not settle")
}

func call(t testing.TB, l *Log, method, path string, body string, header ...string) (int, string, *httptest.ResponseRecorder) {
	t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	l.Handler().ServeHTTP(rec, r)
	data, _ := io.ReadAll(rec.Body)
	return rec.Code, string(data), rec
}

type foundPage struct {
	Checkpoint string
	Entries    []json.RawMessage
	Bundles    []struct {
		LogIndex string
		Bundle   json.RawMessage
	}
	Next string
}

func searchFor(t testing.TB, l *Log, params ...string) foundPage {
	t.Helper()
	v := url.Values{}
	for i := 0; i+1 < len(params); i += 2 {
		v.Set(params[i], params[i+1])
	}
	code, body, _ := call(t, l, "GET", "/hallmark/v1/log/search?"+v.Encode(), "")
	if code != 200 {
		t.Fatalf("search %v: %d %s", params, code, body)
	}
	var page foundPage
	if err := json.Unmarshal([]byte(body), &page); err != nil {
		t.Fatal(err)
	}
	return page
}
