// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	ociregistry "github.com/google/go-containerregistry/pkg/registry"

	"hallmark/internal/format/digest"
)

// faulty answers requests that match with fault, the rest from next.
func faulty(match func(*http.Request) bool, fault http.HandlerFunc) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if match(r) {
				fault(w, r)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

func pathHas(s string) func(*http.Request) bool {
	return func(r *http.Request) bool { return strings.Contains(r.URL.Path, s) }
}

func TestResolveErrors(t *testing.T) {
	host := serve(t, true, nil)
	push(t, host+"/app:v1")
	c := client(t, Options{})
	_, err := c.Resolve(t.Context(), host+"/app:v2")
	wantError(t, err, ErrNotFound, host+"/app:v2", "has been pushed")
	_, err = c.Resolve(t.Context(), host+"/nope@sha256:"+strings.Repeat("0", 64))
	wantError(t, err, ErrNotFound)
	_, err = c.Resolve(t.Context(), "127.0.0.1:1/app:v1")
	wantError(t, err, ErrUnreachable, "127.0.0.1:1", "check the host name")
	for _, bad := range []string{"", "UPPER/case", host + "/app@sha256:short", host + "/app@sha512:" + strings.Repeat("0", 128)} {
		if _, err := c.Resolve(t.Context(), bad); err == nil {
			t.Errorf("%q resolved", bad)
		}
	}
}

func TestUnauthorized(t *testing.T) {
	for _, status := range []int{http.StatusUnauthorized, http.StatusForbidden} {
		host := serve(t, true, faulty(pathHas("/v2/app/"), func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(status)
			io.WriteString(w, `{"errors":[{"code":"DENIED","message":"no \u001b[31mentry"}]}`)
		}))
		_, err := client(t, Options{}).Resolve(t.Context(), host+"/app:v1")
		wantError(t, err, ErrUnauthorized, "docker login", "DENIED: no [31mentry")
	}
}

func TestAStallingRegistryIsGivenUp(t *testing.T) {
	for _, where := range []string{"before the answer", "within the body"} {
		t.Run(where, func(t *testing.T) {
			host := serve(t, true, faulty(pathHas("/manifests/"), func(w http.ResponseWriter, r *http.Request) {
				if where == "within the body" {
					w.Header().Set("Content-Length", "100")
					io.WriteString(w, `{"schema`)
					w.(http.Flusher).Flush()
				}
				select {
				case <-r.Context().Done():
				case <-time.After(5 * time.Second):
				}
			}))
			_, err := client(t, Options{Timeout: 30 * time.Millisecond, Retries: -1}).Resolve(t.Context(), host+"/app:v1")
			wantError(t, err, ErrUnreachable, "sent nothing for 30ms")
		})
	}
}

func TestTheCallersDeadlineHolds(t *testing.T) {
	host := serve(t, true, faulty(pathHas("/manifests/"), func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := client(t, Options{}).Resolve(ctx, host+"/app:v1")
	wantError(t, err, ErrUnreachable, "503")
	if ctx.Err() != nil {
		t.Fatal("it waited for a retry that could not come in time")
	}
}

func TestRetries(t *testing.T) {
	for _, status := range []int{http.StatusTooManyRequests, http.StatusBadGateway} {
		var n atomic.Int32
		host := serve(t, true, func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.Contains(r.URL.Path, "/manifests/") && r.Method == http.MethodGet && n.Add(1) <= 2 {
					w.Header().Set("Retry-After", "0")
					w.WriteHeader(status)
					return
				}
				next.ServeHTTP(w, r)
			})
		})
		push(t, host+"/app:v1")
		n.Store(0)
		resolve(t, client(t, Options{Retries: 2}), host+"/app:v1")
		if n.Load() != 3 {
			t.Errorf("status %d: %d tries", status, n.Load())
		}
		n.Store(-100)
		_, err := client(t, Options{Retries: 2}).Resolve(t.Context(), host+"/app:v1")
		wantError(t, err, ErrUnreachable, fmt.Sprint(status))
		if n.Load() != -97 {
			t.Errorf("status %d: %d tries", status, n.Load()+100)
		}
	}
}

