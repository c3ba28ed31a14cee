// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"hallmark/internal/base/durable"
	"hallmark/internal/format/digest"
	"hallmark/internal/format/trustroot"
	"hallmark/internal/service/sign"
	"hallmark/internal/service/token"
)

// publicServices is the public instance's signing config that names its Rekor
// v2 log, from https://github.com/sigstore/root-signing (Apache-2.0).
//
//go:embed roots/public-good-signing.json
var publicServices []byte

// signBundle carries out sign-bundle.
func signBundle(ctx context.Context, args []string, stderr io.Writer) (err error) {
	var req request
	var identityToken, signingConfig string
	flags := flag.NewFlagSet("sign-bundle", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.BoolVar(&req.staging, "staging", false, "use the staging instance")
	flags.StringVar(&identityToken, "identity-token", "", "the identity `TOKEN`")
	flags.StringVar(&req.bundle, "bundle", "", "the `FILE` to write the bundle to")
	flags.StringVar(&req.trustedRoot, "trusted-root", "", "the trusted root `FILE`")
	flags.StringVar(&signingConfig, "signing-config", "", "the signing config `FILE`")
	if err := flags.Parse(args); err != nil {
		return usage{err}
	}
	switch {
	case flags.NArg() != 1:
		return usage{fmt.Errorf("expected one file after the flags, found %d", flags.NArg())}
	case identityToken == "" || req.bundle == "":
		return usage{errors.New("expected --identity-token and --bundle")}
	case req.staging && signingConfig == "":
		return usage{errors.New("--staging needs --signing-config: that instance's services are not built in")}
	}
	root, err := req.root()
	if err != nil {
		return err
	}
	services, err := readServices(signingConfig)
	if err != nil {
		return err
	}
	signer, err := sign.New(sign.Config{Services: services, Root: root})
	if err != nil {
		return err
	}
	identity, err := token.New(identityToken)
	if err != nil {
		return err
	}
	f, err := os.Open(flags.Arg(0))
	if err != nil {
		return err
	}
	defer f.Close()
	sum, err := digest.FromReader(signer.DigestAlgorithm(), f)
	if err != nil {
		return err
	}
	result, err := signer.SignBlob(ctx, identity, sum)
	if err != nil {
		return err
	}
	return durable.WriteFile(req.bundle, result.JSON, 0o644)
}

func readServices(path string) (*trustroot.SigningConfig, error) {
	data, name := publicServices, "the built-in signing config"
	if path != "" {
		var err error
		if data, err = os.ReadFile(path); err != nil {
			return nil, err
		}
		name = path
	}
	services, err := trustroot.ParseSigningConfig(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return services, nil
}

// usage is a call that the protocol does not know.
type usage struct{ error }
