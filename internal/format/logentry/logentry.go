// SPDX-License-Identifier: Apache-2.0

// Package logentry is an entry of a transparency log, as logs return it and
// bundles carry it, and the bodies that such entries have.
//
// Specs: TransparencyLogEntry in
// https://github.com/sigstore/protobuf-specs/blob/main/protos/sigstore_rekor.proto;
// Rekor v2 bodies and requests,
// https://github.com/sigstore/rekor-tiles/tree/main/api/proto/rekor/v2;
// Rekor v1 bodies, https://github.com/sigstore/rekor/tree/main/pkg/types;
// leaf hashes, https://www.rfc-editor.org/rfc/rfc6962#section-2.1.
//
// Invariants of an [Entry] that [Parse] or [FromJSON] returned: body, log id,
// kind and version are not empty; no number is negative or above [MaxNumber];
// a proof has a checkpoint, at most [MaxHashes] hashes of 32 bytes each, and an
// index below its tree size; everything is within the caps. Nothing is verified:
// not the proof, not the checkpoint, not that the body is of the stated kind.
package logentry

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"

	commonpb "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	rekorpb "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"

	"hallmark/internal/format/strictjson"
)

// Caps on what is accepted. Sizes are in bytes.
const (
	MaxSize       = 16 << 20  // one entry as JSON
	MaxBody       = 8 << 20   // Rekor v1 bodies may hold whole attestations
	MaxBodyV2     = 65535     // what an entry bundle of a tiled log can hold
	MaxCheckpoint = 64 << 10  //
	MaxSET        = 4 << 10   //
	MaxHashes     = 64        // no tree is higher
	MaxLogID      = 64        //
	MaxKind       = 64        // kind and version, each
	MaxNumber     = 1<<53 - 1 // beyond, JSON canonicalization changes numbers
)

// Entry is one log entry with what the log promised or proved about it.
type Entry struct {
	LogIndex       int64  // across all shards of a v1 log; in a v2 log the index in the tree
	LogID          []byte // 32 bytes in all logs known
	Kind, Version  string // of Body, as the log states them
	IntegratedTime int64  // Unix seconds, as the log states it; 0 in v2
	SET            []byte // signed entry timestamp, DER; nil in v2
	Proof          *InclusionProof
	Body           []byte // the leaf: canonicalized JSON
}

// InclusionProof is the path from a leaf to the root that Checkpoint signs.
type InclusionProof struct {
	LogIndex, TreeSize int64
	RootHash           []byte // 32 bytes; redundant with Checkpoint's
	Hashes             [][]byte
	Checkpoint         string // a signed note
}

// Parse reads a TransparencyLogEntry in its protojson form, by the rules of
// [FromJSON]. Unknown fields are refused, as sigstore-go does.
func Parse(tleJSON []byte) (*Entry, error) {
	if len(tleJSON) > MaxSize {
		return nil, fmt.Errorf("log entry: larger than %d bytes", MaxSize)
	}
	v, err := strictjson.Parse(tleJSON)
	if err != nil {
		return nil, fmt.Errorf("log entry: %w", err)
	}
	return FromJSON(v)
}

// ToProto converts e; the result shares memory with e.
func (e *Entry) ToProto() *rekorpb.TransparencyLogEntry {
	pb := &rekorpb.TransparencyLogEntry{
		LogIndex:          e.LogIndex,
		LogId:             &commonpb.LogId{KeyId: e.LogID},
		KindVersion:       &rekorpb.KindVersion{Kind: e.Kind, Version: e.Version},
		IntegratedTime:    e.IntegratedTime,
		CanonicalizedBody: e.Body,
	}
	if len(e.SET) > 0 {
		pb.InclusionPromise = &rekorpb.InclusionPromise{SignedEntryTimestamp: e.SET}
	}
	if p := e.Proof; p != nil {
		pb.InclusionProof = &rekorpb.InclusionProof{
			LogIndex: p.LogIndex, TreeSize: p.TreeSize, RootHash: p.RootHash, Hashes: p.Hashes,
			Checkpoint: &rekorpb.Checkpoint{Envelope: p.Checkpoint},
		}
	}
	return pb
}