func TestPushRetries(t *testing.T) {
	var puts atomic.Int32
	host := serve(t, true, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/sha256:") && puts.Add(1) == 1 {
				io.CopyN(io.Discard, r.Body, 10)
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	push(t, host+"/app:v1")
	c := client(t, Options{})
	img := resolve(t, c, host+"/app:v1")
	puts.Store(0)
	if _, err := c.Attach(t.Context(), img, []byte("{}x"), Annotations{Content: ContentEnvelope}); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Candidates(t.Context(), img.Ref); err != nil || len(got) != 1 || puts.Load() != 2 {
		t.Fatalf("%v, %v after %d puts", got, err, puts.Load())
	}
}

// listing answers the referrers API with one bundle, whose manifest and blob
// the test serves as it likes.
func listing(t *testing.T, manifestBody string, blob []byte) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := digest.Of(digest.SHA256, []byte(manifestBody))
		switch {
		case strings.Contains(r.URL.Path, "/referrers/"):
			w.Header().Set("Content-Type", indexType)
			fmt.Fprintf(w, `{"manifests":[{"mediaType":%q,"artifactType":%q,"digest":%q,"size":%d}]}`, manifestType, BundleType, id, len(manifestBody))
		case strings.HasSuffix(r.URL.Path, "/manifests/"+id.String()):
			io.WriteString(w, manifestBody)
		case strings.Contains(r.URL.Path, "/blobs/"):
			w.Write(blob)
		case r.URL.Path == "/v2/":
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func bundleManifest(d string, size int) string {
	return fmt.Sprintf(`{"artifactType":%q,"layers":[{"mediaType":%q,"digest":%q,"size":%d}]}`, BundleType, BundleType, d, size)
}

func TestBadCandidatesAreListedWithTheirError(t *testing.T) {
	blob := []byte("0123456789")
	right := digest.Of(digest.SHA256, blob).String()
	wrong := digest.Of(digest.SHA256, []byte("other")).String()
	for _, tt := range []struct {
		name     string
		manifest string
		kind     error
		part     string
	}{
		{"other bytes", bundleManifest(wrong, len(blob)), ErrInvalid, "the registry lies"},
		{"fewer bytes", bundleManifest(right, len(blob)+1), ErrInvalid, "the registry lies"},
		{"more bytes", bundleManifest(right, len(blob)-1), ErrInvalid, "the registry lies"},
		{"oversize", bundleManifest(right, MaxBundle+1), ErrTooLarge, "exceeds the limit"},
		{"negative size", bundleManifest(right, -1), ErrTooLarge, ""},
		{"no layer", fmt.Sprintf(`{"artifactType":%q,"layers":[]}`, BundleType), ErrInvalid, "expected exactly one"},
		{"not JSON", `{`, ErrInvalid, "malformed JSON"},
		{"no digest", bundleManifest("sha256:", len(blob)), ErrInvalid, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := listing(t, tt.manifest, blob)
			c := client(t, Options{})
			img := digestRef(t, s)
			got, err := c.Candidates(t.Context(), img.Ref)
			if err != nil || len(got) != 1 || got[0].Bytes != nil {
				t.Fatalf("%+v, %v", got, err)
			}
			wantError(t, got[0].Err, tt.kind, tt.part)
		})
	}
	s := listing(t, bundleManifest(right, len(blob)), blob)
	if got, err := client(t, Options{}).Candidates(t.Context(), digestRef(t, s).Ref); err != nil || got[0].Err != nil || string(got[0].Bytes) != string(blob) {
		t.Fatalf("the untampered one: %+v, %v", got, err)
	}
}

func digestRef(t *testing.T, s *httptest.Server) Image {
	t.Helper()
	host := strings.TrimPrefix(s.URL, "http://")
	d := digest.Of(digest.SHA256, []byte("subject"))
	img := Image{Digest: d}
	ref, err := name.NewDigest(host + "/app@" + d.String())
	if err != nil {
		t.Fatal(err)
	}
	img.Ref = ref
	return img
}

func TestALyingManifestIsRefused(t *testing.T) {
	host := serve(t, true, faulty(pathHas("/manifests/"), func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", manifestType)
		w.Header().Set("Docker-Content-Digest", "sha256:"+strings.Repeat("0", 64))
		io.WriteString(w, `{"schemaVersion":2}`)
	}))
	c := client(t, Options{})
	_, err := c.Resolve(t.Context(), host+"/app@sha256:"+strings.Repeat("0", 64))
	wantError(t, err, ErrInvalid, "the registry lies")
	// By tag there is nothing to compare with: the content decides, not the header.
	img := resolve(t, c, host+"/app:v1")
	if img.Digest != digest.Of(digest.SHA256, []byte(`{"schemaVersion":2}`)) {
		t.Fatalf("%+v", img)
	}
}

func TestManifestTypes(t *testing.T) {
	for _, tt := range []struct{ header, body, want string }{
		{manifestType, `{}`, manifestType},
		{manifestType + "; charset=utf-8", `{"mediaType":"` + manifestType + `"}`, manifestType},
		{"application/json", `{"mediaType":"` + indexType + `"}`, indexType},
		{manifestType, `{"mediaType":"` + indexType + `"}`, ""},
		{"application/vnd.docker.distribution.manifest.v1+prettyjws", `{}`, ""},
		{"text/html", `<html>`, ""},
	} {
		if got, err := checkImageType(tt.header, []byte(tt.body)); got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%s %s: %q, %v", tt.header, tt.body, got, err)
		}
	}
}

