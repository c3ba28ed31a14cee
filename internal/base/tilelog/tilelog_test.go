// SPDX-License-Identifier: Apache-2.0

package tilelog

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api/layout"
	"github.com/transparency-dev/tessera/ctonly"
	"golang.org/x/mod/sumdb/note"
)

type keys struct {
	signer   note.Signer
	verifier note.Verifier
}

func newKeys(t testing.TB) keys {
	t.Helper()
	skey, vkey, err := note.GenerateKey(rand.Reader, "log.example.test")
	if err != nil {
		t.Fatal(err)
	}
	s, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	v, err := note.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	return keys{s, v}
}

func open(t testing.TB, cfg Config) *Log {
	t.Helper()
	l, err := Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func closeLog(t testing.TB, l *Log) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := l.Close(ctx); err != nil {
		t.Fatal(err)
	}
}

// addAll adds n entries at once and awaits each; it returns entry → index.
func addAll(t testing.TB, l *Log, n int, name string) map[string]uint64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var mu sync.Mutex
	var wg sync.WaitGroup
	got := map[string]uint64{}
	for i := range n {
		wg.Go(func() {
			data := fmt.Sprintf("%s-%d", name, i)
			idx, err := l.Add(ctx, []byte(data))()
			if err != nil {
				t.Error(err)
				return
			}
			tree, err := l.Await(ctx, idx)
			if err != nil {
				t.Error(err)
				return
			}
			h := leafHash([]byte(data))
			p, err := tree.Prove(ctx, idx, h)
			if err != nil {
				t.Error(err)
				return
			}
			if err := proof.VerifyInclusion(rfc6962.DefaultHasher, idx, tree.Size, h[:], p, tree.Root[:]); err != nil {
				t.Error(err)
			}
			mu.Lock()
			got[data] = idx
			mu.Unlock()
		})
	}
	wg.Wait()
	return got
}

