// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// corpusSize is how many cases the corpus has at least; fewer mean that it is broken.
const corpusSize = 35

// corpus returns the folder of the vectors. It skips the test where there is
// none, unless HALLMARK_CONFORMANCE says there has to be.
func corpus(t *testing.T) string {
	t.Helper()
	dir, set := os.LookupEnv("HALLMARK_CONFORMANCE")
	if !set {
		dir = filepath.Join("..", "..", "..", "shared", "conformance")
	}
	dir = filepath.Join(dir, "bundle-verify")
	if _, err := os.Stat(dir); err != nil {
		if set {
			t.Fatalf("HALLMARK_CONFORMANCE is set, but: %v", err)
		}
		t.Skipf("no conformance vectors at %s; set HALLMARK_CONFORMANCE to their folder", dir)
	}
	return dir
}

// TestVectors drives the vectors through the protocol as the upstream suite does.
func TestVectors(t *testing.T) {
	dir := corpus(t)
	cases, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, c := range cases {
		if !c.IsDir() {
			continue
		}
		ran++
		args, artifact := vectorArgs(t, dir, c.Name())
		content, err := os.ReadFile(artifact)
		if err != nil {
			t.Fatal(err)
		}
		want := 0
		if strings.HasSuffix(c.Name(), "_fail") {
			want = 1
		}
		for _, last := range []string{artifact, fmt.Sprintf("sha256:%x", sha256.Sum256(content))} {
			var stdout, stderr bytes.Buffer
			if got := run(append(args, last), &stdout, &stderr); got != want {
				t.Errorf("%s with %s: exit code %d, want %d\n%s%s", c.Name(), last, got, want, &stdout, &stderr)
			}
		}
	}
	if ran < corpusSize {
		t.Errorf("only %d vectors in %s, expected at least %d", ran, dir, corpusSize)
	}
}

func vectorArgs(t *testing.T, dir, name string) (args []string, artifact string) {
	t.Helper()
	exists := func(file string) (string, bool) {
		path := filepath.Join(dir, name, file)
		_, err := os.Stat(path)
		return path, err == nil
	}
	text := func(file, otherwise string) string {
		path, ok := exists(file)
		if !ok {
			return otherwise
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(data))
	}
	args = []string{"verify-bundle", "--bundle", filepath.Join(dir, name, "bundle.sigstore.json")}
	if key, ok := exists("key.pub"); ok {
		args = append(args, "--key", key)
	} else {
		args = append(args,
			"--certificate-identity", text("identity", "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main"),
			"--certificate-oidc-issuer", text("issuer", "https://token.actions.githubusercontent.com"))
	}
	if root, ok := exists("trusted_root.json"); ok {
		args = append(args, "--trusted-root", root)
	}
	artifact, ok := exists("artifact")
	if !ok {
		artifact = filepath.Join(dir, "a.txt")
	}
	return args, artifact
}

func TestUsage(t *testing.T) {
	for name, args := range map[string][]string{
		"nothing":          nil,
		"unknown command":  {"sign-moon"},
		"unknown flag":     {"verify-bundle", "--moon", "f"},
		"no bundle":        {"verify-bundle", "--key", "k", "f"},
		"no file":          {"verify-bundle", "--bundle", "b", "--key", "k"},
		"no identity":      {"verify-bundle", "--bundle", "b", "f"},
		"no issuer":        {"verify-bundle", "--bundle", "b", "--certificate-identity", "i", "f"},
		"identity and key": {"verify-bundle", "--bundle", "b", "--key", "k", "--certificate-identity", "i", "f"},
	} {
		var stdout, stderr bytes.Buffer
		if got := run(args, &stdout, &stderr); got != exitUsage || stderr.Len() == 0 {
			t.Errorf("%s: exit code %d with %q, want %d and a message", name, got, &stderr, exitUsage)
		}
	}
}

func TestMissingFiles(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	for name, args := range map[string][]string{
		"artifact":      {"--key", missing, missing},
		"key":           {"--key", missing, "main.go"},
		"trusted root":  {"--certificate-identity", "i", "--certificate-oidc-issuer", "u", "--trusted-root", missing, "main.go"},
		"bundle":        {"--certificate-identity", "i", "--certificate-oidc-issuer", "u", "main.go"},
		"bundle, again": {"--staging", "--certificate-identity", "i", "--certificate-oidc-issuer", "u", "main.go"},
	} {
		var stdout, stderr bytes.Buffer
		got := run(append([]string{"verify-bundle", "--bundle", missing}, args...), &stdout, &stderr)
		if got != 1 || !strings.Contains(stderr.String(), missing) {
			t.Errorf("%s: exit code %d with %q, want 1 and the name of the missing file", name, got, &stderr)
		}
	}
}
