// SPDX-License-Identifier: Apache-2.0

package rfc3161

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// FailureInfo is a bit of PKIFailureInfo: why a TSA refused a request.
type FailureInfo int

// The reasons of RFC 3161 §2.4.2.
const (
	NoFailureInfo       FailureInfo = -1 // the response gives none
	BadAlgorithm        FailureInfo = 0
	BadRequest          FailureInfo = 2
	BadDataFormat       FailureInfo = 5
	TimeNotAvailable    FailureInfo = 14
	UnacceptedPolicy    FailureInfo = 15
	UnacceptedExtension FailureInfo = 16
	AddInfoNotAvailable FailureInfo = 17
	SystemFailure       FailureInfo = 25
)

// String is the reason in words.
func (f FailureInfo) String() string {
	switch f {
	case NoFailureInfo:
		return "no failure information"
	case BadAlgorithm:
		return "unrecognized or unsupported algorithm"
	case BadRequest:
		return "transaction not permitted or supported"
	case BadDataFormat:
		return "data in the wrong format"
	case TimeNotAvailable:
		return "the TSA's time source is not available"
	case UnacceptedPolicy:
		return "the requested policy is not supported by the TSA"
	case UnacceptedExtension:
		return "the requested extension is not supported by the TSA"
	case AddInfoNotAvailable:
		return "the additional information requested is not available"
	case SystemFailure:
		return "system failure"
	}
	return "failure information " + strconv.Itoa(int(f))
}

// The PKIStatus values that matter here.
const (
	statusGranted   = 0
	statusRejection = 2
)

// StatusError is a TSA's refusal.
type StatusError struct {
	Status  int         // PKIStatus: 1 granted with modifications, 2 rejection, 3 waiting, 4 and 5 revocation
	Text    string      // the TSA's own words, cut to 512 bytes, printable
	Failure FailureInfo // the first reason given
}

// Error says what the TSA answered.
func (e *StatusError) Error() string {
	names := []string{"granted", "granted with modifications", "rejected", "waiting", "revocation warning", "revocation notification"}
	name := "unknown"
	if e.Status >= 0 && e.Status < len(names) {
		name = names[e.Status]
	}
	msg := fmt.Sprintf("timestamp response: status %d (%s)", e.Status, name)
	if e.Failure != NoFailureInfo {
		msg += ": " + e.Failure.String()
	}
	if e.Text != "" {
		msg += ": " + e.Text
	}
	return msg
}

// ParseResponse reads a DER TimeStampResp and the token in it, without
// verifying it. A response that is not granted as asked is a *StatusError: one
// with modifications too, which no other Sigstore client takes.
func ParseResponse(der []byte) (*Token, error) {
	if len(der) > MaxSize {
		return nil, fmt.Errorf("timestamp response: %d bytes, at most %d are allowed", len(der), MaxSize)
	}
	in := cryptobyte.String(der)
	var resp, info cryptobyte.String
	var status int64
	if !in.ReadASN1(&resp, casn1.SEQUENCE) || !in.Empty() ||
		!resp.ReadASN1(&info, casn1.SEQUENCE) || !info.ReadASN1Integer(&status) {
		return nil, errors.New("timestamp response: malformed DER")
	}
	if status != statusGranted {
		return nil, readStatusError(status, info)
	}
	if resp.Empty() {
		return nil, errors.New("timestamp response: granted, but without a token")
	}
	var contentInfo cryptobyte.String
	if !resp.ReadASN1Element(&contentInfo, casn1.SEQUENCE) || !resp.Empty() {
		return nil, errors.New("timestamp response: malformed DER")
	}
	t, err := parseToken(contentInfo)
	if err != nil {
		return nil, fmt.Errorf("timestamp token: %w", err)
	}
	return t, nil
}

// readStatusError reads what follows the status in a PKIStatusInfo, as far as
// it can.
func readStatusError(status int64, info cryptobyte.String) *StatusError {
	e := &StatusError{Status: -1, Failure: NoFailureInfo}
	if status >= 0 && status <= 1<<15 {
		e.Status = int(status)
	}
	var texts cryptobyte.String
	var present bool
	if !info.ReadOptionalASN1(&texts, &present, casn1.SEQUENCE) {
		return e
	}
	var parts []string
	for !texts.Empty() {
		var s cryptobyte.String
		if !texts.ReadASN1(&s, casn1.UTF8String) {
			break
		}
		parts = append(parts, string(s))
	}
	e.Text = printable(strings.Join(parts, ", "))
	var failure cryptobyte.String
	if info.ReadASN1(&failure, casn1.BIT_STRING) && len(failure) > 0 {
		bits := failure[1:] // after the number of unused bits
		for i := range min(len(bits)*8, 32) {
			if bits[i/8]&(0x80>>(i%8)) != 0 {
				e.Failure = FailureInfo(i)
				break
			}
		}
	}
	return e
}

// printable cuts s to 512 bytes and quotes it if it has anything unprintable.
func printable(s string) string {
	if len(s) > 512 {
		s = s[:512]
	}
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return strconv.Quote(s)
	}
	return s
}

// MarshalRejection returns the DER TimeStampResp that refuses a request for the
// given reason, with a text for humans; the text must be UTF-8 and may be "".
func MarshalRejection(failure FailureInfo, text string) []byte {
	var b cryptobyte.Builder
	b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1Int64(statusRejection)
			if text != "" {
				b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1(casn1.UTF8String, func(b *cryptobyte.Builder) {
						b.AddBytes([]byte(strings.ToValidUTF8(text, "\uFFFD")))
					})
				})
			}
			if failure >= 0 && failure < 32 {
				// A named BIT STRING ends with its last 1 (X.690 §11.2.2).
				bits := make([]byte, failure/8+1)
				bits[failure/8] = 0x80 >> (failure % 8)
				b.AddASN1(casn1.BIT_STRING, func(b *cryptobyte.Builder) {
					b.AddUint8(uint8(7 - failure%8))
					b.AddBytes(bits)
				})
			}
		})
	})
	return b.BytesOrPanic() // a text under 4 GiB always encodes
}