// Validate checks the invariants of the package.
func (e *Entry) Validate() error {
	if err := e.validate(); err != nil {
		return fmt.Errorf("log entry: %w", err)
	}
	return nil
}

func (e *Entry) validate() error {
	switch {
	case e.LogIndex < 0 || e.LogIndex > MaxNumber:
		return fmt.Errorf("logIndex is %d: expected 0 to %d", e.LogIndex, int64(MaxNumber))
	case e.IntegratedTime < 0 || e.IntegratedTime > MaxNumber:
		return fmt.Errorf("integratedTime is %d: expected 0 to %d", e.IntegratedTime, int64(MaxNumber))
	case len(e.LogID) == 0:
		return errors.New("logId.keyId is missing")
	case len(e.LogID) > MaxLogID:
		return fmt.Errorf("logId.keyId is longer than %d bytes", MaxLogID)
	case e.Kind == "" || e.Version == "":
		return errors.New("kindVersion is missing: expected a kind and a version")
	case len(e.Kind) > MaxKind || len(e.Version) > MaxKind:
		return fmt.Errorf("kindVersion is longer than %d bytes", MaxKind)
	case len(e.SET) > MaxSET:
		return fmt.Errorf("inclusionPromise.signedEntryTimestamp is longer than %d bytes", MaxSET)
	case len(e.Body) == 0:
		return errors.New("canonicalizedBody is missing")
	case len(e.Body) > MaxBody, e.IsV2() && len(e.Body) > MaxBodyV2:
		return fmt.Errorf("canonicalizedBody of %s %s is too large (%d bytes)", e.Kind, e.Version, len(e.Body))
	}
	if e.Proof == nil {
		return nil
	}
	if err := e.Proof.validate(); err != nil {
		return fmt.Errorf("inclusionProof.%w", err)
	}
	return nil
}

// validate returns errors that start with a field's name.
func (p *InclusionProof) validate() error {
	switch {
	case p.TreeSize < 1 || p.TreeSize > MaxNumber:
		return fmt.Errorf("treeSize is %d: expected 1 to %d", p.TreeSize, int64(MaxNumber))
	case p.LogIndex < 0 || p.LogIndex >= p.TreeSize:
		return fmt.Errorf("logIndex is %d: expected 0 to treeSize - 1 (%d)", p.LogIndex, p.TreeSize-1)
	case len(p.RootHash) != sha256.Size:
		return fmt.Errorf("rootHash is %d bytes long: expected %d", len(p.RootHash), sha256.Size)
	case len(p.Hashes) > MaxHashes:
		return fmt.Errorf("hashes has %d elements: expected at most %d", len(p.Hashes), MaxHashes)
	case p.Checkpoint == "":
		return errors.New("checkpoint is missing: a proof to an unsigned root proves nothing")
	case len(p.Checkpoint) > MaxCheckpoint:
		return fmt.Errorf("checkpoint is longer than %d bytes", MaxCheckpoint)
	}
	for i, h := range p.Hashes {
		if len(h) != sha256.Size {
			return fmt.Errorf("hashes[%d] is %d bytes long: expected %d", i, len(h), sha256.Size)
		}
	}
	return nil
}

// IsV2 says whether e states a kind that Rekor v2 logs hold. Only what
// [Entry.HashedRekord] then returns shows that the body agrees.
func (e *Entry) IsV2() bool { return e.Kind == kindHashedRekord && e.Version == versionV2 }

// HashedRekord is the parsed body of a v2 entry.
func (e *Entry) HashedRekord() (HashedRekord, error) {
	if !e.IsV2() {
		return HashedRekord{}, fmt.Errorf("log entry: kind is %s %s: expected %s %s", e.Kind, e.Version, kindHashedRekord, versionV2)
	}
	return ParseHashedRekord(e.Body)
}

