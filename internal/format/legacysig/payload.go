// SPDX-License-Identifier: Apache-2.0

package legacysig

import (
	"encoding/json"
	"fmt"

	"hallmark/internal/format/digest"
	"hallmark/internal/format/strictjson"
)

// PayloadKind is the critical.type of cosign's payloads.
const PayloadKind = "cosign container image signature"

// Caps on what [ParsePayload] accepts.
const (
	MaxPayload  = 1 << 20 // bytes
	maxOptional = 1 << 10 // members
)

// Payload is a simple signing payload: the image that a signature is about.
type Payload struct {
	// Image is the digest of the image's manifest or index.
	Image digest.Digest
	// Kind is what sort of signature this is; [PayloadKind] for cosign.
	Kind string
	// Reference is where the signer says the image was, "" if nowhere. The same
	// image may well be elsewhere, so nothing can be concluded from it.
	Reference string
	// Optional is what the signer wanted to say besides, such as annotations.
	Optional map[string]any
}

// ParsePayload reads a payload. Members that it does not know are an error
// within "critical" ("recipients MUST reject"), and ignored elsewhere.
func ParsePayload(data []byte) (*Payload, error) {
	p, err := parsePayload(data)
	if err != nil {
		return nil, fmt.Errorf("simple signing payload: %w", err)
	}
	return p, nil
}

func parsePayload(data []byte) (*Payload, error) {
	if len(data) > MaxPayload {
		return nil, fmt.Errorf("larger than %d bytes", MaxPayload)
	}
	doc, err := strictjson.Parse(data)
	if err != nil {
		return nil, err
	}
	top, err := doc.Open("critical", "optional")
	if err != nil {
		return nil, err
	}
	p := new(Payload)
	critical, _ := top.Get("critical")
	if err := p.setCritical(critical); err != nil {
		return nil, fmt.Errorf("critical%w", err)
	}
	if optional, ok := top.Get("optional"); ok {
		p.Optional = map[string]any{}
		err := optional.Map(maxOptional, func(name string, val strictjson.Value) error {
			var v any
			err := json.Unmarshal(val.Raw(), &v)
			p.Optional[name] = v
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("optional: %w", err)
		}
	}
	return p, nil
}

// setCritical returns errors that go on after "critical".
func (p *Payload) setCritical(v strictjson.Value) error {
	m, err := v.Closed("identity", "image", "type")
	if err != nil {
		return fmt.Errorf(": %w", err)
	}
	kind, _ := m.Get("type")
	if p.Kind, err = kind.Text(); err != nil {
		return fmt.Errorf(".type: %w", err)
	}
	image, _ := m.Get("image")
	inside, err := image.Closed("docker-manifest-digest")
	if err != nil {
		return fmt.Errorf(".image: %w", err)
	}
	v, _ = inside.Get("docker-manifest-digest")
	text, err := v.Text()
	if err != nil {
		return fmt.Errorf(".image.docker-manifest-digest: %w", err)
	}
	if p.Image, err = digest.Parse(text); err != nil {
		return fmt.Errorf(".image.docker-manifest-digest: %w", err)
	}
	identity, ok := m.Get("identity")
	if !ok {
		return nil
	}
	if inside, err = identity.Closed("docker-reference"); err != nil {
		return fmt.Errorf(".identity: %w", err)
	}
	if v, ok = inside.Get("docker-reference"); !ok {
		return nil
	}
	if p.Reference, err = v.Text(); err != nil {
		return fmt.Errorf(".identity.docker-reference: %w", err)
	}
	return nil
}

// Marshal writes p as cosign does. It fails only if Optional holds what JSON
// cannot.
func (p *Payload) Marshal() ([]byte, error) {
	var doc struct {
		Critical struct {
			Identity struct {
				Reference string `json:"docker-reference"`
			} `json:"identity"`
			Image struct {
				Digest string `json:"docker-manifest-digest"`
			} `json:"image"`
			Kind string `json:"type"`
		} `json:"critical"`
		Optional map[string]any `json:"optional"`
	}
	doc.Critical.Identity.Reference = p.Reference
	doc.Critical.Image.Digest = p.Image.String()
	doc.Critical.Kind = p.Kind
	doc.Optional = p.Optional
	out, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("simple signing payload: %w", err)
	}
	return out, nil
}
