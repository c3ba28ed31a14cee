// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
)

// FuzzTagIndex feeds a referrers tag's index to the code that adds to it: it
// never panics, and what it writes holds what was there and the new entry.
func FuzzTagIndex(f *testing.F) {
	for _, seed := range []string{
		`{"schemaVersion":2,"manifests":[]}`,
		`{"manifests":null}`,
		`{"manifests":[{"digest":"sha256:ab","size":1,"urls":["x"]}],"annotations":{"a":"b"}}`,
		`{"manifests":[{"digest":"sha256:new"}]}`,
		`{"manifests":[1]}`, `{"manifests":{}}`, `[]`, `null`, ``,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		s := &session{client: &Client{}, http: &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			w := httptest.NewRecorder()
			w.Header().Set("Content-Type", indexType)
			w.Write(body)
			resp := w.Result()
			resp.Request = r
			return resp, nil
		})}}
		s.repo, _ = name.NewRepository("127.0.0.1:1/app")
		idx, err := s.tagIndex(t.Context(), "sha256:00")
		if err != nil {
			return
		}
		before, err := idx.descriptors()
		if err != nil {
			return
		}
		out, err := idx.with(descriptor{Digest: "sha256:new"})
		if err != nil {
			return
		}
		var after index
		if err := json.Unmarshal(out, &after); err != nil {
			t.Fatalf("wrote %s: %v", out, err)
		}
		if len(after.Manifests) != len(before)+1 || after.Manifests[len(before)].Digest != "sha256:new" {
			t.Fatalf("%d entries became %d", len(before), len(after.Manifests))
		}
	})
}

// FuzzNextPage feeds Link headers: a page is only ever on the same registry.
func FuzzNextPage(f *testing.F) {
	for _, seed := range []string{
		`</v2/app/referrers/x?n=2>; rel="next"`, `<?n=2>; rel=next`, `<//evil/v2/>; rel="next"`,
		`<https://evil/v2/x>; rel="next"`, `<file:///v2/>;rel=next`, `<:>; rel=next`, `<`, ``, `</v2/../../x>; rel="next"`, `<http://u:p@127.0.0.1:1/v2/x>; rel="next"`, `<ftp://127.0.0.1:1/v2/x>; rel="next"`,
	} {
		f.Add(seed)
	}
	const current = "http://127.0.0.1:1/v2/app/referrers/sha256:00"
	f.Fuzz(func(t *testing.T, link string) {
		next, err := (&session{}).nextPage(current, link)
		if err == nil && next != "" && !strings.HasPrefix(next, "http://127.0.0.1:1/v2/") {
			t.Fatalf("Link %q leads to %q", link, next)
		}
	})
}
