// SPDX-License-Identifier: Apache-2.0

// Package legacysig is how cosign stored signatures and attestations before
// there were bundles: as layers of an OCI image, with the evidence in the
// layer's annotations.
//
// Specs: https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md,
// https://github.com/sigstore/cosign/blob/main/specs/ATTESTATION_SPEC.md and,
// for the payload of signatures, simple signing:
// https://github.com/containers/image/blob/main/docs/containers-signature.5.md.
//
// What is read becomes a [bundle.Bundle] of version 0.1, the one version that
// takes a log's promise without an inclusion proof, since that is all that
// these annotations hold. So legacy evidence is judged like any other.
//
// Invariants: a bundle from this package meets all rules of its version; names
// in JSON are matched exactly, a name twice or an unknown one is an error, and
// everything is within the caps. The chain annotation is not read, because no
// certificate of it would be trusted. Nothing is verified.
package legacysig

import (
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"hallmark/internal/format/bundle"
	"hallmark/internal/format/dsse"
	"hallmark/internal/format/logentry"
	"hallmark/internal/format/strictjson"
)

// Media types of layers.
const (
	SignatureType   = "application/vnd.dev.cosign.simplesigning.v1+json"
	AttestationType = "application/vnd.dsse.envelope.v1+json"
)

// Annotations of a layer.
const (
	AnnotationSignature     = "dev.cosignproject.cosign/signature"   // base64; over the layer's bytes
	AnnotationCertificate   = "dev.sigstore.cosign/certificate"      // PEM, of the signer
	AnnotationChain         = "dev.sigstore.cosign/chain"            // PEM; not read
	AnnotationBundle        = "dev.sigstore.cosign/bundle"           // JSON, a Rekor v1 log's promise
	AnnotationTimestamp     = "dev.sigstore.cosign/rfc3161timestamp" // JSON, a timestamp token
	AnnotationPredicateType = "predicateType"                        // of an attestation; not read
)

// Caps on annotations, in bytes.
const (
	maxPromise   = 2 * logentry.MaxBody
	maxToken     = 2 * bundle.MaxTimestamp
	maxPEM       = 2 * bundle.MaxCertificate
	maxSignature = 2 * bundle.MaxSignature
)

// ParseSignature reads the evidence for a signature from its layer's
// annotations. The result is a message signature, over a payload that it does
// not hold: the layer's bytes, which [ParsePayload] reads once the signature
// over them has been verified.
func ParseSignature(annotations map[string]string) (*bundle.Bundle, error) {
	b, err := material(annotations)
	if err != nil {
		return nil, err
	}
	sig, err := signature(annotations[AnnotationSignature])
	if err != nil {
		return nil, fmt.Errorf("annotation %s: %w", AnnotationSignature, err)
	}
	b.Message = &bundle.MessageSignature{Signature: sig}
	if err := b.Validate(); err != nil {
		return nil, err
	}
	return b, nil
}

// ParseAttestation reads an attestation: layer is the DSSE envelope with its
// signature, annotations hold the evidence. The envelope's Text is layer itself,
// not a copy, and must not be changed.
func ParseAttestation(layer []byte, annotations map[string]string) (*bundle.Bundle, error) {
	b, err := material(annotations)
	if err != nil {
		return nil, err
	}
	if b.Envelope, err = dsse.Parse(layer); err != nil {
		return nil, err
	}
	b.Envelope.Text = layer
	if err := b.Validate(); err != nil {
		return nil, err
	}
	return b, nil
}

// material reads everything but what was signed.
func material(annotations map[string]string) (*bundle.Bundle, error) {
	b := &bundle.Bundle{MediaType: bundle.MediaTypeV01, Version: bundle.V01}
	if text := annotations[AnnotationCertificate]; text != "" {
		der, err := certificate(text)
		if err != nil {
			return nil, fmt.Errorf("annotation %s: %w", AnnotationCertificate, err)
		}
		b.Certificates = [][]byte{der}
	} else {
		b.HasKeyHint = true
	}
	if text := annotations[AnnotationBundle]; text != "" {
		e, err := promise(text)
		if err != nil {
			return nil, fmt.Errorf("annotation %s: %w", AnnotationBundle, err)
		}
		b.Entries = []*logentry.Entry{e}
	}
	if text := annotations[AnnotationTimestamp]; text != "" {
		der, err := token(text)
		if err != nil {
			return nil, fmt.Errorf("annotation %s: %w", AnnotationTimestamp, err)
		}
		b.Timestamps = [][]byte{der}
	}
	return b, nil
}

