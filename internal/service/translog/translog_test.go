// SPDX-License-Identifier: Apache-2.0

package translog

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"hallmark/internal/format/digest"
	"hallmark/internal/format/logentry"
	"hallmark/internal/format/pubkey"
)

func TestAddProvesAndRemembers(t *testing.T) {
	f := newFixture(t)
	l := f.open(t)
	h := f.entry(t)
	e, dup, err := l.Add(t.Context(), h)
	if err != nil || dup {
		t.Fatalf("dup %v, %v", dup, err)
	}
	verifyEntry(t, f, e, h.Body())
	for _, wait := range []bool{false, true} { // while in flight, and from the index
		if wait {
			settle(t, l)
		}
		again, dup, err := l.Add(t.Context(), h)
		if err != nil || !dup || again.LogIndex != e.LogIndex {
			t.Fatalf("submitted again: dup %v at %v, %v", dup, again, err)
		}
		verifyEntry(t, f, again, h.Body())
	}
	if n := treeSize(t, l); n != 1 {
		t.Fatalf("%d leaves", n)
	}
	if err := prometheus.NewPedanticRegistry().Register(l.Metrics()[0]); err != nil {
		t.Fatal(err)
	}
	if got := counted(t, l.stats.duplicates); got != 2 {
		t.Errorf("%v duplicates counted, want 2", got)
	}
}

func TestAThousandIdenticalSubmissionsLeaveOneLeaf(t *testing.T) {
	f := newFixture(t)
	l := f.open(t)
	body := string(f.entry(t).Request())
	var mu sync.Mutex
	answers := map[string]int{}
	var wg sync.WaitGroup
	for range 1000 {
		wg.Go(func() {
			code, answer, _ := call(t, l, "POST", "/api/v2/log/entries", body)
			if code != 201 {
				t.Errorf("%d %s", code, answer)
				return
			}
			e, err := logentry.Parse([]byte(answer))
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			answers[fmt.Sprint(e.LogIndex)]++
			mu.Unlock()
		})
	}
	wg.Wait()
	if len(answers) != 1 || answers["0"] != 1000 {
		t.Fatalf("answers by index: %v", answers)
	}
	if n := treeSize(t, l); n != 1 {
		t.Fatalf("%d leaves", n)
	}
}

// A crash loses index rows that were not committed, or the whole file. The next start must know
// every leaf before it takes the first write.
func TestTheIndexCatchesUpFromTheTiles(t *testing.T) {
	f := newFixture(t)
	l := f.open(t)
	var entries []logentry.HashedRekord
	for range 40 {
		entries = append(entries, f.entry(t))
	}
	var wg sync.WaitGroup
	for _, h := range entries[:20] {
		wg.Go(func() { l.Add(t.Context(), h) })
	}
	wg.Wait()
	settle(t, l)
	copyFile(t, indexPath(f.cfg.Dir), filepath.Join(f.cfg.Dir, "old"), true)
	for _, h := range entries[20:] {
		wg.Go(func() { l.Add(t.Context(), h) })
	}
	wg.Wait()
	shut(t, l)

	other := newFixture(t)
	ol := other.open(t)
	for range 3 {
		if _, _, err := ol.Add(t.Context(), other.entry(t)); err != nil {
			t.Fatal(err)
		}
	}
	shut(t, ol)

	path := indexPath(f.cfg.Dir)
	remove := func() {
		if err := removeDatabase(path); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name  string
		crash func()
	}{
		{"intact", func() {}},
		{"deleted", remove},
		{"behind", func() { remove(); copyFile(t, filepath.Join(f.cfg.Dir, "old"), path, false) }},
		{"garbage", func() { remove(); os.WriteFile(path, []byte(strings.Repeat("not a database", 500)), 0o600) }},
		{"of another log", func() { remove(); copyFile(t, indexPath(other.cfg.Dir), path, false) }},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			tc.crash()
			l := f.open(t)
			for i, h := range entries {
				e, dup, err := l.Add(t.Context(), h)
				if err != nil || !dup {
					t.Fatalf("entry %d: dup %v, %v", i, dup, err)
				}
				verifyEntry(t, f, e, h.Body())
			}
			if n := treeSize(t, l); n != 40 {
				t.Fatalf("%d leaves", n)
			}
			if page := searchFor(t, l, "digest", entries[0].Digest.String()); len(page.Entries) != 1 {
				t.Fatalf("%d hits", len(page.Entries))
			}
			shut(t, l)
			if findings, err := Fsck(t.Context(), f.cfg, f.pub); err != nil || len(findings) > 0 {
				t.Fatalf("%v, %v", findings, err)
			}
		})
	}
}

