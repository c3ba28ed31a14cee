// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestError(t *testing.T) {
	for code, status := range map[Code]int{InvalidArgument: 400, Unauthenticated: 401, PermissionDenied: 403, NotFound: 404, AlreadyExists: 409, ResourceExhausted: 429, Internal: 500, Unimplemented: 501, Unavailable: 503, FailedPrecondition: 400} {
		w := httptest.NewRecorder()
		Error(w, code, "expected %q", "a key")
		if w.Code != status {
			t.Errorf("code %d: status %d, want %d", code, w.Code, status)
		}
		if got := w.Body.String(); !strings.Contains(got, `"message":"expected \"a key\""`) || !strings.Contains(got, `"details":[]`) {
			t.Errorf("body %s", got)
		}
		if w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("headers %v", w.Header())
		}
	}
}

func TestReadBody(t *testing.T) {
	for _, tc := range []struct {
		name   string
		body   io.Reader
		status int
	}{
		{"within", strings.NewReader("12345"), 200},
		{"over", strings.NewReader("123456"), http.StatusRequestEntityTooLarge},
		{"broken", io.MultiReader(strings.NewReader("1"), broken{}), http.StatusBadRequest},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			data, ok := ReadBody(w, httptest.NewRequest("POST", "/", tc.body), 5)
			if ok != (tc.status == 200) || w.Code != tc.status || ok && string(data) != "12345" {
				t.Fatalf("%q, %v, status %d: %s", data, ok, w.Code, w.Body)
			}
		})
	}
}

func TestWriteJSONThatCannotBeEncoded(t *testing.T) {
	w := httptest.NewRecorder()
	WriteJSON(w, 200, func() {})
	if w.Code != 500 {
		t.Fatalf("status %d", w.Code)
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("gone") }
