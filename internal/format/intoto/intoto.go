// SPDX-License-Identifier: Apache-2.0

// Package intoto is the in-toto attestation statement: a typed predicate about
// subjects that are named by digest.
//
// Specs: https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md
// and, for v0.1, https://github.com/in-toto/attestation/tree/v0.1.0/spec.
//
// Invariants of a [Statement] that [Parse] returned: its type is one of the two
// known ones, its predicate type is not empty, it has 1 to [MaxSubjects]
// subjects with at least one digest each, and the predicate is absent or a
// JSON object, kept as it was written. No name occurs twice anywhere, the
// predicate included. Nothing is verified.
package intoto

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"hallmark/internal/format/digest"
	"hallmark/internal/format/strictjson"
)

// Statement types, the DSSE payload type of both, and predicate types.
const (
	StatementV1  = "https://in-toto.io/Statement/v1"
	StatementV01 = "https://in-toto.io/Statement/v0.1"
	PayloadType  = "application/vnd.in-toto+json"
	// CosignSignV1 is the predicate of an image signature: a statement with an
	// empty predicate, which says only "signed".
	CosignSignV1 = "https://sigstore.dev/cosign/sign/v1"
)

// Caps on what [Parse] accepts.
const (
	MaxSize     = 128 << 20 // bytes
	MaxSubjects = 1 << 16
	MaxDigests  = 64 // per subject
)

// Statement says Predicate, of the kind PredicateType, about each of Subjects.
type Statement struct {
	Type          string
	Subjects      []Subject
	PredicateType string
	Predicate     json.RawMessage // a JSON object; nil where there is none
}

// Subject is an artifact. Digests maps algorithm names as in-toto writes them
// ("sha256", "gitCommit") to values, usually hexadecimal. Of a v1 resource
// descriptor's further fields only annotations are kept.
type Subject struct {
	Name        string
	Digests     map[string]string
	Annotations map[string]any
}

// Parse reads a statement. Unknown fields are ignored ("Consumers MUST ignore
// unrecognized fields"), unless they are known ones in another case.
func Parse(payload []byte) (*Statement, error) {
	s, err := parse(payload)
	if err != nil {
		return nil, fmt.Errorf("in-toto statement: %w", err)
	}
	return s, nil
}

func parse(payload []byte) (*Statement, error) {
	if len(payload) > MaxSize {
		return nil, fmt.Errorf("larger than %d bytes", MaxSize)
	}
	doc, err := strictjson.Parse(payload)
	if err != nil {
		return nil, err
	}
	m, err := doc.Open("_type", "subject", "predicateType", "predicate")
	if err != nil {
		return nil, err
	}
	s := new(Statement)
	v, _ := m.Get("_type")
	if s.Type, err = v.Text(); err != nil {
		return nil, fmt.Errorf("_type: %w", err)
	}
	v, _ = m.Get("predicateType")
	if s.PredicateType, err = v.Text(); err != nil {
		return nil, fmt.Errorf("predicateType: %w", err)
	}
	if v, ok := m.Get("predicate"); ok {
		if v.Kind() != strictjson.Object {
			return nil, fmt.Errorf("predicate: expected an object, found %s", v.Kind())
		}
		s.Predicate = bytes.Clone(v.Raw())
	}
	v, _ = m.Get("subject")
	subjects, err := v.Elements(MaxSubjects)
	if err != nil {
		return nil, fmt.Errorf("subject: %w", err)
	}
	s.Subjects = make([]Subject, len(subjects))
	for i, v := range subjects {
		if s.Subjects[i], err = parseSubject(v); err != nil {
			return nil, fmt.Errorf("subject[%d]%w", i, err)
		}
	}
	return s, s.validate()
}

// parseSubject returns errors that go on after "subject[i]".
func parseSubject(v strictjson.Value) (Subject, error) {
	m, err := v.Open("name", "digest", "annotations")
	if err != nil {
		return Subject{}, fmt.Errorf(": %w", err)
	}
	var s Subject
	if v, ok := m.Get("name"); ok {
		if s.Name, err = v.Text(); err != nil {
			return Subject{}, fmt.Errorf(".name: %w", err)
		}
	}
	if v, ok := m.Get("digest"); ok {
		s.Digests = make(map[string]string)
		err := v.Map(MaxDigests, func(alg string, val strictjson.Value) (err error) {
			if s.Digests[alg], err = val.Text(); err != nil {
				return fmt.Errorf("%.64s: %w", alg, err)
			}
			return nil
		})
		if err != nil {
			return Subject{}, fmt.Errorf(".digest: %w", err)
		}
	}
	if v, ok := m.Get("annotations"); ok {
		if err := json.Unmarshal(v.Raw(), &s.Annotations); err != nil {
			return Subject{}, errors.New(".annotations: expected an object")
		}
	}
	return s, nil
}

