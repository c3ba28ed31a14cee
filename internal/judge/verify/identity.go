// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"fmt"
	"regexp"
	"strings"

	"hallmark/internal/format/certext"
)

// An Identity describes signers that a policy accepts: a subject alternative
// name, by exact text or regular expression, of certificates issued for tokens
// of an issuer, by exact URL or regular expression; and, if given, the GitHub
// workflow values that the certificate must carry exactly.
//
// Regular expressions are Go's and, as in cosign, match anywhere unless they
// are anchored with ^ and $.
//
// An Identity is inert until [NewIdentity] has compiled it; the zero Identity
// matches nobody.
type Identity struct {
	SAN, SANRegexp       string // exactly one of the two
	Issuer, IssuerRegexp string // exactly one of the two

	GitHubWorkflowTrigger    string // extension 1.3.6.1.4.1.57264.1.2
	GitHubWorkflowSHA        string // .3
	GitHubWorkflowName       string // .4
	GitHubWorkflowRepository string // .5
	GitHubWorkflowRef        string // .6

	compiled *matcher
}

// matcher is the compiled form; it keeps its own copy of what it was made from.
type matcher struct {
	source      Identity
	san, issuer func(string) bool
}

// NewIdentity checks and compiles want. The error is an [*Error] with
// [CodePolicy] and names the field.
func NewIdentity(want Identity) (Identity, error) {
	want.compiled = nil
	san, err := textMatcher("identity", want.SAN, want.SANRegexp)
	if err != nil {
		return Identity{}, err
	}
	issuer, err := textMatcher("issuer", want.Issuer, want.IssuerRegexp)
	if err != nil {
		return Identity{}, err
	}
	compiled := want
	compiled.compiled = &matcher{source: want, san: san, issuer: issuer}
	return compiled, nil
}

func textMatcher(what, exact, pattern string) (func(string) bool, error) {
	switch {
	case exact != "" && pattern != "":
		return nil, fail(CodePolicy, "%s: both an exact text (%q) and a regular expression (%q); give one", what, exact, pattern)
	case exact != "":
		return func(s string) bool { return s == exact }, nil
	case pattern != "":
		re, err := regexp.Compile(pattern)
		if err != nil {
			return nil, fail(CodePolicy, "%s: regular expression: %w", what, err)
		}
		return re.MatchString, nil
	}
	return nil, fail(CodePolicy, "%s: neither an exact text nor a regular expression; give one", what)
}

// ready reports whether the identity is as NewIdentity made it.
func (id *Identity) ready() bool {
	if id.compiled == nil {
		return false
	}
	plain := *id
	plain.compiled = nil
	return plain == id.compiled.source
}

// mismatch returns "" if the signer is this identity, else the first thing that differs.
func (id *Identity) mismatch(san certext.SAN, ext certext.Extensions) string {
	if san.Value == "" || !id.compiled.san(san.Value) {
		return fmt.Sprintf("identity is %q, expected %s", san.Value, describe(id.SAN, id.SANRegexp))
	}
	if issuer := ext.IssuerURL(); issuer == "" || !id.compiled.issuer(issuer) {
		return fmt.Sprintf("issuer is %q, expected %s", issuer, describe(id.Issuer, id.IssuerRegexp))
	}
	for _, f := range []struct{ name, want, got string }{
		{"GitHub workflow trigger", id.GitHubWorkflowTrigger, ext.GitHubTrigger},
		{"GitHub workflow SHA", id.GitHubWorkflowSHA, ext.GitHubSHA},
		{"GitHub workflow name", id.GitHubWorkflowName, ext.GitHubWorkflowName},
		{"GitHub workflow repository", id.GitHubWorkflowRepository, ext.GitHubRepository},
		{"GitHub workflow ref", id.GitHubWorkflowRef, ext.GitHubRef},
	} {
		if f.want != "" && f.want != f.got {
			return fmt.Sprintf("%s is %q, expected %q", f.name, f.got, f.want)
		}
	}
	return ""
}

func describe(exact, pattern string) string {
	if exact != "" {
		return fmt.Sprintf("%q", exact)
	}
	return fmt.Sprintf("a match of %q", pattern)
}

// identity is the last step: is the proven signer one of those the policy accepts?
func (c *check) identity() error {
	if c.leaf == nil || c.policy.AnyIdentityUnsafe {
		return nil
	}
	var reasons []string
	for i := range c.policy.Identities {
		why := c.policy.Identities[i].mismatch(c.signer.SAN, c.signer.Extensions)
		if why == "" {
			return nil
		}
		reasons = append(reasons, why)
	}
	if len(reasons) == 1 {
		return fail(CodeNoMatchingIdentity, "the signer's %s", reasons[0])
	}
	return fail(CodeNoMatchingIdentity, "the signer is none of the %d accepted identities: its %s", len(reasons), strings.Join(reasons, "; its "))
}
