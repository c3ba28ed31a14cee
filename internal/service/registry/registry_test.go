// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	ociregistry "github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"hallmark/internal/format/digest"
)

var created = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// serve starts a registry behind wrap and returns its host.
func serve(t *testing.T, referrers bool, wrap func(http.Handler) http.Handler) string {
	t.Helper()
	h := ociregistry.New(ociregistry.WithReferrersSupport(referrers), ociregistry.Logger(log.New(io.Discard, "", 0)))
	if wrap != nil {
		h = wrap(h)
	}
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func client(t *testing.T, opts Options) *Client {
	t.Helper()
	if opts.Keychain == nil {
		opts.Keychain = authn.NewMultiKeychain()
	}
	c, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	c.delay, c.settle = time.Millisecond, 20*time.Millisecond
	c.now = func() time.Time { return created }
	return c
}

// push stores a small image at ref.
func push(t *testing.T, ref string) {
	t.Helper()
	img, err := random.Image(64, 1)
	if err != nil {
		t.Fatal(err)
	}
	tag, err := name.ParseReference(ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(tag, img); err != nil {
		t.Fatal(err)
	}
}

func resolve(t *testing.T, c *Client, ref string) Image {
	t.Helper()
	img, err := c.Resolve(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func wantError(t *testing.T, err, kind error, parts ...string) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Fatalf("error %v, want kind %v", err, kind)
	}
	var typed *Error
	if !errors.As(err, &typed) {
		t.Fatalf("error %v is a %T", err, err)
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("error %q lacks %q", err, p)
		}
	}
}

func TestResolve(t *testing.T) {
	host := serve(t, true, nil)
	push(t, host+"/app:v1")
	c := client(t, Options{})
	byTag := resolve(t, c, host+"/app:v1")
	if !byTag.WasTag || byTag.Digest.IsZero() || byTag.Size == 0 || byTag.MediaType == "" || byTag.Ref.DigestStr() != byTag.Digest.String() {
		t.Fatalf("by tag: %+v", byTag)
	}
	byDigest := resolve(t, c, byTag.Ref.Name())
	if byDigest.WasTag || byDigest.Digest != byTag.Digest || byDigest.Size != byTag.Size {
		t.Fatalf("by digest: %+v", byDigest)
	}
	if both := resolve(t, c, host+"/app:v1@"+byTag.Digest.String()); both.WasTag {
		t.Fatalf("tag and digest: %+v", both)
	}
}

func TestResolveKeepsAnIndexAsItIs(t *testing.T) {
	host := serve(t, true, nil)
	img, _ := random.Image(64, 1)
	idx := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: img})
	tag, _ := name.NewTag(host + "/multi:v1")
	if err := remote.WriteIndex(tag, idx); err != nil {
		t.Fatal(err)
	}
	want, _ := idx.Digest()
	got := resolve(t, client(t, Options{}), tag.Name())
	if got.Digest.String() != want.String() || got.MediaType != indexType {
		t.Fatalf("%+v, want %v", got, want)
	}
}