func (s *Statement) validate() error {
	switch {
	case s.Type != StatementV1 && s.Type != StatementV01:
		return fmt.Errorf("_type is %.100q: expected %q or %q", s.Type, StatementV1, StatementV01)
	case s.PredicateType == "":
		return errors.New("predicateType is empty")
	case len(s.Subjects) == 0:
		return errors.New("subject is empty: expected at least one")
	case len(s.Subjects) > MaxSubjects:
		return fmt.Errorf("subject has more than %d elements", MaxSubjects)
	}
	for i, sub := range s.Subjects {
		if len(sub.Digests) == 0 {
			return fmt.Errorf("subject[%d].digest is empty: expected at least one", i)
		}
		for alg, val := range sub.Digests {
			if alg == "" || val == "" {
				return fmt.Errorf("subject[%d].digest has an empty algorithm or value", i)
			}
		}
	}
	return nil
}

// Marshal writes s as JSON without white space, digests and annotations sorted
// by name, so that equal statements give equal bytes. An absent predicate is
// written as {}. It fails where [Parse] would refuse the result.
func (s *Statement) Marshal() ([]byte, error) {
	if err := s.validate(); err != nil {
		return nil, fmt.Errorf("in-toto statement: %w", err)
	}
	out := append(make([]byte, 0, 512+len(s.Predicate)), `{"_type":`...)
	out = strictjson.AppendString(out, s.Type)
	out = append(out, `,"subject":[`...)
	for i, sub := range s.Subjects {
		if i > 0 {
			out = append(out, ',')
		}
		var err error
		if out, err = sub.append(out); err != nil {
			return nil, fmt.Errorf("in-toto statement: subject[%d].annotations: %w", i, err)
		}
	}
	out = append(out, `],"predicateType":`...)
	out = strictjson.AppendString(out, s.PredicateType)
	out = append(out, `,"predicate":`...)
	if s.Predicate == nil {
		return append(out, `{}}`...), nil
	}
	v, err := strictjson.Parse(s.Predicate)
	if err != nil {
		return nil, fmt.Errorf("in-toto statement: predicate: %w", err)
	}
	if v.Kind() != strictjson.Object {
		return nil, fmt.Errorf("in-toto statement: predicate: expected an object, found %s", v.Kind())
	}
	out = append(out, v.Raw()...)
	return append(out, '}'), nil
}

func (s Subject) append(out []byte) ([]byte, error) {
	out = append(out, '{')
	if s.Name != "" {
		out = append(out, `"name":`...)
		out = strictjson.AppendString(out, s.Name)
		out = append(out, ',')
	}
	out = append(out, `"digest":{`...)
	for i, alg := range slices.Sorted(maps.Keys(s.Digests)) {
		if i > 0 {
			out = append(out, ',')
		}
		out = strictjson.AppendString(out, alg)
		out = append(out, ':')
		out = strictjson.AppendString(out, s.Digests[alg])
	}
	out = append(out, '}')
	if len(s.Annotations) > 0 {
		a, err := json.Marshal(s.Annotations)
		if err != nil {
			return nil, err
		}
		out = append(out, `,"annotations":`...)
		out = append(out, a...)
	}
	return append(out, '}'), nil
}

// HasSubject says whether some subject carries the digest d, under d's own
// algorithm name. Hexadecimal digits compare in any case; a subject's name
// never counts, and the zero Digest is no subject.
func (s *Statement) HasSubject(d digest.Digest) bool {
	if d.IsZero() {
		return false
	}
	alg, sum := d.Algorithm().String(), d.Hex()
	for _, sub := range s.Subjects {
		if val, ok := sub.Digests[alg]; ok && strings.EqualFold(val, sum) {
			return true
		}
	}
	return false
}
