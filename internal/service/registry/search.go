// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/google/go-containerregistry/pkg/name"

	"hallmark/internal/format/digest"
)

// Search finds the evidence of one or several subjects under one set of
// limits: what all of it takes in memory, and how much is fetched at a time. It
// is safe for concurrent use.
type Search struct {
	client *Client
	left   atomic.Int64  // bytes that may still be fetched
	slots  chan struct{} // one for each fetch under way
}

// NewSearch starts a search for at most [MaxTotal] bytes of evidence.
func (c *Client) NewSearch() *Search {
	s := &Search{client: c, slots: make(chan struct{}, parallel)}
	s.left.Store(MaxTotal)
	return s
}

// Candidates is [Search.Candidates] of a search of its own.
func (c *Client) Candidates(ctx context.Context, subject name.Digest) ([]Candidate, error) {
	return c.NewSearch().Candidates(ctx, subject)
}

// found is a manifest that a source lists.
type found struct {
	descriptor
	source string
	body   []byte // nil if it has yet to be fetched
}

// Candidates lists and fetches all evidence for subject: bundles and legacy
// layers in manifests that refer to it, by the referrers API and the referrers
// tag, and the layers under its .sig and .att tags; merged by manifest, oldest
// first. The sources are asked at the same time, none instead of another.
//
// Evidence that cannot be fetched is in the list with its error, and so is what
// would exceed [MaxTotal], and a source that could not be read
// ([Candidate.Failed]). No evidence is an empty list and no error; no source
// that could be read is an error, and so are more than [MaxCandidates].
func (s *Search) Candidates(ctx context.Context, subject name.Digest) ([]Candidate, error) {
	if !strings.HasPrefix(subject.DigestStr(), "sha256:") {
		return nil, fmt.Errorf("image %s: only sha256 digests are supported", subject)
	}
	session, err := s.client.open(ctx, s.client.home(subject.Context()), false)
	if err != nil {
		return nil, err
	}
	what := "list the signatures of " + subject.Name()
	listed, out, err := s.sources(ctx, session, subject.DigestStr())
	if err == nil && len(listed) > MaxCandidates {
		err = &sizeError{fmt.Sprintf("the list of %d signatures", len(listed)), MaxCandidates, "signatures"}
	}
	if err != nil {
		return nil, s.client.explain(session.repo, what, err)
	}
	evidence := make([][]Candidate, len(listed))
	var total atomic.Int64
	var wg sync.WaitGroup
	for i, f := range listed {
		wg.Go(func() { evidence[i] = s.manifest(ctx, session, f, &total) })
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return nil, s.client.explain(session.repo, "fetch the signatures of "+subject.Name(), err)
	}
	if n := total.Load(); n > MaxCandidates {
		return nil, s.client.explain(session.repo, what, &sizeError{"the number of signatures", MaxCandidates, "signatures"})
	}
	for _, e := range evidence {
		out = append(out, e...)
	}
	slices.SortStableFunc(out, func(a, b Candidate) int {
		return cmp.Or(strings.Compare(a.Annotations[AnnotationCreated], b.Annotations[AnnotationCreated]),
			strings.Compare(a.Digest.Hex(), b.Digest.Hex()), cmp.Compare(a.Layer, b.Layer))
	})
	return out, nil
}

// sources asks all of them at the same time. What could not be read is in
// failed; err is set if nothing could.
func (s *Search) sources(ctx context.Context, session *session, subject string) (listed []found, failed []Candidate, err error) {
	tag := func(suffix string) func() ([]found, error) {
		return func() ([]found, error) { return session.legacyTag(ctx, fallbackTag(subject)+suffix) }
	}
	all := []struct {
		name string
		ask  func() ([]found, error)
		list []found
		err  error
	}{
		{name: SourceReferrers, ask: func() ([]found, error) { return session.fromAPI(ctx, subject) }},
		{name: SourceReferrersTag, ask: func() ([]found, error) { return session.fromTag(ctx, subject) }},
		{name: SourceSignatures, ask: tag(".sig")},
		{name: SourceAttestations, ask: tag(".att")},
	}
	var wg sync.WaitGroup
	for i := range all {
		wg.Go(func() { all[i].list, all[i].err = all[i].ask() })
	}
	wg.Wait()
	seen := map[string]bool{}
	for _, source := range all {
		if source.err != nil {
			err = cmp.Or(err, source.err)
			failed = append(failed, Candidate{Source: source.name, Err: s.client.explain(session.repo, "read the "+source.name, source.err)})
			continue
		}
		for _, f := range source.list {
			if !seen[f.Digest] {
				seen[f.Digest] = true
				f.source = source.name
				listed = append(listed, f)
			}
		}
	}
	if len(failed) < len(all) {
		err = nil
	}
	return listed, failed, err
}

