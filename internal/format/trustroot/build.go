// SPDX-License-Identifier: Apache-2.0

package trustroot

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"hallmark/internal/format/checkpoint"
	"hallmark/internal/format/pubkey"
)

// NewLog describes a transparency log for a trusted root, and computes the
// identifier that its entries carry.
//
// A Rekor v2 log's identifier depends on its origin, the first line of its
// checkpoints; clients take the origin from the host of baseURL, so origin is ""
// or that host. A Rekor v1 log (v1) has the hash of its key. For ECDSA keys the
// two are the same. Without valid.Start the log is refused, as Parse does.
func NewLog(baseURL, origin string, v1 bool, key crypto.PublicKey, valid Window) (Log, error) {
	l, err := newLog(baseURL, key, valid)
	if err != nil {
		return Log{}, err
	}
	if err := checkOrigin(l, origin, v1); err != nil {
		return Log{}, err
	}
	id, err := pubkey.KeyID(key)
	if !v1 {
		id, err = checkpoint.LogID(l.Origin(), key)
	}
	if err != nil {
		return Log{}, err
	}
	l.ID = id[:]
	return l, checkLog(l, 32, 32)
}

// NewCTLog describes a certificate transparency log, whose identifier is the
// hash of its key (RFC 6962, section 3.2), whatever its origin.
func NewCTLog(baseURL string, key crypto.PublicKey, valid Window) (Log, error) {
	l, err := newLog(baseURL, key, valid)
	if err != nil {
		return Log{}, err
	}
	if _, ok := key.(ed25519.PublicKey); ok {
		return Log{}, errors.New("the key is Ed25519: CT logs sign with ECDSA P-256 or RSA (RFC 6962, section 2.1.4); is it the transparency log's?")
	}
	id, err := pubkey.KeyID(key)
	if err != nil {
		return Log{}, err
	}
	l.ID = id[:]
	return l, checkLog(l, 32, 32)
}

func newLog(baseURL string, key crypto.PublicKey, valid Window) (Log, error) {
	details, err := pubkey.DefaultDetails(key)
	if err != nil {
		return Log{}, err
	}
	l := Log{BaseURL: baseURL, Key: key, Details: details, Valid: valid}
	if u, err := url.Parse(baseURL); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" {
		return Log{}, fmt.Errorf("url is %.200q: expected the log's base URL with its scheme, such as https://log.example.com", baseURL)
	}
	return l, nil
}

// checkOrigin explains an origin that clients would not arrive at.
func checkOrigin(l Log, origin string, v1 bool) error {
	if origin == "" || origin == l.Origin() {
		return nil
	}
	if host, tree, ok := strings.Cut(origin, " - "); ok {
		return fmt.Errorf("origin %.200q is that of a Rekor v1 log (host %s, tree %s): its identifier does not depend on the origin, so leave it out and say api-version=1", origin, host, tree)
	}
	if v1 {
		return fmt.Errorf("origin %.200q: a Rekor v1 log's identifier does not depend on its origin, leave it out", origin)
	}
	if u, err := url.Parse(origin); err == nil && u.Hostname() != "" && u.Hostname() == l.Origin() {
		return fmt.Errorf("origin %.200q is a URL: an origin is the bare host name, %s, with no scheme, port or path", origin, l.Origin())
	}
	if host, _, ok := strings.Cut(origin, ":"); ok && host == l.Origin() {
		return fmt.Errorf("origin %.200q has a port: clients take the origin from the URL's host without its port, so checkpoints have to begin with %s", origin, host)
	}
	return fmt.Errorf("origin is %.200q, but clients take a log's origin from its URL, whose host is %s: if the checkpoints begin with %.200q, give url=https://%s (nobody has to answer there)", origin, l.Origin(), origin, strings.Map(hostRune, origin))
}

func hostRune(r rune) rune {
	if r == ' ' || r == '/' {
		return '-'
	}
	return r
}

// NewCertificateAuthority describes a CA by the chain that it issues under: the
// issuing certificate first, the trust anchor last. Every signature in the chain
// is checked.
func NewCertificateAuthority(uri string, chain []*x509.Certificate, valid Window) (CertificateAuthority, error) {
	if err := checkOrder(chain, "the issuing CA", "the trust anchor"); err != nil {
		return CertificateAuthority{}, err
	}
	first := chain[0]
	if !first.IsCA {
		if slices.Contains(first.ExtKeyUsage, x509.ExtKeyUsageTimeStamping) {
			return CertificateAuthority{}, fmt.Errorf("the chain is a timestamp authority's: %s is for timestamping", title(first))
		}
		return CertificateAuthority{}, fmt.Errorf("the first certificate, %s, is no CA: expected the issuing CA first; leave out what it issued", title(first))
	}
	if uses := first.ExtKeyUsage; len(uses)+len(first.UnknownExtKeyUsage) > 0 &&
		!slices.Contains(uses, x509.ExtKeyUsageCodeSigning) && !slices.Contains(uses, x509.ExtKeyUsageAny) {
		return CertificateAuthority{}, fmt.Errorf("the first certificate, %s, may not issue code signing certificates: its extended key usage is for something else", title(first))
	}
	ca := CertificateAuthority{Subject: subjectOf(chain), URI: uri, Chain: chain, Valid: valid}
	return ca, checkAuthority(chain, valid, false)
}