func TestAttachAndCandidates(t *testing.T) {
	for _, referrers := range []bool{true, false} {
		t.Run(fmt.Sprintf("referrers=%v", referrers), func(t *testing.T) {
			host := serve(t, referrers, nil)
			push(t, host+"/app:v1")
			c := client(t, Options{})
			img := resolve(t, c, host+"/app:v1")
			if got, err := c.Candidates(t.Context(), img.Ref); err != nil || len(got) != 0 {
				t.Fatalf("before: %v, %v", got, err)
			}
			first := []byte(`{"bundle":1}`)
			id, err := c.Attach(t.Context(), img, first, Annotations{Content: ContentEnvelope, PredicateType: "https://example.com/p/v1"})
			if err != nil {
				t.Fatal(err)
			}
			again, err := c.Attach(t.Context(), img, first, Annotations{Content: ContentEnvelope, PredicateType: "https://example.com/p/v1"})
			if err != nil || again != id {
				t.Fatalf("again: %v, %v; want %v", again, err, id)
			}
			if _, err := c.Attach(t.Context(), img, []byte(`{"bundle":2}`), Annotations{Content: ContentMessage, Created: created.Add(time.Hour)}); err != nil {
				t.Fatal(err)
			}
			got, err := c.Candidates(t.Context(), img.Ref)
			if err != nil || len(got) != 2 {
				t.Fatalf("after: %v, %v", got, err)
			}
			f := got[0]
			if f.Digest != id || f.Err != nil || !bytes.Equal(f.Bytes, first) || f.MediaType != BundleType ||
				f.Annotations[AnnotationContent] != "dsse-envelope" || f.Annotations[AnnotationPredicateType] != "https://example.com/p/v1" ||
				f.Annotations[AnnotationCreated] != "2026-03-04T05:06:07Z" {
				t.Fatalf("first candidate %+v", f)
			}
			if s := got[1]; s.Err != nil || string(s.Bytes) != `{"bundle":2}` || s.Annotations[AnnotationPredicateType] != "" {
				t.Fatalf("second candidate %+v", s)
			}
			checkTag(t, host, img, referrers, id)
		})
	}
}

// checkTag looks at the fallback tag as another client would.
func checkTag(t *testing.T, host string, img Image, referrers bool, id digest.Digest) {
	t.Helper()
	resp, err := http.Get("http://" + host + "/v2/app/manifests/" + strings.Replace(img.Digest.String(), ":", "-", 1))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if referrers {
		if resp.StatusCode != http.StatusNotFound {
			t.Fatalf("a registry with referrers got a fallback tag: status %d", resp.StatusCode)
		}
		return
	}
	var idx index
	if err := json.NewDecoder(resp.Body).Decode(&idx); err != nil || len(idx.Manifests) != 2 {
		t.Fatalf("tag index %+v, %v", idx, err)
	}
	d := idx.Manifests[0]
	if d.Digest != id.String() || d.ArtifactType != BundleType || d.Annotations[AnnotationContent] != "dsse-envelope" || d.MediaType != manifestType {
		t.Fatalf("tag index entry %+v", d)
	}
}

func TestTheManifestHasTheSpecifiedShape(t *testing.T) {
	host := serve(t, true, nil)
	push(t, host+"/app:v1")
	c := client(t, Options{})
	img := resolve(t, c, host+"/app:v1")
	bundle := []byte(`{"mediaType":"x"}`)
	id, err := c.Attach(t.Context(), img, bundle, Annotations{Content: ContentEnvelope, PredicateType: "https://sigstore.dev/cosign/sign/v1"})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Get("http://" + host + "/v2/app/manifests/" + id.String())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, _ := io.ReadAll(resp.Body)
	want := `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"application/vnd.dev.sigstore.bundle.v0.3+json",` +
		`"config":{"mediaType":"application/vnd.oci.empty.v1+json","artifactType":"application/vnd.dev.sigstore.bundle.v0.3+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},` +
		fmt.Sprintf(`"layers":[{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","digest":%q,"size":%d}],`, digest.Of(digest.SHA256, bundle), len(bundle)) +
		fmt.Sprintf(`"subject":{"mediaType":%q,"digest":%q,"size":%d},`, img.MediaType, img.Digest, img.Size) +
		`"annotations":{"dev.sigstore.bundle.content":"dsse-envelope","dev.sigstore.bundle.predicateType":"https://sigstore.dev/cosign/sign/v1","org.opencontainers.image.created":"2026-03-04T05:06:07Z"}}`
	if string(got) != want {
		t.Fatalf("manifest\n%s\nwant\n%s", got, want)
	}
	if ct := resp.Header.Get("Content-Type"); ct != manifestType {
		t.Fatalf("stored as %s", ct)
	}
}