func TestOversizeManifest(t *testing.T) {
	for _, announced := range []bool{true, false} {
		host := serve(t, true, faulty(pathHas("/manifests/"), func(w http.ResponseWriter, r *http.Request) {
			if announced {
				w.Header().Set("Content-Length", fmt.Sprint(MaxManifest+1))
			}
			chunk := make([]byte, 1<<20)
			for range 5 {
				w.Write(chunk)
			}
		}))
		_, err := client(t, Options{}).Resolve(t.Context(), host+"/app:v1")
		wantError(t, err, ErrTooLarge, "exceeds the limit")
	}
}

func TestFailingToLookIsNotAnEmptyList(t *testing.T) {
	for _, tt := range []struct {
		where  string
		status int
		source string // "": all of them
		kind   error
	}{
		{"/referrers/", http.StatusUnauthorized, SourceReferrers, ErrUnauthorized},
		{"/referrers/", http.StatusInternalServerError, SourceReferrers, ErrUnreachable},
		{".sig", http.StatusForbidden, SourceSignatures, ErrUnauthorized},
		{".att", http.StatusInternalServerError, SourceAttestations, ErrUnreachable},
		{"/manifests/sha256-", http.StatusForbidden, "tags", ErrUnauthorized},
		{"/manifests/sha256-", http.StatusBadGateway, "tags", ErrUnreachable},
		{"/v2/app/", http.StatusBadGateway, "", ErrUnreachable},
	} {
		var on atomic.Bool
		host := serve(t, true, faulty(func(r *http.Request) bool { return on.Load() && pathHas(tt.where)(r) },
			func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(tt.status) }))
		push(t, host+"/app:v1")
		c := client(t, Options{Retries: -1})
		img := resolve(t, c, host+"/app:v1")
		if _, err := c.Attach(t.Context(), img, []byte(`{}`), Annotations{Content: ContentMessage}); err != nil {
			t.Fatal(err)
		}
		on.Store(true)
		got, err := c.Candidates(t.Context(), img.Ref)
		if tt.source == "" {
			if got != nil {
				t.Errorf("%+v: %v", tt, got)
			}
			wantError(t, err, tt.kind)
			continue
		}
		if err != nil || len(got) == 0 {
			t.Fatalf("%+v: %v, %v", tt, got, err)
		}
		failed := 0
		for _, one := range got {
			if one.Failed() {
				failed++
				wantError(t, one.Err, tt.kind, one.Source)
				if tt.source != "tags" && one.Source != tt.source {
					t.Errorf("%+v: %s failed", tt, one.Source)
				}
			}
		}
		if want := map[bool]int{false: 1, true: 3}[tt.source == "tags"]; failed != want {
			t.Errorf("%+v: %d sources failed, want %d", tt, failed, want)
		}
		if found := len(got) - failed; (tt.source == SourceReferrers) == (found == 1) {
			t.Errorf("%+v: %d bundles found", tt, found)
		}
	}
}

func TestPlainHTTPGoesToLoopbackOnly(t *testing.T) {
	var sent []string
	spy := roundTripper(func(r *http.Request) (*http.Response, error) {
		sent = append(sent, r.URL.Scheme)
		if r.URL.Scheme == "https" {
			return nil, errors.New("connection refused")
		}
		return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {manifestType}}, Body: io.NopCloser(strings.NewReader(`{}`)), Request: r}, nil
	})
	_, err := client(t, Options{Transport: spy}).Resolve(t.Context(), "10.1.2.3:5000/app:v1")
	wantError(t, err, ErrRefused, "plain HTTP to 10.1.2.3:5000")
	for _, s := range sent {
		if s == "http" {
			t.Fatal("a plain request left")
		}
	}
	if _, err := client(t, Options{Transport: spy, AllowInsecure: true}).Resolve(t.Context(), "registry.example.com/app:v1"); err != nil {
		t.Fatal(err)
	}
	_, err = client(t, Options{Transport: spy, AllowInsecure: true, Credentials: Credentials{Username: "u", Password: "hunter2"}}).Resolve(t.Context(), "registry.example.com/app:v1")
	wantError(t, err, ErrRefused, "credentials to registry.example.com over plain HTTP")
	if strings.Contains(err.Error(), "hunter2") {
		t.Fatal(err)
	}
}

