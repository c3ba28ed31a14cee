// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"hallmark/internal/format/digest"
)

// Content says what a bundle holds.
type Content string

// The contents that bundles have.
const (
	ContentEnvelope Content = "dsse-envelope"
	ContentMessage  Content = "message-signature"
)

// Annotations describe an attached bundle to those who list it.
type Annotations struct {
	Content       Content
	PredicateType string    // of the envelope's statement; "" for a message signature
	Created       time.Time // zero is now
}

// manifest is an OCI image manifest as far as bundles need it.
type manifest struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType"`
	ArtifactType  string            `json:"artifactType,omitempty"`
	Config        descriptor        `json:"config"`
	Layers        []descriptor      `json:"layers"`
	Subject       *descriptor       `json:"subject,omitempty"`
	Annotations   map[string]string `json:"annotations,omitempty"`
}

// emptyConfig is the OCI empty descriptor's content,
// https://github.com/opencontainers/image-spec/blob/main/manifest.md#guidance-for-an-empty-descriptor.
const emptyConfig = "{}"

// Attach stores bundle beside subject and makes the registry list it there. It
// returns the digest of the manifest that refers to subject. When it returns,
// readers find the bundle: the registry has said that it lists the manifest, or
// the referrers tag has been read back with it. Attaching is safe beside other
// writers. On an error, blobs that nothing refers to may remain.
func (c *Client) Attach(ctx context.Context, subject Image, bundle []byte, a Annotations) (digest.Digest, error) {
	if len(bundle) == 0 || len(bundle) > MaxBundle {
		return digest.Digest{}, fmt.Errorf("bundle of %d bytes: expected 1 to %d", len(bundle), MaxBundle)
	}
	if a.Content != ContentEnvelope && a.Content != ContentMessage {
		return digest.Digest{}, fmt.Errorf("bundle content %q: expected %s or %s", a.Content, ContentEnvelope, ContentMessage)
	}
	if a.Created.IsZero() {
		a.Created = c.now()
	}
	s, err := c.open(ctx, c.home(subject.Ref.Context()), true)
	if err != nil {
		return digest.Digest{}, err
	}
	id, err := s.attach(ctx, subject, bundle, a)
	if err != nil {
		return digest.Digest{}, c.explain(s.repo, "attach the bundle to "+subject.Ref.Name(), err)
	}
	return id, nil
}

func (s *session) attach(ctx context.Context, subject Image, bundle []byte, a Annotations) (digest.Digest, error) {
	for _, b := range [][]byte{[]byte(emptyConfig), bundle} {
		if err := s.upload(ctx, b); err != nil {
			return digest.Digest{}, err
		}
	}
	m := newManifest(subject, bundle, a)
	body, err := json.Marshal(m)
	if err != nil {
		return digest.Digest{}, err
	}
	id := digest.Of(digest.SHA256, body)
	header, err := s.putManifest(ctx, id.String(), manifestType, body)
	if err != nil {
		return digest.Digest{}, err
	}
	if header.Get("OCI-Subject") == subject.Digest.String() {
		return id, nil
	}
	// No word from the registry that it lists referrers. Some do without saying.
	list, supported, err := s.referrers(ctx, subject.Digest.String())
	if err != nil {
		return digest.Digest{}, err
	}
	if supported && slices.ContainsFunc(list, func(d descriptor) bool { return d.Digest == id.String() }) {
		return id, nil
	}
	return id, s.addToTagIndex(ctx, subject.Digest.String(), descriptor{
		MediaType:    manifestType,
		ArtifactType: m.ArtifactType,
		Digest:       id.String(),
		Size:         int64(len(body)),
		Annotations:  m.Annotations,
	})
}

func newManifest(subject Image, bundle []byte, a Annotations) manifest {
	annotations := map[string]string{
		AnnotationCreated: a.Created.UTC().Format(time.RFC3339),
		AnnotationContent: string(a.Content),
	}
	if a.PredicateType != "" {
		annotations[AnnotationPredicateType] = a.PredicateType
	}
	return manifest{
		SchemaVersion: 2,
		MediaType:     manifestType,
		ArtifactType:  BundleType,
		// The config's own artifactType is what cosign writes too: registries
		// that build the list of referrers from the config find it there.
		Config: descriptor{MediaType: emptyConfigType, ArtifactType: BundleType, Digest: digest.Of(digest.SHA256, []byte(emptyConfig)).String(), Size: int64(len(emptyConfig))},
		Layers: []descriptor{{MediaType: BundleType, Digest: digest.Of(digest.SHA256, bundle).String(), Size: int64(len(bundle))}},
		Subject: &descriptor{
			MediaType: subject.MediaType,
			Digest:    subject.Digest.String(),
			Size:      subject.Size,
		},
		Annotations: annotations,
	}
}

// upload stores a blob unless it is there.
func (s *session) upload(ctx context.Context, content []byte) error {
	pusher, err := remote.NewPusher(remote.WithTransport(s.auth), remote.WithRetryBackoff(remote.Backoff{
		Duration: s.client.delay, Factor: 3, Jitter: 0.5, Steps: s.client.opts.Retries + 1,
	}))
	if err != nil {
		return err
	}
	return pusher.Upload(ctx, s.repo, static.NewLayer(content, types.MediaType("application/octet-stream")))
}

// putManifest stores body under identifier, a digest or a tag.
func (s *session) putManifest(ctx context.Context, identifier, mediaType string, body []byte) (http.Header, error) {
	resp, err := s.do(ctx, http.MethodPut, s.url("manifests", identifier), http.Header{"Content-Type": {mediaType}}, body)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if err := transport.CheckError(resp, http.StatusCreated, http.StatusOK, http.StatusAccepted); err != nil {
		return nil, err
	}
	return resp.Header, nil
}

// notFound says whether err is a registry's 404.
func notFound(err error) bool {
	var answer *transport.Error
	return errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound
}