// copyFile copies an SQLite database that may be open; vacuum makes one consistent file.
func copyFile(t *testing.T, from, to string, vacuum bool) {
	t.Helper()
	if vacuum {
		x, err := openIndex(t.Context(), from, nil, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := x.db.Exec("VACUUM INTO ?", to); err != nil {
			t.Fatal(err)
		}
		x.close()
		return
	}
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A failed write leaves open whether the entry is in the tree: the index is brought up to the
// tree before the next lookup.
func TestAfterAFailedWriteTheTreeDecides(t *testing.T) {
	f := newFixture(t)
	l := f.open(t)
	h := f.entry(t)
	// In the tree, but neither in the index nor in flight, as after a write whose last fsync failed.
	if _, err := l.tiles.Add(t.Context(), h.Body())(); err != nil {
		t.Fatal(err)
	}
	l.suspect.Store(true)
	e, dup, err := l.Add(t.Context(), h)
	if err != nil || !dup || e.LogIndex != 0 {
		t.Fatalf("dup %v, %+v, %v", dup, e, err)
	}
	if n := treeSize(t, l); n != 1 {
		t.Fatalf("%d leaves", n)
	}
}

func TestALyingIndexIsRebuilt(t *testing.T) {
	f := newFixture(t)
	l := f.open(t)
	a, b := f.entry(t), f.entry(t)
	for _, h := range []logentry.HashedRekord{a, b} {
		if _, _, err := l.Add(t.Context(), h); err != nil {
			t.Fatal(err)
		}
	}
	settle(t, l)
	la, lb := logentry.LeafHash(a.Body()), logentry.LeafHash(b.Body())
	if _, err := l.index.db.Exec("DELETE FROM entry WHERE idx = 1; UPDATE entry SET leaf = ? WHERE idx = 0", lb[:]); err != nil {
		t.Fatal(err)
	}
	_, _, err := l.Add(t.Context(), b)
	var r *Refusal
	if !errors.As(err, &r) || r.Reason != "storage" {
		t.Fatalf("the index said that %x is at 0, and was believed: %v", la, err)
	}
	e, dup, err := l.Add(t.Context(), b)
	if err != nil || !dup || e.LogIndex != 1 {
		t.Fatalf("after the rebuild: dup %v, %v", dup, err)
	}
	if n := treeSize(t, l); n != 2 {
		t.Fatalf("%d leaves", n)
	}
}

func TestRefusals(t *testing.T) {
	f := newFixture(t)
	foreign := newAuthority(t, "another CA")
	impostor := newAuthority(t, "our CA") // same name, other key
	rsa3000, err := rsa.GenerateKey(rand.Reader, 3000)
	if err != nil {
		t.Fatal(err)
	}
	rsa2048, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, _ := ed25519.GenerateKey(rand.Reader)
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	good := f.entry(t)
	b64 := base64.StdEncoding.EncodeToString
	edit := func(old, new string) string {
		s := string(good.Request())
		if !strings.Contains(s, old) {
			t.Fatalf("the request has no %q", old)
		}
		return strings.Replace(s, old, new, 1)
	}
	reSigned := good
	reSigned.Signature = identity{key: p256(t)}.sign(t, []byte("x")).Signature
	otherDigest := good
	otherDigest.Digest = digest.Of(digest.SHA256, []byte("y"))
	oddRSA := identity{key: rsa3000}
	oddSPKI, _ := x509.MarshalPKIXPublicKey(oddRSA.key.Public())
	pss := logentry.HashedRekord{Digest: digest.Of(digest.SHA256, []byte("z")), Details: pubkey.RSAPSS_2048_SHA256}
	pss.Signature, _ = pubkey.Sign(rsa2048, pss.Details, []byte("z"))
	pss.PublicKey, _ = pubkey.MarshalPKIX(rsa2048.Public())
	mismatch := good
	mismatch.Details = pubkey.ECDSAP384SHA384
	mismatch.Digest = digest.Of(digest.SHA384, []byte("m"))

	tests := []struct {
		name   string
		accept Accept
		body   string
		status int
		want   string // in the message
	}{
		{"own certificate", OwnCA, string(good.Request()), 201, ""},
		{"bare key", Keys, string(identity{key: p256(t)}.sign(t, fresh()).Request()), 201, ""},
		{"foreign certificate", Any, string(foreign.issue(t, "a@b", p256(t)).sign(t, fresh()).Request()), 201, ""},
		{"RSA 2048", Keys, string(identity{key: rsa2048}.sign(t, fresh()).Request()), 201, ""},
		{"Ed25519ph", Keys, string(identity{key: edKey}.sign(t, fresh()).Request()), 201, ""},
		{"P-384", Keys, string(identity{key: p384}.sign(t, fresh()).Request()), 201, ""},
		{"snake case", OwnCA, strings.NewReplacer("hashedRekordRequestV002", "hashed_rekord_request_v002", "x509Certificate", "x509_certificate", "rawBytes", "raw_bytes", "keyDetails", "key_details").Replace(string(good.Request())), 201, ""},

		{"bare key under own-ca", OwnCA, string(identity{key: p256(t)}.sign(t, fresh()).Request()), 403, "bare public keys"},
		{"foreign certificate under own-ca", OwnCA, string(foreign.issue(t, "a@b", p256(t)).sign(t, fresh()).Request()), 403, "another CA"},
		{"foreign certificate under keys", Keys, string(foreign.issue(t, "a@b", p256(t)).sign(t, fresh()).Request()), 403, "another CA"},
		{"impostor CA", OwnCA, string(impostor.issue(t, "a@b", p256(t)).sign(t, fresh()).Request()), 403, "not from this instance's CA"},
		{"issued before the CA was", OwnCA, string(f.ca.issue(t, "a@b", p256(t), func(c *x509.Certificate) { c.NotBefore = time.Now().Add(-2 * time.Hour) }).sign(t, fresh()).Request()), 403, "not from this instance's CA"},
		{"issued after the CA's end", OwnCA, string(f.ca.issue(t, "a@b", p256(t), func(c *x509.Certificate) {
			c.NotBefore = time.Now().Add(2 * time.Hour)
			c.NotAfter = c.NotBefore.Add(time.Minute)
		}).sign(t, fresh()).Request()), 403, "not from this instance's CA"},
		{"sub-CA", OwnCA, string(f.ca.issue(t, "a@b", p256(t), func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true }).sign(t, fresh()).Request()), 403, "is a CA certificate"},

		{"signature by another key", OwnCA, string(reSigned.Request()), 400, "does not verify"},
		{"signature over another digest", OwnCA, string(otherDigest.Request()), 400, "does not verify"},
		{"short digest", OwnCA, edit(b64(good.Digest.Bytes()), b64(good.Digest.Bytes()[:31])), 400, "digest"},
		{"no digest", OwnCA, edit(`"digest":"`+b64(good.Digest.Bytes())+`",`, ""), 400, "digest"},
		{"no signature", OwnCA, edit(b64(good.Signature), ""), 400, "signature.content"},
		{"pure Ed25519", Keys, strings.Replace(string(identity{key: edKey}.sign(t, fresh()).Request()), "PKIX_ED25519_PH", "PKIX_ED25519", 1), 400, "PKIX_ED25519_PH"},
		{"RSA 3000", Any, string(logentry.HashedRekord{Digest: good.Digest, Signature: []byte("s"), Details: pubkey.RSAPKCS1v15_3072_SHA256, PublicKey: oddSPKI}.Request()), 400, "does not fit"},
		{"RSA-PSS", Any, string(pss.Request()), 400, "is not accepted"},
		{"unknown key details", OwnCA, edit("PKIX_ECDSA_P256_SHA_256", "PKIX_MAGIC"), 400, "PKIX_MAGIC"},
		{"key details of another key", OwnCA, string(mismatch.Request()), 400, "does not fit"},
		{"garbage certificate", OwnCA, edit(b64(good.Certificate), b64([]byte("certificate"))), 400, "not a DER certificate"},
		{"garbage key", Any, string(logentry.HashedRekord{Digest: good.Digest, Signature: []byte("s"), Details: good.Details, PublicKey: []byte("key")}.Request()), 400, "publicKey"},
		{"certificate and key", OwnCA, edit(`"x509Certificate":`, `"publicKey":{"rawBytes":"AAAA"},"x509Certificate":`), 400, "both"},
		{"unknown field", OwnCA, edit(`"digest"`, `"extra":1,"digest"`), 400, "extra"},
		{"DSSE request", OwnCA, `{"dsseRequestV002":{}}`, 400, "pre-authentication encoding"},
		{"malformed JSON", OwnCA, `{"hashedRekordRequestV002":`, 400, ""},
		{"empty", OwnCA, ``, 400, ""},
		{"oversize", OwnCA, strings.Repeat(" ", maxRequest+1), 413, "limit"},
		{"oversize entry", Any, string(logentry.HashedRekord{Digest: good.Digest, Signature: make([]byte, 60000), Details: good.Details, Certificate: good.Certificate}.Request()), 400, "at most 65535"},
	}
	logs := map[Accept]*Log{}
	for _, a := range []Accept{OwnCA, Keys, Any} {
		g := *f
		g.cfg.Dir, g.cfg.Accept = t.TempDir(), a
		logs[a] = g.open(t)
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			l := logs[tc.accept]
			before := treeSize(t, l)
			code, body, rec := call(t, l, "POST", "/api/v2/log/entries", tc.body)
			if code != tc.status || !strings.Contains(body, tc.want) {
				t.Fatalf("%d %s; want %d with %q", code, body, tc.status, tc.want)
			}
			if got := rec.Header().Get("Content-Type"); got != "application/json" {
				t.Errorf("Content-Type %q", got)
			}
			if code == 201 {
				if _, err := logentry.Parse([]byte(body)); err != nil {
					t.Fatal(err)
				}
			} else if !strings.HasPrefix(body, `{"code":`) {
				t.Errorf("the error is not grpc-gateway's: %s", body)
			} else if after := treeSize(t, l); after != before {
				t.Fatalf("a refused submission was logged")
			}
		})
	}
}