// bearer wraps a registry so that it wants a token from realm.
func bearer(realm func() string, want string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/token" {
				user, pass, _ := r.BasicAuth()
				json.NewEncoder(w).Encode(map[string]string{"token": user + pass})
				return
			}
			if r.Header.Get("Authorization") != "Bearer "+want {
				w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm=%q,service="s"`, realm()))
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

func TestTokenFlow(t *testing.T) {
	var self string
	plain := ociregistry.New(ociregistry.Logger(log.New(io.Discard, "", 0)))
	s := httptest.NewServer(bearer(func() string { return self + "/token" }, "userpass")(plain))
	t.Cleanup(s.Close)
	self = s.URL
	host := strings.TrimPrefix(s.URL, "http://")
	back := httptest.NewServer(plain)
	t.Cleanup(back.Close)
	push(t, strings.TrimPrefix(back.URL, "http://")+"/app:v1")
	resolve(t, client(t, Options{Credentials: Credentials{Username: "user", Password: "pass"}}), host+"/app:v1")
	resolve(t, client(t, Options{Credentials: Credentials{Bearer: "userpass"}}), host+"/app:v1")
	_, err := client(t, Options{Credentials: Credentials{Username: "user", Password: "bad"}}).Resolve(t.Context(), host+"/app:v1")
	wantError(t, err, ErrUnauthorized)
	_, err = client(t, Options{}).Resolve(t.Context(), host+"/app:v1")
	wantError(t, err, ErrUnauthorized, "gave no token")
}

func TestCredentialsDoNotFollowAForeignRealm(t *testing.T) {
	spied := func(realm string, opts Options) (asked []string, err error) {
		opts.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.Header.Get("Authorization") != "" {
				asked = append(asked, r.URL.Host)
			}
			resp := &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(`{"token":"t"}`)), Request: r}
			switch {
			case r.URL.Path == "/token":
			case r.Header.Get("Authorization") == "":
				resp.StatusCode = 401
				resp.Header.Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm=%q`, realm))
			default:
				resp.Header.Set("Content-Type", manifestType)
				resp.Body = io.NopCloser(strings.NewReader(`{}`))
			}
			return resp, nil
		})
		_, err = client(t, opts).Resolve(t.Context(), "registry.example.com/app:v1")
		return asked, err
	}
	secret := Credentials{Username: "u", Password: "hunter2"}
	for _, realm := range []string{"https://registry.example.com/token", "https://auth.example.com/token", "https://example.com/token"} {
		if asked, err := spied(realm, Options{Credentials: secret}); err != nil || len(asked) == 0 {
			t.Errorf("%s: %v, %v", realm, asked, err)
		}
	}
	for _, realm := range []string{"https://example.org/token", "https://example.com.evil.net/token", "https://a.b.example.com/token"} {
		asked, err := spied(realm, Options{Credentials: secret})
		wantError(t, err, ErrRefused, "token service", "authentication hosts")
		if len(asked) != 0 || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, %v", realm, asked, err)
		}
	}
	if _, err := spied("https://example.org/token", Options{Credentials: secret, AuthHosts: []string{"example.org"}}); err != nil {
		t.Error(err)
	}
	if _, err := spied("https://example.org/token", Options{}); err != nil {
		t.Errorf("an anonymous client has nothing to protect: %v", err)
	}
	refresh := authn.FromConfig(authn.AuthConfig{IdentityToken: "hunter2"})
	asked, err := spied("https://example.org/token", Options{Keychain: keychain{refresh}})
	wantError(t, err, ErrRefused)
	if len(asked) != 0 {
		t.Error(asked)
	}
}

func TestRedirects(t *testing.T) {
	parse := func(s string) *http.Request {
		u, err := url.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		return &http.Request{URL: u}
	}
	for _, tt := range []struct {
		from, to string
		ok       bool
	}{
		{"https://registry.example.com/", "https://cdn.example.net/", true},
		{"http://127.0.0.1:5000/", "http://127.0.0.1:6000/", true},
		{"https://registry.example.com/", "http://cdn.example.net/", false},
		{"https://registry.example.com/", "https://169.254.169.254/", false},
		{"https://registry.example.com/", "https://localhost/", false},
		{"https://registry.example.com/", "https://[::ffff:10.0.0.1]/", false},
	} {
		if err := checkRedirect(parse(tt.to), []*http.Request{parse(tt.from)}); (err == nil) != tt.ok {
			t.Errorf("%s → %s: %v", tt.from, tt.to, err)
		}
	}
	host := serve(t, true, faulty(pathHas("/manifests/"), func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.URL.Path+"?signature=hunter2", http.StatusTemporaryRedirect)
	}))
	_, err := client(t, Options{}).Resolve(t.Context(), host+"/app:v1")
	wantError(t, err, ErrRefused, "redirects")
	if strings.Contains(err.Error(), "hunter2") {
		t.Fatal(err)
	}
}

type keychain struct{ auth authn.Authenticator }

func (k keychain) Resolve(authn.Resource) (authn.Authenticator, error) { return k.auth, nil }

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
