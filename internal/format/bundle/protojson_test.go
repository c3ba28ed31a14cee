// SPDX-License-Identifier: Apache-2.0

package bundle

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	bundlepb "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	rekorpb "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"hallmark/internal/format/digest"
	"hallmark/internal/format/dsse"
	"hallmark/internal/format/logentry"
)

// parseByProtojson is Parse by protojson itself: the oracle for ours.
func parseByProtojson(data []byte) (*Bundle, error) {
	var pb bundlepb.Bundle
	if err := protojson.Unmarshal(data, &pb); err != nil {
		return nil, err
	}
	b := &Bundle{MediaType: pb.GetMediaType()}
	var err error
	if b.Version, err = ParseMediaType(b.MediaType); err != nil {
		return nil, err
	}
	if err := b.setMaterial(pb.GetVerificationMaterial()); err != nil {
		return nil, fmt.Errorf("verificationMaterial: %w", err)
	}
	if err := b.setContent(&pb); err != nil {
		return nil, err
	}
	return b, b.validate()
}

func (b *Bundle) setMaterial(vm *bundlepb.VerificationMaterial) error {
	switch c := vm.GetContent().(type) {
	case *bundlepb.VerificationMaterial_PublicKey:
		b.HasKeyHint = true
		b.KeyHint = c.PublicKey.GetHint()
	case *bundlepb.VerificationMaterial_Certificate:
		b.Certificates = [][]byte{c.Certificate.GetRawBytes()}
	case *bundlepb.VerificationMaterial_X509CertificateChain:
		if b.Version >= V03 {
			return errors.New("x509CertificateChain is not allowed in version 0.3: expected certificate or publicKey")
		}
		for _, cert := range c.X509CertificateChain.GetCertificates() {
			b.Certificates = append(b.Certificates, cert.GetRawBytes())
		}
	default:
		return errors.New("expected one of certificate, publicKey and x509CertificateChain")
	}
	if n := len(vm.GetTlogEntries()); n > MaxEntries {
		return fmt.Errorf("tlogEntries has %d elements: expected at most %d", n, MaxEntries)
	}
	for i, pb := range vm.GetTlogEntries() {
		e, err := entryFromProto(pb)
		if err != nil {
			return fmt.Errorf("tlogEntries[%d]: %w", i, err)
		}
		b.Entries = append(b.Entries, e)
	}
	for _, ts := range vm.GetTimestampVerificationData().GetRfc3161Timestamps() {
		b.Timestamps = append(b.Timestamps, ts.GetSignedTimestamp())
	}
	return nil
}

func (b *Bundle) setContent(pb *bundlepb.Bundle) error {
	switch c := pb.GetContent().(type) {
	case *bundlepb.Bundle_MessageSignature:
		b.Message = &MessageSignature{Signature: c.MessageSignature.GetSignature()}
		hash := c.MessageSignature.GetMessageDigest()
		if hash == nil {
			return nil
		}
		alg, err := digest.ParseAlgorithm(hash.GetAlgorithm().String())
		if err != nil {
			return fmt.Errorf("messageSignature.messageDigest.algorithm: %w", err)
		}
		if b.Message.Digest, err = digest.New(alg, hash.GetDigest()); err != nil {
			return fmt.Errorf("messageSignature.messageDigest.digest: %w", err)
		}
	case *bundlepb.Bundle_DsseEnvelope:
		env := c.DsseEnvelope
		b.Envelope = &dsse.Envelope{PayloadType: env.GetPayloadType(), Payload: env.GetPayload()}
		for _, s := range env.GetSignatures() {
			b.Envelope.Signatures = append(b.Envelope.Signatures, dsse.Signature{KeyID: s.GetKeyid(), Sig: s.GetSig()})
		}
	default:
		return errors.New("expected one of messageSignature and dsseEnvelope")
	}
	return nil
}

func entryFromProto(pb *rekorpb.TransparencyLogEntry) (*logentry.Entry, error) {
	e := &logentry.Entry{
		LogIndex:       pb.GetLogIndex(),
		LogID:          pb.GetLogId().GetKeyId(),
		Kind:           pb.GetKindVersion().GetKind(),
		Version:        pb.GetKindVersion().GetVersion(),
		IntegratedTime: pb.GetIntegratedTime(),
		SET:            pb.GetInclusionPromise().GetSignedEntryTimestamp(),
		Body:           pb.GetCanonicalizedBody(),
	}
	if len(e.SET) == 0 {
		e.SET = nil
	}
	if p := pb.GetInclusionProof(); p != nil {
		e.Proof = &logentry.InclusionProof{
			LogIndex:   p.GetLogIndex(),
			TreeSize:   p.GetTreeSize(),
			RootHash:   p.GetRootHash(),
			Hashes:     p.GetHashes(),
			Checkpoint: p.GetCheckpoint().GetEnvelope(),
		}
	}
	if err := e.Validate(); err != nil {
		return nil, err
	}
	return e, nil
}