func fsckDir(t testing.TB, dir string, k keys, ct bool) *Report {
	t.Helper()
	rep, err := Check{Dir: dir, Verifier: k.verifier, CTLayout: ct}.Run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

func TestEntriesAreProvenAndSurviveReopening(t *testing.T) {
	k, dir := newKeys(t), t.TempDir()
	l := open(t, Config{Dir: dir, Signer: k.signer})
	first := addAll(t, l, 700, "a") // more than two tiles
	if len(first) != 700 {
		t.Fatalf("%d entries added, want 700", len(first))
	}
	old, err := l.Current(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := note.Open([]byte(old.Checkpoint), note.VerifierList(k.verifier)); err != nil {
		t.Fatal(err)
	}
	closeLog(t, l)
	if rep := fsckDir(t, dir, k, false); len(rep.Findings) > 0 || rep.Size != 700 || rep.Published != 700 {
		t.Fatalf("fsck after closing: %+v", rep)
	}

	l = open(t, Config{Dir: dir, Signer: k.signer})
	defer closeLog(t, l)
	second := addAll(t, l, 5, "b")
	now, err := l.Await(t.Context(), slices.Max([]uint64{second["b-0"], second["b-4"]}))
	if err != nil {
		t.Fatal(err)
	}
	hashes, err := now.Consistency(t.Context(), old.Size, now.Size)
	if err != nil {
		t.Fatal(err)
	}
	if err := proof.VerifyConsistency(rfc6962.DefaultHasher, old.Size, now.Size, hashes, old.Root[:], now.Root[:]); err != nil {
		t.Fatal(err)
	}
	for data, idx := range first {
		got, err := now.Entry(t.Context(), idx)
		if err != nil || string(got) != data {
			t.Fatalf("entry %d is %q, %v; want %q", idx, got, err, data)
		}
		if _, err := now.Prove(t.Context(), idx, leafHash([]byte("another"))); err == nil {
			t.Fatal("a leaf that is not there was proven")
		}
	}
	for _, c := range [][2]uint64{{0, 1}, {2, 1}, {1, now.Size + 1}} {
		if _, err := now.Consistency(t.Context(), c[0], c[1]); err == nil {
			t.Errorf("consistency %v was answered", c)
		}
	}
}

// One batch per checkpoint, and the checkpoint at once after its batch.
func TestGatherMakesOneBatchPerCheckpoint(t *testing.T) {
	k := newKeys(t)
	l := open(t, Config{Dir: t.TempDir(), Signer: k.signer, Gather: true})
	defer closeLog(t, l)
	addAll(t, l, 1, "first")
	sizes := map[uint64]bool{}
	start := time.Now()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range 20 {
		time.Sleep(2 * time.Millisecond)
		wg.Go(func() {
			idx, err := l.Add(t.Context(), fmt.Appendf(nil, "e-%d", i))()
			if err != nil {
				t.Error(err)
				return
			}
			tree, err := l.Await(t.Context(), idx)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			sizes[tree.Size] = true
			mu.Unlock()
		})
	}
	wg.Wait()
	took := time.Since(start) // a tenth of a second, unless the machine stalls
	if most := 1 + int(took/MinCheckpointInterval); len(sizes) > most {
		t.Fatalf("20 entries within %v came under %d checkpoints, want at most %d", took, len(sizes), most)
	}
}

func TestAwaitGivesUpWithItsContextAndOnClose(t *testing.T) {
	k := newKeys(t)
	l := open(t, Config{Dir: t.TempDir(), Signer: k.signer})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := l.Await(ctx, 5); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	if n := len(l.pub.waiters); n != 0 {
		t.Fatalf("%d waiters are left behind", n)
	}
	done := make(chan error)
	go func() { _, err := l.Await(context.Background(), 5); done <- err }()
	time.Sleep(10 * time.Millisecond)
	closeLog(t, l)
	if err := <-done; !errors.Is(err, ErrClosed) {
		t.Fatalf("got %v", err)
	}
	if _, err := l.Await(t.Context(), 5); !errors.Is(err, ErrClosed) {
		t.Fatalf("got %v", err)
	}
}

func TestNobodyWaitingNothingWatched(t *testing.T) {
	k := newKeys(t)
	l := open(t, Config{Dir: t.TempDir(), Signer: k.signer})
	defer closeLog(t, l)
	addAll(t, l, 1, "x")
	idx, err := l.Add(t.Context(), []byte("y"))()
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond) // published meanwhile, unseen
	l.pub.mu.Lock()
	watching, published, signed := l.pub.watching, l.pub.published.Size, l.pub.signed
	l.pub.mu.Unlock()
	if watching || published != 1 || signed != 2 {
		t.Fatalf("watching %v, seen published %d, signed %d; want false, 1, 2", watching, published, signed)
	}
	tree, err := l.Await(t.Context(), idx) // signed before anyone waited: arms at once
	if err != nil || tree.Size != 2 {
		t.Fatalf("%v, %v", tree, err)
	}
}

func TestClockSteppedBack(t *testing.T) {
	k, dir := newKeys(t), t.TempDir()
	l := open(t, Config{Dir: dir, Signer: k.signer})
	defer closeLog(t, l)
	addAll(t, l, 1, "before")
	future := time.Now().Add(time.Hour)
	for i := range 3 {
		if err := os.Chtimes(filepath.Join(dir, "checkpoint"), future, future); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		idx, err := l.Add(ctx, fmt.Appendf(nil, "after-%d", i))()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.Await(ctx, idx); err != nil {
			t.Fatalf("the log stopped: %v", err)
		}
		cancel()
		if got := l.Mends(); got != uint64(i+1) {
			t.Fatalf("%d mends counted, want %d", got, i+1)
		}
	}
}

func TestStaticPaths(t *testing.T) {
	k, dir := newKeys(t), t.TempDir()
	l := open(t, Config{Dir: dir, Signer: k.signer})
	defer closeLog(t, l)
	addAll(t, l, 300, "e")
	// A collected partial tile and bundle are cut from the full ones.
	for _, p := range []string{"tile/0/000.p", "tile/entries/000.p"} {
		if err := os.RemoveAll(filepath.Join(dir, p)); err != nil {
			t.Fatal(err)
		}
	}
	mux := http.NewServeMux()
	l.Register(mux, "/api/v2")
	srv := httptest.NewServer(mux)
	defer srv.Close()

	tests := []struct {
		path, cache string
		status, len int
	}{
		{"checkpoint", "no-cache", 200, -1},
		{"tile/0/000", cacheForever, 200, 256 * 32},
		{"tile/0/000.p/10", cachePartial, 200, 10 * 32},
		{"tile/0/001.p/44", cachePartial, 200, 44 * 32},
		{"tile/1/000.p/1", cachePartial, 200, 32},
		{"tile/entries/000", cacheForever, 200, -1},
		{"tile/entries/000.p/3", cachePartial, 200, -1},
		{"tile/entries/001.p/44", cachePartial, 200, -1},
		{"tile/0/001", "", 404, -1},
		{"tile/0/001.p/45", "", 404, -1},
		{"tile/entries/001", "", 404, -1},
		{"tile/9/000", "", 404, -1},
		{"tile/0/x999/x999/x999/x999/x999/x999/999", "", 400, -1},
		{"tile/7/x018/x446/x744/x073/x709/x551/615", "", 404, -1},
		{"tile/0/1", "", 400, -1},
		{"tile/0/000.p/0", "", 400, -1},
		{"tile/0/..%2f..%2fcheckpoint", "", 400, -1},
		{"tile/entries/abc", "", 400, -1},
	}
	for _, tc := range tests {
		resp, err := http.Get(srv.URL + "/api/v2/" + tc.path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != tc.status || tc.len >= 0 && len(body) != tc.len {
			t.Errorf("%s: %d with %d bytes, want %d with %d", tc.path, resp.StatusCode, len(body), tc.status, tc.len)
		}
		if got := resp.Header.Get("Cache-Control"); tc.status == 200 && got != tc.cache {
			t.Errorf("%s: Cache-Control %q, want %q", tc.path, got, tc.cache)
		}
	}
	full, _ := os.ReadFile(filepath.Join(dir, "tile/entries/000"))
	resp, err := http.Get(srv.URL + "/api/v2/tile/entries/000.p/3")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	cut, _ := io.ReadAll(resp.Body)
	if len(cut) == 0 || len(cut) >= len(full) || !bytes.HasPrefix(full, cut) {
		t.Errorf("the cut bundle has %d of %d bytes", len(cut), len(full))
	}
}

func TestFsckNamesEachFault(t *testing.T) {
	k := newKeys(t)
	master := t.TempDir()
	l := open(t, Config{Dir: master, Signer: k.signer})
	addAll(t, l, 300, "e")
	closeLog(t, l)

	flip := func(path string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			p := filepath.Join(dir, path)
			raw, err := os.ReadFile(p)
			if err != nil {
				t.Fatal(err)
			}
			raw[len(raw)-1] ^= 1
			if err := os.WriteFile(p, raw, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	remove := func(path string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, path)); err != nil {
				t.Fatal(err)
			}
		}
	}
	write := func(path, data string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, path), []byte(data), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	tests := []struct {
		name  string
		fault func(t *testing.T, dir string)
		want  string // a finding's text holds this
	}{
		{"none", func(*testing.T, string) {}, ""},
		{"entry changed", flip("tile/entries/000"), "tile/0/000: differs"},
		{"last entry changed", flip("tile/entries/001.p/44"), "tile/0/001.p/44: differs"},
		{"tile changed", flip("tile/0/000"), "tile/0/000: differs"},
		{"right edge tile changed", flip("tile/0/001.p/44"), "tile/0/001.p/44: differs"},
		{"upper tile changed", flip("tile/1/000.p/1"), "tile/1/000.p/1: differs"},
		{"bundle missing", remove("tile/entries/000"), "tile/entries/000: cannot be read"},
		{"tile missing", remove("tile/0/000"), "tile/0/000: cannot be read"},
		{"bundle truncated", write("tile/entries/001.p/44", "\x00\x05abc"), "truncated"},
		{"checkpoint missing", remove("checkpoint"), "checkpoint: is missing"},
		{"checkpoint unsigned", write("checkpoint", "log.example.test\n1\nAAAA\n\n"), "checkpoint: is not signed"},
		{"state missing", remove(".state/treeState"), "treeState: cannot be read"},
		{"state behind", write(".state/treeState", `{"size":1,"root":"AAAA"}`), "fewer than the 300"},
		{"state root", write(".state/treeState", `{"size":300,"root":"AAAA"}`), "treeState: has root"},
		{"state garbage", write(".state/treeState", `{`), "not the JSON"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(master)); err != nil {
				t.Fatal(err)
			}
			tc.fault(t, dir)
			rep := fsckDir(t, dir, k, false)
			if tc.want == "" {
				if len(rep.Findings) > 0 {
					t.Fatalf("findings in a good log: %v", rep.Findings)
				}
				return
			}
			found := slices.ContainsFunc(rep.Findings, func(f Finding) bool { return strings.Contains(f.String(), tc.want) })
			if !found {
				t.Fatalf("no finding says %q: %v", tc.want, rep.Findings)
			}
		})
	}
	t.Run("foreign key", func(t *testing.T) {
		rep := fsckDir(t, master, newKeys(t), false)
		if len(rep.Findings) != 1 || rep.Findings[0].Where != "checkpoint" {
			t.Fatalf("%v", rep.Findings)
		}
	})
}

