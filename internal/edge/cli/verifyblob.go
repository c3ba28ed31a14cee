// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"hallmark/internal/format/bundle"
	"hallmark/internal/format/digest"
	"hallmark/internal/format/pubkey"
	"hallmark/internal/judge/verify"
	"hallmark/internal/service/trust"
)

// maxPureContent is the largest artifact that a pure Ed25519 signature, which
// is over the whole content, is checked for.
const maxPureContent = 128 << 20

func verifyBlobCommand(a *app) *cobra.Command {
	var who signersFlags
	var root trustFlags
	var out outputFlags
	var blob blobsFlags
	cmd := &cobra.Command{
		Use:   "verify-blob [FILE|DIGEST...] [--bundle BUNDLE]",
		Short: "Verify who signed files",
		Long: `Verify that files carry a signature by the wanted signer. FILE may be "-" for
standard input, or a digest such as sha256:… of a file that is elsewhere. The
bundle of FILE is FILE` + bundleSuffix + ` unless another is named.
No network is used.

Of several files each has a line, in the order they were given, and the exit
code is 0 only if all of them are verified.`,
		Example: `  hallmark verify-blob app.tar.gz --bundle app.tar.gz.sigstore.json \
      --certificate-identity you@example.com --certificate-oidc-issuer https://accounts.example.com
  hallmark verify-blob dist/*.tar.gz --bundle-dir signatures --key release.pub
  find . -name '*.whl' | hallmark verify-blob --list - --key release.pub`,
	}
	f := cmd.Flags()
	who.bind(f)
	root.bind(f)
	out.bind(f)
	blob.bind(f)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		several, err := blob.several(args)
		if err != nil {
			return err
		}
		want, err := who.demand()
		if err != nil {
			return err
		}
		if err := out.check(); err != nil {
			return err
		}
		bundleFile := blob.bundle
		if bundleFile == "" && !several {
			if bundleFile, err = blob.bundleOf(args[0]); err != nil {
				return err
			}
			if _, err := os.Stat(bundleFile); errors.Is(err, fs.ErrNotExist) {
				return usageError{fmt.Errorf("which signature? There is no %s: give --bundle FILE", bundleFile)}
			}
		}
		active, err := root.load(a)
		if err != nil {
			return err
		}
		if several {
			b := &blobs{app: a, active: active, policy: want.policy}
			return b.run(cmd.Context(), blob.jobs, blob.pairs(a, args), &out)
		}
		r, err := verifyBlob(a, args[0], bundleFile, active, want.policy)
		if err != nil {
			return err
		}
		if err := out.print(a, []*report{r}, active); err != nil {
			return err
		}
		if !r.Verified {
			return fmt.Errorf("%s: the signature in %s is not accepted: %s", r.Reference, bundleFile, r.Candidates[0].Code)
		}
		return nil
	}
	return cmd
}

func verifyBlob(a *app, file, bundleFile string, active *trust.Active, policy verify.Policy) (*report, error) {
	b, err := readBundle("--bundle", bundleFile)
	if err != nil {
		return nil, err
	}
	artifact, err := readArtifact(a, file, b, policy.Key)
	if err != nil {
		return nil, err
	}
	r := &report{Reference: file, Digest: artifact.Digests[0].String()}
	v := verdict{File: bundleFile, Format: formatBundle}
	verified, err := verify.Check(b, artifact, active.Root, policy)
	if err != nil {
		v = v.judge(err, b)
	} else {
		v = v.accept(verified)
	}
	r.Candidates = []verdict{v}
	r.Verified = v.Accepted
	return r, nil
}

// readBundle reads the bundle that a flag names.
func readBundle(flag, file string) (*bundle.Bundle, error) {
	data, err := readFile(file, bundle.MaxSize)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	b, err := parseBundle(data)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", flag, file, err)
	}
	return b, nil
}

func parseBundle(data []byte) (*bundle.Bundle, error) {
	b, err := bundle.Parse(data)
	if err != nil {
		var doc json.RawMessage
		if broken := json.Unmarshal(data, &doc); broken != nil {
			return nil, fmt.Errorf("not a whole JSON document (%w): expected a Sigstore bundle, is the file complete?", broken)
		}
	}
	return b, err
}

// readArtifact hashes file the ways that b's signature may need, in one pass.
func readArtifact(a *app, file string, b *bundle.Bundle, key any) (verify.Artifact, error) {
	if d, err := digest.Parse(file); err == nil {
		return verify.Artifact{Digests: []digest.Digest{d}}, nil
	} else if strings.HasPrefix(file, "sha") && strings.Contains(file, ":") {
		return verify.Artifact{}, err
	}
	r, name, err := a.openArtifact(file)
	if err != nil {
		return verify.Artifact{}, err
	}
	defer r.Close()
	algs, whole := neededDigests(b, key)
	if whole {
		content, err := io.ReadAll(io.LimitReader(r, maxPureContent+1))
		if err != nil {
			return verify.Artifact{}, fmt.Errorf("%s: %w", name, err)
		}
		if len(content) > maxPureContent {
			return verify.Artifact{}, fmt.Errorf("%s is larger than %d bytes, the most for a pure Ed25519 signature, which is over the whole content", name, maxPureContent)
		}
		return verify.Artifact{Digests: []digest.Digest{digest.Of(digest.SHA256, content)}, Content: content}, nil
	}
	digests, err := hashAll(r, algs)
	if err != nil {
		return verify.Artifact{}, fmt.Errorf("%s: %w", name, err)
	}
	return verify.Artifact{Digests: digests}, nil
}

// openArtifact opens a file, or standard input for "-".
func (a *app) openArtifact(file string) (r io.ReadCloser, name string, err error) {
	if file == "-" {
		return io.NopCloser(a.In), "standard input", nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, "", err
	}
	if fi, err := f.Stat(); err != nil || fi.IsDir() {
		f.Close()
		if err == nil {
			err = fmt.Errorf("%s is a folder: expected a file", file)
		}
		return nil, "", err
	}
	return f, file, nil
}

// neededDigests lists the hash functions that b's signature can be over, and
// whether it is over the content itself.
func neededDigests(b *bundle.Bundle, key any) (algs []digest.Algorithm, whole bool) {
	algs = []digest.Algorithm{digest.SHA256}
	add := func(alg digest.Algorithm) {
		if alg != 0 && alg != digest.SHA256 && (len(algs) == 1 || algs[1] != alg) {
			algs = append(algs, alg)
		}
	}
	if len(b.Certificates) > 0 {
		if leaf, err := x509.ParseCertificate(b.Certificates[0]); err == nil {
			key = leaf.PublicKey
		}
	}
	if b.Message != nil {
		add(b.Message.Digest.Algorithm())
		if _, ok := key.(ed25519.PublicKey); ok {
			return algs, true
		}
	}
	if d, err := pubkey.DefaultDetails(key); err == nil {
		add(d.Digest())
	}
	return algs, false
}

func hashAll(r io.Reader, algs []digest.Algorithm) ([]digest.Digest, error) {
	states := make([]hash.Hash, len(algs))
	writers := make([]io.Writer, len(algs))
	for i, alg := range algs {
		states[i] = alg.New()
		writers[i] = states[i]
	}
	if _, err := io.Copy(io.MultiWriter(writers...), r); err != nil {
		return nil, err
	}
	digests := make([]digest.Digest, len(algs))
	for i, alg := range algs {
		d, err := digest.New(alg, states[i].Sum(nil))
		if err != nil {
			return nil, err
		}
		digests[i] = d
	}
	return digests, nil
}