func TestQuotaPerSource(t *testing.T) {
	f := newFixture(t)
	now := time.Unix(1000, 0)
	f.deps.Now = func() time.Time { return now }
	f.cfg.WritesPerSecond, f.cfg.WriteBurst, f.cfg.BehindProxy = 0.5, 2, true
	l := f.open(t)
	post := func(forwarded string) (int, *http.Response) {
		code, _, rec := call(t, l, "POST", "/api/v2/log/entries", "{", "X-Forwarded-For", forwarded)
		return code, rec.Result()
	}
	for i, want := range []int{400, 400, 429} {
		if code, _ := post("9.9.9.9, 10.0.0.1"); code != want {
			t.Fatalf("request %d: %d, want %d", i, code, want)
		}
	}
	if _, resp := post("8.8.8.8, 10.0.0.1"); resp.StatusCode != 429 || resp.Header.Get("Retry-After") != "2" {
		t.Fatalf("another claimed client behind the same hop: %d, Retry-After %q", resp.StatusCode, resp.Header.Get("Retry-After"))
	}
	if code, _ := post("10.0.0.2"); code != 400 {
		t.Fatalf("another source: %d", code)
	}
	for i, want := range []int{400, 400, 429} { // one /64 is one source
		if code, _ := post(fmt.Sprintf("2001:db8::%d", i)); code != want {
			t.Fatalf("IPv6 request %d: %d, want %d", i, code, want)
		}
	}
	now = now.Add(2 * time.Second)
	if code, _ := post("10.0.0.1"); code != 400 {
		t.Fatalf("after the wait: %d", code)
	}
	if got := counted(t, l.stats.rejected.WithLabelValues("quota")); got != 3 {
		t.Errorf("%v quota refusals counted, want 3", got)
	}
}

