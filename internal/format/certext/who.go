// SPDX-License-Identifier: Apache-2.0

package certext

import (
	"crypto/x509"
	"errors"
	"strconv"
	"strings"
)

// Who is the short answer to "who signed this", for people.
type Who struct {
	SAN        SAN    // the first name of the certificate
	Issuer     string // URL of the identity's issuer, "" when unknown
	Repository string // owner/name, or the repository's URL; "" unless a CI job signed
	Workflow   string // name of the workflow; only GitHub says it
	Ref        string // git ref
	SHA        string // commit
}

// WhoOf maps a certificate to its Who. It fails where the certificate has no
// name that ParseSANs reads, or malformed extensions.
func WhoOf(cert *x509.Certificate) (Who, error) {
	sans, err := ParseSANs(cert)
	if err != nil {
		return Who{}, err
	}
	if len(sans) == 0 {
		return Who{}, errors.New("certificate has no email, URI, DNS, IP or username as its subject alternative name")
	}
	e, err := ParseExtensions(cert)
	if err != nil {
		return Who{}, err
	}
	return Who{
		SAN:        sans[0],
		Issuer:     e.IssuerURL(),
		Repository: firstOf(e.GitHubRepository, e.SourceRepositoryURI),
		Workflow:   e.GitHubWorkflowName,
		Ref:        firstOf(e.GitHubRef, e.SourceRepositoryRef),
		SHA:        firstOf(e.GitHubSHA, e.SourceRepositoryDigest),
	}, nil
}

// String is one line: the name, the issuer, and for CI jobs the repository,
// workflow, ref and commit. Values with characters that could confuse a
// terminal are quoted.
func (w Who) String() string {
	var b strings.Builder
	b.WriteString(printable(w.SAN.Value))
	if w.Issuer != "" {
		b.WriteString(" (" + printable(w.Issuer) + ")")
	}
	for _, part := range []struct{ label, value string }{
		{"repository", w.Repository}, {"workflow", w.Workflow}, {"ref", w.Ref}, {"commit", w.SHA},
	} {
		if part.value != "" {
			b.WriteString(" " + part.label + "=" + printable(part.value))
		}
	}
	return b.String()
}

// printable quotes s unless every character of it is safe to print.
func printable(s string) string {
	for _, r := range s {
		if !strconv.IsPrint(r) {
			return strconv.Quote(s)
		}
	}
	return s
}

// firstOf returns the first string that is not empty.
func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
