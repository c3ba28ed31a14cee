// SPDX-License-Identifier: Apache-2.0

package ctlog

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	fnote "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"

	"hallmark/internal/base/durable"
	"hallmark/internal/base/tilelog"
	"hallmark/internal/format/certext"
)

func TestMain(m *testing.M) {
	tilelog.RouteTessera(slog.New(slog.DiscardHandler))
	os.Exit(m.Run())
}

const origin = "log.example.test/ct"

// authority is a CA that makes precertificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newAuthority(t testing.TB) authority {
	t.Helper()
	key := newKey(t)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign}
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

func (a authority) precert(t testing.TB, serial int64) certext.Precert {
	t.Helper()
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(serial), NotBefore: time.Now(), NotAfter: time.Now().Add(time.Minute),
		EmailAddresses:  []string{"a@example.test"},
		ExtraExtensions: []pkix.Extension{{Id: certext.OIDPoison, Critical: true, Value: asn1.NullBytes}}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, newKey(t).Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	tbs, err := certext.PrecertTBS(der)
	if err != nil {
		t.Fatal(err)
	}
	return certext.Precert{TBS: tbs, DER: der, Chain: [][]byte{a.cert.Raw}, IssuerKeyHash: sha256.Sum256(a.cert.RawSubjectPublicKeyInfo)}
}

