// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"hallmark/internal/format/bundle"
	"hallmark/internal/format/digest"
	"hallmark/internal/format/intoto"
	"hallmark/internal/judge/verify"
	"hallmark/internal/service/registry"
	"hallmark/internal/service/trust"
)

func verifyCommand(a *app) *cobra.Command {
	var who identityFlags
	var root trustFlags
	var reg registryFlags
	var out outputFlags
	var annotations map[string]string
	cmd := &cobra.Command{
		Use:   "verify IMAGE...",
		Short: "Verify who signed images",
		Long: `Verify that images carry a signature by the wanted signer. Every signature found
is listed, with the reason when it does not count. Attestations are not signatures.

Exit codes: 0 verified, 1 an error, 10 no signature, 11 no such image, 12 signatures
but none accepted, 13 signatures but none with a certificate.`,
		Example: `  hallmark verify --certificate-identity https://github.com/acme/app/.github/workflows/release.yml@refs/heads/main \
      --certificate-oidc-issuer https://token.actions.githubusercontent.com registry.example.com/acme/app:v1`,
		Args: someArgs("IMAGE"),
	}
	f := cmd.Flags()
	who.bind(f)
	who.bindKey(f)
	root.bind(f)
	reg.bind(f)
	out.bind(f)
	f.StringToStringVarP(&annotations, "annotations", "a", nil, "`KEY=VALUE` that the signature must carry")
	cmd.RunE = func(cmd *cobra.Command, images []string) error {
		policy, err := who.policy()
		if err != nil {
			return err
		}
		if err := out.check(); err != nil {
			return err
		}
		active, err := root.load(a)
		if err != nil {
			return err
		}
		client, err := reg.client()
		if err != nil {
			return err
		}
		var reports []*report
		var failures []error
		for _, image := range images {
			r, err := verifyImage(cmd.Context(), client, image, active, policy, annotations)
			if err != nil {
				failures = append(failures, err)
				continue
			}
			reports = append(reports, r)
			if !r.Verified {
				failures = append(failures, r.failure())
			}
		}
		if err := out.print(a, reports, active); err != nil {
			return err
		}
		return worst(failures)
	}
	return cmd
}

// verifyImage judges every signature of one image. The error is for what
// prevented judging; a signature that does not count is in the report.
func verifyImage(ctx context.Context, client *registry.Client, ref string, active *trust.Active, policy verify.Policy, annotations map[string]string) (*report, error) {
	image, err := client.Resolve(ctx, ref)
	if err != nil {
		if errors.Is(err, registry.ErrNotFound) {
			return nil, exitError{ExitNoTag, err}
		}
		return nil, err
	}
	candidates, err := client.Candidates(ctx, image.Ref)
	if err != nil {
		return nil, err
	}
	r := &report{Reference: ref, Digest: image.Digest.String(), Resolved: image.Ref.String(), WasTag: image.WasTag}
	r.Candidates = make([]verdict, len(candidates))
	var wg sync.WaitGroup
	for i, c := range candidates {
		wg.Go(func() { r.Candidates[i] = judgeCandidate(c, image.Digest, active, policy, annotations) })
	}
	wg.Wait()
	r.settle()
	return r, nil
}

func judgeCandidate(c registry.Candidate, subject digest.Digest, active *trust.Active, policy verify.Policy, annotations map[string]string) verdict {
	v := verdict{Digest: c.Digest.String()}
	if c.Err != nil {
		return v.refuse("unreadable", c.Err)
	}
	b, err := bundle.Parse(c.Bytes)
	if err != nil {
		return v.refuse("malformed", err)
	}
	if b.Envelope != nil {
		// An attestation by the same signer says something about the image, but
		// not that the signer stands by it.
		policy.PredicateType = intoto.CosignSignV1
	}
	verified, err := verify.Check(b, verify.Artifact{Digests: []digest.Digest{subject}}, active.Root, policy)
	if err != nil {
		return v.judge(err, b)
	}
	if err := matchAnnotations(verified, subject, annotations); err != nil {
		return v.refuse("annotations", err)
	}
	return v.accept(verified)
}

// matchAnnotations wants every annotation on the subject that was signed.
func matchAnnotations(v *verify.Verified, subject digest.Digest, want map[string]string) error {
	if len(want) == 0 {
		return nil
	}
	st := v.Statement()
	if st == nil {
		return errors.New("a message signature carries no annotations")
	}
	var reasons []string
	for _, s := range st.Subjects {
		if s.Digests[subject.Algorithm().String()] != subject.Hex() {
			continue
		}
		var missing []string
		for _, key := range slices.Sorted(maps.Keys(want)) {
			if got, ok := s.Annotations[key]; !ok || fmt.Sprint(got) != want[key] {
				missing = append(missing, fmt.Sprintf("%s=%s", key, want[key]))
			}
		}
		if len(missing) == 0 {
			return nil
		}
		reasons = append(reasons, strings.Join(missing, ", "))
	}
	return fmt.Errorf("expected the annotations %s", strings.Join(reasons, "; or "))
}

// worst is the error whose exit code says most, with the others' texts.
func worst(failures []error) error {
	if len(failures) == 0 {
		return nil
	}
	code := ExitFailed
	for _, err := range failures {
		var coded exitError
		if errors.As(err, &coded) && code == ExitFailed {
			code = coded.code
		}
	}
	return exitError{code, errors.Join(failures...)}
}
