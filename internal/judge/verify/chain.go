// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"hallmark/internal/format/certext"
	"hallmark/internal/format/trustroot"
)

// chain proves that the signing certificate was issued by a certificate
// authority of the trusted root, valid at every verified time. Paths are built
// from the trusted root's certificates alone.
func (c *check) chain() error {
	if c.leaf == nil {
		return nil
	}
	for _, t := range c.times {
		if t.Time.Before(c.leaf.NotBefore) || t.Time.After(c.leaf.NotAfter) {
			return fail(CodeCertificateTime, "signed at %s by the word of %s, but the certificate is valid from %s to %s",
				stamp(t.Time), t.URI, stamp(c.leaf.NotBefore), stamp(c.leaf.NotAfter))
		}
	}
	times := make([]time.Time, len(c.times))
	for i, t := range c.times {
		times[i] = t.Time
	}
	issuer, err := issuerOf(c.leaf, c.root.CAs, times)
	if err != nil {
		return err
	}
	c.issuer = issuer
	return nil
}

// issuerOf returns the certificate whose key signed leaf, on a path to an
// authority that is trusted at all the times, of which there is at least one.
// The caller has held the leaf's own validity against them.
func issuerOf(leaf *x509.Certificate, cas []trustroot.CertificateAuthority, times []time.Time) (*x509.Certificate, error) {
	for _, t := range times {
		if t.IsZero() { // which x509 would take for the present
			return nil, fail(CodeCertificateChain, "there is no time to judge the certificate at")
		}
	}
	var why error
	for i := range cas {
		ca := &cas[i]
		if !names(ca.Chain, leaf.RawIssuer) {
			continue
		}
		if t, ok := outside(ca.Valid, times); ok {
			why = errors.Join(why, fmt.Errorf("certificate authority %s is trusted %s, not at %s", ca.URI, windowText(ca.Valid), stamp(t)))
			continue
		}
		issuer, err := pathTo(leaf, ca.Chain, times)
		if err == nil {
			return issuer, nil
		}
		why = errors.Join(why, fmt.Errorf("certificate authority %s: %w", ca.URI, err))
	}
	if why == nil {
		return nil, fail(CodeCertificateChain, "no certificate authority of the trusted root is called %q, the certificate's issuer", leaf.Issuer)
	}
	return nil, fail(CodeCertificateChain, "%w", why)
}

// pathTo verifies leaf up to the last certificate of chain. Signatures do not
// depend on the time, so they are checked once; the other times are held
// against the path's validities.
func pathTo(leaf *x509.Certificate, chain []*x509.Certificate, times []time.Time) (*x509.Certificate, error) {
	roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
	last := len(chain) - 1
	for _, cert := range chain[:last] {
		intermediates.AddCert(cert)
	}
	roots.AddCert(chain[last])
	paths, err := certext.ForVerify(leaf).Verify(x509.VerifyOptions{
		Roots:         roots,
		Intermediates: intermediates,
		CurrentTime:   times[0],
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	})
	if err != nil {
		return nil, err
	}
	for _, path := range paths {
		err = validThroughout(path, times[1:])
		if err == nil && len(path) > 1 {
			return path[1], nil
		}
	}
	if err == nil {
		err = errors.New("the signing certificate is itself in the trusted root")
	}
	return nil, err
}

func validThroughout(path []*x509.Certificate, times []time.Time) error {
	for _, t := range times {
		for _, cert := range path {
			if t.Before(cert.NotBefore) || t.After(cert.NotAfter) {
				return fmt.Errorf("%s is valid from %s to %s, not at %s", cert.Subject, stamp(cert.NotBefore), stamp(cert.NotAfter), stamp(t))
			}
		}
	}
	return nil
}

func names(chain []*x509.Certificate, subject []byte) bool {
	for _, cert := range chain {
		if bytes.Equal(cert.RawSubject, subject) {
			return true
		}
	}
	return false
}

// outside returns the first of the times that is not in the window.
func outside(w trustroot.Window, times []time.Time) (time.Time, bool) {
	for _, t := range times {
		if !w.Contains(t) {
			return t, true
		}
	}
	return time.Time{}, false
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

func windowText(w trustroot.Window) string {
	from := "from the start"
	if !w.Start.IsZero() {
		from = "from " + stamp(w.Start)
	}
	if w.End.IsZero() {
		return from + " on"
	}
	return from + " to " + stamp(w.End)
}