// agree fails unless Parse accepts nothing that protojson refuses, and reads the
// same out of it. It reports whether Parse accepted data.
func agree(tb testing.TB, data []byte) bool {
	tb.Helper()
	ours, err := Parse(data)
	oracle, oracleErr := parseByProtojson(data)
	switch {
	case err == nil && oracleErr != nil:
		tb.Fatalf("accepted what protojson refuses: %v\n%.2000s", oracleErr, data)
	case err == nil && !reflect.DeepEqual(ours, oracle):
		tb.Fatalf("read otherwise than protojson:\n%+v\n%+v\n%.2000s", ours, oracle, data)
	case err != nil && oracleErr == nil && !stricter(err):
		tb.Fatalf("refused what protojson accepts: %v\n%.2000s", err, data)
	}
	return err == nil
}

// stricter says whether err is one of the ways in which Parse is stricter.
func stricter(err error) bool {
	for _, why := range []string{
		"expected a 64-bit integer", // a fraction, an exponent
		"is not base64",             // line breaks, stray bits
		"must be written",           // a name in another case, which is also unknown to protojson
		"lone surrogate",            // which protojson replaces
		"nested more than",          //
		"has more than",             // elements, members
		"JSON,",                     // syntax that protojson lets pass
	} {
		if strings.Contains(err.Error(), why) {
			return true
		}
	}
	return false
}

