// SPDX-License-Identifier: Apache-2.0

package translog

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"hallmark/internal/format/logentry"
)

// The benchmarks submit pre-signed entries through the handler over loopback HTTP, from the same
// process. The load generator speaks HTTP/1.1 itself, one connection per client, since
// net/http's client would use about as much of the two cores as the server does.

func benchServer(b *testing.B, accept Accept) (*fixture, *Log, *httptest.Server) {
	f := newFixture(b)
	f.cfg.Accept = accept
	l := f.open(b)
	srv := httptest.NewServer(l.Handler())
	b.Cleanup(srv.CloseClientConnections)
	return f, l, srv
}

// requests pre-signs n entries, by as many or as few identities as next hands out.
func requests(b *testing.B, n int, entry func(i int) logentry.HashedRekord) [][]byte {
	out := make([][]byte, n)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				out[i] = wire(entry(int(i)).Request())
			}
		})
	}
	wg.Wait()
	return out
}

// client is one keep-alive connection.
type client struct {
	conn net.Conn
	in   *bufio.Reader
}

func dial(b *testing.B, srv *httptest.Server) *client {
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	return &client{conn, bufio.NewReaderSize(conn, 8192)}
}

// wire is the bytes of a submission.
func wire(body []byte) []byte {
	return append(fmt.Appendf(nil, "POST /api/v2/log/entries HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", len(body)), body...)
}

// post submits an entry and reads the answer to its end; anything but 201 is an error.
func (c *client) post(b *testing.B, request []byte) {
	if _, err := c.conn.Write(request); err != nil {
		b.Error(err)
		return
	}
	length := -1
	for first := true; ; first = false {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			b.Error(err)
			return
		}
		if first && !bytes.HasPrefix(line, []byte("HTTP/1.1 201 ")) {
			b.Errorf("%s", line)
		}
		if v, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			length, _ = strconv.Atoi(string(bytes.TrimSpace(v)))
		}
		if len(line) == 2 {
			break
		}
	}
	if n, err := c.in.Discard(length); err != nil || n == 0 {
		b.Errorf("an answer of %d bytes: %v", n, err)
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
			f, _, srv := benchServer(b, OwnCA)
			c := dial(b, srv)
			reqs := requests(b, b.N, func(int) logentry.HashedRekord { return f.entry(b) })
			var took []time.Duration
			b.ResetTimer()
			for _, r := range reqs {
				time.Sleep(mode.pause)
				start := time.Now()
				c.post(b, r)
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
	f, l, srv := benchServer(b, accept)
	reqs := requests(b, b.N, sign(f))
	took := make([]time.Duration, b.N)
	var next atomic.Int64
	var wg sync.WaitGroup
	clients := make([]*client, 1024)
	for i := range clients {
		clients[i] = dial(b, srv)
	}
	b.ResetTimer()
	cpu := cpuTime(b)
	for _, c := range clients {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(b.N); i = next.Add(1) - 1 {
				start := time.Now()
				c.post(b, reqs[i])
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
