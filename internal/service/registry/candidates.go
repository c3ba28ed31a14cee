// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sync/errgroup"

	"hallmark/internal/format/digest"
)

// Media and artifact types of what [Client.Attach] stores.
const (
	BundleType      = "application/vnd.dev.sigstore.bundle.v0.3+json"
	bundlePrefix    = "application/vnd.dev.sigstore.bundle" // of every bundle version
	emptyConfigType = string(types.OCIEmptyJSON)
	manifestType    = string(types.OCIManifestSchema1)
	indexType       = string(types.OCIImageIndex)
)

// Annotations of a bundle's manifest.
const (
	AnnotationCreated       = "org.opencontainers.image.created"
	AnnotationContent       = "dev.sigstore.bundle.content"
	AnnotationPredicateType = "dev.sigstore.bundle.predicateType"
)

// Candidate is a bundle that a registry lists for a subject, or the reason why
// it could not be had. Nothing about it has been verified: the annotations are
// the registry's word, and the bytes are only known to match their digest.
type Candidate struct {
	Digest      digest.Digest     // of the manifest that refers to the subject
	MediaType   string            // of the bundle, as the manifest declares it; "" if unknown
	Bytes       []byte            // nil if Err is set
	Annotations map[string]string // of the manifest
	Err         error             // why Bytes could not be had
}

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

// Candidates lists and fetches every bundle whose manifest refers to subject,
// from the referrers API and from the referrers tag, merged by digest, oldest
// first. A bundle that cannot be fetched is in the list with its error, and so
// is one that would exceed [MaxTotal]. No bundles is an empty list and no
// error; not being able to look is an error.
func (c *Client) Candidates(ctx context.Context, subject name.Digest) ([]Candidate, error) {
	if !strings.HasPrefix(subject.DigestStr(), "sha256:") {
		return nil, fmt.Errorf("image %s: only sha256 digests are supported", subject)
	}
	s, err := c.open(ctx, subject.Context(), false)
	if err != nil {
		return nil, err
	}
	listed, err := s.listed(ctx, subject)
	if err != nil {
		return nil, c.explain(subject.Context(), "list the signatures of "+subject.Name(), err)
	}
	found := make([]*Candidate, len(listed))
	budget := &atomic.Int64{}
	budget.Store(MaxTotal)
	var group errgroup.Group
	group.SetLimit(parallel)
	for i, d := range listed {
		group.Go(func() error {
			found[i] = s.candidate(ctx, d, budget)
			return nil
		})
	}
	group.Wait()
	if err := ctx.Err(); err != nil {
		return nil, c.explain(subject.Context(), "fetch the signatures of "+subject.Name(), err)
	}
	var out []Candidate
	for _, f := range found {
		if f != nil {
			out = append(out, *f)
		}
	}
	slices.SortStableFunc(out, func(a, b Candidate) int {
		return cmp.Or(strings.Compare(a.Annotations[AnnotationCreated], b.Annotations[AnnotationCreated]),
			strings.Compare(a.Digest.Hex(), b.Digest.Hex()))
	})
	return out, nil
}

// listed is every descriptor that is or may be a bundle, from both places.
func (s *session) listed(ctx context.Context, subject name.Digest) ([]descriptor, error) {
	var api, tag []descriptor
	var group errgroup.Group
	group.Go(func() (err error) { api, _, err = s.referrers(ctx, subject.DigestStr()); return })
	group.Go(func() (err error) {
		idx, err := s.tagIndex(ctx, subject.DigestStr())
		if err == nil {
			tag, err = idx.descriptors()
		}
		return err
	})
	if err := group.Wait(); err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	var out []descriptor
	for _, d := range append(api, tag...) {
		if seen[d.Digest] || !maybeBundle(d) {
			continue
		}
		seen[d.Digest] = true
		out = append(out, d)
	}
	if len(out) > MaxCandidates {
		return nil, &sizeError{fmt.Sprintf("the list of %d signatures", len(out)), MaxCandidates, "signatures"}
	}
	return out, nil
}

// maybeBundle says whether a listed manifest has to be looked at. The
// artifactType is a hint: some clients leave it out of the tag's index, and
// some registries report the type of the (empty) config instead.
func maybeBundle(d descriptor) bool {
	if d.MediaType != manifestType && d.MediaType != "" {
		return false
	}
	return d.ArtifactType == "" || d.ArtifactType == emptyConfigType || strings.HasPrefix(d.ArtifactType, bundlePrefix)
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

// candidate fetches what d describes. It is nil if that turns out not to be a
// bundle, which only a manifest listed without a telling type can.
func (s *session) candidate(ctx context.Context, d descriptor, budget *atomic.Int64) *Candidate {
	id, err := digest.Parse(d.Digest)
	if err != nil || id.Algorithm() != digest.SHA256 {
		return &Candidate{Annotations: d.Annotations, Err: fmt.Errorf("the registry lists a referrer with the digest %.100q: expected sha256:HEX", d.Digest)}
	}
	c := &Candidate{Digest: id, Annotations: d.Annotations}
	fail := func(what string, err error) *Candidate {
		c.Err = s.client.explain(s.repo, what+" of "+id.String(), err)
		return c
	}
	body, _, err := s.manifest(ctx, d.Digest, manifestType)
	if err != nil {
		return fail("read the manifest", err)
	}
	var m manifest
	if err := json.Unmarshal(body, &m); err != nil {
		return fail("read the manifest", fmt.Errorf("malformed JSON: %v", err))
	}
	layers := slices.DeleteFunc(slices.Clone(m.Layers), func(l descriptor) bool { return !strings.HasPrefix(l.MediaType, bundlePrefix) })
	if !strings.HasPrefix(m.ArtifactType, bundlePrefix) && len(layers) == 0 {
		return nil
	}
	if m.Annotations != nil {
		c.Annotations = m.Annotations
	}
	if len(m.Layers) != 1 || len(layers) != 1 {
		return fail("find the bundle", fmt.Errorf("its manifest has %d layers, %d of them bundles: expected exactly one, of type %s", len(m.Layers), len(layers), BundleType))
	}
	c.MediaType = layers[0].MediaType
	if size := layers[0].Size; size < 0 || size > MaxBundle {
		return fail("read the bundle", &sizeError{fmt.Sprintf("the bundle of %d bytes", size), MaxBundle, ""})
	}
	if budget.Add(-layers[0].Size) < 0 {
		budget.Add(layers[0].Size)
		return fail("read the bundle", &sizeError{"all bundles of the image together", MaxTotal, ""})
	}
	if c.Bytes, err = s.blob(ctx, layers[0]); err != nil {
		budget.Add(layers[0].Size)
		return fail("read the bundle", err)
	}
	return c
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
		return nil, fmt.Errorf("the registry lies: it serves %d bytes for a bundle of %d", resp.ContentLength, d.Size)
	}
	body := make([]byte, d.Size)
	if _, err := io.ReadFull(resp.Body, body); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, fmt.Errorf("the registry sent fewer bytes than the %d it announced", d.Size)
		}
		return nil, err
	}
	if n, _ := io.ReadFull(resp.Body, make([]byte, 1)); n > 0 {
		return nil, fmt.Errorf("the registry lies: it serves more than the %d bytes of the bundle", d.Size)
	}
	if got := digest.Of(want.Algorithm(), body); got != want {
		return nil, fmt.Errorf("the registry lies: it served bytes with the digest %s for %s", got, want)
	}
	return body, nil
}
