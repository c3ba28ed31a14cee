// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"hallmark/internal/format/bundle"
	"hallmark/internal/format/digest"
	"hallmark/internal/format/intoto"
	"hallmark/internal/format/legacysig"
	"hallmark/internal/format/trustroot"
	"hallmark/internal/judge/verify"
	"hallmark/internal/service/registry"
)

// The forms of evidence, as "format" in the JSON output.
const (
	formatBundle = "bundle"
	formatLegacy = "legacy"
)

// The codes that this client adds to those of package verify. They are listed
// in docs/verification.md.
const (
	codeUnreadable  = "unreadable"
	codeMalformed   = "malformed"
	codeAnnotations = "annotations"
	codeQuorum      = "quorum"
	codePlatform    = "platform"
)

// judging is what image signatures are judged by.
type judging struct {
	root        *trustroot.Root
	demand      demand
	annotations map[string]string
	memo        *verify.Memo
}

// candidate judges what a registry lists for subject.
func (j *judging) candidate(c registry.Candidate, subject digest.Digest) verdict {
	v := verdict{Source: c.Source, failedSource: c.Failed()}
	if !c.Digest.IsZero() {
		v.Digest = c.Digest.String()
	}
	switch c.Kind {
	case registry.KindBundle:
		v.Format = formatBundle
	case registry.KindLegacySignature, registry.KindLegacyAttestation:
		v.Format, v.Layer = formatLegacy, &c.Layer
	}
	if c.Err != nil {
		return v.refuse(codeUnreadable, c.Err)
	}
	var b *bundle.Bundle
	var payload []byte
	var err error
	switch c.Kind {
	case registry.KindLegacySignature:
		b, err = legacysig.ParseSignature(c.Annotations)
		payload = c.Bytes
	case registry.KindLegacyAttestation:
		b, err = legacysig.ParseAttestation(c.Bytes, c.Annotations)
	default:
		b, err = bundle.Parse(c.Bytes)
	}
	if err != nil {
		return v.refuse(codeMalformed, err)
	}
	return j.evidence(v, b, payload, subject)
}

// evidence judges b as a signature on subject; payload is what a legacy
// signature is over, nil for all else.
func (j *judging) evidence(v verdict, b *bundle.Bundle, payload []byte, subject digest.Digest) verdict {
	policy := j.demand.policy
	if b.Envelope != nil {
		// An attestation by the same signer says something about the image, but
		// not that the signer stands by it.
		policy.PredicateType = intoto.CosignSignV1
	}
	verified, err := j.memo.Check(b, verify.Artifact{Digests: []digest.Digest{subject}, SimpleSigning: payload}, j.root, policy)
	if err != nil {
		return v.judge(err, b)
	}
	if err := matchAnnotations(verified, subject, j.annotations); err != nil {
		return v.refuse(codeAnnotations, err)
	}
	return v.accept(verified)
}

// annotationsOf are the annotations that the signer put on subject: one set for
// each subject of a statement that is it, or the optional part of a payload.
func annotationsOf(v *verify.Verified, subject digest.Digest) []map[string]any {
	if p := v.SimpleSigning(); p != nil {
		return []map[string]any{p.Optional}
	}
	var all []map[string]any
	if st := v.Statement(); st != nil {
		for _, s := range st.Subjects {
			if s.Digests[subject.Algorithm().String()] == subject.Hex() {
				all = append(all, s.Annotations)
			}
		}
	}
	return all
}

// matchAnnotations wants every annotation on the subject that was signed.
func matchAnnotations(v *verify.Verified, subject digest.Digest, want map[string]string) error {
	if len(want) == 0 {
		return nil
	}
	sets := annotationsOf(v, subject)
	if len(sets) == 0 {
		return errors.New("a message signature carries no annotations")
	}
	var reasons []string
	for _, set := range sets {
		var missing []string
		for _, key := range slices.Sorted(maps.Keys(want)) {
			if got, ok := set[key]; !ok || fmt.Sprint(got) != want[key] {
				missing = append(missing, fmt.Sprintf("%s=%s", key, want[key]))
			}
		}
		if len(missing) == 0 {
			return nil
		}
		reasons = append(reasons, strings.Join(missing, ", "))
	}
	return fmt.Errorf("expected the annotations %s", strings.Join(reasons, "; or "))
}

// worst is the error whose exit code says most, with the others' texts.
func worst(failures []error) error {
	if len(failures) == 0 {
		return nil
	}
	code := ExitFailed
	for _, err := range failures {
		var coded exitError
		if errors.As(err, &coded) && code == ExitFailed {
			code = coded.code
		}
	}
	return exitError{code, errors.Join(failures...)}
}
