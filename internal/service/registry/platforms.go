// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"hallmark/internal/format/digest"
)

// Limits on what an index may list.
const (
	maxPlatforms  = 256
	maxIndexDepth = 4
)

// Platform is a manifest that an index lists.
type Platform struct {
	Image
	// Name is OS/ARCHITECTURE[/VARIANT] as the index has it; "unknown" if it
	// does not say. Attestations that builders put into an index have
	// "unknown/unknown".
	Name string
}

// Platforms lists everything that image lists, and what indexes in it list, in
// the order written. It is empty if image is no index. Several platforms may
// share a manifest. Each digest is as good as the image's own, since every
// index is checked against its digest.
func (c *Client) Platforms(ctx context.Context, image Image) ([]Platform, error) {
	if !isIndex(image.MediaType) {
		return nil, nil
	}
	s, err := c.open(ctx, image.Ref.Context(), false)
	if err != nil {
		return nil, err
	}
	out, err := s.platforms(ctx, image, nil, 1)
	if err != nil {
		return nil, c.explain(s.repo, "list the platforms of "+image.Ref.Name(), err)
	}
	return out, nil
}

func isIndex(mediaType string) bool {
	return mediaType == indexType || mediaType == string(types.DockerManifestList)
}

func (s *session) platforms(ctx context.Context, image Image, out []Platform, depth int) ([]Platform, error) {
	if depth > maxIndexDepth {
		return nil, &sizeError{"the depth of indexes within indexes", maxIndexDepth, "levels"}
	}
	body, _, err := s.manifest(ctx, image.Digest.String(), imageTypes)
	if err != nil {
		return nil, err
	}
	var idx struct {
		Manifests []struct {
			descriptor
			Platform struct {
				OS           string `json:"os"`
				Architecture string `json:"architecture"`
				Variant      string `json:"variant"`
			} `json:"platform"`
		} `json:"manifests"`
	}
	if err := json.Unmarshal(body, &idx); err != nil {
		return nil, fmt.Errorf("the index %s is malformed JSON: %v", image.Digest, err)
	}
	for i, m := range idx.Manifests {
		if len(out) == maxPlatforms {
			return nil, &sizeError{"the list of platforms", maxPlatforms, "manifests"}
		}
		d, err := digest.Parse(m.Digest)
		if err != nil || d.Algorithm() != digest.SHA256 {
			return nil, fmt.Errorf("the index %s: manifests[%d] has the digest %.100q: expected sha256:HEX", image.Digest, i, m.Digest)
		}
		p := Platform{Name: "unknown", Image: Image{Ref: image.Ref.Context().Digest(d.String()), Digest: d, MediaType: m.MediaType, Size: m.Size, Asked: image.Asked}}
		if m.Platform.OS != "" {
			p.Name = strings.TrimSuffix(m.Platform.OS+"/"+m.Platform.Architecture+"/"+m.Platform.Variant, "/")
		}
		out = append(out, p)
		if isIndex(m.MediaType) {
			p.Name = "index"
			out[len(out)-1] = p
			if out, err = s.platforms(ctx, p.Image, out, depth+1); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}
