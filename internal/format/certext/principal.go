// SPDX-License-Identifier: Apache-2.0

package certext

// Principal is who an identity token says its bearer is: what a CA puts into
// the certificate it issues.
type Principal struct {
	// Challenge is the string that the proof of possession signs: the token's
	// email where the identity is an email, else its subject.
	Challenge string
	// SAN is the one name of the certificate.
	SAN SAN
	// Extensions are the claims of the certificate.
	Extensions Extensions
}

// IssuerInfo describes one accepted issuer of identity tokens, as Fulcio's
// GET /api/v2/configuration lists it. Exactly one of IssuerURL and
// WildcardIssuerURL is set.
type IssuerInfo struct {
	IssuerURL             string
	WildcardIssuerURL     string // with "*" for a part of the host name or path
	Audience              string // the aud claim that a token must have
	ChallengeClaim        string // the claim that the proof of possession signs: "email" or "sub"
	SPIFFETrustDomain     string // for SPIFFE issuers
	IssuerType            string // as in Fulcio's configuration: "email", "github-workflow", …
	SubjectDomain         string // for uri and username issuers
	SkipEmailVerification bool
}
