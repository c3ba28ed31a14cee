// SPDX-License-Identifier: Apache-2.0

package fetch

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func TestGet(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/ok":
			io.WriteString(w, r.UserAgent())
		case "/bad":
			w.WriteHeader(http.StatusTeapot)
			io.WriteString(w, "short\nand \x1b[31mstout")
		}
	})
	c := New(Config{UserAgent: "assay"})
	if got, err := c.Get(t.Context(), url+"/ok"); err != nil || string(got) != "assay" {
		t.Fatalf("Get = %q, %v", got, err)
	}
	_, err := c.Get(t.Context(), url+"/bad?token=secret")
	var status *StatusError
	if !errors.As(err, &status) || status.Status != http.StatusTeapot || status.Body != "short and [31mstout" {
		t.Fatalf("error %v", err)
	}
	if strings.Contains(err.Error(), "secret") {
		t.Fatalf("the query leaked: %v", err)
	}
}

func TestAnEndlessBodyStopsAtTheCap(t *testing.T) {
	var sent atomic.Int64
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		chunk := make([]byte, 64<<10)
		for sent.Load() < 1<<30 {
			n, err := w.Write(chunk)
			sent.Add(int64(n))
			if err != nil {
				return
			}
		}
	})
	c := New(Config{MaxBody: 1 << 20})
	_, err := c.Get(t.Context(), url)
	var tooLarge *TooLargeError
	if !errors.As(err, &tooLarge) || tooLarge.Limit != 1<<20 {
		t.Fatalf("error %v", err)
	}
	resp, err := c.HTTPClient().Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if n, err := io.Copy(io.Discard, resp.Body); !errors.As(err, &tooLarge) || n > 1<<20 {
		t.Fatalf("read %d bytes through HTTPClient, %v", n, err)
	}
}

func TestABodyOfExactlyTheCapPasses(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, r *http.Request) { w.Write(make([]byte, 100)) })
	if got, err := New(Config{MaxBody: 100}).Get(t.Context(), url); err != nil || len(got) != 100 {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	if _, err := New(Config{MaxBody: 99}).Get(t.Context(), url); err == nil {
		t.Fatal("one byte over the cap passed")
	}
}

func TestRedirects(t *testing.T) {
	var url string
	url = serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/from" {
			http.Redirect(w, r, url+"/to?code=secret", http.StatusFound)
			return
		}
		io.WriteString(w, "there")
	})
	_, err := New(Config{Retries: 3}).Get(t.Context(), url+"/from")
	var redirect *RedirectError
	if !errors.As(err, &redirect) || redirect.To != url+"/to" {
		t.Fatalf("error %v", err)
	}
	if got, err := New(Config{FollowRedirects: true}).Get(t.Context(), url+"/from"); err != nil || string(got) != "there" {
		t.Fatalf("Get = %q, %v", got, err)
	}
}

func TestPlainHTTPGoesToLoopbackOnly(t *testing.T) {
	refuse := func(*http.Request) (*http.Response, error) {
		t.Error("a request left")
		return nil, errors.New("no")
	}
	c := New(Config{Transport: roundTripper(refuse)})
	for _, u := range []string{"http://example.com/", "http://127.0.0.1.example.com/", "ftp://localhost/", "file:///etc/passwd"} {
		if _, err := c.Get(t.Context(), u); err == nil || !strings.Contains(err.Error(), "https") {
			t.Errorf("%s: error %v", u, err)
		}
	}
	for host, want := range map[string]bool{"localhost": true, "a.localhost": true, "127.9.9.9": true, "::1": true, "::ffff:127.0.0.1": true, "10.0.0.1": false, "localhost.example.com": false} {
		if got := IsLoopback(host); got != want {
			t.Errorf("IsLoopback(%q) = %v", host, got)
		}
	}
}

func TestDenyPrivate(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "inside") })
	_, err := New(Config{DenyPrivate: true}).Get(t.Context(), url)
	if err == nil || !strings.Contains(err.Error(), "private address") {
		t.Fatalf("error %v", err)
	}
	for addr, ok := range map[string]bool{"169.254.169.254:80": false, "10.1.2.3:443": false, "[fe80::1]:443": false, "[::ffff:192.168.0.1]:443": false, "93.184.216.34:443": true} {
		if err := denyPrivate("tcp", addr, nil); (err == nil) != ok {
			t.Errorf("%s: %v", addr, err)
		}
	}
}

func TestRetries(t *testing.T) {
	var calls atomic.Int32
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch calls.Add(1) {
		case 1:
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusTooManyRequests)
		case 2:
			w.WriteHeader(http.StatusBadGateway)
		default:
			body, _ := io.ReadAll(r.Body)
			w.Write(body)
		}
	})
	resp, err := New(Config{Retries: 2}).Do(t.Context(), "POST", url, nil, []byte("again"))
	if err != nil || string(resp.Body) != "again" || calls.Load() != 3 {
		t.Fatalf("%+v, %v after %d calls", resp, err, calls.Load())
	}
	calls.Store(0)
	resp, err = New(Config{Retries: 1}).Do(t.Context(), "POST", url, nil, nil)
	if err != nil || resp.Status != http.StatusBadGateway {
		t.Fatalf("%+v, %v", resp, err)
	}
}

func TestRefusalsAreNotTriedAgain(t *testing.T) {
	start := time.Now()
	if _, err := New(Config{Retries: 5}).Get(t.Context(), "http://example.com/"); err == nil {
		t.Fatal("plain http left")
	}
	if took := time.Since(start); took > firstDelay/2 {
		t.Fatalf("refusing took %s: it was retried", took)
	}
}

func TestErrorsNameTheCause(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	if _, err := New(Config{Timeout: 20 * time.Millisecond}).Get(t.Context(), url); err == nil || !strings.Contains(err.Error(), "no answer in time") {
		t.Errorf("stalling server: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := New(Config{Retries: 5}).Get(ctx, url); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := New(Config{}).Get(t.Context(), "http://127.0.0.1:1/x?y=secret"); err == nil || !strings.Contains(err.Error(), "cannot connect") || strings.Contains(err.Error(), "secret") {
		t.Errorf("closed port: %v", err)
	}
	if _, err := New(Config{}).Get(t.Context(), "http://user:pass@[::bad/"); err == nil || strings.Contains(err.Error(), "pass") {
		t.Errorf("malformed URL: %v", err)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
