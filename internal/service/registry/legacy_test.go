// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"hallmark/internal/format/digest"
	"hallmark/internal/format/legacysig"
)

// layer is one of a legacy manifest.
type layer struct {
	mediaType, content string
	annotations        map[string]string
}

func sigLayer(content, signature string) layer {
	return layer{legacysig.SignatureType, content, map[string]string{legacysig.AnnotationSignature: signature}}
}

// putLegacy stores a manifest with layers at url and gives its digest.
func putLegacy(t *testing.T, host, repo, tag, mediaType string, change func(*manifest), layers ...layer) digest.Digest {
	t.Helper()
	target, err := name.NewRepository(host + "/" + repo)
	if err != nil {
		t.Fatal(err)
	}
	m := manifest{SchemaVersion: 2, MediaType: mediaType, Config: descriptor{MediaType: string(types.OCIConfigJSON), Digest: digest.Of(digest.SHA256, []byte("{}")).String(), Size: 2}}
	for _, l := range layers {
		if err := remote.WriteLayer(target, static.NewLayer([]byte(l.content), types.MediaType(l.mediaType))); err != nil {
			t.Fatal(err)
		}
		m.Layers = append(m.Layers, descriptor{MediaType: l.mediaType, Digest: digest.Of(digest.SHA256, []byte(l.content)).String(), Size: int64(len(l.content)), Annotations: l.annotations})
	}
	if change != nil {
		change(&m)
	}
	body, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	id := digest.Of(digest.SHA256, body)
	if tag == "" {
		tag = id.String()
	}
	put(t, "http://"+host+"/v2/"+repo+"/manifests/"+tag, mediaType, string(body))
	return id
}

// pushed is an image in a new registry.
func pushed(t *testing.T, referrers bool, wrap func(http.Handler) http.Handler) (host string, img Image) {
	t.Helper()
	host = serve(t, referrers, wrap)
	push(t, host+"/app:v1")
	return host, resolve(t, client(t, Options{}), host+"/app:v1")
}

