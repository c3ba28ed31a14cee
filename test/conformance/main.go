// SPDX-License-Identifier: Apache-2.0

// Command conformance speaks the command line protocol of sigstore-conformance
// (https://github.com/sigstore/sigstore-conformance/blob/main/docs/cli_protocol.md),
// so that the upstream test suite can drive this product:
//
//	conformance sign-bundle [--staging] --identity-token TOKEN --bundle FILE
//	    [--trusted-root FILE] [--signing-config FILE] FILE
//	conformance verify-bundle [--staging] --bundle FILE
//	    (--certificate-identity ID --certificate-oidc-issuer URL | --key FILE)
//	    [--trusted-root FILE] FILE_OR_DIGEST
//
// It exits with 0 if the bundle was made or verifies, 1 if it was not or does
// not, 64 if it was called in a way the protocol does not know. Without --trusted-root it uses the
// public instance's trusted root, or with --staging that of its staging
// instance, both as they were when this file was built.
package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"hallmark/internal/format/bundle"
	"hallmark/internal/format/digest"
	"hallmark/internal/format/pubkey"
	"hallmark/internal/format/trustroot"
	"hallmark/internal/judge/verify"
)

// The trusted roots of https://github.com/sigstore/root-signing (Apache-2.0).
var (
	//go:embed roots/public-good.json
	publicGood []byte
	//go:embed roots/staging.json
	staging []byte
)

const exitUsage = 64

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	switch {
	case len(args) > 0 && args[0] == "sign-bundle":
		return runSign(args[1:], stderr)
	case len(args) == 0 || args[0] != "verify-bundle":
		fmt.Fprintln(stderr, "usage: conformance verify-bundle [flags] FILE_OR_DIGEST\n       conformance sign-bundle [flags] FILE")
		return exitUsage
	}
	req, err := parse(args[1:], stderr)
	if err != nil {
		fmt.Fprintln(stderr, "conformance verify-bundle:", err)
		return exitUsage
	}
	verified, err := req.verify()
	if err != nil {
		fmt.Fprintln(stderr, "refused:", err)
		return 1
	}
	who := verified.Signer().SAN.Value
	if who == "" {
		who = "the given key"
	}
	fmt.Fprintf(stdout, "verified: %s signed by %s\n", verified.Subject(), who)
	return 0
}

func runSign(args []string, stderr io.Writer) int {
	err := signBundle(context.Background(), args, stderr)
	var wrong usage
	switch {
	case errors.As(err, &wrong):
		fmt.Fprintln(stderr, "conformance sign-bundle:", err)
		return exitUsage
	case err != nil:
		fmt.Fprintln(stderr, "not signed:", err)
		return 1
	}
	return 0
}

type request struct {
	bundle, trustedRoot, key string
	identity, issuer         string
	staging                  bool
	artifact                 string
}

func parse(args []string, stderr io.Writer) (*request, error) {
	var req request
	flags := flag.NewFlagSet("verify-bundle", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.BoolVar(&req.staging, "staging", false, "trust the staging instance")
	flags.StringVar(&req.bundle, "bundle", "", "the bundle `FILE`")
	flags.StringVar(&req.identity, "certificate-identity", "", "the signer's `identity`")
	flags.StringVar(&req.issuer, "certificate-oidc-issuer", "", "the `URL` of the identity's issuer")
	flags.StringVar(&req.key, "key", "", "the signer's public key, a PEM `FILE`, instead of an identity")
	flags.StringVar(&req.trustedRoot, "trusted-root", "", "the trusted root `FILE`")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	switch {
	case flags.NArg() != 1:
		return nil, fmt.Errorf("expected one file or digest after the flags, found %d", flags.NArg())
	case req.bundle == "":
		return nil, errors.New("--bundle is missing")
	case req.key == "" && (req.identity == "" || req.issuer == ""):
		return nil, errors.New("expected --certificate-identity and --certificate-oidc-issuer, or --key")
	case req.key != "" && (req.identity != "" || req.issuer != ""):
		return nil, errors.New("--key excludes --certificate-identity and --certificate-oidc-issuer")
	}
	req.artifact = flags.Arg(0)
	return &req, nil
}

func (r *request) verify() (*verify.Verified, error) {
	artifact, err := readArtifact(r.artifact)
	if err != nil {
		return nil, err
	}
	root, err := r.root()
	if err != nil {
		return nil, err
	}
	policy, err := r.policy()
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(r.bundle)
	if err != nil {
		return nil, err
	}
	b, err := bundle.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.bundle, err)
	}
	return verify.Check(b, artifact, root, policy)
}

func (r *request) root() (*trustroot.Root, error) {
	data, name := publicGood, "the built-in trusted root"
	switch {
	case r.trustedRoot != "":
		var err error
		if data, err = os.ReadFile(r.trustedRoot); err != nil {
			return nil, err
		}
		name = r.trustedRoot
	case r.staging:
		data = staging
	}
	root, err := trustroot.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return root, nil
}

func (r *request) policy() (verify.Policy, error) {
	policy := verify.DefaultPolicy()
	if r.key != "" {
		data, err := os.ReadFile(r.key)
		if err != nil {
			return policy, err
		}
		if policy.Key, err = pubkey.ParsePEM(data); err != nil {
			return policy, fmt.Errorf("%s: %w", r.key, err)
		}
		policy.Timestamps = 0 // a managed key does not expire
		return policy, nil
	}
	id, err := verify.NewIdentity(verify.Identity{SAN: r.identity, Issuer: r.issuer})
	policy.Identities = []verify.Identity{id}
	return policy, err
}

// readArtifact takes a digest ("sha256:…") or the name of a file.
func readArtifact(fileOrDigest string) (verify.Artifact, error) {
	if strings.HasPrefix(fileOrDigest, "sha256:") {
		d, err := digest.Parse(fileOrDigest)
		return verify.Artifact{Digests: []digest.Digest{d}}, err
	}
	content, err := os.ReadFile(fileOrDigest)
	if content == nil {
		content = []byte{}
	}
	return verify.Artifact{Content: content}, err
}