// NewTimestampAuthority describes a timestamp authority by its chain: the
// certificate that signs timestamps first, the trust anchor last, and at least
// these two. Every signature in the chain is checked.
func NewTimestampAuthority(uri string, chain []*x509.Certificate, valid Window) (TimestampAuthority, error) {
	if err := checkOrder(chain, "the timestamping certificate", "the trust anchor"); err != nil {
		return TimestampAuthority{}, err
	}
	first := chain[0]
	if first.IsCA {
		return TimestampAuthority{}, fmt.Errorf("the first certificate, %s, is a CA: expected the certificate that signs the timestamps first, then its issuers", title(first))
	}
	if len(first.ExtKeyUsage) != 1 || first.ExtKeyUsage[0] != x509.ExtKeyUsageTimeStamping || len(first.UnknownExtKeyUsage) > 0 {
		return TimestampAuthority{}, fmt.Errorf("the first certificate, %s, is not for timestamping alone: its extended key usage has to be timeStamping and nothing else (RFC 3161, section 2.3)", title(first))
	}
	if len(chain) < 2 {
		return TimestampAuthority{}, errors.New("the chain ends with the timestamping certificate: expected its issuers up to the trust anchor after it")
	}
	tsa := TimestampAuthority{Subject: subjectOf(chain), URI: uri, Chain: chain, Valid: valid}
	return tsa, checkAuthority(chain, valid, true)
}

// checkOrder wants a chain in which each certificate is signed by the next, and
// says which order would be right where there is one.
func checkOrder(chain []*x509.Certificate, first, last string) error {
	if len(chain) == 0 {
		return errors.New("there is no certificate")
	}
	if len(chain) > MaxChain {
		return fmt.Errorf("%d certificates: expected a chain of at most %d", len(chain), MaxChain)
	}
	for i, c := range chain {
		for j := range i {
			if c.Equal(chain[j]) {
				return fmt.Errorf("certificates %d and %d are the same: %s", j+1, i+1, title(c))
			}
		}
	}
	bad := brokenAt(chain)
	if bad < 0 {
		return nil
	}
	if right := reorder(chain); right != nil {
		var names []string
		for _, c := range right {
			names = append(names, title(c))
		}
		return fmt.Errorf("the certificates are in the wrong order: expected %s first and %s last, that is: %s", first, last, strings.Join(names, "; then "))
	}
	child, parent := chain[bad], chain[bad+1]
	if bytes.Equal(child.RawIssuer, parent.RawSubject) {
		return fmt.Errorf("certificate %d, %s, names certificate %d as its issuer, but is not signed by that one's key: %w", bad+1, title(child), bad+2, child.CheckSignatureFrom(parent))
	}
	return fmt.Errorf("certificate %d, %s, is issued by %q, but the next one is %s: a certificate between them is missing, or they belong to different chains", bad+1, title(child), child.Issuer, title(parent))
}

// brokenAt is the first certificate that is not signed by the next, or -1.
func brokenAt(chain []*x509.Certificate) int {
	for i := range len(chain) - 1 {
		if chain[i].CheckSignatureFrom(chain[i+1]) != nil {
			return i
		}
	}
	return -1
}

// reorder puts the certificates into the order in which they form one chain, or
// returns nil.
func reorder(chain []*x509.Certificate) []*x509.Certificate {
	for _, start := range chain {
		right := []*x509.Certificate{start}
		for len(right) < len(chain) {
			end := right[len(right)-1]
			i := slices.IndexFunc(chain, func(c *x509.Certificate) bool {
				return !slices.Contains(right, c) && end.CheckSignatureFrom(c) == nil
			})
			if i < 0 {
				break
			}
			right = append(right, chain[i])
		}
		if len(right) == len(chain) {
			return right
		}
	}
	return nil
}

// title names a certificate in messages.
func title(c *x509.Certificate) string {
	if s := c.Subject.String(); s != "" {
		return fmt.Sprintf("%q", s)
	}
	return fmt.Sprintf("the one with serial number %x", c.SerialNumber)
}

// subjectOf is what a trusted root spells out of the anchor's name.
func subjectOf(chain []*x509.Certificate) Subject {
	name := chain[len(chain)-1].Subject
	return Subject{Organization: strings.Join(name.Organization, ", "), CommonName: name.CommonName}
}
