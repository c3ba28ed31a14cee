// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"hallmark/internal/format/digest"
	"hallmark/internal/format/legacysig"
)

// Media and artifact types of what [Client.Attach] stores.
const (
	BundleType      = "application/vnd.dev.sigstore.bundle.v0.3+json"
	bundlePrefix    = "application/vnd.dev.sigstore.bundle" // of every bundle version
	emptyConfigType = string(types.OCIEmptyJSON)
	manifestType    = string(types.OCIManifestSchema1)
	indexType       = string(types.OCIImageIndex)

	// cosignPrefix begins the artifact types of cosign's experimental OCI 1.1
	// forms: legacy layers in a manifest that refers to the image.
	cosignPrefix = "application/vnd.dev.cosign.artifact."
	// legacyManifests are the types that the manifest under a legacy tag may have.
	legacyManifests = manifestType + "," + string(types.DockerManifestSchema2)
)

// Annotations of a bundle's manifest.
const (
	AnnotationCreated       = "org.opencontainers.image.created"
	AnnotationContent       = "dev.sigstore.bundle.content"
	AnnotationPredicateType = "dev.sigstore.bundle.predicateType"
)

// Kind is the form that a candidate has by its media type.
type Kind string

// The kinds.
const (
	KindUnknown           Kind = ""                   // it could not be found out, or is none of these
	KindBundle            Kind = "bundle"             // a Sigstore bundle
	KindLegacySignature   Kind = "legacy-signature"   // a simple signing payload; the evidence is in the annotations
	KindLegacyAttestation Kind = "legacy-attestation" // a DSSE envelope; the rest of the evidence is in the annotations
)

// kindOf tells the kind from a layer's media type and nothing else.
func kindOf(mediaType string) Kind {
	switch {
	case strings.HasPrefix(mediaType, bundlePrefix):
		return KindBundle
	case mediaType == legacysig.SignatureType:
		return KindLegacySignature
	case mediaType == legacysig.AttestationType:
		return KindLegacyAttestation
	}
	return KindUnknown
}

// The places where candidates are listed, for [Candidate.Source]. A legacy tag
// is named by its suffix.
const (
	SourceReferrers    = "referrers API"
	SourceReferrersTag = "referrers tag"
	SourceSignatures   = ".sig tag"
	SourceAttestations = ".att tag"
)

// Candidate is evidence that a registry lists for a subject, or the reason why
// it could not be had. Nothing about it has been verified: the annotations are
// the registry's word, and the bytes are only known to match their digest.
type Candidate struct {
	Kind        Kind
	Source      string            // where it is listed first, of the Source constants
	Digest      digest.Digest     // of the manifest that holds it; zero if Source itself could not be read
	Layer       int               // which layer of that manifest it is; 0 for a bundle
	MediaType   string            // as the manifest declares it; "" if unknown
	Bytes       []byte            // nil if Err is set
	Annotations map[string]string // of the manifest for a bundle; of the layer for legacy evidence
	Err         error             // why Bytes could not be had
}

// Failed says whether this stands for a whole source that could not be read, so
// that there may be more evidence than is known.
func (c Candidate) Failed() bool { return c.Digest.IsZero() && c.Err != nil }
