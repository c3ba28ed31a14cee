// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/pflag"

	"hallmark/internal/format/pubkey"
	"hallmark/internal/judge/verify"
)

// identityFlags say whose signature is wanted, in cosign's words.
type identityFlags struct {
	want verify.Identity
	key  string
}

func (i *identityFlags) bind(f *pflag.FlagSet) {
	f.StringVar(&i.want.SAN, "certificate-identity", "", "the signer: an e-mail address or URI, exactly as in the certificate")
	f.StringVar(&i.want.SANRegexp, "certificate-identity-regexp", "", "the signer as a Go regular expression; anchor it with ^ and $")
	f.StringVar(&i.want.Issuer, "certificate-oidc-issuer", "", "the URL of the identity provider that vouched for the signer")
	f.StringVar(&i.want.IssuerRegexp, "certificate-oidc-issuer-regexp", "", "the identity provider as a Go regular expression")
	f.StringVar(&i.want.GitHubWorkflowTrigger, "certificate-github-workflow-trigger", "", "the event that started the GitHub workflow")
	f.StringVar(&i.want.GitHubWorkflowSHA, "certificate-github-workflow-sha", "", "the commit the GitHub workflow ran on")
	f.StringVar(&i.want.GitHubWorkflowName, "certificate-github-workflow-name", "", "the GitHub workflow's name")
	f.StringVar(&i.want.GitHubWorkflowRepository, "certificate-github-workflow-repository", "", "the GitHub repository, as owner/name")
	f.StringVar(&i.want.GitHubWorkflowRef, "certificate-github-workflow-ref", "", "the GitHub ref, as refs/heads/main")
}

func (i *identityFlags) bindKey(f *pflag.FlagSet) {
	f.StringVar(&i.key, "key", "", "PEM `FILE` with the public key that must have signed, instead of an identity")
}

// empty says whether no identity was asked for.
func (i *identityFlags) empty() bool {
	return i.want.SAN == "" && i.want.SANRegexp == "" && i.want.Issuer == "" && i.want.IssuerRegexp == ""
}

// identity compiles the flags.
func (i *identityFlags) identity() (verify.Identity, error) {
	id, err := verify.NewIdentity(i.want)
	if err != nil {
		var e *verify.Error
		if errors.As(err, &e) {
			err = e.Err
		}
		return id, usageError{err}
	}
	return id, nil
}

// policy is what verifying commands demand.
func (i *identityFlags) policy() (verify.Policy, error) {
	p := verify.DefaultPolicy()
	if i.key != "" {
		if !i.empty() {
			return p, usageError{errors.New("--key and the --certificate flags exclude each other: a key has no identity")}
		}
		key, err := readPublicKey(i.key)
		if err != nil {
			return p, err
		}
		p.Key, p.Timestamps = key, 0
		return p, nil
	}
	if i.empty() {
		return p, usageError{errors.New("whose signature is wanted? Give --certificate-identity and --certificate-oidc-issuer (or their -regexp forms), or --key")}
	}
	if i.want.SAN == "" && i.want.SANRegexp == "" {
		return p, usageError{errors.New("an issuer alone accepts everybody it knows: give --certificate-identity or --certificate-identity-regexp too")}
	}
	if i.want.Issuer == "" && i.want.IssuerRegexp == "" {
		return p, usageError{errors.New("an identity counts only with who vouched for it: give --certificate-oidc-issuer or --certificate-oidc-issuer-regexp too")}
	}
	id, err := i.identity()
	if err != nil {
		return p, err
	}
	p.Identities = []verify.Identity{id}
	return p, nil
}

func readPublicKey(path string) (any, error) {
	data, err := readFile(path, 64<<10)
	if err != nil {
		return nil, fmt.Errorf("--key: %w", err)
	}
	key, err := pubkey.ParsePEM(data)
	if err != nil {
		return nil, fmt.Errorf("--key %s: %w", path, err)
	}
	return key, nil
}

// readFile reads a whole file of at most max bytes.
func readFile(path string, max int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, max+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > max {
		return nil, fmt.Errorf("%s is larger than the limit of %d bytes", path, max)
	}
	return data, nil
}
