// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"time"
)

// This file judges certification paths (RFC 5280 §6) by the rules of
// [x509.Certificate.Verify], and more strictly where noted, so that signatures
// between authorities need not be checked again for every bundle. A fuzz target
// holds it against Verify. The rare forms that take much code to judge, name
// constraints and policy constraints, are left to Verify itself.

var oidNameConstraints = asn1.ObjectIdentifier{2, 5, 29, 30}

// pathTo finds a path from leaf to the last certificate of chain that holds at
// all the times, and returns it, leaf first. chain has each certificate issued
// by the next, and nothing but its tails are paths: stricter than Verify, which
// tries every order. leaf's own critical extensions are the caller's to handle.
func (m *Memo) pathTo(leaf *x509.Certificate, chain []*x509.Certificate, times []time.Time, purpose x509.ExtKeyUsage) ([]*x509.Certificate, error) {
	if len(chain) == 0 {
		return nil, errors.New("the authority has no certificates")
	}
	if len(times) == 0 || slices.ContainsFunc(times, time.Time.IsZero) { // which x509 takes for the present
		return nil, errors.New("there is no time to judge the certificate at")
	}
	if len(chain) == 1 && leaf.Equal(chain[0]) { // trusted as it is
		path := []*x509.Certificate{leaf}
		return path, wellFormed(path, times, purpose)
	}
	var why error
	for i, issuer := range chain {
		if !bytes.Equal(issuer.RawSubject, leaf.RawIssuer) {
			continue
		}
		path := append([]*x509.Certificate{leaf}, chain[i:]...)
		err := m.holds(path, times, purpose)
		if err == nil {
			return path, nil
		}
		why = errors.Join(why, err)
	}
	if why == nil {
		return nil, fmt.Errorf("it has no certificate called %q, which issued %q", leaf.Issuer, leaf.Subject)
	}
	return nil, why
}

// holds decides whether path is one.
func (m *Memo) holds(path []*x509.Certificate, times []time.Time, purpose x509.ExtKeyUsage) error {
	if err := wellFormed(path, times, purpose); err != nil {
		return err
	}
	if slices.ContainsFunc(path, constrained) {
		return constrainedPath(path, times, purpose)
	}
	for i, child := range path[:len(path)-1] {
		memo := m
		if i == 0 && purpose != x509.ExtKeyUsageTimeStamping {
			memo = nil // each signing certificate is used once, a timestamp authority's often
		}
		if err := memo.signedBy(child, path[i+1]); err != nil {
			return fmt.Errorf("%s is not signed by %s: %w", nameOf(child), nameOf(path[i+1]), err)
		}
	}
	return nil
}

// wellFormed judges all of a path but its signatures and constraints.
func wellFormed(path []*x509.Certificate, times []time.Time, purpose x509.ExtKeyUsage) error {
	for i, cert := range path {
		if len(cert.UnhandledCriticalExtensions) > 0 {
			return fmt.Errorf("%s has the unknown critical extension %s", nameOf(cert), cert.UnhandledCriticalExtensions[0])
		}
		if err := validAt(cert, times); err != nil {
			return err
		}
		if !serves(cert, purpose) {
			return fmt.Errorf("%s has an extended key usage without %s", nameOf(cert), purposeText(purpose))
		}
		if i == 0 {
			continue
		}
		if err := mayIssue(cert, path[:i]); err != nil {
			return fmt.Errorf("%s %w", nameOf(cert), err)
		}
	}
	return nil
}

// mayIssue decides whether cert may stand above the certificates below it.
func mayIssue(cert *x509.Certificate, below []*x509.Certificate) error {
	child := below[len(below)-1]
	switch {
	case !bytes.Equal(child.RawIssuer, cert.RawSubject):
		return fmt.Errorf("is not the issuer of %s, which is %q", nameOf(child), child.Issuer)
	case !cert.BasicConstraintsValid || !cert.IsCA: // stricter: also of anchors
		return errors.New("is no certificate authority")
	case cert.KeyUsage != 0 && cert.KeyUsage&x509.KeyUsageCertSign == 0:
		return errors.New("has a key usage without certificate signing")
	case cert.MaxPathLen >= 0 && len(below)-1 > cert.MaxPathLen:
		return fmt.Errorf("allows %d authorities below it, not %d", cert.MaxPathLen, len(below)-1)
	}
	for _, other := range below { // stricter: whatever their alternative names
		if bytes.Equal(other.RawSubject, cert.RawSubject) && bytes.Equal(other.RawSubjectPublicKeyInfo, cert.RawSubjectPublicKeyInfo) {
			return errors.New("is in the path twice")
		}
	}
	return nil
}

func validAt(cert *x509.Certificate, times []time.Time) error {
	for _, t := range times {
		if t.Before(cert.NotBefore) || t.After(cert.NotAfter) {
			return fmt.Errorf("%s is valid from %s to %s, not at %s", nameOf(cert), stamp(cert.NotBefore), stamp(cert.NotAfter), stamp(t))
		}
	}
	return nil
}

// serves decides whether the extended key usage of cert allows the purpose, for
// itself or for what it issues. One without serves all.
func serves(cert *x509.Certificate, purpose x509.ExtKeyUsage) bool {
	if len(cert.ExtKeyUsage) == 0 && len(cert.UnknownExtKeyUsage) == 0 {
		return true
	}
	return slices.Contains(cert.ExtKeyUsage, purpose) || slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageAny)
}

// constrained says whether cert has constraints on names or policies, which
// reach over the whole path.
func constrained(cert *x509.Certificate) bool {
	return cert.RequireExplicitPolicy > 0 || cert.RequireExplicitPolicyZero || len(cert.PolicyMappings) > 0 ||
		slices.ContainsFunc(cert.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(oidNameConstraints) })
}

// constrainedPath has the standard library judge the whole path. It checks the
// signatures each time.
func constrainedPath(path []*x509.Certificate, times []time.Time, purpose x509.ExtKeyUsage) error {
	roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
	last := len(path) - 1
	roots.AddCert(path[last])
	for _, cert := range path[1:last] {
		intermediates.AddCert(cert)
	}
	_, err := path[0].Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: intermediates,
		CurrentTime: times[0], // the others were held against each certificate
		KeyUsages:   []x509.ExtKeyUsage{purpose},
	})
	return err
}

func nameOf(cert *x509.Certificate) string {
	if len(cert.Subject.Names) == 0 {
		return "the certificate of the signer"
	}
	return fmt.Sprintf("certificate %q", cert.Subject)
}

func purposeText(purpose x509.ExtKeyUsage) string {
	if purpose == x509.ExtKeyUsageTimeStamping {
		return "timestamping"
	}
	return "code signing"
}