func newLog(t testing.TB, cfg Config, deps Deps) *Log {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	cfg.Origin = origin
	l, err := New(context.Background(), cfg, deps)
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

func TestSCTsVerifyAndTheLogHoldsTheEntries(t *testing.T) {
	key, ca, dir := newKey(t), newAuthority(t), t.TempDir()
	l := newLog(t, Config{Dir: dir}, Deps{Key: key, Roots: []*x509.Certificate{ca.cert}})
	spki, _ := x509.MarshalPKIXPublicKey(key.Public())
	if want := sha256.Sum256(spki); l.ID() != want {
		t.Fatalf("log ID %x, want the SHA-256 of the SPKI %x", l.ID(), want)
	}
	var mu sync.Mutex
	indexes := map[string]bool{}
	var wg sync.WaitGroup
	for i := range 50 {
		p := ca.precert(t, int64(i+1))
		wg.Go(func() {
			before := time.Now().UnixMilli()
			sct, err := l.AddPrecert(t.Context(), p)
			if err != nil {
				t.Error(err)
				return
			}
			if err := sct.Verify(key.Public(), p.IssuerKeyHash, p.TBS); err != nil {
				t.Error(err)
			}
			if sct.LogID != l.ID() || int64(sct.Timestamp) < before || int64(sct.Timestamp) > time.Now().UnixMilli() {
				t.Errorf("SCT %+v", sct)
			}
			mu.Lock()
			indexes[hex.EncodeToString(sct.Extensions)] = true
			mu.Unlock()
		})
	}
	wg.Wait()
	if len(indexes) != 50 || !indexes["0000050000000000"] || !indexes["0000050000000031"] {
		t.Fatalf("%d distinct leaf indexes: %v", len(indexes), indexes)
	}
	shut(t, l)
	findings, err := Fsck(t.Context(), Config{Dir: dir, Origin: origin}, key.Public())
	if err != nil || len(findings) > 0 {
		t.Fatalf("%v, %v", findings, err)
	}
	if _, err := l.AddPrecert(t.Context(), ca.precert(t, 99)); !errors.Is(err, tilelog.ErrClosed) {
		t.Fatalf("after closing: %v", err)
	}
}

func TestTheCheckpointIsAnRFC6962NoteSignature(t *testing.T) {
	key, ca := newKey(t), newAuthority(t)
	l := newLog(t, Config{}, Deps{Key: key})
	if _, err := l.AddPrecert(t.Context(), ca.precert(t, 1)); err != nil {
		t.Fatal(err)
	}
	tree, err := l.tiles.Await(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	vkey, err := fnote.RFC6962VerifierString(origin, key.Public())
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := fnote.NewRFC6962Verifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	ours, err := NewVerifier(origin, key.Public())
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range map[string]note.Verifier{"transparency-dev/formats": theirs, "ours": ours} {
		n, err := note.Open([]byte(tree.Checkpoint), note.VerifierList(v))
		if err != nil || len(n.Sigs) != 1 {
			t.Errorf("%s: %v", name, err)
		}
		bad := strings.Replace(tree.Checkpoint, "\n1\n", "\n2\n", 1)
		if _, err := note.Open([]byte(bad), note.VerifierList(v)); err == nil {
			t.Errorf("%s accepts another size", name)
		}
	}
}

func TestPrecertificatesThatDoNotFitAreRefused(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	l := newLog(t, Config{}, Deps{Key: newKey(t)})
	tests := []struct {
		name, want string
		spoil      func(p *certext.Precert)
	}{
		{"no chain", "0 issuers", func(p *certext.Precert) { p.Chain = nil }},
		{"long chain", "9 issuers", func(p *certext.Precert) { p.Chain = make([][]byte, 9) }},
		{"other TBS", "not the precertificate's", func(p *certext.Precert) { p.TBS = append([]byte{0}, p.TBS...) }},
		{"other issuer", "issuer key hash", func(p *certext.Precert) { p.Chain = [][]byte{other.cert.Raw} }},
		{"garbage issuer", "issuer certificate", func(p *certext.Precert) { p.Chain = [][]byte{{1, 2}} }},
		{"leaf as issuer", "is not a CA", func(p *certext.Precert) { p.Chain = [][]byte{p.DER} }},
		{"garbage precertificate", "DER", func(p *certext.Precert) { p.DER = []byte("x") }},
	}
	for _, tc := range tests {
		p := ca.precert(t, 1)
		tc.spoil(&p)
		if _, err := l.AddPrecert(t.Context(), p); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q", tc.name, err, tc.want)
		}
	}
	if n, err := l.tiles.IntegratedSize(t.Context()); n != 0 || err != nil {
		t.Fatalf("%d entries were logged, %v", n, err)
	}
}

func TestReadOnlyWhenTheDiskIsNearlyFull(t *testing.T) {
	ca := newAuthority(t)
	l := newLog(t, Config{MinFreeBytes: 1 << 30}, Deps{Key: newKey(t), FreeBytes: func(string) (uint64, error) { return 1 << 20, nil }})
	_, err := l.AddPrecert(t.Context(), ca.precert(t, 1))
	var low *durable.LowSpaceError
	if !errors.As(err, &low) {
		t.Fatalf("got %v", err)
	}
}

func TestNewRefusesBadConfigurations(t *testing.T) {
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	tests := []struct {
		name, origin string
		key          crypto.Signer
	}{
		{"no origin", "", newKey(t)},
		{"scheme", "https://h/ct", newKey(t)},
		{"upper case", "H/ct", newKey(t)},
		{"trailing slash", "h/", newKey(t)},
		{"no key", "h", nil},
		{"P-384", "h", p384},
	}
	for _, tc := range tests {
		if _, err := New(t.Context(), Config{Dir: t.TempDir(), Origin: tc.origin}, Deps{Key: tc.key}); err == nil {
			t.Errorf("%s: accepted", tc.name)
		}
	}
}

func TestHandler(t *testing.T) {
	ca := newAuthority(t)
	l := newLog(t, Config{}, Deps{Key: newKey(t), Roots: []*x509.Certificate{ca.cert}})
	if _, err := l.AddPrecert(t.Context(), ca.precert(t, 1)); err != nil {
		t.Fatal(err)
	}
	if _, err := l.tiles.Await(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	h := l.Handler()
	get := func(path string) (int, []byte, string) {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest("GET", path, nil))
		body, _ := io.ReadAll(rec.Body)
		return rec.Code, body, rec.Header().Get("Content-Type")
	}
	fp := sha256.Sum256(ca.cert.Raw)
	if code, body, ct := get("/ct/issuer/" + hex.EncodeToString(fp[:])); code != 200 || string(body) != string(ca.cert.Raw) || ct != "application/pkix-cert" {
		t.Errorf("issuer: %d, %s", code, ct)
	}
	if code, _, _ := get("/ct/issuer/" + strings.Repeat("00", 32)); code != 404 {
		t.Errorf("unknown issuer: %d", code)
	}
	if code, _, _ := get("/ct/issuer/checkpoint"); code != 400 {
		t.Errorf("not a fingerprint: %d", code)
	}
	var roots struct{ Certificates [][]byte }
	if code, body, _ := get("/ct/v1/get-roots"); code != 200 || json.Unmarshal(body, &roots) != nil || len(roots.Certificates) != 1 || string(roots.Certificates[0]) != string(ca.cert.Raw) {
		t.Errorf("get-roots: %d", code)
	}
	for _, path := range []string{"/ct/checkpoint", "/ct/tile/0/000.p/1", "/ct/tile/data/000.p/1"} {
		if code, body, _ := get(path); code != 200 || len(body) == 0 {
			t.Errorf("%s: %d", path, code)
		}
	}
}

func TestFsckNamesAMissingOrChangedIssuer(t *testing.T) {
	key, ca, dir := newKey(t), newAuthority(t), t.TempDir()
	l := newLog(t, Config{Dir: dir}, Deps{Key: key})
	if _, err := l.AddPrecert(t.Context(), ca.precert(t, 1)); err != nil {
		t.Fatal(err)
	}
	shut(t, l)
	path := issuerPath(dir, sha256.Sum256(ca.cert.Raw))
	for name, fault := range map[string]func() error{
		"changed": func() error { return os.WriteFile(path, []byte("x"), 0o644) },
		"missing": func() error { return os.Remove(path) },
	} {
		if name == "missing" {
			os.Remove(path)
			os.WriteFile(path, ca.cert.Raw, 0o644)
		}
		if err := fault(); err != nil {
			t.Fatal(err)
		}
		findings, err := Fsck(t.Context(), Config{Dir: dir, Origin: origin}, key.Public())
		if err != nil || len(findings) != 1 || !strings.HasPrefix(findings[0].Where, "issuer/") {
			t.Errorf("%s: %v, %v", name, findings, err)
		}
	}
}

// The tree covers the logged TBS certificate and not the pre-certificate beside
// it, so that a changed bit there leaves every hash right.
func TestFsckComparesThePrecertificate(t *testing.T) {
	key, ca, dir := newKey(t), newAuthority(t), t.TempDir()
	l := newLog(t, Config{Dir: dir}, Deps{Key: key})
	p := ca.precert(t, 1)
	if _, err := l.AddPrecert(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	shut(t, l)
	tile := filepath.Join(dir, "tile", "data", "000.p", "1")
	data, err := os.ReadFile(tile)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(data, p.DER)
	if at < 0 {
		t.Fatal("the tile has no pre-certificate")
	}
	data[at+40] ^= 1
	if err := os.WriteFile(tile, data, 0o644); err != nil {
		t.Fatal(err)
	}
	findings, err := Fsck(t.Context(), Config{Dir: dir, Origin: origin}, key.Public())
	if err != nil || len(findings) != 1 || findings[0].Where != "entry 0" {
		t.Errorf("%v, %v", findings, err)
	}
}

func TestClockSteppedBackIsMended(t *testing.T) {
	ca, dir := newAuthority(t), t.TempDir()
	l := newLog(t, Config{Dir: dir}, Deps{Key: newKey(t)})
	if _, err := l.AddPrecert(t.Context(), ca.precert(t, 1)); err != nil {
		t.Fatal(err)
	}
	future := time.Now().Add(time.Hour)
	if err := os.Chtimes(filepath.Join(dir, "checkpoint"), future, future); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * tilelog.MinCheckpointInterval) // the clock is looked at once per interval
	if err := os.Chtimes(filepath.Join(dir, "checkpoint"), future, future); err != nil {
		t.Fatal(err)
	}
	if _, err := l.AddPrecert(t.Context(), ca.precert(t, 2)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, err := l.tiles.Await(ctx, 1); err != nil {
		t.Fatal(err)
	}
	if l.tiles.Mends() == 0 {
		t.Fatal("no mend was counted")
	}
}

func FuzzVerifier(f *testing.F) {
	key := newKey(f)
	v, err := NewVerifier(origin, key.Public())
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(origin+"\n1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"), []byte{0, 0, 0, 0, 0, 0, 0, 0, 4, 3, 0, 1, 0})
	f.Fuzz(func(t *testing.T, msg, sig []byte) {
		if v.Verify(msg, sig) {
			t.Fatal("a signature was forged")
		}
		takeApart(sig).check()
	})
}

func BenchmarkAddPrecert(b *testing.B) {
	ca := newAuthority(b)
	l := newLog(b, Config{}, Deps{Key: newKey(b)})
	p := ca.precert(b, 1)
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := l.AddPrecert(b.Context(), p); err != nil {
				b.Error(err)
			}
		}
	})
}
