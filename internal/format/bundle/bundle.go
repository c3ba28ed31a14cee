// SPDX-License-Identifier: Apache-2.0

// Package bundle is the Sigstore bundle, versions 0.1 to 0.3: a signature with
// all that is needed to verify it offline.
//
// Spec: https://github.com/sigstore/protobuf-specs/blob/main/protos/sigstore_bundle.proto
// and https://docs.sigstore.dev/about/bundle/.
//
// Invariants of a [Bundle] that [Parse] returned:
//   - exactly one of Message and Envelope is set; a message has a digest, an
//     envelope has one signature;
//   - there is at least one certificate or there is a key hint, never both;
//   - in version 0.1 every entry has a signed entry timestamp, later every entry
//     has an inclusion proof, and from 0.3 on there is one certificate and never
//     a chain; every proof has a checkpoint;
//   - no entry and no timestamp occurs twice, and everything is within the caps.
//
// Nothing is verified, and certificates and timestamps are not parsed.
package bundle

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	bundlepb "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	commonpb "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	dssepb "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	"google.golang.org/protobuf/encoding/protojson"

	"hallmark/internal/format/digest"
	"hallmark/internal/format/dsse"
	"hallmark/internal/format/logentry"
)

// Caps on what [Parse] accepts. Sizes are in bytes.
const (
	MaxSize         = 32 << 20 // a bundle as JSON; attestations can be large
	MaxCertificates = 10
	MaxCertificate  = 64 << 10
	MaxEntries      = 32
	MaxTimestamps   = 32
	MaxTimestamp    = 64 << 10
	MaxSignature    = 64 << 10
	MaxKeyHint      = 4 << 10
)

// Version is a version of the format. Later ones compare greater.
type Version uint8

// The versions this package reads. [Bundle.Marshal] writes V03.
const (
	V01 Version = iota + 1
	V02
	V03
)

// String is the version as in media types, such as "0.3".
func (v Version) String() string {
	switch v {
	case V01:
		return "0.1"
	case V02:
		return "0.2"
	case V03:
		return "0.3"
	}
	return "unknown"
}

// The media types. V03 has two spellings; the first is the one to write.
const (
	MediaTypeV03    = "application/vnd.dev.sigstore.bundle.v0.3+json"
	MediaTypeV03Alt = "application/vnd.dev.sigstore.bundle+json;version=0.3"
	MediaTypeV02    = "application/vnd.dev.sigstore.bundle+json;version=0.2"
	MediaTypeV01    = "application/vnd.dev.sigstore.bundle+json;version=0.1"
)

// ParseMediaType maps a media type to the version it names.
func ParseMediaType(s string) (Version, error) {
	switch s {
	case MediaTypeV03, MediaTypeV03Alt:
		return V03, nil
	case MediaTypeV02:
		return V02, nil
	case MediaTypeV01:
		return V01, nil
	case "":
		return 0, errors.New("mediaType is missing: expected " + MediaTypeV03)
	}
	return 0, fmt.Errorf("mediaType %.100q is not supported: expected %s or an earlier version", s, MediaTypeV03)
}

// Bundle is a bundle of any version in one form.
type Bundle struct {
	MediaType    string
	Version      Version
	Certificates [][]byte // DER, leaf first; more than one only before V03
	KeyHint      string   // unauthenticated; may be empty
	HasKeyHint   bool     // a key made the signature, not a certificate
	Entries      []*logentry.Entry
	Timestamps   [][]byte // DER TimeStampResp (RFC 3161) over the signature bytes
	Message      *MessageSignature
	Envelope     *dsse.Envelope
}

// MessageSignature is a signature over an artifact that the bundle does not
// hold. Digest is a hint of which one: it is not trustworthy before the artifact
// itself was hashed.
type MessageSignature struct {
	Digest    digest.Digest
	Signature []byte
}

// Signature is the signature bytes that timestamps and entries are about.
func (b *Bundle) Signature() []byte {
	switch {
	case b.Message != nil:
		return b.Message.Signature
	case b.Envelope != nil && len(b.Envelope.Signatures) > 0:
		return b.Envelope.Signatures[0].Sig
	}
	return nil
}

