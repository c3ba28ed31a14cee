// SPDX-License-Identifier: Apache-2.0

package hallmark

import "hallmark/internal/judge/verify"

// IdentityConfig describes signers. A subject alternative name and an issuer
// are required, each either exactly or as a regular expression (Go's syntax,
// matching anywhere unless anchored).
type IdentityConfig struct {
	SAN, SANRegexp       string
	Issuer, IssuerRegexp string

	// What a GitHub workflow's certificate must carry, exactly; "" is anything.
	GitHubWorkflowTrigger    string
	GitHubWorkflowSHA        string
	GitHubWorkflowName       string
	GitHubWorkflowRepository string
	GitHubWorkflowRef        string
}

// Identity is a compiled [IdentityConfig]. The zero Identity matches nobody.
type Identity struct{ identity verify.Identity }

// NewIdentity compiles a description. Errors are *[Error] with [CodePolicy].
func NewIdentity(c IdentityConfig) (Identity, error) {
	id, err := verify.NewIdentity(verify.Identity{
		SAN: c.SAN, SANRegexp: c.SANRegexp, Issuer: c.Issuer, IssuerRegexp: c.IssuerRegexp,
		GitHubWorkflowTrigger: c.GitHubWorkflowTrigger, GitHubWorkflowSHA: c.GitHubWorkflowSHA, GitHubWorkflowName: c.GitHubWorkflowName,
		GitHubWorkflowRepository: c.GitHubWorkflowRepository, GitHubWorkflowRef: c.GitHubWorkflowRef,
	})
	if err != nil {
		return Identity{}, wrap(err)
	}
	return Identity{id}, nil
}