func TestTheProxyHeaderCountsOnlyBehindAProxy(t *testing.T) {
	f := newFixture(t)
	f.cfg.WritesPerSecond, f.cfg.WriteBurst = 0.001, 1
	l := f.open(t)
	for i, want := range []int{400, 429} {
		code, _, _ := call(t, l, "POST", "/api/v2/log/entries", "{", "X-Forwarded-For", fmt.Sprintf("10.0.0.%d", i))
		if code != want {
			t.Fatalf("request %d: %d, want %d", i, code, want)
		}
	}
}

func TestQuotaForgetsTheLeastRecentlySeen(t *testing.T) {
	q := newQuota(1, 1, time.Now)
	for i := range maxSources + 10 {
		r, _ := http.NewRequest("GET", "/", nil)
		r.RemoteAddr = fmt.Sprintf("10.%d.%d.%d:1", i>>16, i>>8&255, i&255)
		q.take(sourceOf(r, false))
	}
	if len(q.sources) != maxSources || q.recent.Len() != maxSources {
		t.Fatalf("%d sources are remembered", len(q.sources))
	}
}

func TestReadOnlyWhenTheDiskIsNearlyFull(t *testing.T) {
	f := newFixture(t)
	free := uint64(1 << 40)
	var mu sync.Mutex
	f.cfg.MinFreeBytes = 1 << 30
	f.deps.FreeBytes = func(string) (uint64, error) { mu.Lock(); defer mu.Unlock(); return free, nil }
	l := f.open(t)
	h := f.entry(t)
	if code, body, _ := call(t, l, "POST", "/api/v2/log/entries", string(h.Request())); code != 201 {
		t.Fatalf("%d %s", code, body)
	}
	mu.Lock()
	free = 1 << 20
	mu.Unlock()
	time.Sleep(300 * time.Millisecond) // the space is looked at four times a second
	code, body, rec := call(t, l, "POST", "/api/v2/log/entries", string(f.entry(t).Request()))
	if code != 503 || !strings.Contains(body, "read-only") || rec.Header().Get("Retry-After") == "" {
		t.Fatalf("%d %s", code, body)
	}
	if code, _, _ := call(t, l, "POST", "/api/v2/log/entries", string(h.Request())); code != 201 {
		t.Fatalf("an entry that needs no room: %d", code)
	}
	if code, _, _ := call(t, l, "GET", "/api/v2/checkpoint", ""); code != 200 {
		t.Fatalf("reading: %d", code)
	}
}

