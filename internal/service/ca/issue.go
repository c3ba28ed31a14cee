// SPDX-License-Identifier: Apache-2.0

package ca

import (
	"context"
	"crypto"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"time"

	"hallmark/internal/base/durable"
	"hallmark/internal/format/certext"
	"hallmark/internal/format/pubkey"
)

// maxClaims is how many bytes all extensions that a token fills may have
// together, so that the certificate keeps within maxCertificate.
const maxClaims = 24 << 10

// poison stands in a precertificate where the SCT list will be (RFC 6962 §3.1).
var poison = pkix.Extension{Id: certext.OIDPoison, Critical: true, Value: asn1.NullBytes}

// An issued is a certificate on its way out.
type issued struct {
	der     []byte
	serial  *big.Int
	details pubkey.Details
	until   time.Time
}

// issue makes the certificate that says principal holds pub. Whoever calls has
// checked both. Its errors are refusals or internal.
func (c *CA) issue(ctx context.Context, principal certext.Principal, pub crypto.PublicKey) (*issued, error) {
	details, err := pubkey.DefaultDetails(pub)
	if err != nil {
		return nil, err
	}
	l, err := c.leaf(principal, pub)
	if err != nil {
		return nil, err
	}
	tbs, err := c.profile.tbs(l, poison)
	if err != nil {
		return nil, err
	}
	if err := c.lint(tbs, principal, l.spki); err != nil {
		return nil, err
	}
	precert, err := c.profile.sign(c.deps.Key, tbs)
	if err != nil {
		return nil, err
	}
	logged, err := certext.PrecertTBS(precert)
	if err != nil {
		return nil, err
	}

	// From here on the CT log knows that we mean to issue.
	sct, err := c.log(ctx, certext.Precert{
		TBS:           logged,
		IssuerKeyHash: c.profile.issuerKeyHash,
		DER:           precert,
		Chain:         c.chainDER,
	})
	if err != nil {
		return nil, err
	}

	list, err := certext.MarshalSCTList([]certext.SCT{sct})
	if err != nil {
		return nil, refuse(ctLog, "the CT log's answer cannot be put in a certificate: try again, and report it if it stays").because(err)
	}
	if tbs, err = c.profile.tbs(l, list); err != nil {
		return nil, err
	}
	der, err := c.profile.sign(c.deps.Key, tbs)
	if err != nil {
		return nil, err
	}
	if err := c.depart(der, logged, sct); err != nil {
		return nil, err
	}
	return &issued{der: der, serial: l.serial, details: details, until: l.notAfter}, nil
}

// leaf turns a principal and a key into the contents of a certificate that
// begins now.
func (c *CA) leaf(principal certext.Principal, pub crypto.PublicKey) (*leaf, error) {
	now := c.deps.Now().UTC().Truncate(time.Second)
	until := now.Add(c.cfg.Lifetime)
	if now.Before(c.from) || until.After(c.until) {
		return nil, refuse(expiredCA, "this authority cannot issue now: its own certificates are valid from %s to %s and it is %s; its operator must rotate them or set the clock",
			stamp(c.from), stamp(c.until), stamp(now))
	}
	identity, err := identityExtensions(principal)
	if err != nil {
		return nil, err
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	spki, err := pubkey.MarshalPKIX(pub)
	if err != nil {
		return nil, err
	}
	return &leaf{serial: serial, notBefore: now, notAfter: until, spki: spki, identity: identity}, nil
}

// identityExtensions encodes who a certificate is for: the SAN, then the
// extensions in the order of their numbers. What a token says but no
// certificate can hold is refused here.
func identityExtensions(p certext.Principal) ([]pkix.Extension, error) {
	if err := checkSAN(p.SAN); err != nil {
		return nil, refuse(badIdentity, "the token's identity cannot be put in a certificate: %w", err)
	}
	san, err := certext.SANExtension(p.SAN)
	if err != nil {
		return nil, refuse(badIdentity, "the token's identity cannot be put in a certificate: %w", err)
	}
	claims, err := p.Extensions.Marshal()
	if err != nil {
		return nil, refuse(badIdentity, "the token's claims cannot be put in a certificate: %w", err)
	}
	total := 0
	for _, e := range claims {
		if len(e.Value) > maxExtension {
			return nil, refuse(badIdentity, "the token's claim for extension %s has %d bytes: at most %d fit in a certificate", e.Id, len(e.Value), maxExtension)
		}
		total += len(e.Value)
	}
	if total > maxClaims {
		return nil, refuse(badIdentity, "the token's claims have %d bytes together: at most %d fit in a certificate", total, maxClaims)
	}
	return append([]pkix.Extension{san}, claims...), nil
}

// lint judges the certificate that tbs would become.
func (c *CA) lint(tbs []byte, principal certext.Principal, spki []byte) error {
	cert, err := c.profile.unsigned(tbs)
	if err != nil {
		return &lintError{"parse", err}
	}
	candidate := &candidate{
		cert:      cert,
		issuer:    c.deps.Chain[0],
		algorithm: c.profile.algorithm.name,
		from:      c.from,
		until:     c.until,
		principal: principal,
		spki:      spki,
	}
	var broken []error
	for _, b := range candidate.check() {
		broken = append(broken, b)
	}
	return errors.Join(broken...)
}

// log submits p and returns the SCT, once it looks like one.
func (c *CA) log(ctx context.Context, p certext.Precert) (certext.SCT, error) {
	inTime, cancel := context.WithTimeout(ctx, c.cfg.CTTimeout)
	defer cancel()
	sct, err := c.deps.CT.AddPrecert(inTime, p)
	if err == nil && (sct.LogID == [32]byte{} || sct.Timestamp == 0 || len(sct.Signature) == 0) {
		err = fmt.Errorf("the SCT has no log ID, timestamp or signature")
	}
	switch {
	case err == nil:
		return sct, nil
	case ctx.Err() != nil && errors.Is(ctx.Err(), context.Canceled):
		return certext.SCT{}, refuse(clientGone, "the request was abandoned").because(err)
	}
	if low := (*durable.LowSpaceError)(nil); errors.As(err, &low) {
		return certext.SCT{}, refuse(ctLog, "no certificate was issued, because the CT log is %s", low).because(err)
	}
	return certext.SCT{}, refuse(ctLog, "no certificate was issued, because the CT log did not take its precertificate: try again").because(err)
}
