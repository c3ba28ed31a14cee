// SPDX-License-Identifier: Apache-2.0

package certext

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Extensions are the claims that Fulcio's extensions carry. An empty string
// means that the extension is absent; no extension is written for it.
type Extensions struct {
	Issuer             string // .1: URL of the identity's issuer, raw bytes (legacy)
	GitHubTrigger      string // .2: name of the event, raw
	GitHubSHA          string // .3: commit, raw
	GitHubWorkflowName string // .4: raw
	GitHubRepository   string // .5: owner/name, raw
	GitHubRef          string // .6: git ref, raw

	IssuerV2                        string // .8: URL of the identity's issuer; this and all below: DER UTF8String
	BuildSignerURI                  string // .9
	BuildSignerDigest               string // .10
	RunnerEnvironment               string // .11
	SourceRepositoryURI             string // .12
	SourceRepositoryDigest          string // .13
	SourceRepositoryRef             string // .14
	SourceRepositoryIdentifier      string // .15
	SourceRepositoryOwnerURI        string // .16
	SourceRepositoryOwnerIdentifier string // .17
	BuildConfigURI                  string // .18
	BuildConfigDigest               string // .19
	BuildTrigger                    string // .20
	RunInvocationURI                string // .21
	SourceRepositoryVisibility      string // .22: at signing time
	DeploymentEnvironment           string // .23
	TokenSubject                    string // .24: the token's sub claim
}

// firstDER is the first extension number whose value is a DER UTF8String;
// those below it hold the raw string.
const firstDER = 8

// A claim binds an extension number to its field.
type claim struct {
	number int
	value  *string
}

// claims lists every field in the order of its number.
func (e *Extensions) claims() []claim {
	return []claim{
		{1, &e.Issuer}, {2, &e.GitHubTrigger}, {3, &e.GitHubSHA},
		{4, &e.GitHubWorkflowName}, {5, &e.GitHubRepository}, {6, &e.GitHubRef},
		{8, &e.IssuerV2}, {9, &e.BuildSignerURI}, {10, &e.BuildSignerDigest},
		{11, &e.RunnerEnvironment}, {12, &e.SourceRepositoryURI},
		{13, &e.SourceRepositoryDigest}, {14, &e.SourceRepositoryRef},
		{15, &e.SourceRepositoryIdentifier}, {16, &e.SourceRepositoryOwnerURI},
		{17, &e.SourceRepositoryOwnerIdentifier}, {18, &e.BuildConfigURI},
		{19, &e.BuildConfigDigest}, {20, &e.BuildTrigger}, {21, &e.RunInvocationURI},
		{22, &e.SourceRepositoryVisibility}, {23, &e.DeploymentEnvironment},
		{24, &e.TokenSubject},
	}
}

// IssuerURL is the URL of the identity's issuer: extension .8, or .1 where a
// certificate has only that.
func (e Extensions) IssuerURL() string {
	if e.IssuerV2 != "" {
		return e.IssuerV2
	}
	return e.Issuer
}

// Marshal returns one non-critical extension per field that is not empty, in
// the order of their numbers. It refuses values that are not UTF-8 or longer
// than MaxExtension.
func (e Extensions) Marshal() ([]pkix.Extension, error) {
	var out []pkix.Extension
	for _, c := range e.claims() {
		if *c.value == "" {
			continue
		}
		if !utf8.ValidString(*c.value) {
			return nil, fmt.Errorf("extension %v: value is not UTF-8", fulcioOID(c.number))
		}
		value := []byte(*c.value)
		if c.number >= firstDER {
			var b cryptobyte.Builder
			b.AddASN1(casn1.UTF8String, func(b *cryptobyte.Builder) { b.AddBytes(value) })
			value = b.BytesOrPanic()
		}
		if len(value) > MaxExtension {
			return nil, fmt.Errorf("extension %v: value has %d bytes, at most %d are allowed", fulcioOID(c.number), len(value), MaxExtension)
		}
		out = append(out, pkix.Extension{Id: fulcioOID(c.number), Value: value})
	}
	return out, nil
}

// ParseExtensions reads Fulcio's extensions of a certificate. Extensions it
// does not know are ignored; a known one that is malformed, not UTF-8, longer
// than MaxExtension or present twice is an error.
func ParseExtensions(cert *x509.Certificate) (Extensions, error) {
	var e Extensions
	claims := e.claims()
	var seen [32]bool
	for _, ext := range cert.Extensions {
		n := len(ext.Id) - 1
		if n < 0 || !ext.Id.Equal(fulcioOID(ext.Id[n])) {
			continue
		}
		for _, c := range claims {
			if c.number != ext.Id[n] {
				continue
			}
			if seen[c.number] {
				return Extensions{}, fmt.Errorf("extension %v: present more than once", ext.Id)
			}
			seen[c.number] = true
			value, err := parseClaim(c.number, ext.Value)
			if err != nil {
				return Extensions{}, fmt.Errorf("extension %v: %w", ext.Id, err)
			}
			*c.value = value
		}
	}
	return e, nil
}

// parseClaim decodes the value of the extension with the given number.
func parseClaim(number int, value []byte) (string, error) {
	if len(value) > MaxExtension {
		return "", fmt.Errorf("value has %d bytes, at most %d are allowed", len(value), MaxExtension)
	}
	if number >= firstDER {
		der := cryptobyte.String(value)
		var s cryptobyte.String
		if !der.ReadASN1(&s, casn1.UTF8String) || !der.Empty() {
			return "", fmt.Errorf("value is not one DER UTF8String")
		}
		value = s
	}
	if !utf8.Valid(value) {
		return "", fmt.Errorf("value is not UTF-8")
	}
	return string(value), nil
}