func TestBusyWhenTooManyAreUnderWay(t *testing.T) {
	f := newFixture(t)
	f.cfg.MaxPending = 2
	l := f.open(t)
	l.gate.Lock() // nothing moves
	var wg sync.WaitGroup
	for range 2 {
		h := f.entry(t)
		wg.Go(func() {
			if _, _, err := l.Add(context.Background(), h); err != nil {
				t.Error(err)
			}
		})
	}
	for {
		l.mu.Lock()
		n := len(l.flights)
		l.mu.Unlock()
		if n == 2 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	code, body, rec := call(t, l, "POST", "/api/v2/log/entries", string(f.entry(t).Request()))
	if code != 503 || !strings.Contains(body, "under way") || rec.Header().Get("Retry-After") == "" {
		t.Errorf("%d %s", code, body)
	}
	l.gate.Unlock()
	wg.Wait()
}

func TestAClockSteppedBackDoesNotStopTheLog(t *testing.T) {
	f := newFixture(t)
	l := f.open(t)
	if _, _, err := l.Add(t.Context(), f.entry(t)); err != nil {
		t.Fatal(err)
	}
	future := time.Now().Add(time.Hour)
	if err := os.Chtimes(filepath.Join(treeDir(f.cfg.Dir), "checkpoint"), future, future); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if _, _, err := l.Add(t.Context(), f.entry(t)); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Fatalf("it took %v", took)
	}
	if l.tiles.Mends() != 1 {
		t.Fatalf("%d mends counted", l.tiles.Mends())
	}
}