// Parse reads a bundle by the rules of protojson, as sigstore-go does: names in
// camelCase or snake_case, exactly; unknown fields, a field twice, invalid UTF-8
// and data after the bundle are errors. What it accepts means the same to
// protojson. It is stricter with numbers that have a fraction or an exponent and
// with base64 that has line breaks or stray bits in the last character.
func Parse(data []byte) (*Bundle, error) {
	b, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	return b, nil
}

func parse(data []byte) (*Bundle, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("larger than %d bytes", MaxSize)
	}
	b, err := decode(data)
	if err != nil {
		return nil, err
	}
	if err := b.validate(); err != nil {
		return nil, err
	}
	return b, nil
}

// validate checks the invariants of the package.
func (b *Bundle) validate() error {
	if err := b.validateMaterial(); err != nil {
		return fmt.Errorf("verificationMaterial: %w", err)
	}
	if err := b.validateEntries(); err != nil {
		return fmt.Errorf("verificationMaterial.%w", err)
	}
	if err := b.validateTimestamps(); err != nil {
		return fmt.Errorf("verificationMaterial.timestampVerificationData.%w", err)
	}
	switch {
	case (b.Message == nil) == (b.Envelope == nil):
		return errors.New("expected exactly one of messageSignature and dsseEnvelope")
	case b.Message != nil && len(b.Message.Signature) == 0:
		return errors.New("messageSignature.signature is missing")
	case b.Message != nil && b.Message.Digest.IsZero():
		return errors.New("messageSignature.messageDigest is missing: expected the artifact's digest, without which other clients cannot verify")
	case b.Message != nil && len(b.Message.Signature) > MaxSignature:
		return fmt.Errorf("messageSignature.signature is longer than %d bytes", MaxSignature)
	case b.Envelope == nil:
		return nil
	}
	if err := b.Envelope.Validate(); err != nil {
		return fmt.Errorf("dsseEnvelope: %w", err)
	}
	if n := len(b.Envelope.Signatures); n != 1 {
		return fmt.Errorf("dsseEnvelope has %d signatures: a bundle holds exactly one", n)
	}
	return nil
}

func (b *Bundle) validateMaterial() error {
	n := len(b.Certificates)
	switch {
	case n == 0 && !b.HasKeyHint:
		return errors.New("no certificate: expected at least one, leaf first, or publicKey")
	case n > 0 && b.HasKeyHint:
		return errors.New("both certificate and publicKey: expected one of them")
	case n > MaxCertificates:
		return fmt.Errorf("%d certificates: expected at most %d", n, MaxCertificates)
	case n > 1 && b.Version >= V03:
		return fmt.Errorf("%d certificates: version 0.3 holds only the leaf", n)
	case len(b.KeyHint) > MaxKeyHint:
		return fmt.Errorf("publicKey.hint is longer than %d bytes", MaxKeyHint)
	}
	for i, c := range b.Certificates {
		if len(c) == 0 {
			return fmt.Errorf("certificate %d is empty: expected rawBytes", i)
		}
		if len(c) > MaxCertificate {
			return fmt.Errorf("certificate %d is larger than %d bytes", i, MaxCertificate)
		}
	}
	return nil
}

// validateEntries returns errors that start with a field's name.
func (b *Bundle) validateEntries() error {
	if n := len(b.Entries); n > MaxEntries {
		return fmt.Errorf("tlogEntries has %d elements: expected at most %d", n, MaxEntries)
	}
	for i, e := range b.Entries {
		if e == nil {
			return fmt.Errorf("tlogEntries[%d] is missing", i)
		}
		if err := e.Validate(); err != nil {
			return fmt.Errorf("tlogEntries[%d]: %w", i, err)
		}
		switch {
		case b.Version == V01 && len(e.SET) == 0:
			return fmt.Errorf("tlogEntries[%d].inclusionPromise is missing: version 0.1 requires it", i)
		case b.Version != V01 && e.Proof == nil:
			return fmt.Errorf("tlogEntries[%d].inclusionProof is missing: version %s requires it", i, b.Version)
		}
		for j, other := range b.Entries[:i] {
			if e.LogIndex == other.LogIndex && bytes.Equal(e.LogID, other.LogID) {
				return fmt.Errorf("tlogEntries[%d] is the same entry as tlogEntries[%d]", i, j)
			}
		}
	}
	return nil
}

