// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"hallmark/internal/format/intoto"
	"hallmark/internal/service/registry"
	"hallmark/internal/service/sign"
)

func signCommand(a *app) *cobra.Command {
	var flags signFlags
	var reg registryFlags
	var out outputFlags
	var annotations map[string]string
	var bundleFile string
	var upload bool
	cmd := &cobra.Command{
		Use:   "sign IMAGE...",
		Short: "Sign images without a key: with an identity",
		Long: `Sign images with a certificate for your identity and a key that exists only while
signing. What is signed is the digest; a tag is resolved first, and said so.

With the --certificate flags the certificate is checked after it was issued and before
anything is signed, logged or pushed.`,
		Example: "  hallmark sign --yes registry.example.com/acme/app@sha256:…",
		Args:    someArgs("IMAGE"),
	}
	f := cmd.Flags()
	flags.bind(f)
	reg.bind(f)
	out.bind(f)
	f.StringToStringVarP(&annotations, "annotations", "a", nil, "`KEY=VALUE` to sign with the image")
	f.StringVar(&bundleFile, "bundle", "", "also write the bundle to `FILE`")
	f.BoolVar(&upload, "upload", true, "attach the bundle to the image in its registry")
	cmd.RunE = func(cmd *cobra.Command, images []string) error {
		if err := out.check(); err != nil {
			return err
		}
		if bundleFile != "" && len(images) > 1 {
			return usageError{errors.New("--bundle is for one image: sign the others with commands of their own")}
		}
		if !upload && bundleFile == "" {
			return usageError{errors.New("--upload=false without --bundle would leave the signature nowhere")}
		}
		if bundleFile != "" {
			if err := checkWritable("--bundle", bundleFile); err != nil {
				return err
			}
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), flags.timeout)
		defer cancel()
		client, err := reg.client(a)
		if err != nil {
			return err
		}
		targets, err := resolveAll(ctx, a, client, images)
		if err != nil {
			return err
		}
		s, err := flags.start(ctx, a)
		if err != nil {
			return err
		}
		if err := flags.confirm(a, s.active); err != nil {
			return err
		}
		signed := []signedArtifact{}
		for _, image := range targets {
			result, err := s.signer.SignImage(ctx, s.token, image.Digest, annotations)
			if err != nil {
				return fmt.Errorf("%s: %w", image.Asked, err)
			}
			if bundleFile != "" {
				if err := writeBundle(bundleFile, result); err != nil {
					return err
				}
			}
			if upload {
				if _, err := client.Attach(ctx, image, result.JSON, registry.Annotations{Content: registry.ContentEnvelope, PredicateType: intoto.CosignSignV1, Created: a.Now()}); err != nil {
					return fmt.Errorf("%s is signed and logged, but the signature could not be attached: %w", image.Asked, err)
				}
			}
			flags.handIn(ctx, a, s.active, result)
			signed = append(signed, signedArtifact{Reference: image.Ref.String(), Digest: image.Digest.String(), Bundle: bundleFile, Signature: signatureOf(result.Verified)})
			if out.format == "text" {
				signed[len(signed)-1].text(a, s)
			}
		}
		return out.printSigned(a, s, signed)
	}
	return cmd
}

// resolveAll finds every image before anything is signed.
func resolveAll(ctx context.Context, a *app, client *registry.Client, refs []string) ([]registry.Image, error) {
	var images []registry.Image
	for _, ref := range refs {
		image, err := client.Resolve(ctx, ref)
		if err != nil {
			return nil, err
		}
		if image.WasTag {
			a.note("hallmark: %s is a tag, which can move: signing what it names now, %s", ref, image.Digest)
		}
		images = append(images, image)
	}
	return images, nil
}

func writeBundle(path string, result *sign.Result) error {
	err := writeNew(path, 0o644, func(f *os.File) error {
		_, err := f.Write(append(result.JSON, '\n'))
		return err
	})
	if err != nil {
		return fmt.Errorf("signed and logged, but the bundle could not be written: %w", err)
	}
	return nil
}