func TestCTLayout(t *testing.T) {
	k, dir := newKeys(t), t.TempDir()
	l := open(t, Config{Dir: dir, Signer: k.signer, CTLayout: true})
	var want [][hashSize]byte
	for i := range 260 {
		e := &ctonly.Entry{Timestamp: uint64(i), IsPrecert: i%2 == 0, Certificate: []byte("tbs"),
			IssuerKeyHash: make([]byte, 32), FingerprintsChain: [][32]byte{{1}, {2}}}
		if e.IsPrecert {
			e.Precertificate = []byte("precert")
		}
		l.AddCT(t.Context(), e)
		want = append(want, [hashSize]byte(e.MerkleLeafHash(uint64(i))))
	}
	tree, err := l.Await(t.Context(), 259)
	if err != nil {
		t.Fatal(err)
	}
	for i, h := range want {
		if _, err := tree.Prove(t.Context(), uint64(i), h); err != nil {
			t.Fatal(err)
		}
	}
	mux := http.NewServeMux()
	l.Register(mux, "/ct")
	rec := httptest.NewRecorder()
	mux.ServeHTTP(rec, httptest.NewRequest("GET", "/ct/tile/data/000.p/7", nil))
	if rec.Code != 200 || rec.Body.Len() == 0 {
		t.Fatalf("data tile: %d", rec.Code)
	}
	closeLog(t, l)
	seen := 0
	rep, err := Check{Dir: dir, Verifier: k.verifier, CTLayout: true, Visit: func(i uint64, _ []byte, h [hashSize]byte) error {
		if h != want[i] {
			t.Errorf("entry %d: leaf hash %x, want %x", i, h, want[i])
		}
		seen++
		return nil
	}}.Run(t.Context())
	if err != nil || len(rep.Findings) > 0 || seen != 260 {
		t.Fatalf("%+v, %v, %d seen", rep, err, seen)
	}
}

