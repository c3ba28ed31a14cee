// SPDX-License-Identifier: Apache-2.0

package certext_test

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"hallmark/internal/format/trustroot"
)

// sharedDir is the folder of shared test data: beside the project, or above the
// folder that HALLMARK_CONFORMANCE names. It skips the test where the folder is
// absent and nothing demands it.
func sharedDir(t *testing.T) string {
	t.Helper()
	dir := filepath.Join("..", "..", "..", "..", "shared")
	env := os.Getenv("HALLMARK_CONFORMANCE")
	if env != "" {
		dir = filepath.Dir(filepath.Clean(env))
	}
	if _, err := os.Stat(filepath.Join(dir, "conformance")); err != nil {
		if env != "" {
			t.Fatalf("HALLMARK_CONFORMANCE=%s: %v", env, err)
		}
		t.Skip("no ../shared folder beside the project")
	}
	return dir
}

// A vector is the signing certificate of one conformance case and the root it
// is checked with.
type vector struct {
	name string
	cert *x509.Certificate
	root *trustroot.Root
}

// vectors reads every conformance case that has a signing certificate.
func vectors(t *testing.T) []vector {
	t.Helper()
	dir := sharedDir(t)
	bundles, err := filepath.Glob(filepath.Join(dir, "conformance", "bundle-verify", "*", "bundle.sigstore.json"))
	if err != nil || len(bundles) == 0 {
		t.Fatalf("no conformance bundles in %s: %v", dir, err)
	}
	var out []vector
	for _, path := range bundles {
		var b struct {
			VerificationMaterial struct {
				Certificate          struct{ RawBytes string }
				X509CertificateChain struct {
					Certificates []struct{ RawBytes string }
				}
			}
		}
		if err := json.Unmarshal(readFile(t, path), &b); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		raw := b.VerificationMaterial.Certificate.RawBytes
		if chain := b.VerificationMaterial.X509CertificateChain.Certificates; len(chain) > 0 {
			raw = chain[0].RawBytes
		}
		if raw == "" {
			continue
		}
		der, err := base64.StdEncoding.DecodeString(raw)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		rootPath := filepath.Join(filepath.Dir(path), "trusted_root.json")
		if _, err := os.Stat(rootPath); err != nil {
			rootPath = filepath.Join(dir, "public-good", "trusted_root.json")
		}
		root, err := trustroot.Parse(readFile(t, rootPath))
		if err != nil {
			t.Fatalf("%s: %v", rootPath, err)
		}
		out = append(out, vector{filepath.Base(filepath.Dir(path)), cert, root})
	}
	return out
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
