// SPDX-License-Identifier: Apache-2.0

package sign

import (
	"strings"
	"testing"
)

// FuzzAnswers feeds what services may answer to the code that reads it: it
// neither panics nor returns nothing without an error.
func FuzzAnswers(f *testing.F) {
	for _, seed := range []string{
		`{"signedCertificateEmbeddedSct":{"chain":{"certificates":["-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"]}}}`,
		`{"signedCertificateEmbeddedSct":{"chain":{"certificates":[]}}}`,
		`{"signedCertificateDetachedSct":{}}`,
		`{"issuers":[{"issuerUrl":"https://a"},{"wildcardIssuerUrl":"https://*.b/(["}]}`,
		`{"issuers":[{}]}`, `null`, `[]`, ``,
	} {
		f.Add([]byte(seed), "https://x.b/([")
	}
	f.Fuzz(func(t *testing.T, body []byte, url string) {
		if cert, err := parseCertificateAnswer(body); (cert == nil) == (err == nil) {
			t.Fatalf("certificate %v, error %v", cert, err)
		}
		issuers, err := parseIssuers(body)
		if err != nil {
			return
		}
		for _, i := range issuers {
			if i.Wildcard && i.matches(url) && !strings.HasPrefix(url, strings.SplitN(i.URL, "*", 2)[0]) {
				t.Fatalf("%q matches %q", url, i.URL)
			}
		}
		if a, err := AudienceFor(issuers, url); (a == "") == (err == nil) {
			t.Fatalf("audience %q, error %v", a, err)
		}
	})
}
