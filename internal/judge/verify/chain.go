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
	issuer, err := c.memo.issuerOf(c.leaf, c.root.CAs, times)
	if err != nil {
		return err
	}
	c.issuer = issuer
	return nil
}

// issuerOf returns the certificate whose key signed leaf, on a path to an
// authority that is trusted at all the times, of which there is at least one.
// The caller has held the leaf's own validity against them.
func (m *Memo) issuerOf(leaf *x509.Certificate, cas []trustroot.CertificateAuthority, times []time.Time) (*x509.Certificate, error) {
	leaf = certext.ForVerify(leaf)
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
		path, err := m.pathTo(leaf, ca.Chain, times, x509.ExtKeyUsageCodeSigning)
		if err == nil && len(path) > 1 {
			return path[1], nil
		}
		if err == nil {
			err = errors.New("the signing certificate is itself in the trusted root")
		}
		why = errors.Join(why, fmt.Errorf("certificate authority %s: %w", ca.URI, err))
	}
	if why == nil {
		return nil, fail(CodeCertificateChain, "no certificate authority of the trusted root is called %q, the certificate's issuer", leaf.Issuer)
	}
	return nil, fail(CodeCertificateChain, "%w", why)
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
