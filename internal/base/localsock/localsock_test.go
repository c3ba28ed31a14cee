// SPDX-License-Identifier: Apache-2.0

package localsock

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestListenAndDial(t *testing.T) {
	for name, sub := range map[string]string{"short": "s", "longer than the kernel allows": strings.Repeat("long", 40)} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), sub)
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, "x.sock")
			l, err := Listen(path)
			if err != nil {
				t.Fatal(err)
			}
			if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o600 {
				t.Fatalf("%v, %v", fi, err)
			}
			go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.URL.Path) }))
			resp, err := HTTPClient(path).Get("http://hallmarkd/hello")
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if string(body) != "/hello" {
				t.Fatalf("body %q", body)
			}
			if _, err := Listen(path); err == nil || !strings.Contains(err.Error(), "another process") {
				t.Fatalf("a living socket was replaced: %v", err)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := HTTPClient(path).Get("http://hallmarkd/"); err == nil || !strings.Contains(err.Error(), "nobody listens") {
				t.Fatalf("after Close: %v", err)
			}
		})
	}
}

func TestADeadSocketIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.sock")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	l.(*listener).UnixListener.Close() // as after kill -9: the file stays
	if l, err = Listen(path); err != nil {
		t.Fatal(err)
	}
	l.Close()
}
