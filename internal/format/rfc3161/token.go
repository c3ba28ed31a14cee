// SPDX-License-Identifier: Apache-2.0

package rfc3161

import (
	"bytes"
	"crypto"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Token is a timestamp as a TSA issued it, parsed but not verified.
type Token struct {
	info      tstInfo
	content   []byte   // the DER TSTInfo, which the message digest covers
	embedded  [][]byte // the DER certificates in the token
	embeds    bool     // something is embedded, a certificate or another choice
	signer    signerInfo
	signedSet []byte // the signed attributes as a DER SET OF: what is signed
}

// tstInfo is the content of a token (RFC 3161 §2.4.2).
type tstInfo struct {
	policy   asn1.ObjectIdentifier
	imprint  messageImprint
	serial   *big.Int
	time     time.Time
	accuracy time.Duration
	nonce    *big.Int
}

// Time is when the TSA says it saw the message, in UTC. It proves nothing
// before Verify.
func (t *Token) Time() time.Time { return t.info.time }

// Accuracy is how far Time may be off, to either side; 0 when not given.
func (t *Token) Accuracy() time.Duration { return t.info.accuracy }

// HashAlgorithm is the hash that the message was hashed with.
func (t *Token) HashAlgorithm() crypto.Hash { return t.info.imprint.hash }

// HashedMessage is the hash of the message.
func (t *Token) HashedMessage() []byte { return bytes.Clone(t.info.imprint.sum) }

// SerialNumber is the TSA's number for this token.
func (t *Token) SerialNumber() *big.Int { return new(big.Int).Set(t.info.serial) }

// Nonce is the request's nonce, or nil.
func (t *Token) Nonce() *big.Int {
	if t.info.nonce == nil {
		return nil
	}
	return new(big.Int).Set(t.info.nonce)
}

// Policy is the policy under which the TSA issued the token.
func (t *Token) Policy() asn1.ObjectIdentifier {
	return append(asn1.ObjectIdentifier(nil), t.info.policy...)
}

// Embedded returns the DER certificates that the token carries, unverified.
func (t *Token) Embedded() [][]byte { return t.embedded }

// parseTSTInfo reads a TSTInfo.
func parseTSTInfo(der []byte) (tstInfo, error) {
	malformed := errors.New("TSTInfo: malformed DER")
	in := cryptobyte.String(der)
	var seq cryptobyte.String
	var version int64
	var info tstInfo
	if !in.ReadASN1(&seq, casn1.SEQUENCE) || !in.Empty() || !seq.ReadASN1Integer(&version) {
		return tstInfo{}, malformed
	}
	if version != 1 {
		return tstInfo{}, fmt.Errorf("TSTInfo: version %d; expected 1", version)
	}
	if !seq.ReadASN1ObjectIdentifier(&info.policy) {
		return tstInfo{}, malformed
	}
	var err error
	if info.imprint, err = readMessageImprint(&seq); err != nil {
		return tstInfo{}, fmt.Errorf("TSTInfo: %w", err)
	}
	info.serial = new(big.Int)
	var genTime cryptobyte.String
	if !seq.ReadASN1Integer(info.serial) || !seq.ReadASN1(&genTime, casn1.GeneralizedTime) {
		return tstInfo{}, malformed
	}
	if info.time, err = parseGeneralizedTime(string(genTime)); err != nil {
		return tstInfo{}, fmt.Errorf("TSTInfo: %w", err)
	}
	if seq.PeekASN1Tag(casn1.SEQUENCE) {
		if info.accuracy, err = readAccuracy(&seq); err != nil {
			return tstInfo{}, fmt.Errorf("TSTInfo: %w", err)
		}
	}
	var ordering bool
	if seq.PeekASN1Tag(casn1.BOOLEAN) && !seq.ReadASN1Boolean(&ordering) {
		return tstInfo{}, malformed
	}
	if seq.PeekASN1Tag(casn1.INTEGER) {
		info.nonce = new(big.Int)
		if !seq.ReadASN1Integer(info.nonce) {
			return tstInfo{}, malformed
		}
	}
	var name, extensions cryptobyte.String
	var present bool
	if !seq.ReadOptionalASN1(&name, &present, tag0) ||
		!seq.ReadOptionalASN1(&extensions, &present, tag1) || !seq.Empty() {
		return tstInfo{}, malformed
	}
	if present {
		if err := skipExtensions(extensions); err != nil {
			return tstInfo{}, fmt.Errorf("TSTInfo: %w", err)
		}
	}
	return info, nil
}

// parseGeneralizedTime reads "YYYYMMDDhhmmss[.f]Z" (RFC 3161 §2.4.2): in UTC,
// with seconds, and without trailing zeros in the fraction.
func parseGeneralizedTime(s string) (time.Time, error) {
	bad := fmt.Errorf("genTime %.64q is not of the form YYYYMMDDhhmmss[.fff]Z", s)
	body, ok := strings.CutSuffix(s, "Z")
	if !ok {
		return time.Time{}, bad
	}
	whole, fraction, dotted := strings.Cut(body, ".")
	if len(whole) != 14 || strings.Trim(body, "0123456789.") != "" || strings.Trim(fraction, "0123456789") != "" {
		return time.Time{}, bad
	}
	if dotted && (fraction == "" || len(fraction) > 9 || strings.HasSuffix(fraction, "0")) {
		return time.Time{}, bad
	}
	t, err := time.Parse("20060102150405", whole)
	if err != nil {
		return time.Time{}, bad
	}
	for i, unit := 0, time.Second/10; i < len(fraction); i, unit = i+1, unit/10 {
		t = t.Add(time.Duration(fraction[i]-'0') * unit)
	}
	// Times before the epoch are no timestamps, and the zero time would make
	// x509 verify at the present.
	if t.Unix() <= 0 {
		return time.Time{}, fmt.Errorf("genTime %.64q is before 1970", s)
	}
	return t, nil
}

// readAccuracy reads an Accuracy.
func readAccuracy(s *cryptobyte.String) (time.Duration, error) {
	bad := errors.New("accuracy: malformed, or out of range")
	var seq cryptobyte.String
	if !s.ReadASN1(&seq, casn1.SEQUENCE) {
		return 0, bad
	}
	var seconds int64
	if seq.PeekASN1Tag(casn1.INTEGER) && !seq.ReadASN1Integer(&seconds) {
		return 0, bad
	}
	var fractions [2]int64
	for i := range fractions {
		tag := casn1.Tag(i).ContextSpecific()
		if seq.PeekASN1Tag(tag) && !seq.ReadASN1Int64WithTag(&fractions[i], tag) {
			return 0, bad
		}
		if fractions[i] < 0 || fractions[i] > 999 {
			return 0, bad
		}
	}
	if !seq.Empty() || seconds < 0 || seconds > 1<<31 {
		return 0, bad
	}
	return time.Duration(seconds)*time.Second + time.Duration(fractions[0])*time.Millisecond + time.Duration(fractions[1])*time.Microsecond, nil
}
