// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"hallmark/internal/format/digest"
)

func TestPlatforms(t *testing.T) {
	host, img := pushed(t, true, nil)
	c := client(t, Options{})
	entry := func(id digest.Digest, mediaType, platform string) string {
		return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":1%s}`, mediaType, id, platform)
	}
	putIndex := func(tag string, entries ...string) Image {
		put(t, "http://"+host+"/v2/app/manifests/"+tag, indexType, `{"schemaVersion":2,"mediaType":"`+indexType+`","manifests":[`+strings.Join(entries, ",")+`]}`)
		return resolve(t, c, host+"/app:"+tag)
	}
	const amd64, arm = `,"platform":{"os":"linux","architecture":"amd64"}`, `,"platform":{"os":"linux","architecture":"arm64","variant":"v8"}`
	inner := putIndex("inner", entry(img.Digest, img.MediaType, arm))
	outer := putIndex("outer", entry(img.Digest, img.MediaType, amd64), entry(inner.Digest, indexType, ""), entry(img.Digest, "application/x", ""))
	got, err := c.Platforms(t.Context(), outer)
	if err != nil {
		t.Fatal(err)
	}
	want := []struct {
		name string
		id   digest.Digest
	}{{"linux/amd64", img.Digest}, {"index", inner.Digest}, {"linux/arm64/v8", img.Digest}, {"unknown", img.Digest}}
	if len(got) != len(want) {
		t.Fatalf("%+v", got)
	}
	for i, w := range want {
		if got[i].Name != w.name || got[i].Digest != w.id || got[i].Ref.DigestStr() != w.id.String() {
			t.Errorf("%d: %+v, want %+v", i, got[i], w)
		}
	}
	if none, err := c.Platforms(t.Context(), img); err != nil || none != nil {
		t.Errorf("an image has platforms %+v, %v", none, err)
	}

	_, err = c.Platforms(t.Context(), served(t, `{"manifests":[{"mediaType":"x","digest":"sha256:short"}]}`))
	wantError(t, err, ErrInvalid, "manifests[0]")
	_, err = c.Platforms(t.Context(), served(t, `{"manifests":{}}`))
	wantError(t, err, ErrInvalid, "malformed JSON")
	gone := `{"manifests":[` + entry(digest.Of(digest.SHA256, []byte("gone")), indexType, "") + `]}`
	_, err = c.Platforms(t.Context(), served(t, gone))
	wantError(t, err, ErrNotFound)
	many := strings.Repeat(","+entry(img.Digest, img.MediaType, amd64), maxPlatforms+1)
	_, err = c.Platforms(t.Context(), served(t, `{"manifests":[`+many[1:]+`]}`))
	wantError(t, err, ErrTooLarge, "256 manifests")
	indexes := []string{`{"manifests":[]}`}
	for range maxIndexDepth {
		inside := digest.Of(digest.SHA256, []byte(indexes[len(indexes)-1]))
		indexes = append(indexes, `{"manifests":[`+entry(inside, indexType, "")+`]}`)
	}
	_, err = c.Platforms(t.Context(), served(t, indexes...))
	wantError(t, err, ErrTooLarge, "levels")
	if got, err := c.Platforms(t.Context(), served(t, indexes[:maxIndexDepth]...)); err != nil || len(got) != maxIndexDepth-1 {
		t.Errorf("%+v, %v", got, err)
	}
}

// served is the last of the indexes, in a registry that has them all.
func served(t *testing.T, indexes ...string) Image {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, body := range indexes {
			if strings.HasSuffix(r.URL.Path, "/manifests/"+digest.Of(digest.SHA256, []byte(body)).String()) {
				w.Header().Set("Content-Type", indexType)
				io.WriteString(w, body)
				return
			}
		}
		if r.URL.Path != "/v2/" {
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(s.Close)
	id := digest.Of(digest.SHA256, []byte(indexes[len(indexes)-1]))
	img, err := ByDigest(strings.TrimPrefix(s.URL, "http://") + "/app@" + id.String())
	if err != nil {
		t.Fatal(err)
	}
	img.MediaType = indexType
	return img
}
