// SPDX-License-Identifier: Apache-2.0

package interop

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"testing"

	"hallmark/test/interop/internal/entry"
)

// logRequests are submissions that both logs have to answer alike: the same
// status, and for what they accept the same body of the entry.
var logRequests = []struct {
	name   string
	change func(*entry.HashedRekord)
	body   string // instead of an entry
	status int
}{
	{name: "entry", status: http.StatusCreated},
	{name: "wrong signature", status: http.StatusBadRequest, change: func(h *entry.HashedRekord) { h.Digest[0] ^= 1 }},
	{name: "no signature", status: http.StatusBadRequest, change: func(h *entry.HashedRekord) { h.Signature.Content = nil }},
	{name: "no digest", status: http.StatusBadRequest, change: func(h *entry.HashedRekord) { h.Digest = nil }},
	{name: "short digest", status: http.StatusBadRequest, change: func(h *entry.HashedRekord) { h.Digest = h.Digest[:20] }},
	{name: "no key", status: http.StatusBadRequest, change: func(h *entry.HashedRekord) { h.Signature.Verifier.PublicKey.RawBytes = nil }},
	{name: "broken key", status: http.StatusBadRequest, change: func(h *entry.HashedRekord) { h.Signature.Verifier.PublicKey.RawBytes[9] ^= 1 }},
	{name: "other key type", status: http.StatusBadRequest, change: func(h *entry.HashedRekord) { h.Signature.Verifier.KeyDetails = "PKIX_ECDSA_P384_SHA_384" }},
	{name: "unknown key type", status: http.StatusBadRequest, change: func(h *entry.HashedRekord) { h.Signature.Verifier.KeyDetails = "PKIX_SOMETHING" }},
	{name: "nothing asked", status: http.StatusBadRequest, body: `{}`},
	{name: "unknown field", status: http.StatusBadRequest, body: `{"hashedRekordRequestV002": {"unknown": 1}}`},
	{name: "not JSON", status: http.StatusBadRequest, body: `{`},
	{name: "nothing", status: http.StatusBadRequest, body: " "},
}

// TestLogAPI submits the same requests to our log and to Rekor v2's.
func TestLogAPI(t *testing.T) {
	ours := newLab(t, "--log-accept", "any")
	rekor, err := programs.StartRekor(t.Context(), t.TempDir(), "--checkpoint-interval", "1s")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := rekor.Stop(); err != nil {
			t.Error(err)
		}
	})
	for _, c := range logRequests {
		t.Run(c.name, func(t *testing.T) {
			body := []byte(c.body)
			if c.body == "" {
				request, err := entry.New()
				if err != nil {
					t.Fatal(err)
				}
				if c.change != nil {
					c.change(&request.HashedRekord)
				}
				if body, err = request.JSON(); err != nil {
					t.Fatal(err)
				}
			}
			our, their := submit(t, ours.URL, body), submit(t, rekor.URL, body)
			if our.status != c.status || their.status != c.status || our.Code != their.Code {
				t.Errorf("we answer %d with code %d: %s\nrekor answers %d with code %d: %s\nwant %d and the same code",
					our.status, our.Code, our.Message, their.status, their.Code, their.Message, c.status)
			}
			if !bytes.Equal(our.CanonicalizedBody, their.CanonicalizedBody) {
				t.Errorf("we log\n%s\nrekor logs\n%s", our.CanonicalizedBody, their.CanonicalizedBody)
			}
		})
	}
}

// logAnswer is what both logs' answers have in common: an entry, or an error.
type logAnswer struct {
	status            int
	CanonicalizedBody []byte
	Code              int
	Message           string
}

// submit sends a request to a log.
func submit(t *testing.T, url string, body []byte) logAnswer {
	t.Helper()
	resp, err := http.Post(url+entry.Path, "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	answer := logAnswer{status: resp.StatusCode}
	if err := json.Unmarshal(data, &answer); err != nil {
		t.Fatalf("%s answers %d with what is not JSON: %v\n%s", url, resp.StatusCode, err, data)
	}
	return answer
}
