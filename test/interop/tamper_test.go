// SPDX-License-Identifier: Apache-2.0

package interop

import (
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
)

// The parts of a bundle that the tests alter.
const (
	blobSignature   = "messageSignature.signature"
	blobDigest      = "messageSignature.messageDigest.digest"
	imageSignature  = "dsseEnvelope.signatures.0.sig"
	imagePayload    = "dsseEnvelope.payload"
	certificatePart = "verificationMaterial.certificate.rawBytes"
	timestampPart   = "verificationMaterial.timestampVerificationData.rfc3161Timestamps.0.signedTimestamp"
	entryBody       = "verificationMaterial.tlogEntries.0.canonicalizedBody"
	proofHash       = "verificationMaterial.tlogEntries.0.inclusionProof.hashes.0"
	checkpointPart  = "verificationMaterial.tlogEntries.0.inclusionProof.checkpoint.envelope"
)

// altered is a bundle with one bit of one part flipped: the lowest bit of the
// last byte of a base64 field, or of the last character that is not a newline
// of the checkpoint, which is text.
func altered(t *testing.T, bundle []byte, part string) []byte {
	t.Helper()
	var whole any
	if err := json.Unmarshal(bundle, &whole); err != nil {
		t.Fatal(err)
	}
	path := strings.Split(part, ".")
	parent := whole
	for _, name := range path[:len(path)-1] {
		parent = child(t, parent, name)
	}
	last := path[len(path)-1]
	value, ok := child(t, parent, last).(string)
	if !ok {
		t.Fatalf("the bundle's %s is not a string", part)
	}
	if part == checkpointPart {
		value = flipSignature(t, value)
	} else {
		value = flipLast(t, value)
	}
	switch p := parent.(type) {
	case map[string]any:
		p[last] = value
	case []any:
		i, _ := strconv.Atoi(last) // child has parsed it
		p[i] = value
	}
	out, err := json.Marshal(whole)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// child is a member of a JSON object or an element of an array.
func child(t *testing.T, parent any, name string) any {
	t.Helper()
	switch p := parent.(type) {
	case map[string]any:
		if v, ok := p[name]; ok {
			return v
		}
	case []any:
		if i, err := strconv.Atoi(name); err == nil && i < len(p) {
			return p[i]
		}
	}
	t.Fatalf("the bundle has no %s", name)
	return nil
}

// flipLast flips a bit of the last byte of a base64 value.
func flipLast(t *testing.T, value string) string {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(value)
	if err != nil || len(raw) == 0 {
		t.Fatalf("%q is not base64 of something: %v", value, err)
	}
	raw[len(raw)-1] ^= 1
	return base64.StdEncoding.EncodeToString(raw)
}

// flipSignature flips a bit of the first signature of a checkpoint.
func flipSignature(t *testing.T, envelope string) string {
	t.Helper()
	text, signatures, ok := strings.Cut(envelope, "\n\n— ")
	line, rest, more := strings.Cut(signatures, "\n")
	name, sig, named := strings.Cut(line, " ")
	if !ok || !more || !named {
		t.Fatalf("not a checkpoint: %q", envelope)
	}
	return text + "\n\n— " + name + " " + flipLast(t, sig) + "\n" + rest
}