// V1Body is the parsed body of a v1 entry. It fails where the body's own kind
// and version are not those that e states.
func (e *Entry) V1Body() (*V1Body, error) {
	b, err := ParseV1Body(e.Body)
	if err != nil {
		return nil, err
	}
	if b.Kind != e.Kind || b.Version != e.Version {
		return nil, fmt.Errorf("log entry: states %s %s, but its body is %s %s", e.Kind, e.Version, b.Kind, b.Version)
	}
	return b, nil
}

// LeafHash is the Merkle leaf hash of body: SHA-256(0x00 ‖ body).
func LeafHash(body []byte) [32]byte {
	h := sha256.New()
	h.Write([]byte{0})
	h.Write(body)
	return [32]byte(h.Sum(nil))
}

// SETPayload is what a Rekor v1 log signs as the signed entry timestamp: the
// canonical JSON (RFC 8785) of body, integratedTime, logID and logIndex.
func SETPayload(e *Entry) []byte {
	out := make([]byte, 0, base64.StdEncoding.EncodedLen(len(e.Body))+256)
	out = append(out, `{"body":"`...)
	out = base64.StdEncoding.AppendEncode(out, e.Body)
	out = append(out, `","integratedTime":`...)
	out = strconv.AppendInt(out, e.IntegratedTime, 10)
	out = append(out, `,"logID":"`...)
	out = hex.AppendEncode(out, e.LogID)
	out = append(out, `","logIndex":`...)
	out = strconv.AppendInt(out, e.LogIndex, 10)
	return append(out, '}')
}

// Marshal writes e as Rekor answers it: protojson of a TransparencyLogEntry
// with unpopulated fields, and without white space. Equal entries give equal
// bytes.
func (e *Entry) Marshal() ([]byte, error) {
	if err := e.Validate(); err != nil {
		return nil, err
	}
	out := make([]byte, 0, base64.StdEncoding.EncodedLen(len(e.Body))+4096)
	out = appendInt(append(out, '{'), `"logIndex":`, e.LogIndex)
	out = appendBase64(out, `,"logId":{"keyId":`, e.LogID)
	out = strictjson.AppendString(append(out, `},"kindVersion":{"kind":`...), e.Kind)
	out = strictjson.AppendString(append(out, `,"version":`...), e.Version)
	out = appendInt(out, `},"integratedTime":`, e.IntegratedTime)
	if len(e.SET) > 0 {
		out = appendBase64(out, `,"inclusionPromise":{"signedEntryTimestamp":`, e.SET)
		out = append(out, '}')
	} else {
		out = append(out, `,"inclusionPromise":null`...)
	}
	out = append(out, `,"inclusionProof":`...)
	if e.Proof != nil {
		out = e.Proof.append(out)
	} else {
		out = append(out, `null`...)
	}
	out = appendBase64(out, `,"canonicalizedBody":`, e.Body)
	return append(out, '}'), nil
}

func (p *InclusionProof) append(out []byte) []byte {
	out = appendInt(out, `{"logIndex":`, p.LogIndex)
	out = appendBase64(out, `,"rootHash":`, p.RootHash)
	out = appendInt(out, `,"treeSize":`, p.TreeSize)
	out = append(out, `,"hashes":[`...)
	for i, h := range p.Hashes {
		comma := ","
		if i == 0 {
			comma = ""
		}
		out = appendBase64(out, comma, h)
	}
	out = strictjson.AppendString(append(out, `],"checkpoint":{"envelope":`...), p.Checkpoint)
	return append(out, '}', '}')
}

// appendInt writes a 64-bit number as protojson does: as a string.
func appendInt(out []byte, prefix string, n int64) []byte {
	out = append(append(out, prefix...), '"')
	return append(strconv.AppendInt(out, n, 10), '"')
}

func appendBase64(out []byte, prefix string, b []byte) []byte {
	out = append(append(out, prefix...), '"')
	return append(base64.StdEncoding.AppendEncode(out, b), '"')
}