func candidates(t *testing.T, img Image) []Candidate {
	t.Helper()
	got, err := client(t, Options{Retries: -1}).Candidates(t.Context(), img.Ref)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestLegacyTags(t *testing.T) {
	for _, mediaType := range []string{manifestType, string(types.DockerManifestSchema2)} {
		t.Run(mediaType, func(t *testing.T) {
			host, img := pushed(t, true, nil)
			tag := fallbackTag(img.Digest.String())
			// The same payload signed twice is one blob under two descriptors.
			sig := putLegacy(t, host, "app", tag+".sig", mediaType, nil, sigLayer("payload", "one"), sigLayer("payload", "two"))
			att := putLegacy(t, host, "app", tag+".att", mediaType, nil,
				layer{legacysig.AttestationType, "envelope", map[string]string{legacysig.AnnotationPredicateType: "x"}})
			got := candidates(t, img)
			if len(got) != 3 {
				t.Fatalf("%+v", got)
			}
			byID := map[string]Candidate{}
			for _, c := range got {
				if c.Err != nil {
					t.Error(c.Err)
				}
				byID[fmt.Sprintf("%s/%d", c.Digest, c.Layer)] = c
			}
			for i, want := range []string{"one", "two"} {
				c := byID[fmt.Sprintf("%s/%d", sig, i)]
				if c.Kind != KindLegacySignature || c.Source != SourceSignatures || string(c.Bytes) != "payload" ||
					c.MediaType != legacysig.SignatureType || c.Annotations[legacysig.AnnotationSignature] != want {
					t.Errorf("layer %d: %+v", i, c)
				}
			}
			c := byID[att.String()+"/0"]
			if c.Kind != KindLegacyAttestation || c.Source != SourceAttestations || string(c.Bytes) != "envelope" || c.Annotations[legacysig.AnnotationPredicateType] != "x" {
				t.Errorf("attestation: %+v", c)
			}
		})
	}
}

func TestExperimentalReferrers(t *testing.T) {
	for _, referrers := range []bool{true, false} {
		host, img := pushed(t, referrers, nil)
		refers := func(artifactType, configType string) func(*manifest) {
			return func(m *manifest) {
				m.ArtifactType, m.Config.MediaType = artifactType, configType
				m.Subject = &descriptor{MediaType: img.MediaType, Digest: img.Digest.String(), Size: img.Size}
			}
		}
		const sigType = cosignPrefix + "sig.v1+json"
		both := putLegacy(t, host, "app", "", manifestType, refers(sigType, sigType), sigLayer("a", "1"))
		config := putLegacy(t, host, "app", "", manifestType, refers("", sigType), sigLayer("b", "2"))
		if !referrers {
			put(t, "http://"+host+"/v2/app/manifests/"+fallbackTag(img.Digest.String()), indexType,
				fmt.Sprintf(`{"schemaVersion":2,"manifests":[{"mediaType":%q,"digest":%q,"size":1,"artifactType":%q},{"mediaType":%q,"digest":%q,"size":1}]}`,
					manifestType, both, sigType, manifestType, config))
		}
		got := candidates(t, img)
		if len(got) != 2 {
			t.Fatalf("referrers=%v: %+v", referrers, got)
		}
		for _, c := range got {
			if c.Err != nil || c.Kind != KindLegacySignature || c.Digest != both && c.Digest != config {
				t.Errorf("referrers=%v: %+v", referrers, c)
			}
		}
	}
}

func TestAManifestUnderTwoNamesIsOne(t *testing.T) {
	host, img := pushed(t, true, nil)
	refers := func(m *manifest) {
		m.ArtifactType, m.Config.MediaType = cosignPrefix+"sig.v1+json", cosignPrefix+"sig.v1+json"
		m.Subject = &descriptor{MediaType: img.MediaType, Digest: img.Digest.String(), Size: img.Size}
	}
	byDigest := putLegacy(t, host, "app", "", manifestType, refers, sigLayer("a", "1"))
	byTag := putLegacy(t, host, "app", fallbackTag(img.Digest.String())+".sig", manifestType, refers, sigLayer("a", "1"))
	if got := candidates(t, img); byDigest != byTag || len(got) != 1 || got[0].Source != SourceReferrers {
		t.Errorf("%+v", got)
	}
}

// What a layer is comes from its media type; what is none of the known types is
// said to be so.
func TestLayersOfOtherTypes(t *testing.T) {
	host, img := pushed(t, true, nil)
	tag := fallbackTag(img.Digest.String())
	putLegacy(t, host, "app", tag+".sig", manifestType, nil,
		layer{"application/octet-stream", "x", nil}, sigLayer("payload", "one"), layer{legacysig.AttestationType, "envelope", nil}, layer{legacysig.SignatureType + "x", "y", nil})
	putLegacy(t, host, "app", tag+".att", manifestType, nil, layer{BundleType, `{"a":1}`, nil})
	got := candidates(t, img)
	kinds := map[Kind]int{}
	for _, c := range got {
		kinds[c.Kind]++
		if (c.Kind == KindUnknown) != (c.Err != nil) {
			t.Errorf("%+v", c)
		}
		if c.Err != nil {
			wantError(t, c.Err, ErrInvalid, "which is no signature", c.Digest.String())
		}
	}
	if kinds[KindUnknown] != 2 || kinds[KindLegacySignature] != 1 || kinds[KindLegacyAttestation] != 1 || kinds[KindBundle] != 1 {
		t.Errorf("%v", kinds)
	}
}

func TestLegacyTagsWithoutSignatures(t *testing.T) {
	host, img := pushed(t, true, nil)
	tag := fallbackTag(img.Digest.String())
	putLegacy(t, host, "app", tag+".sig", manifestType, nil)                                   // all were removed
	putLegacy(t, host, "app", tag+".att", manifestType, nil, layer{"application/x", "x", nil}) // an image by that name
	if got := candidates(t, img); len(got) != 0 {
		t.Errorf("%+v", got)
	}
	put(t, "http://"+host+"/v2/app/manifests/"+tag+".sig", indexType, `{"schemaVersion":2,"manifests":[]}`)
	got := candidates(t, img)
	if len(got) != 1 || !got[0].Failed() || got[0].Source != SourceSignatures {
		t.Fatalf("%+v", got)
	}
	wantError(t, got[0].Err, ErrInvalid, "expected an image manifest")
}

// legacyListing answers the .sig tag with a manifest that the test writes, and
// every blob with the same bytes.
func legacyListing(t *testing.T, body string, blob []byte) Image {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, ".sig"):
			w.Header().Set("Content-Type", manifestType)
			io.WriteString(w, body)
		case strings.Contains(r.URL.Path, "/blobs/"):
			w.Write(blob)
		case r.URL.Path == "/v2/":
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(s.Close)
	return digestRef(t, s)
}

func legacyManifest(layers ...string) string {
	return `{"schemaVersion":2,"layers":[` + strings.Join(layers, ",") + `]}`
}

