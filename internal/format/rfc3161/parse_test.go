// SPDX-License-Identifier: Apache-2.0

package rfc3161_test

import (
	"bytes"
	"crypto"
	"encoding/asn1"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/digitorus/timestamp"
	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"

	"hallmark/internal/format/rfc3161"
)

func TestGenTime(t *testing.T) {
	a := newAuthority(t, newECDSA(), nil)
	for in, want := range map[string]time.Time{
		"20260102030405Z":            genTime,
		"20260102030405.5Z":          genTime.Add(500 * time.Millisecond),
		"20260102030405.123456789Z":  genTime.Add(123456789),
		"20260102030405.050Z":        {},
		"20260102030405.Z":           {},
		"20260102030405.1234567891Z": {},
		"20260102030405.5.5Z":        {},
		"20260102030405,5Z":          {},
		"20260102030405":             {},
		"20260102030405+0000":        {},
		"202601020304Z":              {},
		"20261302030405Z":            {},
		"20260230030405Z":            {},
		"20260102030460Z":            {},
		"2026 102030405Z":            {},
		"19700101000000Z":            {},
		"00010101000000Z":            {}, // the zero time.Time
		"19691231235959.999Z":        {},
		"Z":                          {},
	} {
		token, err := rfc3161.ParseResponse(forge{a: a, time: in}.response(t))
		if (err == nil) == want.IsZero() {
			t.Errorf("%s: error %v", in, err)
		} else if err == nil && !token.Time().Equal(want) {
			t.Errorf("%s: %v; expected %v", in, token.Time(), want)
		}
	}
}

func TestTSTInfo(t *testing.T) {
	a := newAuthority(t, newECDSA(), nil)
	raw := func(der ...byte) func(*cryptobyte.Builder) {
		return func(b *cryptobyte.Builder) { b.AddBytes(der) }
	}
	for _, tt := range []struct {
		name string
		tst  func(*cryptobyte.Builder)
		err  string
	}{
		{"accuracy, ordering, nonce, TSA name", raw(0x30, 11, 2, 1, 1, 0x80, 2, 3, 0xe7, 0x81, 2, 3, 0xe7, 1, 1, 0xff, 2, 1, 5, 0xa0, 4, 0xa4, 2, 0x30, 0), ""},
		{"ordering false", raw(1, 1, 0), ""},
		{"extension", raw(0xa1, 10, 0x30, 8, 6, 2, 0x2a, 3, 4, 2, 5, 0), ""},
		{"critical extension", raw(0xa1, 13, 0x30, 11, 6, 2, 0x2a, 3, 1, 1, 0xff, 4, 2, 5, 0), "critical"},
		{"empty extensions", raw(0xa1, 0), "extensions"},
		{"extension without value", raw(0xa1, 6, 0x30, 4, 6, 2, 0x2a, 3), "extensions"},
		{"milliseconds over 999", raw(0x30, 4, 0x80, 2, 3, 0xe8), "accuracy"},
		{"negative seconds", raw(0x30, 3, 2, 1, 0xff), "accuracy"},
		{"accuracy with more", raw(0x30, 2, 5, 0), "accuracy"},
		{"unknown field", raw(4, 0), "malformed"},
		{"fields out of order", raw(2, 1, 5, 1, 1, 0xff), "malformed"},
	} {
		_, err := rfc3161.ParseResponse(forge{a: a, tst: tt.tst}.response(t))
		expect(t, tt.name, err, tt.err)
	}
	token := must(rfc3161.ParseResponse(forge{a: a, tst: raw(0x30, 11, 2, 1, 1, 0x80, 2, 3, 0xe7, 0x81, 2, 3, 0xe7, 2, 1, 5)}.response(t)))
	if got, want := token.Accuracy(), time.Second+999*time.Millisecond+999*time.Microsecond; got != want {
		t.Errorf("accuracy %v; expected %v", got, want)
	}
	if n := token.Nonce(); n == nil || n.Int64() != 5 {
		t.Errorf("nonce %v; expected 5", n)
	}
	if token.SerialNumber().Int64() != 77 || !token.Policy().Equal(asn1.ObjectIdentifier{1, 2, 3}) || token.HashAlgorithm() != crypto.SHA256 || !bytes.Equal(token.HashedMessage(), sha256Of([]byte("message"))) {
		t.Errorf("token %v %v %v %x", token.SerialNumber(), token.Policy(), token.HashAlgorithm(), token.HashedMessage())
	}
	if len(token.Embedded()) != 0 {
		t.Error("embedded certificates out of nowhere")
	}
	if must(rfc3161.ParseResponse(forge{a: a}.response(t))).Nonce() != nil {
		t.Error("nonce out of nowhere")
	}
}

