// SPDX-License-Identifier: Apache-2.0

package translog

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"hallmark/internal/format/logentry"
)

// The benchmarks submit pre-signed entries with certificates of the log's own CA, through the
// handler over loopback HTTP, from the same process.

func benchServer(b *testing.B, accept Accept) (*fixture, *Log, *httptest.Server, *http.Client) {
	f := newFixture(b)
	f.cfg.Accept = accept
	l := f.open(b)
	srv := httptest.NewServer(l.Handler())
	b.Cleanup(srv.Close)
	return f, l, srv, &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2048}}
}

// requests pre-signs n entries, by as many or as few identities as next hands out.
func requests(b *testing.B, n int, entry func(i int) logentry.HashedRekord) [][]byte {
	out := make([][]byte, n)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				out[i] = entry(int(i)).Request()
			}
		})
	}
	wg.Wait()
	return out
}

func post(b *testing.B, c *http.Client, url string, body []byte) {
	resp, err := c.Post(url+"/api/v2/log/entries", "application/json", bytes.NewReader(body))
	if err != nil {
		b.Error(err)
		return
	}
	data, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if resp.StatusCode != http.StatusCreated || err != nil {
		b.Errorf("%d %s %v", resp.StatusCode, data, err)
	}
}

func reportLatency(b *testing.B, took []time.Duration) {
	slices.Sort(took)
	ms := func(q float64) float64 {
		return float64(took[int(q*float64(len(took)-1))].Microseconds()) / 1000
	}
	b.ReportMetric(ms(.5), "p50-ms")
	b.ReportMetric(ms(.99), "p99-ms")
}

// cpuTime is what the process, load generator included, has used of all cores.
func cpuTime(b *testing.B) time.Duration {
	var ru syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &ru); err != nil {
		b.Fatal(err)
	}
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}

func BenchmarkOneAtATime(b *testing.B) {
	for _, mode := range []struct {
		name  string
		pause time.Duration
	}{{"spaced250ms", 250 * time.Millisecond}, {"backtoback", 0}} {
		b.Run(mode.name, func(b *testing.B) {
			f, _, srv, c := benchServer(b, OwnCA)
			reqs := requests(b, b.N, func(int) logentry.HashedRekord { return f.entry(b) })
			var took []time.Duration
			b.ResetTimer()
			for _, r := range reqs {
				time.Sleep(mode.pause)
				start := time.Now()
				post(b, c, srv.URL, r)
				took = append(took, time.Since(start))
			}
			reportLatency(b, took)
		})
	}
}

func Benchmark1024Clients(b *testing.B) {
	b.Run("certificate-per-entry", func(b *testing.B) {
		benchClients(b, OwnCA, func(f *fixture) func(int) logentry.HashedRekord {
			return func(int) logentry.HashedRekord { return f.entry(b) }
		})
	})
	b.Run("certificate-per-client", func(b *testing.B) {
		benchClients(b, OwnCA, func(f *fixture) func(int) logentry.HashedRekord {
			ids := make([]identity, 1024)
			for i := range ids {
				ids[i] = f.ca.issue(b, "a@example.test", p256(b))
			}
			return func(i int) logentry.HashedRekord { return ids[i%1024].sign(b, fresh()) }
		})
	})
	b.Run("key-per-entry", func(b *testing.B) {
		benchClients(b, Keys, func(*fixture) func(int) logentry.HashedRekord {
			return func(int) logentry.HashedRekord { return identity{key: p256(b)}.sign(b, fresh()) }
		})
	})
}

func benchClients(b *testing.B, accept Accept, sign func(*fixture) func(int) logentry.HashedRekord) {
	f, l, srv, c := benchServer(b, accept)
	reqs := requests(b, b.N, sign(f))
	took := make([]time.Duration, b.N)
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	cpu := cpuTime(b)
	for range 1024 {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(b.N); i = next.Add(1) - 1 {
				start := time.Now()
				post(b, c, srv.URL, reqs[i])
				took[i] = time.Since(start)
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "entries/s")
	b.ReportMetric(float64((cpuTime(b)-cpu).Microseconds())/float64(b.N), "cpu-µs/entry")
	reportLatency(b, took)
	if n := treeSize(b, l); n != uint64(b.N) {
		b.Fatalf("%d leaves, want %d", n, b.N)
	}
}

func BenchmarkCheck(b *testing.B) {
	f := newFixture(b)
	l := f.open(b)
	h := f.entry(b)
	for b.Loop() {
		if _, r := l.check(h); r != nil {
			b.Fatal(r)
		}
	}
}