func TestBadLegacyLayersAreListedWithTheirError(t *testing.T) {
	blob := []byte("0123456789")
	right := digest.Of(digest.SHA256, blob).String()
	wrong := digest.Of(digest.SHA256, []byte("other")).String()
	one := func(mediaType, id string, size int) string {
		return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d}`, mediaType, id, size)
	}
	for _, tt := range []struct {
		name, layer string
		kind        error
		part        string
	}{
		{"other bytes", one(legacysig.SignatureType, wrong, len(blob)), ErrInvalid, "the registry lies"},
		{"fewer bytes", one(legacysig.SignatureType, right, len(blob)+1), ErrInvalid, "the registry lies"},
		{"more bytes", one(legacysig.SignatureType, right, len(blob)-1), ErrInvalid, "the registry lies"},
		{"large payload", one(legacysig.SignatureType, right, legacysig.MaxPayload+1), ErrTooLarge, "exceeds the limit"},
		{"large envelope", one(legacysig.AttestationType, right, MaxBundle+1), ErrTooLarge, "exceeds the limit"},
		{"negative size", one(legacysig.SignatureType, right, -1), ErrTooLarge, ""},
		{"no digest", one(legacysig.SignatureType, "", len(blob)), ErrInvalid, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			// The good layer beside it is had all the same.
			img := legacyListing(t, legacyManifest(one(legacysig.SignatureType, right, len(blob)), tt.layer), blob)
			got := candidates(t, img)
			if len(got) != 2 || got[0].Err != nil || string(got[0].Bytes) != string(blob) || got[1].Bytes != nil || got[1].Layer != 1 {
				t.Fatalf("%+v", got)
			}
			wantError(t, got[1].Err, tt.kind, tt.part)
		})
	}
	got := candidates(t, legacyListing(t, `{`, blob))
	if len(got) != 1 || got[0].Digest.IsZero() {
		t.Fatalf("%+v", got)
	}
	wantError(t, got[0].Err, ErrInvalid, "malformed JSON")
}

func TestCapsOnLegacyLayers(t *testing.T) {
	blob := []byte("0123456789")
	id := digest.Of(digest.SHA256, blob).String()
	many := slices.Repeat([]string{fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":10}`, legacysig.SignatureType, id)}, MaxCandidates+1)
	_, err := client(t, Options{}).Candidates(t.Context(), legacyListing(t, legacyManifest(many...), blob).Ref)
	wantError(t, err, ErrTooLarge, "1000 signatures")
	if got := candidates(t, legacyListing(t, legacyManifest(many[1:]...), blob)); len(got) != MaxCandidates {
		t.Errorf("%d candidates", len(got))
	}
	// Nine announced envelopes of the largest size are more than may be fetched
	// together. No byte of them is there, which is told of the others.
	large := slices.Repeat([]string{fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d}`, legacysig.AttestationType, id, MaxBundle)}, 9)
	img := legacyListing(t, legacyManifest(large...), blob)
	search := client(t, Options{Retries: -1}).NewSearch()
	search.left.Store(MaxBundle / 2)
	got, err := search.Candidates(t.Context(), img.Ref)
	if err != nil || len(got) != 9 {
		t.Fatalf("%d, %v", len(got), err)
	}
	for _, c := range got {
		wantError(t, c.Err, ErrTooLarge, "all evidence together")
	}
}

func TestEvidenceRepository(t *testing.T) {
	host, img := pushed(t, true, nil)
	putLegacy(t, host, "app", fallbackTag(img.Digest.String())+".sig", manifestType, nil, sigLayer("at home", "1"))
	putLegacy(t, host, "evidence/all", fallbackTag(img.Digest.String())+".sig", manifestType, nil, sigLayer("elsewhere", "1"))
	c := client(t, Options{EvidenceRepository: host + "/evidence/all"})
	id, err := c.Attach(t.Context(), img, []byte(`{}`), Annotations{Content: ContentMessage})
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Candidates(t.Context(), img.Ref)
	if err != nil || len(got) != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	for _, one := range got {
		if one.Kind == KindBundle && one.Digest != id || one.Kind == KindLegacySignature && string(one.Bytes) != "elsewhere" {
			t.Errorf("%+v", one)
		}
	}
	if got := candidates(t, img); len(got) != 1 || string(got[0].Bytes) != "at home" {
		t.Errorf("at home: %+v", got)
	}
	for _, bad := range []string{"UPPER", host + "/a:tag", host + "/a@sha256:00"} {
		if _, err := New(Options{EvidenceRepository: bad}); err == nil {
			t.Errorf("%q is a repository", bad)
		}
	}
}

func TestByDigest(t *testing.T) {
	id := digest.Of(digest.SHA256, []byte("x"))
	for _, ref := range []string{"registry.example.test/app@" + id.String(), "registry.example.test/app:v1@" + id.String()} {
		img, err := ByDigest(ref)
		if err != nil || img.Digest != id || img.WasTag || img.Ref.Name() != "registry.example.test/app@"+id.String() {
			t.Errorf("%s: %+v, %v", ref, img, err)
		}
	}
	for _, ref := range []string{"registry.example.test/app", "registry.example.test/app:v1", "UPPER", "registry.example.test/app@sha512:" + strings.Repeat("0", 128)} {
		if _, err := ByDigest(ref); err == nil {
			t.Errorf("%s names a digest", ref)
		}
	}
}

// FuzzHolds: what a manifest holds is told without panicking, and never a
// bundle from one without exactly one.
func FuzzHolds(f *testing.F) {
	for _, seed := range []string{
		legacyManifest(`{"mediaType":"` + legacysig.SignatureType + `"}`), `{"artifactType":"` + BundleType + `"}`,
		`{"layers":[{"mediaType":"` + BundleType + `"},{"mediaType":"x"}]}`, `{"config":{"mediaType":"` + cosignPrefix + `sig"}}`, `{}`, `null`, `{"layers":null}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var m manifest
		if json.Unmarshal(body, &m) != nil {
			return
		}
		kind, err := m.holds()
		if kind == KindBundle && (err != nil || len(m.Layers) != 1 || kindOf(m.Layers[0].MediaType) != KindBundle) {
			t.Fatalf("a bundle in %s", body)
		}
	})
}
