// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"hallmark/internal/format/digest"
)

func signBlobCommand(a *app) *cobra.Command {
	var flags signFlags
	var out outputFlags
	var bundleFile string
	cmd := &cobra.Command{
		Use:   "sign-blob FILE --bundle BUNDLE",
		Short: "Sign a file without a key: with an identity",
		Long: `Sign a file with a certificate for your identity and a key that exists only while
signing. The bundle holds all that is needed to verify it without network. FILE may be
"-" for standard input.`,
		Example: "  hallmark sign-blob app.tar.gz --bundle app.tar.gz.sigstore.json",
		Args:    exactArgs("FILE"),
	}
	f := cmd.Flags()
	flags.bind(f)
	out.bind(f)
	f.StringVar(&bundleFile, "bundle", "", "`FILE` to write the signature bundle to")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := out.check(); err != nil {
			return err
		}
		if bundleFile == "" {
			return usageError{errors.New("where should the signature go? Give --bundle FILE")}
		}
		if err := checkWritable("--bundle", bundleFile); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), flags.timeout)
		defer cancel()
		r, name, err := a.openArtifact(args[0])
		if err != nil {
			return err
		}
		defer r.Close()
		s, err := flags.start(ctx, a)
		if err != nil {
			return err
		}
		if err := flags.confirm(a, s.active); err != nil {
			return err
		}
		sum, err := digest.FromReader(s.signer.DigestAlgorithm(), r)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		result, err := s.signer.SignBlob(ctx, s.token, sum)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := writeBundle(bundleFile, result); err != nil {
			return err
		}
		flags.handIn(ctx, a, s.active, result)
		signed := signedArtifact{Reference: name, Digest: sum.String(), Bundle: bundleFile, Signature: signatureOf(result.Verified)}
		if out.format == "text" {
			signed.text(a, s)
		}
		return out.printSigned(a, s, []signedArtifact{signed})
	}
	return cmd
}