// TestAgainstProtojson compares the two readings of the conformance vectors and
// of spellings that only the JSON form of Protocol Buffers has.
func TestAgainstProtojson(t *testing.T) {
	const base = `{"mediaType":"application/vnd.dev.sigstore.bundle+json;version=0.2","verificationMaterial":{"x509CertificateChain":{"certificates":[{"rawBytes":"AAEC"}]},"tlogEntries":[{"logIndex":"7","logId":{"keyId":"AAEC"},"kindVersion":{"kind":"k","version":"v"},"integratedTime":"5","inclusionPromise":{"signedEntryTimestamp":"AAEC"},"inclusionProof":{"logIndex":"1","rootHash":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","treeSize":"2","hashes":["AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="],"checkpoint":{"envelope":"text"}},"canonicalizedBody":"AAEC"}],"timestampVerificationData":{"rfc3161Timestamps":[{"signedTimestamp":"AAEC"}]}},"messageSignature":{"messageDigest":{"algorithm":"SHA2_256","digest":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="},"signature":"AAEC"}}`
	if !agree(t, []byte(base)) {
		t.Fatal("the base is refused")
	}
	for _, tc := range []struct {
		old, new string
		ok       bool
	}{
		{`"logIndex":"7"`, `"logIndex":7`, true},
		{`"logIndex":"7"`, `"log_index":7`, true},
		{`"logIndex":"7"`, `"logIndex":7,"log_index":7`, false},
		{`"logIndex":"7"`, `"logIndex":7,"log_index":null`, false},
		{`"logIndex":"7"`, `"logIndex":null`, true},
		{`"logIndex":"7"`, `"logIndex":"07"`, false},
		{`"logIndex":"7"`, `"logIndex":"+7"`, false},
		{`"logIndex":"7"`, `"logIndex":" 7"`, false},
		{`"logIndex":"7"`, `"logIndex":""`, false},
		{`"logIndex":"7"`, `"logIndex":"-0"`, true},
		{`"logIndex":"7"`, `"logIndex":"9223372036854775808"`, false},
		{`"logIndex":"7"`, `"logIndex":7.0`, false},
		{`"logIndex":"7"`, `"logIndex":"7e0"`, false},
		{`"logIndex":"7"`, `"logIndex":true`, false},
		{`"logIndex"`, `"LogIndex"`, false},
		{`"SHA2_256"`, `1`, true},
		{`"SHA2_256"`, `2`, false},
		{`"SHA2_256"`, `4`, false},
		{`"SHA2_256"`, `"sha256"`, false},
		{`"SHA2_256"`, `null`, false},
		{`"AAEC"`, `"AAE"`, true},
		{`"AAEC"`, `"AAE="`, true},
		{`"AAEC"`, `"AAF="`, false},
		{`"AAEC"`, `"AA\n=="`, false},
		{`"AAEC"`, `"--__"`, true},
		{`"AAEC"`, `"+-__"`, false},
		{`"AAEC"`, `"\u0041AEC"`, true},
		{`"AAEC"`, `[]`, false},
		{`"hashes":[`, `"hashes":null,"x":[`, false},
		{`"hashes":[`, `"hashes":[null,`, false},
		{`"checkpoint":{"envelope":"text"}`, `"checkpoint":{"envelope":"te\u0078t","signature":""}`, false},
		{`"checkpoint":{"envelope":"text"}`, `"checkpoint":{"envelope":"\ud800"}`, false},
		{`"checkpoint":{"envelope":"text"}`, `"checkpoint":{"envelope":1}`, false},
		{`"inclusionPromise":{"signedEntryTimestamp":"AAEC"}`, `"inclusionPromise":null`, true},
		{`"inclusionPromise":{"signedEntryTimestamp":"AAEC"}`, `"inclusionPromise":{}`, true},
		{`"inclusionPromise":{"signedEntryTimestamp":"AAEC"}`, `"inclusionPromise":{"signedEntryTimestamp":""}`, true},
		{`"timestampVerificationData":{"rfc3161Timestamps":[{"signedTimestamp":"AAEC"}]}`, `"timestampVerificationData":{}`, true},
		{`"timestampVerificationData":{"rfc3161Timestamps":[{"signedTimestamp":"AAEC"}]}`, `"timestamp_verification_data":{"rfc3161_timestamps":[{"signed_timestamp":"AAEC"}]}`, true},
		{`{"signedTimestamp":"AAEC"}`, `{}`, false},
		{`"x509CertificateChain"`, `"x509_certificate_chain"`, true},
		{`"x509CertificateChain"`, `"certificate":null,"x509CertificateChain"`, true},
		{`"x509CertificateChain"`, `"certificate":{"rawBytes":"AAEC"},"x509CertificateChain"`, false},
		{`"x509CertificateChain"`, `"publicKey":{},"x509CertificateChain"`, false},
		{`"x509CertificateChain":{"certificates":[{"rawBytes":"AAEC"}]}`, `"publicKey":{}`, true},
		{`"x509CertificateChain":{"certificates":[{"rawBytes":"AAEC"}]}`, `"public_key":{"hint":"h"}`, true},
		{`"messageSignature"`, `"dsseEnvelope":null,"messageSignature"`, true},
		{`"messageSignature"`, `"dsseEnvelope":{},"messageSignature"`, false},
		{`"messageSignature"`, `"message_signature"`, true},
		{`"messageDigest":{`, `"messageDigest":null,"x":{`, false},
		{`"signature":"AAEC"}}`, `"signature":"AAEC"}} `, true},
		{`"signature":"AAEC"}}`, `"signature":"AAEC"}}1`, false},
		{`"signature":"AAEC"}}`, `"signature":"AAEC"},}`, false},
		{`"signature":"AAEC"}}`, `"signature":"AAEC"},"@type":"x"}`, false},
	} {
		if !strings.Contains(base, tc.old) {
			t.Fatalf("%s is not in the base", tc.old)
		}
		if got := agree(t, []byte(strings.Replace(base, tc.old, tc.new, 1))); got != tc.ok {
			_, err := Parse([]byte(strings.Replace(base, tc.old, tc.new, 1)))
			t.Errorf("%s: accepted is %v (%v), want %v", tc.new, got, err, tc.ok)
		}
	}
}

// FuzzParseAgainstProtojson compares the two readings of anything.
func FuzzParseAgainstProtojson(f *testing.F) {
	f.Add([]byte(marshal(f, messageBundle())))
	f.Add([]byte(marshal(f, envelopeBundle())))
	f.Add([]byte(strings.Replace(marshal(f, messageBundle()), MediaTypeV03, MediaTypeV01, 1)))
	f.Add([]byte(`{"media_type":"` + MediaTypeV02 + `","verificationMaterial":{"x509CertificateChain":{"certificates":[{"rawBytes":"QQ=="},{"rawBytes":"Qg"}]},"tlogEntries":[]},"messageSignature":{"signature":"QQ"}}`))
	f.Add([]byte(`{"mediaType":"` + MediaTypeV02 + `","verificationMaterial":{"publicKey":{"hint":"\u00e9"},"tlogEntries":null},"dsse_envelope":{"payload":"","payloadType":"t","signatures":[{"sig":"QQ","keyid":"k"}]}}`))
	f.Fuzz(func(t *testing.T, data []byte) { agree(t, data) })
}
