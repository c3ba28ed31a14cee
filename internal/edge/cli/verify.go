// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/spf13/cobra"

	"hallmark/internal/format/digest"
	"hallmark/internal/judge/verify"
	"hallmark/internal/service/registry"
)

// platformsAtOnce is how many manifests of an index are verified at a time.
// They share the limits of one search.
const platformsAtOnce = 4

// verifyFlags are those of hallmark verify.
type verifyFlags struct {
	who         signersFlags
	root        trustFlags
	reg         registryFlags
	out         outputFlags
	annotations map[string]string
	recursive   bool
	bundles     []string
}

func verifyCommand(a *app) *cobra.Command {
	var v verifyFlags
	cmd := &cobra.Command{
		Use:   "verify IMAGE...",
		Short: "Verify who signed images",
		Long: `Verify that images carry a signature by the wanted signer. Every signature found
is listed, with the reason when it does not count: bundles and what cosign stored
before there were bundles. Attestations are not signatures.

Any of the identities will do. With --min-signatures N, N distinct signers are
needed; --policy-file FILE can also name several who all have to have signed.

With --bundle no registry is used: the image is given by digest, and the evidence
was saved before.

Exit codes: 0 verified, 1 an error, 10 no signature, 11 no such image, 12 signatures
but not enough accepted, 13 signatures but none with a certificate.`,
		Example: `  hallmark verify --certificate-identity https://github.com/acme/app/.github/workflows/release.yml@refs/heads/main \
      --certificate-oidc-issuer https://token.actions.githubusercontent.com registry.example.com/acme/app:v1
  hallmark verify --identity san=a@example.com,issuer=https://accounts.example.com \
      --identity san=b@example.com,issuer=https://accounts.example.com --min-signatures 2 registry.example.com/acme/app:v1`,
		Args: someArgs("IMAGE"),
	}
	f := cmd.Flags()
	v.who.bind(f)
	v.who.bindQuorum(f)
	v.root.bind(f)
	v.reg.bind(f)
	v.out.bind(f)
	f.StringToStringVarP(&v.annotations, "annotations", "a", nil, "`KEY=VALUE` that the signature must carry")
	f.BoolVarP(&v.recursive, "recursive", "r", false, "of an image for several platforms, verify each platform's manifest too")
	f.StringArrayVar(&v.bundles, "bundle", nil, "`FILE` with a saved bundle, instead of looking in the registry; may be repeated")
	cmd.RunE = func(cmd *cobra.Command, images []string) error { return v.run(cmd.Context(), a, images) }
	return cmd
}

func (v *verifyFlags) run(ctx context.Context, a *app, images []string) error {
	want, err := v.who.demand()
	if err != nil {
		return err
	}
	if err := v.out.check(); err != nil {
		return err
	}
	if len(v.bundles) > 0 && len(images) > 1 {
		return usageError{errors.New("--bundle is for one image: verify the others with commands of their own")}
	}
	if len(v.bundles) > 0 && v.recursive {
		return usageError{errors.New("--recursive reads the index from the registry, which --bundle does without: give each platform's digest")}
	}
	active, err := v.root.load(a)
	if err != nil {
		return err
	}
	j := &judging{root: active.Root, demand: want, annotations: v.annotations, memo: new(verify.Memo)}
	look := func(image string) (*report, error) { return j.saved(image, v.bundles) }
	if len(v.bundles) == 0 {
		client, err := v.reg.client(a)
		if err != nil {
			return err
		}
		look = func(image string) (*report, error) { return j.image(ctx, client, image, v.recursive) }
	}
	var reports []*report
	var failures []error
	for _, image := range images {
		r, err := look(image)
		if err != nil {
			failures = append(failures, err)
			continue
		}
		reports = append(reports, r)
		if !r.Verified {
			failures = append(failures, r.failure())
		}
	}
	if err := v.out.print(a, reports, active); err != nil {
		return err
	}
	return worst(failures)
}

// image judges every signature of one image and, if recursive, of what it
// lists. The error is for what prevented judging; a signature that does not
// count is in the report.
func (j *judging) image(ctx context.Context, client *registry.Client, ref string, recursive bool) (*report, error) {
	image, err := client.Resolve(ctx, ref)
	if err != nil {
		if errors.Is(err, registry.ErrNotFound) {
			return nil, exitError{ExitNoTag, err}
		}
		return nil, err
	}
	search := client.NewSearch()
	r, err := j.found(ctx, search, image)
	if err != nil {
		return nil, err
	}
	if recursive {
		if err := j.platforms(ctx, client, search, image, r); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// found judges all evidence that the registry has for one manifest.
func (j *judging) found(ctx context.Context, search *registry.Search, image registry.Image) (*report, error) {
	candidates, err := search.Candidates(ctx, image.Ref)
	if err != nil {
		return nil, err
	}
	r := &report{Reference: image.Asked, Digest: image.Digest.String(), Resolved: image.Ref.String(), WasTag: image.WasTag}
	r.Candidates = make([]verdict, len(candidates))
	var wg sync.WaitGroup
	for i, c := range candidates {
		wg.Go(func() { r.Candidates[i] = j.candidate(c, image.Digest) })
	}
	wg.Wait()
	r.settle(image.Digest, j.demand.quorum)
	return r, nil
}

// platforms judges everything that the image lists, into the image's report.
// One manifest for several platforms is judged once.
func (j *judging) platforms(ctx context.Context, client *registry.Client, search *registry.Search, image registry.Image, into *report) error {
	platforms, err := client.Platforms(ctx, image)
	if err != nil {
		return err
	}
	first := map[digest.Digest]int{}
	into.Platforms = make([]*report, len(platforms))
	slots := make(chan struct{}, platformsAtOnce)
	var wg sync.WaitGroup
	for i, p := range platforms {
		if _, known := first[p.Digest]; known {
			continue
		}
		first[p.Digest] = i
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			r, err := j.found(ctx, search, p.Image)
			if err != nil { // the others are worth knowing all the same
				r = &report{Reference: p.Asked, Digest: p.Digest.String(), Resolved: p.Ref.String(), Candidates: []verdict{}}
				r.refuse(codeUnreadable, err)
			}
			into.Platforms[i] = r
		})
	}
	wg.Wait()
	for i, p := range platforms {
		r := *into.Platforms[first[p.Digest]]
		r.Platform = p.Name
		into.Platforms[i] = &r
	}
	if into.Verified && slices.ContainsFunc(into.Platforms, func(r *report) bool { return !r.Verified }) {
		into.Verified = false
		into.refuse(codePlatform, errors.New("not every platform's manifest is verified"))
	}
	return nil
}

// saved judges evidence from files for an image given by digest.
func (j *judging) saved(ref string, files []string) (*report, error) {
	image, err := registry.ByDigest(ref)
	if errors.Is(err, registry.ErrTag) {
		return nil, usageError{fmt.Errorf("--bundle: %w; without a registry nobody can tell which image that is", err)}
	}
	if err != nil {
		return nil, usageError{err}
	}
	r := &report{Reference: ref, Digest: image.Digest.String(), Resolved: image.Ref.String()}
	for _, file := range files {
		b, err := readBundle("--bundle", file)
		if err != nil {
			return nil, err
		}
		r.Candidates = append(r.Candidates, j.evidence(verdict{File: file, Format: formatBundle}, b, nil, image.Digest))
	}
	r.settle(image.Digest, j.demand.quorum)
	return r, nil
}