func signature(text string) ([]byte, error) {
	switch {
	case text == "":
		return nil, errors.New("is missing")
	case len(text) > maxSignature:
		return nil, fmt.Errorf("longer than %d bytes", maxSignature)
	}
	return strictjson.DecodeBase64(text)
}

// certificate reads exactly one PEM block, with nothing but white space around it.
func certificate(text string) ([]byte, error) {
	if len(text) > maxPEM {
		return nil, fmt.Errorf("longer than %d bytes", maxPEM)
	}
	const begin = "-----BEGIN CERTIFICATE-----"
	text = strings.TrimSpace(text)
	block, rest := pem.Decode([]byte(text))
	switch {
	case block == nil || !strings.HasPrefix(text, begin) || len(block.Bytes) == 0:
		return nil, errors.New("expected a PEM certificate")
	case strings.TrimSpace(string(rest)) != "":
		return nil, errors.New("expected one PEM certificate and nothing after it")
	}
	return block.Bytes, nil
}

// promise reads {"SignedEntryTimestamp": b64, "Payload": {"body": b64,
// "integratedTime": n, "logIndex": n, "logID": hex}}.
func promise(text string) (*logentry.Entry, error) {
	if len(text) > maxPromise {
		return nil, fmt.Errorf("longer than %d bytes", maxPromise)
	}
	doc, err := strictjson.Parse([]byte(text))
	if err != nil {
		return nil, err
	}
	top, err := doc.Closed("SignedEntryTimestamp", "Payload")
	if err != nil {
		return nil, err
	}
	e := new(logentry.Entry)
	v, _ := top.Get("SignedEntryTimestamp")
	if e.SET, err = v.Base64(); err != nil {
		return nil, fmt.Errorf("SignedEntryTimestamp: %w", err)
	}
	payload, _ := top.Get("Payload")
	if err := promised(e, payload); err != nil {
		return nil, fmt.Errorf("Payload: %w", err)
	}
	if err := e.Validate(); err != nil {
		return nil, err
	}
	return e, nil
}

func promised(e *logentry.Entry, payload strictjson.Value) error {
	m, err := payload.Closed("body", "integratedTime", "logIndex", "logID")
	if err != nil {
		return err
	}
	v, _ := m.Get("body")
	if e.Body, err = v.Base64(); err != nil {
		return fmt.Errorf("body: %w", err)
	}
	v, _ = m.Get("integratedTime")
	if e.IntegratedTime, err = v.Int64(); err != nil {
		return fmt.Errorf("integratedTime: %w", err)
	}
	v, _ = m.Get("logIndex")
	if e.LogIndex, err = v.Int64(); err != nil {
		return fmt.Errorf("logIndex: %w", err)
	}
	v, _ = m.Get("logID")
	id, err := v.Text()
	if err != nil {
		return fmt.Errorf("logID: %w", err)
	}
	if e.LogID, err = hex.DecodeString(id); err != nil {
		return errors.New("logID: expected hexadecimal")
	}
	if e.Kind, e.Version, err = kindOf(e.Body); err != nil {
		return fmt.Errorf("body: %w", err)
	}
	return nil
}

// kindOf reads what a log entry's body says it is.
func kindOf(body []byte) (kind, version string, err error) {
	doc, err := strictjson.Parse(body)
	if err != nil {
		return "", "", err
	}
	m, err := doc.Open("kind", "apiVersion")
	if err != nil {
		return "", "", err
	}
	v, _ := m.Get("kind")
	if kind, err = v.Text(); err != nil {
		return "", "", fmt.Errorf("kind: %w", err)
	}
	v, _ = m.Get("apiVersion")
	if version, err = v.Text(); err != nil {
		return "", "", fmt.Errorf("apiVersion: %w", err)
	}
	return kind, version, nil
}

// token reads {"SignedRFC3161Timestamp": b64}.
func token(text string) ([]byte, error) {
	if len(text) > maxToken {
		return nil, fmt.Errorf("longer than %d bytes", maxToken)
	}
	doc, err := strictjson.Parse([]byte(text))
	if err != nil {
		return nil, err
	}
	m, err := doc.Closed("SignedRFC3161Timestamp")
	if err != nil {
		return nil, err
	}
	v, _ := m.Get("SignedRFC3161Timestamp")
	der, err := v.Base64()
	if err != nil {
		return nil, fmt.Errorf("SignedRFC3161Timestamp: %w", err)
	}
	return der, nil
}
