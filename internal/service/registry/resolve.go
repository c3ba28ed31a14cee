// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"hallmark/internal/format/digest"
)

// imageTypes are the manifests that can be signed and looked up.
const imageTypes = string(types.OCIImageIndex) + "," + string(types.OCIManifestSchema1) + "," +
	string(types.DockerManifestList) + "," + string(types.DockerManifestSchema2)

// Resolve finds out which manifest ref means. A tag is resolved to a digest by
// hashing what the registry serves for it; a digest is checked to be there and
// to match. An index (several platforms) is returned as it is: its digest is
// the one that is signed.
func (c *Client) Resolve(ctx context.Context, ref string) (Image, error) {
	parsed, byDigest, err := parse(ref, c.opts.naming())
	if err != nil {
		return Image{}, err
	}
	s, err := c.open(ctx, parsed.Context(), false)
	if err != nil {
		return Image{}, err
	}
	body, mediaType, err := s.manifest(ctx, parsed.Identifier(), imageTypes)
	if err != nil {
		return Image{}, c.explain(parsed.Context(), "find the image "+parsed.Name(), err)
	}
	if mediaType, err = checkImageType(mediaType, body); err != nil {
		return Image{}, c.explain(parsed.Context(), "use the image "+parsed.Name(), err)
	}
	d := digest.Of(digest.SHA256, body)
	return Image{
		Ref:       parsed.Context().Digest(d.String()),
		Digest:    d,
		MediaType: mediaType,
		Size:      int64(len(body)),
		WasTag:    !byDigest,
		Asked:     ref,
	}, nil
}

// parse reads a reference and says whether it names a digest.
func parse(ref string, opts []name.Option) (parsed name.Reference, byDigest bool, err error) {
	if parsed, err = name.ParseReference(ref, opts...); err != nil {
		return nil, false, fmt.Errorf("image %.200q is not a reference: expected REGISTRY/REPOSITORY[:TAG][@sha256:DIGEST]: %w", ref, err)
	}
	asked, byDigest := parsed.(name.Digest)
	if byDigest && !strings.HasPrefix(asked.DigestStr(), "sha256:") {
		return nil, false, fmt.Errorf("image %s: only sha256 digests are supported", ref)
	}
	return parsed, byDigest, nil
}

// ErrTag is a reference that does not say which image it means without asking
// a registry.
var ErrTag = errors.New("a tag may mean another image tomorrow")

// ByDigest reads a reference with a digest, without asking any registry; size
// and media type stay unknown. The error is [ErrTag] if there is no digest.
func ByDigest(ref string) (Image, error) {
	parsed, byDigest, err := parse(ref, nil)
	if err != nil {
		return Image{}, err
	}
	if !byDigest {
		return Image{}, fmt.Errorf("image %s: %w: expected REGISTRY/REPOSITORY@sha256:DIGEST", ref, ErrTag)
	}
	d, err := digest.Parse(parsed.Identifier())
	if err != nil {
		return Image{}, fmt.Errorf("image %s: %w", ref, err)
	}
	return Image{Ref: parsed.Context().Digest(d.String()), Digest: d, Asked: ref}, nil
}

// checkImageType settles what a manifest is, from the header or, when that is
// vague, from the manifest itself.
func checkImageType(header string, body []byte) (string, error) {
	header, _, _ = strings.Cut(header, ";")
	header = strings.TrimSpace(header)
	var inside struct {
		MediaType string `json:"mediaType"`
	}
	if err := json.Unmarshal(body, &inside); err != nil {
		return "", fmt.Errorf("its manifest is not JSON: %v", err)
	}
	known := func(t string) bool { return t != "" && strings.Contains(","+imageTypes+",", ","+t+",") }
	switch {
	case known(header) && (inside.MediaType == "" || inside.MediaType == header):
		return header, nil
	case known(header) && known(inside.MediaType):
		return "", fmt.Errorf("its manifest says it is %s, but was served as %s", inside.MediaType, header)
	case known(inside.MediaType):
		return inside.MediaType, nil
	}
	return "", fmt.Errorf("its manifest has the type %.100q: expected an OCI or Docker image manifest or index", header)
}

// manifest reads the manifest that identifier, a tag or a digest, names. By
// digest, the bytes are checked against it.
func (s *session) manifest(ctx context.Context, identifier, accept string) (body []byte, mediaType string, err error) {
	return s.manifestWithin(ctx, identifier, accept, MaxManifest)
}

// manifestWithin is manifest with a limit of its own, in bytes.
func (s *session) manifestWithin(ctx context.Context, identifier, accept string, limit int64) (body []byte, mediaType string, err error) {
	resp, err := s.do(ctx, http.MethodGet, s.url("manifests", identifier), http.Header{"Accept": {accept}}, nil)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	if err := transport.CheckError(resp, http.StatusOK); err != nil {
		return nil, "", err
	}
	if body, err = readAll(resp, "the manifest", limit); err != nil {
		return nil, "", err
	}
	if strings.HasPrefix(identifier, "sha256:") {
		if got := digest.Of(digest.SHA256, body).String(); got != identifier {
			return nil, "", fmt.Errorf("the registry lies: it served a manifest with the digest %s for %s", got, identifier)
		}
	}
	return body, resp.Header.Get("Content-Type"), nil
}

// do sends one request into the repository.
func (s *session) do(ctx context.Context, method, url string, header http.Header, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("not a usable URL")
	}
	for k, v := range header {
		req.Header[k] = v
	}
	return s.http.Do(req)
}

// url is where the registry serves a resource of the repository. The scheme is
// corrected below to the one the registry answers on.
func (s *session) url(kind, identifier string) string {
	u := url.URL{Scheme: s.repo.Scheme(), Host: s.repo.RegistryStr(), Path: "/v2/" + s.repo.RepositoryStr() + "/" + kind + "/" + identifier}
	return u.String()
}

func readAll(resp *http.Response, what string, limit int64) ([]byte, error) {
	if resp.ContentLength > limit {
		return nil, &sizeError{what, limit, ""}
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(body)) > limit {
		return nil, &sizeError{what, limit, ""}
	}
	return body, nil
}
