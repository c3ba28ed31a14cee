// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"hallmark/internal/format/digest"
)

// signed is a registry with an image that has n bundles. before is called ahead
// of each answer.
func signed(tb testing.TB, n int, before func(*http.Request)) (*Client, name.Digest) {
	tb.Helper()
	content := make(map[string]string) // by the end of the path
	var all index
	for i := range n {
		blob := fmt.Sprintf(`{"bundle":%d}`, i)
		id := digest.Of(digest.SHA256, []byte(blob)).String()
		content["/blobs/"+id] = blob
		manifest := bundleManifest(id, len(blob))
		id = digest.Of(digest.SHA256, []byte(manifest)).String()
		content["/manifests/"+id] = manifest
		all.Manifests = append(all.Manifests, descriptor{MediaType: manifestType, ArtifactType: BundleType, Digest: id, Size: int64(len(manifest))})
	}
	listed, err := json.Marshal(all)
	if err != nil {
		tb.Fatal(err)
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		before(r)
		i := max(strings.Index(r.URL.Path, "/blobs/"), strings.Index(r.URL.Path, "/manifests/"))
		switch {
		case r.URL.Path == "/v2/":
		case strings.Contains(r.URL.Path, "/referrers/"):
			w.Header().Set("Content-Type", indexType)
			w.Write(listed)
		case i >= 0 && content[r.URL.Path[i:]] != "":
			w.Header().Set("Content-Type", manifestType)
			fmt.Fprint(w, content[r.URL.Path[i:]])
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	tb.Cleanup(s.Close)
	subject, err := name.NewDigest(strings.TrimPrefix(s.URL, "http://") + "/app@" + digest.Of(digest.SHA256, []byte("image")).String())
	if err != nil {
		tb.Fatal(err)
	}
	c, err := New(Options{Keychain: authn.NewMultiKeychain()})
	if err != nil {
		tb.Fatal(err)
	}
	return c, subject
}

func fetched(tb testing.TB, c *Client, subject name.Digest, want int) {
	tb.Helper()
	got, err := c.Candidates(tb.Context(), subject)
	if err != nil || len(got) != want {
		tb.Fatalf("%d candidates (%v), want %d", len(got), err, want)
	}
	for _, g := range got {
		if g.Err != nil {
			tb.Fatal(g.Err)
		}
	}
}

// TestCandidatesAreFetchedTogether has a registry that answers no manifest
// before it was asked for half as many as are fetched at a time.
func TestCandidatesAreFetchedTogether(t *testing.T) {
	var mu sync.Mutex
	waiting, enough := 0, make(chan struct{})
	c, subject := signed(t, parallel, func(r *http.Request) {
		if !strings.Contains(r.URL.Path, "/manifests/sha256:") {
			return
		}
		mu.Lock()
		if waiting++; waiting == parallel/2 {
			close(enough)
		}
		mu.Unlock()
		select {
		case <-enough:
		case <-r.Context().Done():
		}
	})
	fetched(t, c, subject, parallel)
}

// BenchmarkCandidates lists and fetches the bundles of an image from a registry
// that takes 20 ms for each answer. One bundle takes four answers one after the
// other; more should not take much longer.
func BenchmarkCandidates(b *testing.B) {
	for _, n := range []int{1, 10, 100} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			c, subject := signed(b, n, func(*http.Request) { time.Sleep(20 * time.Millisecond) })
			for b.Loop() {
				fetched(b, c, subject, n)
			}
		})
	}
}

// TestLargeManifestsAreAnnounced: what many large manifests at a time would take
// is known before they are read.
func TestLargeManifestsAreAnnounced(t *testing.T) {
	blob := "a bundle"
	body := strings.Repeat(" ", usualManifest) + bundleManifest(digest.Of(digest.SHA256, []byte(blob)).String(), len(blob))
	for _, tt := range []struct {
		listed int
		kind   error
	}{{len(body), nil}, {1, ErrTooLarge}, {len(body) - 1, ErrTooLarge}} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			id := digest.Of(digest.SHA256, []byte(body))
			switch {
			case strings.Contains(r.URL.Path, "/referrers/"):
				w.Header().Set("Content-Type", indexType)
				fmt.Fprintf(w, `{"manifests":[{"mediaType":%q,"artifactType":%q,"digest":%q,"size":%d}]}`, manifestType, BundleType, id, tt.listed)
			case strings.HasSuffix(r.URL.Path, "/manifests/"+id.String()):
				fmt.Fprint(w, body)
			case strings.Contains(r.URL.Path, "/blobs/"):
				fmt.Fprint(w, blob)
			case r.URL.Path != "/v2/":
				w.WriteHeader(http.StatusNotFound)
			}
		}))
		got, err := client(t, Options{}).Candidates(t.Context(), digestRef(t, s).Ref)
		s.Close()
		if err != nil || len(got) != 1 {
			t.Fatalf("%+v, %v", got, err)
		}
		if tt.kind == nil && (got[0].Err != nil || string(got[0].Bytes) != blob) {
			t.Errorf("listed with %d bytes: %+v", tt.listed, got[0])
		}
		if tt.kind != nil {
			wantError(t, got[0].Err, tt.kind, "exceeds the limit")
		}
	}
}
