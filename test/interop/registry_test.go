// SPDX-License-Identifier: Apache-2.0

package interop

import (
	"encoding/json"
	"io"
	"log"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// registries are the two kinds that exist: with the referrers API, and without
// it, where clients keep an index under a tag.
var registries = []struct {
	name      string
	referrers bool
}{
	{"referrers API", true},
	{"referrers tag", false},
}

// newRegistry is the host of an OCI registry.
func newRegistry(t *testing.T, referrers bool) string {
	t.Helper()
	server := httptest.NewServer(registry.New(
		registry.WithReferrersSupport(referrers), registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// newImage is a small image that no other is.
func newImage(t *testing.T) v1.Image {
	t.Helper()
	image, err := random.Image(1<<10, 2)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// push puts an image under a tag and returns its reference by digest.
func push(t *testing.T, image v1.Image, tag string) name.Digest {
	t.Helper()
	ref, err := name.NewTag(tag)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, image); err != nil {
		t.Fatal(err)
	}
	digest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return ref.Digest(digest.String())
}

// copySignatures attaches what is attached to one image to another, with the
// bundles altered on the way.
func copySignatures(t *testing.T, from, to name.Digest, alter func(bundle []byte) []byte) {
	t.Helper()
	index, err := remote.Referrers(from)
	if err != nil {
		t.Fatal(err)
	}
	referrers, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(referrers.Manifests) == 0 {
		t.Fatalf("nothing is attached to %s", from)
	}
	subject, err := remote.Head(to)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range referrers.Manifests {
		image, err := remote.Image(from.Digest(d.Digest.String()))
		if err != nil {
			t.Fatal(err)
		}
		reattach(t, image, to, subject, alter)
	}
}

// reattach writes the manifest of an attached bundle again, changed only in
// its subject and its layer.
func reattach(t *testing.T, image v1.Image, to name.Digest, subject *v1.Descriptor, alter func([]byte) []byte) {
	t.Helper()
	raw, err := image.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	var manifest map[string]any
	if err := json.Unmarshal(raw, &manifest); err != nil {
		t.Fatal(err)
	}
	layers, err := image.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("a bundle's manifest has one layer, this has %d: %v", len(layers), err)
	}
	config, err := image.RawConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	mediaType, err := layers[0].MediaType()
	if err != nil {
		t.Fatal(err)
	}
	layer := static.NewLayer(alter(content(t, layers[0])), mediaType)
	for _, blob := range []v1.Layer{layer, static.NewLayer(config, types.OCIConfigJSON)} {
		if err := remote.WriteLayer(to.Context(), blob); err != nil {
			t.Fatal(err)
		}
	}
	digest, _ := layer.Digest() // a static layer's never fail
	size, _ := layer.Size()
	manifest["layers"] = []v1.Descriptor{{MediaType: mediaType, Digest: digest, Size: size}}
	manifest["subject"] = subject
	changed, err := json.Marshal(manifest)
	if err != nil {
		t.Fatal(err)
	}
	sum, _, err := v1.SHA256(strings.NewReader(string(changed)))
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Put(to.Digest(sum.String()), rawManifest(changed)); err != nil {
		t.Fatal(err)
	}
}

// content is what is in a layer.
func content(t *testing.T, layer v1.Layer) []byte {
	t.Helper()
	r, err := layer.Compressed()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// rawManifest is an OCI manifest as it stands.
type rawManifest []byte

func (m rawManifest) RawManifest() ([]byte, error) { return m, nil }

func (rawManifest) MediaType() (types.MediaType, error) { return types.OCIManifestSchema1, nil }