func TestOpenPublishesAfterACrashBeforeTheCheckpoint(t *testing.T) {
	k, dir := newKeys(t), t.TempDir()
	l := open(t, Config{Dir: dir, Signer: k.signer})
	addAll(t, l, 3, "e")
	closeLog(t, l)
	if err := os.Remove(filepath.Join(dir, "checkpoint")); err != nil {
		t.Fatal(err)
	}
	l = open(t, Config{Dir: dir, Signer: k.signer})
	defer closeLog(t, l)
	if tree, err := l.Current(t.Context()); err != nil || tree.Size != 3 {
		t.Fatalf("%+v, %v", tree, err)
	}
}

func FuzzSplitBundle(f *testing.F) {
	f.Add([]byte("\x00\x03abc\x00\x00"), 2, false)
	e := ctonly.Entry{Timestamp: 1, IsPrecert: true, Certificate: []byte("tbs"), Precertificate: []byte("p"), IssuerKeyHash: make([]byte, 32)}
	f.Add(e.LeafData(7), 1, true)
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 2}, 1, true)
	f.Fuzz(func(t *testing.T, raw []byte, n int, ct bool) {
		if n < 0 || n > layout.EntryBundleWidth {
			return
		}
		cut, err := cutBundle(raw, n, ct)
		if !bytes.HasPrefix(raw, cut) {
			t.Fatal("a bundle was cut to something else")
		}
		if err != nil {
			return
		}
		if again, err := cutBundle(cut, n, ct); err != nil || !bytes.Equal(again, cut) {
			t.Fatalf("cutting a cut bundle: %v", err)
		}
	})
}

func BenchmarkAdd(b *testing.B) {
	for _, mode := range []struct {
		name  string
		pause time.Duration
	}{{"spaced250ms", 250 * time.Millisecond}, {"backtoback", 0}} {
		b.Run(mode.name, func(b *testing.B) {
			k := newKeys(b)
			l := open(b, Config{Dir: b.TempDir(), Signer: k.signer, Gather: true})
			defer closeLog(b, l)
			var took []time.Duration
			for i := 0; b.Loop(); i++ {
				time.Sleep(mode.pause)
				start := time.Now()
				idx, err := l.Add(b.Context(), fmt.Appendf(nil, "e-%d", i))()
				if err != nil {
					b.Fatal(err)
				}
				if _, err := l.Await(b.Context(), idx); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(start))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
		})
	}
}

func TestMain(m *testing.M) {
	RouteTessera(slog.New(slog.DiscardHandler))
	os.Exit(m.Run())
}
