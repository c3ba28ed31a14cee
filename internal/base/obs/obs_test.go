// SPDX-License-Identifier: Apache-2.0

package obs

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestWrapCountsAndLogsWithoutSecrets(t *testing.T) {
	var out bytes.Buffer
	log, err := Logger(&out, "json", slog.LevelDebug)
	if err != nil {
		t.Fatal(err)
	}
	m := New()
	h := m.Wrap("sign", log, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/fail" {
			w.WriteHeader(http.StatusBadGateway)
			w.WriteHeader(http.StatusOK) // must not change the record
		}
		io.WriteString(w, "hello")
	}))
	for _, path := range []string{"/ok?token=topsecret", "/fail"} {
		r := httptest.NewRequest("POST", path, strings.NewReader("bodysecret"))
		r.Header.Set("Authorization", "Bearer headersecret")
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	if s := out.String(); strings.Contains(s, "secret") || !strings.Contains(s, `"status":502`) || !strings.Contains(s, `"level":"WARN"`) || !strings.Contains(s, `"bytes":5`) {
		t.Errorf("log:\n%s", s)
	}
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{`hallmark_http_requests_total{endpoint="sign",status="2xx"} 1`, `hallmark_http_requests_total{endpoint="sign",status="5xx"} 1`, `hallmark_http_request_seconds_count{endpoint="sign"} 2`} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("metrics lack %s", want)
		}
	}
}

func TestLoggerRefusesAnUnknownFormat(t *testing.T) {
	if _, err := Logger(io.Discard, "xml", 0); err == nil {
		t.Fatal("accepted")
	}
}
