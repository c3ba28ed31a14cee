// SPDX-License-Identifier: Apache-2.0

package legacylab

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Store adds layers to what is under the legacy tag of image with the given
// suffix, "sig" or "att", as cosign does: it reads, appends and writes.
func Store(image name.Digest, suffix string, layers ...Layer) error {
	tag := image.Context().Tag(fmt.Sprintf("%s.%s", strings.Replace(image.DigestStr(), ":", "-", 1), suffix))
	base, err := remote.Image(tag)
	var answer *transport.Error
	switch {
	case errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound:
		base = mutate.MediaType(mutate.ConfigMediaType(empty.Image, types.OCIConfigJSON), types.OCIManifestSchema1)
	case err != nil:
		return err
	}
	img, err := appended(base, layers)
	if err != nil {
		return err
	}
	return remote.Write(tag, img)
}

// Refer stores layers in cosign's experimental OCI 1.1 form: in a manifest of
// their own, which refers to image.
func Refer(image name.Digest, layers ...Layer) error {
	const artifactType = "application/vnd.dev.cosign.artifact.sig.v1+json"
	subject, err := remote.Head(image)
	if err != nil {
		return err
	}
	img, err := appended(mutate.MediaType(mutate.ConfigMediaType(empty.Image, artifactType), types.OCIManifestSchema1), layers)
	if err != nil {
		return err
	}
	img, ok := mutate.Subject(img, *subject).(v1.Image)
	if !ok {
		return errors.New("not an image")
	}
	id, err := img.Digest()
	if err != nil {
		return err
	}
	return remote.Write(image.Context().Digest(id.String()), img)
}

func appended(base v1.Image, layers []Layer) (v1.Image, error) {
	for _, l := range layers {
		var err error
		base, err = mutate.Append(base, mutate.Addendum{Layer: static.NewLayer(l.Content, types.MediaType(l.MediaType)), Annotations: l.Annotations})
		if err != nil {
			return nil, err
		}
	}
	return base, nil
}
