// SPDX-License-Identifier: Apache-2.0

package trustroot

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	common "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	pb "github.com/sigstore/protobuf-specs/gen/pb-go/trustroot/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"hallmark/internal/format/pubkey"
)

// Parse reads a trusted_root.json. Unknown fields, other media types than
// MediaType and MediaTypeV02, and whatever breaks the invariants of the package
// are refused.
func Parse(data []byte) (*Root, error) {
	var msg pb.TrustedRoot
	if err := unmarshal(data, &msg); err != nil {
		return nil, fmt.Errorf("trusted root: %w", err)
	}
	r, err := rootFromProto(&msg)
	if err != nil {
		return nil, fmt.Errorf("trusted root: %w", err)
	}
	return r, nil
}

// Marshal returns the trusted_root.json of the root, indented, with MediaType,
// and always the same for the same root. It refuses what Parse would refuse.
// Operators and checkpoint key IDs, which MediaType has no place for, are left out.
func (r *Root) Marshal() ([]byte, error) {
	if err := r.check(); err != nil {
		return nil, fmt.Errorf("trusted root: %w", err)
	}
	msg := &pb.TrustedRoot{MediaType: MediaType}
	var err error
	if msg.Tlogs, err = logsToProto(r.Logs); err != nil {
		return nil, fmt.Errorf("trusted root: tlogs%w", err)
	}
	if msg.Ctlogs, err = logsToProto(r.CTLogs); err != nil {
		return nil, fmt.Errorf("trusted root: ctlogs%w", err)
	}
	for _, ca := range r.CAs {
		msg.CertificateAuthorities = append(msg.CertificateAuthorities, authorityToProto(ca.Subject, ca.URI, ca.Chain, ca.Valid))
	}
	for _, tsa := range r.TSAs {
		msg.TimestampAuthorities = append(msg.TimestampAuthorities, authorityToProto(tsa.Subject, tsa.URI, tsa.Chain, tsa.Valid))
	}
	data, err := marshal(msg)
	if err != nil {
		return nil, fmt.Errorf("trusted root: %w", err)
	}
	return data, nil
}