func TestCloseDrainsAndThenRefuses(t *testing.T) {
	f := newFixture(t)
	l := f.open(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var logged []logentry.HashedRekord
	for range 50 {
		h := f.entry(t)
		wg.Go(func() {
			if _, _, err := l.Add(context.Background(), h); err == nil {
				mu.Lock()
				logged = append(logged, h)
				mu.Unlock()
			}
		})
	}
	time.Sleep(10 * time.Millisecond)
	shut(t, l)
	wg.Wait()
	code, body, _ := call(t, l, "POST", "/api/v2/log/entries", string(f.entry(t).Request()))
	if code != 503 || !strings.Contains(body, "shutting down") {
		t.Fatalf("%d %s", code, body)
	}
	if findings, err := Fsck(t.Context(), f.cfg, f.pub); err != nil || len(findings) > 0 {
		t.Fatalf("%v, %v", findings, err)
	}
	l = f.open(t)
	for _, h := range logged {
		if _, dup, err := l.Add(t.Context(), h); err != nil || !dup {
			t.Fatalf("an answered entry is lost: dup %v, %v", dup, err)
		}
	}
}

func TestNewRefusesBadConfigurations(t *testing.T) {
	tests := map[string]func(f *fixture){
		"no origin":          func(f *fixture) { f.cfg.Origin = "" },
		"origin with port":   func(f *fixture) { f.cfg.Origin = "a b" },
		"origin with a path": func(f *fixture) { f.cfg.Origin = "h/log" },
		"no folder":          func(f *fixture) { f.cfg.Dir = "" },
		"no key":             func(f *fixture) { f.deps.Key = nil },
		"unknown policy":     func(f *fixture) { f.cfg.Accept = "all" },
		"no CA":              func(f *fixture) { f.deps.OwnCAs = nil },
	}
	for name, spoil := range tests {
		f := newFixture(t)
		spoil(f)
		if l, err := New(t.Context(), f.cfg, f.deps); err == nil {
			l.Close(t.Context())
			t.Errorf("%s: accepted", name)
		}
	}
	f := newFixture(t)
	f.cfg.Dir = filepath.Join(f.cfg.Dir, "file")
	os.WriteFile(f.cfg.Dir, nil, 0o600)
	if _, err := New(t.Context(), f.cfg, f.deps); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file as folder: %v", err)
	}
}

func counted(t testing.TB, c prometheus.Metric) float64 {
	t.Helper()
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}

// An empty or older tree under the old key would fork the log.
func TestALostTreeIsNotReplacedByAnEmptyOne(t *testing.T) {
	f := newFixture(t)
	l := f.open(t)
	if _, _, err := l.Add(t.Context(), f.entry(t)); err != nil {
		t.Fatal(err)
	}
	settle(t, l)
	shut(t, l)
	if err := os.RemoveAll(treeDir(f.cfg.Dir)); err != nil {
		t.Fatal(err)
	}
	if l, err := New(t.Context(), f.cfg, f.deps); err == nil || !strings.Contains(err.Error(), "restore the tree") {
		if err == nil {
			shut(t, l)
		}
		t.Fatalf("error %v", err)
	}
}
