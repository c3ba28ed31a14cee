// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hallmark/internal/lab"
	"hallmark/internal/service/devissuer"
)

// What the protocol signs, the protocol verifies, as upstream's suite does it.
func TestSignBundle(t *testing.T) {
	l := lab.New(t, nil)
	active := l.Trust()
	root, err := active.Root.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	services, err := active.SigningConfig.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	rootFile, servicesFile, artifact := file("root.json", root), file("services.json", services), file("a.txt", []byte("hello"))
	bundleFile := filepath.Join(dir, "bundle.json")
	token := l.Token(devissuer.Request{Email: "ada@example.com"}).Raw()
	for _, tc := range []struct {
		name string
		args []string
		want int
		text string
	}{
		{"no token", []string{"sign-bundle", "--bundle", bundleFile, artifact}, exitUsage, "--identity-token"},
		{"no file", []string{"sign-bundle", "--identity-token", token, "--bundle", bundleFile}, exitUsage, "one file"},
		{"staging without services", []string{"sign-bundle", "--staging", "--identity-token", token, "--bundle", bundleFile, artifact}, exitUsage, "--signing-config"},
		{"not a token", []string{"sign-bundle", "--identity-token", "abc", "--bundle", bundleFile, "--trusted-root", rootFile, "--signing-config", servicesFile, artifact}, 1, "token"},
		{"missing artifact", []string{"sign-bundle", "--identity-token", token, "--bundle", bundleFile, "--trusted-root", rootFile, "--signing-config", servicesFile, artifact + ".none"}, 1, ".none"},
		{"sign", []string{"sign-bundle", "--identity-token", token, "--bundle", bundleFile, "--trusted-root", rootFile, "--signing-config", servicesFile, artifact}, 0, ""},
		{"verify", []string{"verify-bundle", "--bundle", bundleFile, "--certificate-identity", "ada@example.com", "--certificate-oidc-issuer", l.URL() + "/dev-issuer", "--trusted-root", rootFile, artifact}, 0, ""},
		{"verify as somebody else", []string{"verify-bundle", "--bundle", bundleFile, "--certificate-identity", "eve@example.com", "--certificate-oidc-issuer", l.URL() + "/dev-issuer", "--trusted-root", rootFile, artifact}, 1, "no-matching-identity"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			if got := run(tc.args, &stdout, &stderr); got != tc.want || !strings.Contains(stderr.String(), tc.text) {
				t.Fatalf("exit code %d, want %d and %q\n%s%s", got, tc.want, tc.text, &stdout, &stderr)
			}
			if strings.Contains(stderr.String(), token) {
				t.Error("the token was printed")
			}
		})
	}
}