func TestParseResponseRefuses(t *testing.T) {
	good := forge{a: newAuthority(t, newECDSA(), nil)}.response(t)
	for _, tt := range []struct {
		name string
		der  []byte
		err  string
	}{
		{"nothing", nil, "malformed"},
		{"garbage", []byte("garbage"), "malformed"},
		{"cut", good[:len(good)-1], "malformed"},
		{"trailing data", append(bytes.Clone(good), 0), "malformed"},
		{"no token", []byte{0x30, 5, 0x30, 3, 2, 1, 0}, "without a token"},
		{"token of another type", []byte{0x30, 7, 0x30, 3, 2, 1, 0, 5, 0}, "malformed"},
		{"indefinite length", []byte{0x30, 0x80, 0x30, 3, 2, 1, 0, 0, 0}, "malformed"},
		{"too long", make([]byte, rfc3161.MaxSize+1), "at most"},
		{"the token alone", good[9:], "malformed"},
	} {
		_, err := rfc3161.ParseResponse(tt.der)
		expect(t, tt.name, err, tt.err)
	}
}

func TestRejections(t *testing.T) {
	failures := []rfc3161.FailureInfo{
		rfc3161.BadAlgorithm, rfc3161.BadRequest, rfc3161.BadDataFormat, rfc3161.TimeNotAvailable, rfc3161.UnacceptedPolicy,
		rfc3161.UnacceptedExtension, rfc3161.AddInfoNotAvailable, rfc3161.SystemFailure,
	}
	for _, failure := range failures {
		der := rfc3161.MarshalRejection(failure, "try again")
		_, err := rfc3161.ParseResponse(der)
		var status *rfc3161.StatusError
		if !errors.As(err, &status) || status.Status != 2 || status.Failure != failure || status.Text != "try again" {
			t.Errorf("%v: %#v", failure, err)
			continue
		}
		if !strings.Contains(err.Error(), failure.String()) || !strings.Contains(err.Error(), "try again") || !strings.Contains(err.Error(), "rejected") {
			t.Errorf("%v: %v", failure, err)
		}
		// digitorus reads the same.
		_, err = timestamp.ParseResponse(der)
		if err == nil || !strings.Contains(err.Error(), timestamp.FailureInfo(failure).String()) || !strings.Contains(err.Error(), "try again") {
			t.Errorf("%v: digitorus/timestamp: %v", failure, err)
		}
		// And we read its.
		_, err = rfc3161.ParseResponse(must(timestamp.CreateErrorResponse(timestamp.Rejection, timestamp.FailureInfo(failure))))
		if !errors.As(err, &status) || status.Failure != failure {
			t.Errorf("%v by digitorus/timestamp: %v", failure, err)
		}
	}
	var status *rfc3161.StatusError
	for name, der := range map[string][]byte{
		"waiting":         {0x30, 5, 0x30, 3, 2, 1, 3},
		"unknown status":  {0x30, 5, 0x30, 3, 2, 1, 0x7f},
		"negative status": {0x30, 5, 0x30, 3, 2, 1, 0xff},
		"garbage after":   {0x30, 7, 0x30, 5, 2, 1, 2, 9, 9},
	} {
		if _, err := rfc3161.ParseResponse(der); !errors.As(err, &status) || status.Failure != rfc3161.NoFailureInfo {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := rfc3161.ParseResponse(rfc3161.MarshalRejection(rfc3161.NoFailureInfo, "\x1b[2J"+strings.Repeat("a", 4000))); err == nil || strings.Contains(err.Error(), "\x1b") || len(err.Error()) > 1000 {
		t.Errorf("a hostile text is shown as %q", err)
	}
}

func TestRequestRoundTrip(t *testing.T) {
	for name, want := range map[string]*rfc3161.Request{
		"plain":    {HashAlg: crypto.SHA256, HashedMessage: make([]byte, 32)},
		"all":      {HashAlg: crypto.SHA512, HashedMessage: make([]byte, 64), Nonce: big.NewInt(1 << 40), CertReq: true, PolicyOID: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 2}},
		"nonce":    {HashAlg: crypto.SHA384, HashedMessage: make([]byte, 48), Nonce: big.NewInt(0)},
		"negative": {HashAlg: crypto.SHA256, HashedMessage: make([]byte, 32), Nonce: big.NewInt(-5)},
	} {
		der, err := want.Marshal()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, err := rfc3161.ParseRequest(der)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		theirs, err := timestamp.ParseRequest(der)
		if err != nil {
			t.Errorf("%s: digitorus/timestamp: %v", name, err)
			continue
		}
		for _, r := range []*rfc3161.Request{got, {HashAlg: theirs.HashAlgorithm, HashedMessage: theirs.HashedMessage, Nonce: theirs.Nonce, CertReq: theirs.Certificates, PolicyOID: theirs.TSAPolicyOID}} {
			sameNonce := (r.Nonce == nil) == (want.Nonce == nil) && (r.Nonce == nil || r.Nonce.Cmp(want.Nonce) == 0)
			if r.HashAlg != want.HashAlg || !bytes.Equal(r.HashedMessage, want.HashedMessage) || !sameNonce || r.CertReq != want.CertReq || !r.PolicyOID.Equal(want.PolicyOID) {
				t.Errorf("%s: %+v; expected %+v", name, r, want)
			}
		}
	}
	theirs := must(timestamp.CreateRequest(strings.NewReader("message"), &timestamp.RequestOptions{}))
	if ours := rfc3161.NewRequest([]byte("message")); !bytes.Equal(ours, theirs) {
		t.Errorf("NewRequest() = %x; digitorus/timestamp makes %x", ours, theirs)
	}
	for name, bad := range map[string]*rfc3161.Request{
		"SHA-1":      {HashAlg: crypto.SHA1, HashedMessage: make([]byte, 20)},
		"short hash": {HashAlg: crypto.SHA256, HashedMessage: make([]byte, 31)},
		"bad policy": {HashAlg: crypto.SHA256, HashedMessage: make([]byte, 32), PolicyOID: asn1.ObjectIdentifier{9}},
	} {
		if _, err := bad.Marshal(); err == nil {
			t.Errorf("%s: encoded", name)
		}
	}
}

func TestParseRequestRefuses(t *testing.T) {
	request := func(version int64, hash asn1.ObjectIdentifier, sum []byte, more ...byte) []byte {
		return build(elem(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1Int64(version)
			b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) { algorithmID(b, hash, nil); b.AddASN1OctetString(sum) })
			b.AddBytes(more)
		}))
	}
	sum := make([]byte, 32)
	good := request(1, oidSHA256, sum)
	if _, err := rfc3161.ParseRequest(good); err != nil {
		t.Fatal(err)
	}
	if _, err := rfc3161.ParseRequest(request(1, oidSHA256, sum, 0xa0, 10, 0x30, 8, 6, 2, 0x2a, 3, 4, 2, 5, 0)); err != nil {
		t.Errorf("extension that is not critical: %v", err)
	}
	for _, tt := range []struct {
		name    string
		der     []byte
		failure rfc3161.FailureInfo
	}{
		{"nothing", nil, rfc3161.BadDataFormat},
		{"trailing data", append(bytes.Clone(good), 0), rfc3161.BadDataFormat},
		{"version 2", request(2, oidSHA256, sum), rfc3161.BadRequest},
		{"SHA-1", request(1, oidSHA1, sum[:20]), rfc3161.BadAlgorithm},
		{"MD5", request(1, asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 5}, sum[:16]), rfc3161.BadAlgorithm},
		{"short hash", request(1, oidSHA256, sum[:31]), rfc3161.BadAlgorithm},
		{"SHA-512 as SHA-256", request(1, oidSHA256, make([]byte, 64)), rfc3161.BadAlgorithm},
		{"critical extension", request(1, oidSHA256, sum, 0xa0, 13, 0x30, 11, 6, 2, 0x2a, 3, 1, 1, 0xff, 4, 2, 5, 0), rfc3161.UnacceptedExtension},
		{"fields out of order", request(1, oidSHA256, sum, 1, 1, 0xff, 2, 1, 5), rfc3161.BadDataFormat},
		{"no boolean", request(1, oidSHA256, sum, 1, 1, 7), rfc3161.BadDataFormat},
		{"nonce of 65 bytes", request(1, oidSHA256, sum, append([]byte{2, 65, 1}, make([]byte, 64)...)...), rfc3161.BadRequest},
		{"too long", make([]byte, rfc3161.MaxSize+1), rfc3161.BadRequest},
	} {
		_, err := rfc3161.ParseRequest(tt.der)
		var refused *rfc3161.RequestError
		if !errors.As(err, &refused) || refused.Failure != tt.failure || refused.Unwrap() == nil {
			t.Errorf("%s: %v; expected %v", tt.name, err, tt.failure)
		}
	}
}