func TestAttachRefusesWhatItCannotDescribe(t *testing.T) {
	c := client(t, Options{})
	for _, tt := range []struct {
		bundle  []byte
		content Content
	}{{nil, ContentEnvelope}, {make([]byte, MaxBundle+1), ContentEnvelope}, {[]byte("{}"), "other"}} {
		if _, err := c.Attach(t.Context(), Image{}, tt.bundle, Annotations{Content: tt.content}); err == nil {
			t.Errorf("%d bytes, %q: no error", len(tt.bundle), tt.content)
		}
	}
}

// Every writer has a client of its own, as separate processes have.
func TestConcurrentWritersOfTheTagLoseNothing(t *testing.T) {
	slow := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.Path, "/manifests/sha256-") {
				time.Sleep(2 * time.Millisecond)
			}
			next.ServeHTTP(w, r)
		})
	}
	host := serve(t, false, slow)
	push(t, host+"/app:v1")
	img := resolve(t, client(t, Options{}), host+"/app:v1")
	const writers = 6
	var wg sync.WaitGroup
	for i := range writers {
		c := client(t, Options{})
		c.settle = 100 * time.Millisecond
		wg.Go(func() {
			if _, err := c.Attach(t.Context(), img, fmt.Appendf(nil, `{"n":%d}`, i), Annotations{Content: ContentEnvelope}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	got, err := client(t, Options{}).Candidates(t.Context(), img.Ref)
	if err != nil || len(got) != writers {
		t.Fatalf("%d candidates, %v", len(got), err)
	}
}

func TestTheTagKeepsWhatItDoesNotKnow(t *testing.T) {
	host := serve(t, false, nil)
	push(t, host+"/app:v1")
	c := client(t, Options{})
	img := resolve(t, c, host+"/app:v1")
	tag := "http://" + host + "/v2/app/manifests/" + fallbackTag(img.Digest.String())
	put(t, tag, indexType, `{"schemaVersion":2,"mediaType":"`+indexType+`","annotations":{"a":"b"},"manifests":[{"mediaType":"application/x","digest":"`+img.Digest.String()+`","size":1,"urls":["u"],"artifactType":"application/sbom"}]}`)
	if _, err := c.Attach(t.Context(), img, []byte("{}"), Annotations{Content: ContentEnvelope}); err != nil {
		t.Fatal(err)
	}
	resp, err := http.Get(tag)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, _ := io.ReadAll(resp.Body)
	for _, part := range []string{`"urls":["u"]`, `"annotations":{"a":"b"}`, `"application/sbom"`, BundleType} {
		if !strings.Contains(string(got), part) {
			t.Errorf("%s lacks %s", got, part)
		}
	}
}

func TestATagThatIsSomethingElseIsNotTouched(t *testing.T) {
	host := serve(t, false, nil)
	push(t, host+"/app:v1")
	c := client(t, Options{})
	img := resolve(t, c, host+"/app:v1")
	put(t, "http://"+host+"/v2/app/manifests/"+fallbackTag(img.Digest.String()), manifestType, `{"schemaVersion":2}`)
	_, err := c.Attach(t.Context(), img, []byte("{}"), Annotations{Content: ContentEnvelope})
	wantError(t, err, ErrInvalid, "not an index of referrers")
	got, err := c.Candidates(t.Context(), img.Ref)
	if err != nil || len(got) != 1 || !got[0].Failed() || got[0].Source != SourceReferrersTag {
		t.Fatalf("%+v, %v", got, err)
	}
	wantError(t, got[0].Err, ErrInvalid, "not an index of referrers")
}

func put(t *testing.T, url, mediaType, body string) {
	t.Helper()
	req, _ := http.NewRequest(http.MethodPut, url, strings.NewReader(body))
	req.Header.Set("Content-Type", mediaType)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		t.Fatalf("PUT %s: status %d", url, resp.StatusCode)
	}
}

func TestCandidatesMergesBothPlacesAndIgnoresOtherArtifacts(t *testing.T) {
	host := serve(t, true, nil)
	push(t, host+"/app:v1")
	c := client(t, Options{})
	img := resolve(t, c, host+"/app:v1")
	id, err := c.Attach(t.Context(), img, []byte(`{"a":1}`), Annotations{Content: ContentEnvelope})
	if err != nil {
		t.Fatal(err)
	}
	// Another artifact refers to the image, listed with a type that does not tell.
	other := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"artifactType":"application/sbom","config":{"mediaType":%q},"layers":[{"mediaType":"text/spdx","digest":%q,"size":2}],"subject":{"mediaType":"x","digest":%q,"size":1}}`,
		manifestType, emptyConfigType, img.Digest, img.Digest)
	otherID := digest.Of(digest.SHA256, []byte(other)).String()
	put(t, "http://"+host+"/v2/app/manifests/"+otherID, manifestType, other)
	// The tag lists the bundle again, without a type, and one that is gone.
	gone := digest.Of(digest.SHA256, []byte("gone")).String()
	put(t, "http://"+host+"/v2/app/manifests/"+fallbackTag(img.Digest.String()), indexType,
		fmt.Sprintf(`{"schemaVersion":2,"manifests":[{"mediaType":%q,"digest":%q,"size":1},{"digest":%q,"size":3,"artifactType":%q}]}`,
			manifestType, id, gone, BundleType))
	got, err := c.Candidates(t.Context(), img.Ref)
	if err != nil || len(got) != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	var ok, bad *Candidate
	for i := range got {
		if got[i].Err == nil {
			ok = &got[i]
		} else {
			bad = &got[i]
		}
	}
	if ok == nil || ok.Digest != id || bad == nil || bad.Digest.String() != gone {
		t.Fatalf("%+v", got)
	}
	wantError(t, bad.Err, ErrNotFound, gone)
}

func TestReferrersPages(t *testing.T) {
	var host string
	var pages atomic.Int32
	host = serve(t, true, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !strings.Contains(r.URL.Path, "/referrers/") {
				next.ServeHTTP(w, r)
				return
			}
			n := pages.Add(1)
			switch r.URL.Query().Get("page") {
			case "":
				w.Header().Set("Link", `</v2/app/referrers/x?page=2>; rel="next"`)
			case "2":
				w.Header().Set("Link", `<http://elsewhere.example/v2/>; rel="next"`)
			}
			w.Header().Set("Content-Type", indexType)
			fmt.Fprintf(w, `{"manifests":[{"digest":"sha256:%064d","mediaType":%q,"artifactType":%q}]}`, n, manifestType, BundleType)
		})
	})
	push(t, host+"/app:v1")
	c := client(t, Options{})
	img := resolve(t, c, host+"/app:v1")
	got, err := c.Candidates(t.Context(), img.Ref)
	if err != nil || len(got) != 1 || !got[0].Failed() || got[0].Source != SourceReferrers {
		t.Fatalf("%+v, %v", got, err)
	}
	wantError(t, got[0].Err, ErrInvalid, "elsewhere.example")
	if pages.Load() != 2 {
		t.Fatalf("%d pages were read", pages.Load())
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for _, cred := range []Credentials{{Username: "u"}, {Password: "p"}, {Bearer: "b", Username: "u", Password: "p"}} {
		if _, err := New(Options{Credentials: cred}); err == nil {
			t.Errorf("%d: no error", len(cred.Username))
		}
	}
	secret := Credentials{Username: "u", Password: "hunter2"}
	enc, _ := json.Marshal(struct{ C Credentials }{secret})
	if out := fmt.Sprintf("%v %+v %#v %s %s", secret, secret, secret, secret, enc); strings.Contains(out, "hunter2") {
		t.Fatal(out)
	}
}