func rootFromProto(msg *pb.TrustedRoot) (*Root, error) {
	switch msg.GetMediaType() {
	case MediaType, MediaTypeV02:
	default:
		return nil, fmt.Errorf("mediaType is %q; expected %q", msg.GetMediaType(), MediaType)
	}
	for _, n := range []int{len(msg.GetTlogs()), len(msg.GetCtlogs()), len(msg.GetCertificateAuthorities()), len(msg.GetTimestampAuthorities())} {
		if n > MaxInstances {
			return nil, fmt.Errorf("a list has %d entries, at most %d are allowed", n, MaxInstances)
		}
	}
	r := &Root{}
	for i, l := range msg.GetTlogs() {
		log, err := logFromProto(l)
		if err != nil {
			return nil, fmt.Errorf("tlogs[%d]: %w", i, err)
		}
		r.Logs = append(r.Logs, log)
	}
	for i, l := range msg.GetCtlogs() {
		log, err := logFromProto(l)
		if err != nil {
			return nil, fmt.Errorf("ctlogs[%d]: %w", i, err)
		}
		r.CTLogs = append(r.CTLogs, log)
	}
	for i, a := range msg.GetCertificateAuthorities() {
		chain, err := chainFromProto(a.GetCertChain())
		if err != nil {
			return nil, fmt.Errorf("certificateAuthorities[%d]: %w", i, err)
		}
		r.CAs = append(r.CAs, CertificateAuthority{subjectFromProto(a.GetSubject()), a.GetUri(), chain, windowFromProto(a.GetValidFor()), a.GetOperator()})
	}
	for i, a := range msg.GetTimestampAuthorities() {
		chain, err := chainFromProto(a.GetCertChain())
		if err != nil {
			return nil, fmt.Errorf("timestampAuthorities[%d]: %w", i, err)
		}
		r.TSAs = append(r.TSAs, TimestampAuthority{subjectFromProto(a.GetSubject()), a.GetUri(), chain, windowFromProto(a.GetValidFor()), a.GetOperator()})
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	return r, nil
}

func logFromProto(msg *pb.TransparencyLogInstance) (Log, error) {
	if h := msg.GetHashAlgorithm(); h != common.HashAlgorithm_SHA2_256 {
		return Log{}, fmt.Errorf("hashAlgorithm is %s; expected SHA2_256", h)
	}
	key := msg.GetPublicKey()
	if len(key.GetRawBytes()) == 0 {
		return Log{}, errors.New("publicKey.rawBytes is missing")
	}
	details, err := pubkey.DetailsByNumber(int32(key.GetKeyDetails()))
	if err != nil {
		return Log{}, fmt.Errorf("publicKey.keyDetails: %w", err)
	}
	pub, err := pubkey.ParseRaw(details, key.GetRawBytes())
	if err != nil {
		return Log{}, fmt.Errorf("publicKey: %w", err)
	}
	return Log{
		BaseURL: msg.GetBaseUrl(), Key: pub, Details: details,
		ID: msg.GetLogId().GetKeyId(), CheckpointKeyID: msg.GetCheckpointKeyId().GetKeyId(),
		Operator: msg.GetOperator(), Valid: windowFromProto(key.GetValidFor()),
	}, nil
}

// logsToProto's errors start with the index of the log, "[1]: …".
func logsToProto(logs []Log) ([]*pb.TransparencyLogInstance, error) {
	var out []*pb.TransparencyLogInstance
	for i, l := range logs {
		raw, err := rawKey(l)
		if err != nil {
			return nil, fmt.Errorf("[%d]: publicKey: %w", i, err)
		}
		out = append(out, &pb.TransparencyLogInstance{
			BaseUrl:       l.BaseURL,
			HashAlgorithm: common.HashAlgorithm_SHA2_256,
			PublicKey: &common.PublicKey{
				RawBytes:   raw,
				KeyDetails: common.PublicKeyDetails(l.Details.Number()),
				ValidFor:   windowToProto(l.Valid),
			},
			LogId: &common.LogId{KeyId: l.ID},
		})
	}
	return out, nil
}

func chainFromProto(msg *common.X509CertificateChain) ([]*x509.Certificate, error) {
	certs := msg.GetCertificates()
	if len(certs) > MaxChain {
		return nil, fmt.Errorf("certChain has %d certificates, at most %d are allowed", len(certs), MaxChain)
	}
	var chain []*x509.Certificate
	for i, c := range certs {
		cert, err := x509.ParseCertificate(c.GetRawBytes())
		if err != nil {
			return nil, fmt.Errorf("certChain.certificates[%d].rawBytes: %w", i, err)
		}
		chain = append(chain, cert)
	}
	return chain, nil
}

func authorityToProto(s Subject, uri string, chain []*x509.Certificate, valid Window) *pb.CertificateAuthority {
	certs := &common.X509CertificateChain{}
	for _, c := range chain {
		certs.Certificates = append(certs.Certificates, &common.X509Certificate{RawBytes: c.Raw})
	}
	return &pb.CertificateAuthority{
		Subject:   &common.DistinguishedName{Organization: s.Organization, CommonName: s.CommonName},
		Uri:       uri,
		CertChain: certs,
		ValidFor:  windowToProto(valid),
	}
}

func subjectFromProto(msg *common.DistinguishedName) Subject {
	return Subject{Organization: msg.GetOrganization(), CommonName: msg.GetCommonName()}
}

func windowFromProto(msg *common.TimeRange) Window {
	var w Window
	if msg.GetStart() != nil {
		w.Start = msg.GetStart().AsTime()
	}
	if msg.GetEnd() != nil {
		w.End = msg.GetEnd().AsTime()
		if w.End.IsZero() { // an end in the year 1 is an end all the same
			w.End = w.End.Add(time.Nanosecond)
		}
	}
	return w
}

// windowToProto returns nil for a window that is open at both ends.
func windowToProto(w Window) *common.TimeRange {
	if w.Start.IsZero() && w.End.IsZero() {
		return nil
	}
	stamp := func(t time.Time) *timestamppb.Timestamp {
		if t.IsZero() {
			return nil
		}
		return timestamppb.New(t)
	}
	return &common.TimeRange{Start: stamp(w.Start), End: stamp(w.End)}
}

// unmarshal reads protojson strictly: unknown and repeated fields are errors.
func unmarshal(data []byte, msg proto.Message) error {
	if len(data) > MaxSize {
		return fmt.Errorf("file has %d bytes, at most %d are allowed", len(data), MaxSize)
	}
	return protojson.Unmarshal(data, msg)
}

// marshal writes indented protojson. protojson varies its white space on
// purpose; writing it anew makes the bytes a function of the message.
func marshal(msg proto.Message) ([]byte, error) {
	loose, err := protojson.Marshal(msg)
	if err != nil {
		return nil, err
	}
	if len(loose) > MaxSize {
		return nil, fmt.Errorf("file would have %d bytes, at most %d are allowed", len(loose), MaxSize)
	}
	var out bytes.Buffer
	if err := json.Indent(&out, loose, "", "  "); err != nil {
		return nil, err
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}
