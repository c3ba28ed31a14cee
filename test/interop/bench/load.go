// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// client is one keep-alive connection. It does as little as it can, because
// it shares the processors with the server that it measures.
type client struct {
	conn net.Conn
	r    *bufio.Reader
	host string
	buf  []byte
}

func dial(server string) (*client, error) {
	u, err := url.Parse(server)
	if err != nil {
		return nil, err
	}
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		return nil, err
	}
	return &client{conn: conn, r: bufio.NewReader(conn), host: u.Host}, nil
}

func (c *client) close() { c.conn.Close() }

// post posts JSON and reads the answer, which has to be 200 or 201.
func (c *client) post(path string, body []byte) error {
	b := append(c.buf[:0], "POST "+path+" HTTP/1.1\r\nHost: "+c.host+"\r\nContent-Type: application/json\r\nContent-Length: "...)
	b = append(strconv.AppendInt(b, int64(len(body)), 10), "\r\n\r\n"...)
	c.buf = append(b, body...)
	if _, err := c.conn.Write(c.buf); err != nil {
		return err
	}
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusCreated {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10)) // as much as there is, for the error
		return fmt.Errorf("%s%s answers %s: %s", c.host, path, resp.Status, text)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// oneByOne posts each body after the one before was answered and the gap has
// passed, and returns how long each took.
func oneByOne(ctx context.Context, server, path string, bodies [][]byte, gap time.Duration) ([]time.Duration, error) {
	c, err := dial(server)
	if err != nil {
		return nil, err
	}
	defer c.close()
	var took []time.Duration
	for _, body := range bodies {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		pause(gap)
		start := time.Now()
		if err := c.post(path, body); err != nil {
			return nil, err
		}
		took = append(took, time.Since(start))
	}
	return took, nil
}

// rate is what a server does under load.
type rate struct {
	perSecond float64
	p50       time.Duration
	answered  int           // requests, with those of the warm-up
	cpu       time.Duration // of the server, for each of them
}

func (r rate) String() string {
	return fmt.Sprintf("%.0f/s, p50 %s, CPU %s each", r.perSecond, ms(r.p50), ms(r.cpu))
}

// underLoad has many clients post the bodies, each as soon as its last was
// answered, until the time is over or no body is left. What is answered while
// warming up does not count for the rate; a refusal fails the run.
func underLoad(ctx context.Context, server, path string, bodies [][]byte, clients int, warmUp, length time.Duration) (rate, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	begin := time.Now().Add(warmUp)
	end := begin.Add(length)
	var next atomic.Int64
	all := make([][]answer, clients)
	var wg sync.WaitGroup
	for i := range all {
		wg.Go(func() {
			c, err := dial(server)
			if err != nil {
				cancel(err)
				return
			}
			defer c.close()
			for ctx.Err() == nil {
				n := next.Add(1) - 1
				start := time.Now()
				if n >= int64(len(bodies)) || start.After(end) {
					return
				}
				if err := c.post(path, bodies[n]); err != nil {
					cancel(err)
					return
				}
				now := time.Now()
				all[i] = append(all[i], answer{now, now.Sub(start)})
			}
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return rate{}, err
	}
	return summary(slices.Concat(all...), begin, end)
}

// answer is when one came and how long it took.
type answer struct {
	at   time.Time
	took time.Duration
}

// summary is the rate of the answers between two times, of which the second
// is earlier when the requests were used up.
func summary(all []answer, begin, end time.Time) (rate, error) {
	var took []time.Duration
	var last time.Time
	for _, a := range all {
		if a.at.After(begin) && a.at.Before(end) {
			took = append(took, a.took)
		}
		if a.at.After(last) {
			last = a.at
		}
	}
	if len(took) == 0 {
		return rate{}, errors.New("nothing was answered in the time that counts")
	}
	if last.Before(end) {
		end = last
	}
	return rate{perSecond: float64(len(took)) / end.Sub(begin).Seconds(), p50: median(took), answered: len(all)}, nil
}

// stopped is a server's CPU for each request, once it has stopped.
func (r *rate) stopped(cpu time.Duration) {
	if r.answered > 0 {
		r.cpu = cpu / time.Duration(r.answered)
	}
}

// prepare makes n request bodies with all processors.
func prepare(n int, make1 func() ([]byte, error)) ([][]byte, error) {
	bodies := make([][]byte, n)
	var next atomic.Int64
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	for range runtime.NumCPU() {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(n) && failed.Load() == nil; i = next.Add(1) - 1 {
				body, err := make1()
				if err != nil {
					failed.Store(&err)
					return
				}
				bodies[i] = body
			}
		})
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		return nil, *err
	}
	return bodies, nil
}
