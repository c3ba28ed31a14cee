// SPDX-License-Identifier: Apache-2.0

package tsa

import (
	"bytes"
	"crypto"
	"encoding/asn1"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"

	"github.com/digitorus/timestamp"

	"hallmark/internal/format/rfc3161"
	"hallmark/internal/format/strictjson"
)

// parseDER reads a TimeStampReq. Its errors are *rfc3161.RequestError.
func parseDER(der []byte) (*rfc3161.Request, error) {
	req, err := rfc3161.ParseRequest(der)
	if err != nil {
		return nil, err
	}
	// "If an extension, whether it is marked critical or not critical, is
	// used by a requester but is not recognized by a time-stamping server,
	// the server SHALL not issue a token and SHALL return a failure
	// (unacceptedExtension)." RFC 3161 section 2.4.1
	all, err := timestamp.ParseRequest(der)
	if err != nil {
		return nil, malformed(errors.New("malformed DER"))
	}
	if len(all.Extensions) > 0 {
		return nil, &rfc3161.RequestError{Failure: rfc3161.UnacceptedExtension,
			Err: fmt.Errorf("extension %v is not supported: expected none", all.Extensions[0].Id)}
	}
	return req, nil
}

// jsonRequest is the JSON form of a request, as Sigstore's timestamp-authority
// takes it.
type jsonRequest struct {
	ArtifactHash  []byte   `json:"artifactHash"` // base64
	HashAlgorithm string   `json:"hashAlgorithm"`
	Certificates  bool     `json:"certificates"`
	Nonce         *big.Int `json:"nonce"`
	TSAPolicyOID  string   `json:"tsaPolicyOID"`
}

// parseJSON reads the JSON form. Its errors are *rfc3161.RequestError.
func parseJSON(data []byte) (*rfc3161.Request, error) {
	if _, err := strictjson.Parse(data); err != nil {
		return nil, malformed(err)
	}
	var in jsonRequest
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&in); err != nil {
		return nil, malformed(fmt.Errorf("%w: expected {\"artifactHash\": base64, \"hashAlgorithm\": \"sha256\", …}", err))
	}
	req := &rfc3161.Request{HashedMessage: in.ArtifactHash, Nonce: in.Nonce, CertReq: in.Certificates}
	switch strings.ToLower(in.HashAlgorithm) {
	case "sha256":
		req.HashAlg = crypto.SHA256
	case "sha384":
		req.HashAlg = crypto.SHA384
	case "sha512":
		req.HashAlg = crypto.SHA512
	default:
		return nil, &rfc3161.RequestError{Failure: rfc3161.BadAlgorithm,
			Err: fmt.Errorf("hashAlgorithm %.40q: expected sha256, sha384 or sha512", in.HashAlgorithm)}
	}
	if in.TSAPolicyOID != "" {
		oid, err := parseOID(in.TSAPolicyOID)
		if err != nil {
			return nil, malformed(fmt.Errorf("tsaPolicyOID: %w", err))
		}
		req.PolicyOID = oid
	}
	// The two forms ask for the same thing, so the same rules hold.
	der, err := req.Marshal()
	if err != nil {
		return nil, malformed(err)
	}
	return rfc3161.ParseRequest(der)
}

// malformed is the error for what is no request at all.
func malformed(err error) error {
	return &rfc3161.RequestError{Failure: rfc3161.BadDataFormat, Err: err}
}

// parseOID reads the dotted form.
func parseOID(s string) (asn1.ObjectIdentifier, error) {
	bad := fmt.Errorf("%.80q: expected an object identifier such as %s", s, DefaultPolicy)
	parts := strings.Split(s, ".")
	if len(s) > 256 || len(parts) < 2 {
		return nil, bad
	}
	oid := make(asn1.ObjectIdentifier, len(parts))
	for i, p := range parts {
		n, err := strconv.ParseUint(p, 10, 31)
		if err != nil || strconv.FormatUint(n, 10) != p {
			return nil, bad
		}
		oid[i] = int(n)
	}
	if oid[0] > 2 || oid[0] < 2 && oid[1] > 39 {
		return nil, bad
	}
	return oid, nil
}
