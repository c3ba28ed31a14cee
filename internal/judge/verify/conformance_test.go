// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hallmark/internal/format/bundle"
	"hallmark/internal/format/digest"
	"hallmark/internal/format/pubkey"
	"hallmark/internal/format/trustroot"
	"hallmark/internal/judge/verify"
)

const (
	// corpusSize is how many cases the corpus has at least; fewer mean that it is broken.
	corpusSize = 35

	corpusIdentity = "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main"
	corpusIssuer   = "https://token.actions.githubusercontent.com"
)

// corpus returns the folder of the sigstore-conformance vectors. It skips the
// test where there is none, unless HALLMARK_CONFORMANCE says there has to be.
func corpus(tb testing.TB) string {
	tb.Helper()
	dir, set := os.LookupEnv("HALLMARK_CONFORMANCE")
	if !set {
		dir = filepath.Join("..", "..", "..", "..", "shared", "conformance")
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

// A vector is one case of the corpus, as its README says to read it.
type vector struct {
	name     string
	bundle   []byte
	artifact []byte
	root     *trustroot.Root
	rootErr  error
	policy   verify.Policy
}

func vectors(tb testing.TB) []vector {
	tb.Helper()
	dir := corpus(tb)
	folders, err := os.ReadDir(dir)
	if err != nil {
		tb.Fatal(err)
	}
	var all []vector
	for _, f := range folders {
		if f.IsDir() {
			all = append(all, readVector(tb, dir, f.Name()))
		}
	}
	if len(all) < corpusSize {
		tb.Fatalf("only %d conformance vectors in %s, expected at least %d", len(all), dir, corpusSize)
	}
	return all
}

func readVector(tb testing.TB, dir, name string) vector {
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
	v := vector{
		name:     name,
		bundle:   read("bundle.sigstore.json", ""),
		artifact: read("artifact", filepath.Join(dir, "a.txt")),
		policy:   verify.DefaultPolicy(),
	}
	v.root, v.rootErr = trustroot.Parse(read("trusted_root.json", filepath.Join("..", "..", "..", "test", "conformance", "roots", "public-good.json")))
	if pem := text("key.pub", ""); pem != "" {
		key, err := pubkey.ParsePEM([]byte(pem))
		if err != nil {
			tb.Fatal(err)
		}
		v.policy.Key = key
		return v
	}
	id, err := verify.NewIdentity(verify.Identity{SAN: text("identity", corpusIdentity), Issuer: text("issuer", corpusIssuer)})
	if err != nil {
		tb.Fatal(err)
	}
	v.policy.Identities = []verify.Identity{id}
	return v
}

func (v vector) verify(a verify.Artifact) (*verify.Verified, error) {
	if v.rootErr != nil {
		return nil, v.rootErr
	}
	b, err := bundle.Parse(v.bundle)
	if err != nil {
		return nil, err
	}
	checked, err := verify.Check(b, a, v.root, v.policy)
	memo := new(verify.Memo)
	for range 2 {
		if _, again := memo.Check(b, a, v.root, v.policy); codeOf(again) != codeOf(err) {
			return nil, fmt.Errorf("without a memory: %v; with one: %v", err, again)
		}
	}
	return checked, err
}

// refusals says why each failing vector of the known corpus must fail, so that
// none fails for a reason that has nothing to do with it. "parse" means that
// the bundle is refused before any check.
var refusals = map[string]string{
	"bundle-empty-certificate-chain_fail":                       "parse",
	"bundle-invalid-base64-signature_fail":                      "parse",
	"bundle-negative-log-index_fail":                            "parse",
	"bundle-with-root-cert_fail":                                "parse", // for a proof without a checkpoint; roots are refused too, see TestOneFault
	"checkpoint-bad-keyhint_fail":                               string(verify.CodeCheckpointSignature),
	"dsse-invalid-sig_fail":                                     string(verify.CodeLogEntryMismatch),
	"dsse-mismatch-sig_fail":                                    string(verify.CodeLogEntryMismatch),
	"inclusion-proof-corrupted-hash_fail":                       string(verify.CodeInclusionProof),
	"integrated-time-in-future_fail":                            string(verify.CodeCertificateTime),
	"intoto-log-entry-mismatch_fail":                            string(verify.CodeLogEntryMismatch),
	"intoto-set-outside-signing-cert-validity_fail":             string(verify.CodeCertificateTime),
	"invalid-ct-key_fail":                                       string(verify.CodeSCTThreshold),
	"managed-key-no-key_fail":                                   string(verify.CodeSignerKind),
	"message-digest-mismatch_fail":                              string(verify.CodeLogEntryMismatch),
	"rekor2-checkpoint-missing-log-signature_fail":              string(verify.CodeCheckpoint),
	"rekor2-checkpoint-missing-root-hash_fail":                  string(verify.CodeCheckpoint),
	"rekor2-dsse-invalid-sig_fail":                              string(verify.CodeLogEntryMismatch),
	"rekor2-dsse-mismatch-sig_fail":                             string(verify.CodeLogEntryMismatch),
	"rekor2-no-inclusion-proof_fail":                            "parse",
	"rekor2-timestamp-outside-trust-root-tsa-validity_fail":     string(verify.CodeTimestampWindow),
	"rekor2-timestamp-payload-mismatch_fail":                    string(verify.CodeTimestamp),
	"rekor2-timestamp-untrusted-tsa-without-embedded-cert_fail": string(verify.CodeTimestampThreshold),
	"signature-mismatch_fail":                                   string(verify.CodeLogEntryMismatch),
	"wrong-hashedrekord-artifact_fail":                          string(verify.CodeLogEntryMismatch),
	"wrong-hashedrekord-entry_fail":                             string(verify.CodeLogEntryMismatch),
}

func TestConformance(t *testing.T) {
	for _, v := range vectors(t) {
		modes := map[string]verify.Artifact{
			"path":   {Content: v.artifact},
			"digest": {Digests: []digest.Digest{digest.Of(digest.SHA256, v.artifact)}},
		}
		for mode, artifact := range modes {
			t.Run(v.name+"/"+mode, func(t *testing.T) {
				verified, err := v.verify(artifact)
				if !strings.HasSuffix(v.name, "_fail") {
					if err != nil {
						t.Fatalf("refused: %v", err)
					}
					if !verified.Proven() {
						t.Fatal("accepted, but nothing is proven")
					}
					return
				}
				if err == nil {
					t.Fatal("accepted")
				}
				got := "parse"
				if e := new(verify.Error); errors.As(err, &e) {
					got = string(e.Code)
				}
				if want, known := refusals[v.name]; known && got != want {
					t.Errorf("refused as %q, want %q: %v", got, want, err)
				}
				t.Log(err)
			})
		}
	}
}
