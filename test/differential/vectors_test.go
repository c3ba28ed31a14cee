// SPDX-License-Identifier: Apache-2.0

package differential

import (
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	sgbundle "github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	sgverify "github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/signature"

	"hallmark/internal/format/bundle"
	"hallmark/internal/format/digest"
	"hallmark/internal/format/pubkey"
	"hallmark/internal/format/trustroot"
	"hallmark/internal/judge/verify"
)

const (
	corpusIdentity = "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main"
	corpusIssuer   = "https://token.actions.githubusercontent.com"
)

// A vector is a bundle of the conformance suite with two verifiers that are
// asked for the same: one SCT, one log entry, one verified time, this signer,
// this artifact.
type vector struct {
	name     string
	bundle   []byte
	artifact []byte

	root   *trustroot.Root
	policy verify.Policy
	memo   verify.Memo

	verifier *sgverify.Verifier
	wanted   []sgverify.PolicyOption
	setup    error // one that both share: the trusted root itself is bad
}

// corpus is the folder of the vectors. It skips the test where there is none,
// unless HALLMARK_CONFORMANCE says there has to be.
func corpus(tb testing.TB) string {
	tb.Helper()
	dir, set := os.LookupEnv("HALLMARK_CONFORMANCE")
	if !set {
		dir = filepath.Join("..", "..", "..", "shared", "conformance")
	}
	dir = filepath.Join(dir, "bundle-verify")
	if _, err := os.Stat(dir); err != nil {
		if set {
			tb.Fatalf("HALLMARK_CONFORMANCE is set, but: %v", err)
		}
		tb.Skipf("no conformance vectors at %s; set HALLMARK_CONFORMANCE to their folder", dir)
	}
	return dir
}

func vectors(tb testing.TB) []*vector {
	tb.Helper()
	dir := corpus(tb)
	folders, err := os.ReadDir(dir)
	if err != nil {
		tb.Fatal(err)
	}
	var all []*vector
	for _, f := range folders {
		if f.IsDir() {
			all = append(all, load(tb, dir, f.Name()))
		}
	}
	if len(all) < 35 {
		tb.Fatalf("only %d conformance vectors in %s, expected at least 35", len(all), dir)
	}
	return all
}

func load(tb testing.TB, dir, name string) *vector {
	tb.Helper()
	read := func(file, otherwise string) []byte {
		data, err := os.ReadFile(filepath.Join(dir, name, file))
		if errors.Is(err, os.ErrNotExist) && otherwise != "" {
			data, err = os.ReadFile(otherwise)
		}
		if err != nil {
			tb.Fatal(err)
		}
		return data
	}
	text := func(file, otherwise string) string {
		data, err := os.ReadFile(filepath.Join(dir, name, file))
		if err != nil {
			return otherwise
		}
		return strings.TrimSpace(string(data))
	}
	v := &vector{
		name:     name,
		bundle:   read("bundle.sigstore.json", ""),
		artifact: read("artifact", filepath.Join(dir, "a.txt")),
		policy:   verify.DefaultPolicy(),
	}
	rootJSON := read("trusted_root.json", filepath.Join("..", "conformance", "roots", "public-good.json"))
	var material root.TrustedMaterial
	trusted, err := root.NewTrustedRootFromJSON(rootJSON)
	if v.root, v.setup = trustroot.Parse(rootJSON); v.setup != nil || err != nil {
		v.setup = fmt.Errorf("trusted root: ours %v, theirs %v", v.setup, err)
		return v
	}
	material = trusted
	options := []sgverify.VerifierOption{sgverify.WithTransparencyLog(1), sgverify.WithObserverTimestamps(1)}
	if pem := text("key.pub", ""); pem != "" {
		key, err := pubkey.ParsePEM([]byte(pem))
		if err != nil {
			tb.Fatal(err)
		}
		v.policy.Key = key
		material = withKey(tb, trusted, key)
		v.wanted = []sgverify.PolicyOption{sgverify.WithKey()}
	} else {
		san, issuer := text("identity", corpusIdentity), text("issuer", corpusIssuer)
		id, err := verify.NewIdentity(verify.Identity{SAN: san, Issuer: issuer})
		if err != nil {
			tb.Fatal(err)
		}
		v.policy.Identities = []verify.Identity{id}
		theirs, err := sgverify.NewShortCertificateIdentity(issuer, "", san, "")
		if err != nil {
			tb.Fatal(err)
		}
		v.wanted = []sgverify.PolicyOption{sgverify.WithCertificateIdentity(theirs)}
		options = append(options, sgverify.WithSignedCertificateTimestamps(1))
	}
	if v.verifier, err = sgverify.NewVerifier(material, options...); err != nil {
		tb.Fatal(err)
	}
	return v
}

// withKey adds a managed key that is valid at all times and whatever its hint.
func withKey(tb testing.TB, trusted *root.TrustedRoot, key crypto.PublicKey) root.TrustedMaterial {
	tb.Helper()
	if _, ok := key.(ed25519.PublicKey); ok {
		tb.Fatal("the corpus has no Ed25519 key; say which scheme it would be")
	}
	verifier, err := signature.LoadVerifier(key, crypto.SHA256)
	if err != nil {
		tb.Fatal(err)
	}
	always := root.NewExpiringKey(verifier, time.Time{}, time.Time{})
	return root.TrustedMaterialCollection{trusted, root.NewTrustedPublicKeyMaterial(func(string) (root.TimeConstrainedVerifier, error) { return always, nil })}
}

// byOurs and byTheirs are the two verdicts on one bundle.
func (v *vector) byOurs(data []byte) error {
	if v.setup != nil {
		return v.setup
	}
	b, err := bundle.Parse(data)
	if err != nil {
		return err
	}
	_, err = v.memo.Check(b, verify.Artifact{Digests: []digest.Digest{digest.Of(digest.SHA256, v.artifact)}}, v.root, v.policy)
	return err
}

func (v *vector) byTheirs(data []byte) (err error) {
	if v.setup != nil {
		return v.setup
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	b := new(sgbundle.Bundle)
	if err := b.UnmarshalJSON(data); err != nil {
		return err
	}
	sum := sha256.Sum256(v.artifact)
	_, err = v.verifier.Verify(b, sgverify.NewPolicy(sgverify.WithArtifactDigest("sha256", sum[:]), v.wanted...))
	return err
}

// codeOf is the code of our refusal; "parse" before any check.
func codeOf(err error) string {
	var e *verify.Error
	switch {
	case err == nil:
		return ""
	case errors.As(err, &e):
		return string(e.Code)
	}
	return "parse"
}