// fetching waits for a slot; done gives it back.
func (s *Search) fetching(ctx context.Context) (done func(), err error) {
	select {
	case s.slots <- struct{}{}:
		return func() { <-s.slots }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// manifest fetches what f describes and the evidence in it. It is empty if
// there turns out to be none, which only a manifest listed without a telling
// type may be.
func (s *Search) manifest(ctx context.Context, session *session, f found, total *atomic.Int64) []Candidate {
	id, err := digest.Parse(f.Digest)
	if err != nil || id.Algorithm() != digest.SHA256 {
		err = fmt.Errorf("the registry lists a referrer with the digest %.100q: expected sha256:HEX", f.Digest)
		return []Candidate{{Source: f.source, Annotations: f.Annotations, Err: s.client.explain(session.repo, "use a referrer", err)}}
	}
	one := Candidate{Source: f.source, Digest: id, Annotations: f.Annotations}
	fail := func(what string, err error) []Candidate {
		one.Err = s.client.explain(session.repo, what+" of "+id.String(), err)
		return []Candidate{one}
	}
	if f.body == nil {
		if f.body, err = s.read(ctx, session, f.descriptor); err != nil {
			return fail("read the manifest", err)
		}
	}
	var m manifest
	if err := json.Unmarshal(f.body, &m); err != nil {
		return fail("read the manifest", fmt.Errorf("malformed JSON: %v", err))
	}
	if m.Annotations != nil {
		one.Annotations = m.Annotations
	}
	kind, err := m.holds()
	switch {
	case err != nil:
		return fail("find the bundle", err)
	case kind == KindUnknown:
		return nil
	}
	if n := total.Add(int64(len(m.Layers))); n > MaxCandidates {
		return nil // an error of the whole
	}
	out := make([]Candidate, len(m.Layers))
	var wg sync.WaitGroup
	for i, l := range m.Layers {
		out[i] = one
		out[i].Layer = i
		if kind != KindBundle {
			out[i].Annotations = l.Annotations
		}
		wg.Go(func() { s.layer(ctx, session, l, &out[i]) })
	}
	wg.Wait()
	return out
}

// read fetches a listed manifest. A large one has to be listed as such, and
// counts among all evidence while it is read.
func (s *Search) read(ctx context.Context, session *session, d descriptor) ([]byte, error) {
	done, err := s.fetching(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	limit := min(max(d.Size, usualManifest), MaxManifest)
	defer s.left.Add(limit - usualManifest)
	if s.left.Add(usualManifest-limit) < 0 {
		return nil, &sizeError{"all evidence together", MaxTotal, ""}
	}
	body, _, err := session.manifestWithin(ctx, d.Digest, manifestType, limit)
	return body, err
}

// holds tells from the media types what is in the manifest: a bundle, legacy
// layers, or nothing of either kind.
func (m *manifest) holds() (Kind, error) {
	var bundles, legacy int
	for _, l := range m.Layers {
		switch kindOf(l.MediaType) {
		case KindBundle:
			bundles++
		case KindLegacySignature, KindLegacyAttestation:
			legacy++
		}
	}
	switch {
	case bundles > 0 || strings.HasPrefix(m.ArtifactType, bundlePrefix):
		if len(m.Layers) != 1 || bundles != 1 {
			return KindUnknown, fmt.Errorf("its manifest has %d layers, %d of them bundles: expected exactly one, of type %s", len(m.Layers), bundles, BundleType)
		}
		return KindBundle, nil
	case legacy > 0 || strings.HasPrefix(m.ArtifactType, cosignPrefix) || strings.HasPrefix(m.Config.MediaType, cosignPrefix):
		return KindLegacySignature, nil
	}
	return KindUnknown, nil
}

// layer fetches the bytes of one candidate.
func (s *Search) layer(ctx context.Context, session *session, l descriptor, c *Candidate) {
	c.Kind, c.MediaType = kindOf(l.MediaType), l.MediaType
	noun := "the bundle"
	if c.Kind != KindBundle {
		noun = fmt.Sprintf("layer %d", c.Layer)
	}
	fail := func(err error) {
		c.Err = s.client.explain(session.repo, "read "+noun+" of "+c.Digest.String(), err)
	}
	if c.Kind == KindUnknown {
		fail(fmt.Errorf("it has the type %.100q, which is no signature", l.MediaType))
		return
	}
	if l.Size < 0 || l.Size > c.Kind.limit() {
		fail(&sizeError{fmt.Sprintf("its size of %d bytes", l.Size), c.Kind.limit(), ""})
		return
	}
	if s.left.Add(-l.Size) < 0 {
		s.left.Add(l.Size)
		fail(&sizeError{"all evidence together", MaxTotal, ""})
		return
	}
	done, err := s.fetching(ctx)
	if err == nil {
		c.Bytes, err = session.blob(ctx, l)
		done()
	}
	if err != nil {
		s.left.Add(l.Size)
		fail(err)
	}
}