// validateTimestamps returns errors that start with a field's name.
func (b *Bundle) validateTimestamps() error {
	if n := len(b.Timestamps); n > MaxTimestamps {
		return fmt.Errorf("rfc3161Timestamps has %d elements: expected at most %d", n, MaxTimestamps)
	}
	for i, ts := range b.Timestamps {
		if len(ts) == 0 {
			return fmt.Errorf("rfc3161Timestamps[%d].signedTimestamp is missing", i)
		}
		if len(ts) > MaxTimestamp {
			return fmt.Errorf("rfc3161Timestamps[%d].signedTimestamp is larger than %d bytes", i, MaxTimestamp)
		}
		for j, other := range b.Timestamps[:i] {
			if bytes.Equal(ts, other) {
				return fmt.Errorf("rfc3161Timestamps[%d] is the same as rfc3161Timestamps[%d]", i, j)
			}
		}
	}
	return nil
}

// Marshal writes b as version 0.3, whatever b.Version is, without white space.
// Of several certificates only the leaf is written. It fails where [Parse]
// would refuse the result.
func (b *Bundle) Marshal() ([]byte, error) {
	out := *b
	out.MediaType, out.Version = MediaTypeV03, V03
	if len(out.Certificates) > 1 {
		out.Certificates = out.Certificates[:1]
	}
	if err := out.validate(); err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	loose, err := protojson.Marshal(out.toProto())
	if err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	var tight bytes.Buffer // protojson puts in white space at random
	if err := json.Compact(&tight, loose); err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	if tight.Len() > MaxSize {
		return nil, fmt.Errorf("bundle: larger than %d bytes", MaxSize)
	}
	return tight.Bytes(), nil
}

// toProto is for a valid bundle.
func (b *Bundle) toProto() *bundlepb.Bundle {
	vm := new(bundlepb.VerificationMaterial)
	if b.HasKeyHint {
		vm.Content = &bundlepb.VerificationMaterial_PublicKey{PublicKey: &commonpb.PublicKeyIdentifier{Hint: b.KeyHint}}
	} else {
		vm.Content = &bundlepb.VerificationMaterial_Certificate{Certificate: &commonpb.X509Certificate{RawBytes: b.Certificates[0]}}
	}
	for _, e := range b.Entries {
		vm.TlogEntries = append(vm.TlogEntries, e.ToProto())
	}
	if len(b.Timestamps) > 0 {
		vm.TimestampVerificationData = new(bundlepb.TimestampVerificationData)
	}
	for _, ts := range b.Timestamps {
		vm.TimestampVerificationData.Rfc3161Timestamps = append(vm.TimestampVerificationData.Rfc3161Timestamps,
			&commonpb.RFC3161SignedTimestamp{SignedTimestamp: ts})
	}
	pb := &bundlepb.Bundle{MediaType: b.MediaType, VerificationMaterial: vm}
	if m := b.Message; m != nil {
		sig := &commonpb.MessageSignature{Signature: m.Signature}
		if !m.Digest.IsZero() {
			sig.MessageDigest = &commonpb.HashOutput{
				Algorithm: commonpb.HashAlgorithm(commonpb.HashAlgorithm_value[m.Digest.Algorithm().Sigstore()]),
				Digest:    m.Digest.Bytes(),
			}
		}
		pb.Content = &bundlepb.Bundle_MessageSignature{MessageSignature: sig}
		return pb
	}
	env := &dssepb.Envelope{Payload: b.Envelope.Payload, PayloadType: b.Envelope.PayloadType}
	for _, s := range b.Envelope.Signatures {
		env.Signatures = append(env.Signatures, &dssepb.Signature{Keyid: s.KeyID, Sig: s.Sig})
	}
	pb.Content = &bundlepb.Bundle_DsseEnvelope{DsseEnvelope: env}
	return pb
}
