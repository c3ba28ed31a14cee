// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"hallmark/internal/format/digest"
	"hallmark/internal/format/legacysig"
)

// descriptor is an OCI content descriptor.
type descriptor struct {
	MediaType    string            `json:"mediaType"`
	ArtifactType string            `json:"artifactType,omitempty"`
	Digest       string            `json:"digest"`
	Size         int64             `json:"size"`
	Annotations  map[string]string `json:"annotations,omitempty"`
}

type index struct {
	Manifests []descriptor `json:"manifests"`
}

// limit is how many bytes a candidate of the kind may have.
func (k Kind) limit() int64 {
	if k == KindLegacySignature {
		return legacysig.MaxPayload
	}
	return MaxBundle
}

// fromAPI lists what the referrers API names; nothing if there is no such API.
func (s *session) fromAPI(ctx context.Context, subject string) ([]found, error) {
	list, _, err := s.referrers(ctx, subject)
	return candidatesOf(list), err
}

// fromTag lists what the index under the referrers tag names.
func (s *session) fromTag(ctx context.Context, subject string) ([]found, error) {
	idx, err := s.tagIndex(ctx, subject)
	if err != nil {
		return nil, err
	}
	list, err := idx.descriptors()
	return candidatesOf(list), err
}

// legacyTag lists the manifest under a legacy tag, whose layers are the
// evidence; nothing if there is no such tag.
func (s *session) legacyTag(ctx context.Context, tag string) ([]found, error) {
	body, mediaType, err := s.manifest(ctx, tag, legacyManifests)
	if notFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	mediaType, _, _ = strings.Cut(mediaType, ";")
	if !slices.Contains(strings.Split(legacyManifests, ","), strings.TrimSpace(mediaType)) {
		return nil, fmt.Errorf("the tag %s has the type %.100q: expected an image manifest with a layer for each signature", tag, mediaType)
	}
	d := descriptor{MediaType: mediaType, Digest: digest.Of(digest.SHA256, body).String(), Size: int64(len(body))}
	return []found{{descriptor: d, body: body}}, nil
}

func candidatesOf(list []descriptor) []found {
	var out []found
	for _, d := range list {
		if maybeEvidence(d) {
			out = append(out, found{descriptor: d})
		}
	}
	return out
}

// maybeEvidence says whether a listed manifest has to be looked at. The
// artifactType is a hint: some clients leave it out of the tag's index, and
// some registries report the type of the (empty) config instead.
func maybeEvidence(d descriptor) bool {
	if d.MediaType != manifestType && d.MediaType != "" {
		return false
	}
	return d.ArtifactType == "" || d.ArtifactType == emptyConfigType ||
		strings.HasPrefix(d.ArtifactType, bundlePrefix) || strings.HasPrefix(d.ArtifactType, cosignPrefix)
}

// referrers asks the referrers API; supported is false if there is none.
func (s *session) referrers(ctx context.Context, subject string) (list []descriptor, supported bool, err error) {
	next := s.url("referrers", subject)
	for page := 0; next != ""; page++ {
		if page == maxPages || len(list) > maxReferrers {
			return nil, true, &sizeError{"the list of referrers", maxReferrers, "entries"}
		}
		body, link, ok, err := s.referrersPage(ctx, next)
		if err != nil {
			return nil, false, err
		}
		if !ok {
			if page > 0 {
				return nil, true, fmt.Errorf("page %d of the referrers is not an OCI image index", page+1)
			}
			return nil, false, nil
		}
		var idx index
		if err := json.Unmarshal(body, &idx); err != nil {
			return nil, true, fmt.Errorf("the referrers API answered malformed JSON: %v", err)
		}
		list = append(list, idx.Manifests...)
		if next, err = s.nextPage(next, link); err != nil {
			return nil, true, err
		}
	}
	return list, true, nil
}

// referrersPage reads one page; ok is false if the answer means that the
// registry has no such API.
func (s *session) referrersPage(ctx context.Context, from string) (body []byte, link string, ok bool, err error) {
	resp, err := s.do(ctx, http.MethodGet, from, http.Header{"Accept": {indexType}}, nil)
	if err != nil {
		return nil, "", false, err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusNotFound, http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusNotAcceptable, http.StatusNotImplemented:
		return nil, "", false, nil
	}
	if err := transport.CheckError(resp, http.StatusOK); err != nil {
		return nil, "", false, err
	}
	contentType, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	if strings.TrimSpace(contentType) != indexType {
		return nil, "", false, nil // a catch-all page
	}
	body, err = readAll(resp, "the list of referrers", MaxManifest)
	return body, resp.Header.Get("Link"), true, err
}

// nextPage is where a Link header says the next page is: on the same registry,
// or nowhere.
func (s *session) nextPage(current, link string) (string, error) {
	target, params, ok := strings.Cut(link, ">")
	if !ok || !strings.HasPrefix(target, "<") || !strings.Contains(strings.ReplaceAll(params, `"`, ""), "rel=next") {
		return "", nil
	}
	base, err := url.Parse(current)
	if err != nil {
		return "", err
	}
	u, err := base.Parse(target[1:])
	if err != nil {
		return "", errors.New("the next page of the referrers has a malformed URL")
	}
	if u.Host != base.Host || u.Scheme != base.Scheme || u.User != nil || !strings.HasPrefix(u.Path, "/v2/") {
		return "", fmt.Errorf("the next page of the referrers is on another host, %s", u.Host)
	}
	return u.String(), nil
}

// blob reads exactly the bytes d describes.
func (s *session) blob(ctx context.Context, d descriptor) ([]byte, error) {
	want, err := digest.Parse(d.Digest)
	if err != nil {
		return nil, err
	}
	resp, err := s.do(ctx, http.MethodGet, s.url("blobs", d.Digest), nil, nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if err := transport.CheckError(resp, http.StatusOK); err != nil {
		return nil, err
	}
	if resp.ContentLength >= 0 && resp.ContentLength != d.Size {
		return nil, fmt.Errorf("the registry lies: it serves %d bytes for a blob of %d", resp.ContentLength, d.Size)
	}
	body := make([]byte, d.Size)
	if _, err := io.ReadFull(resp.Body, body); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, fmt.Errorf("the registry sent fewer bytes than the %d it announced", d.Size)
		}
		return nil, err
	}
	if n, _ := io.ReadFull(resp.Body, make([]byte, 1)); n > 0 {
		return nil, fmt.Errorf("the registry lies: it serves more than the %d bytes it announced", d.Size)
	}
	if got := digest.Of(want.Algorithm(), body); got != want {
		return nil, fmt.Errorf("the registry lies: it served bytes with the digest %s for %s", got, want)
	}
	return body, nil
}
