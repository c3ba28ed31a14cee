// SPDX-License-Identifier: Apache-2.0

package hallmark_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"hallmark"
)

func TestVerifyRefuses(t *testing.T) {
	root, err := hallmark.ParseTrustRoot(read("testdata/example/trusted_root.json"))
	if err != nil {
		t.Fatal(err)
	}
	anyone, err := hallmark.NewIdentity(hallmark.IdentityConfig{SANRegexp: ".*", IssuerRegexp: ".*"})
	if err != nil {
		t.Fatal(err)
	}
	good, hello := read("testdata/example/hello.sigstore.json"), hallmark.Content(read("testdata/example/hello.txt"))
	for _, tc := range []struct {
		name     string
		bundle   []byte
		artifact hallmark.Artifact
		root     *hallmark.TrustRoot
		policy   hallmark.Policy
		want     hallmark.Code
	}{
		{"good", good, hello, root, hallmark.SignedBy(anyone), ""},
		{"the zero policy", good, hello, root, hallmark.Policy{}, hallmark.CodePolicy},
		{"no identity", good, hello, root, hallmark.SignedBy(), hallmark.CodePolicy},
		{"the zero identity", good, hello, root, hallmark.SignedBy(hallmark.Identity{}), hallmark.CodePolicy},
		{"no trust root", good, hello, nil, hallmark.SignedBy(anyone), hallmark.CodePolicy},
		{"the zero artifact", good, hallmark.Artifact{}, root, hallmark.SignedBy(anyone), hallmark.CodeArtifactMissing},
		{"a sum of the wrong length", good, hallmark.SHA256([]byte{1}), root, hallmark.SignedBy(anyone), hallmark.CodeArtifactMissing},
		{"another artifact", good, hallmark.Content([]byte("jello\n")), root, hallmark.SignedBy(anyone), "artifact-digest-mismatch"},
		{"an empty artifact", good, hallmark.Content(nil), root, hallmark.SignedBy(anyone), "artifact-digest-mismatch"},
		{"not a bundle", good[1:], hello, root, hallmark.SignedBy(anyone), hallmark.CodeBundle},
		{"a statement wanted", good, hello, root, hallmark.SignedBy(anyone).WithPredicateType("https://slsa.dev/provenance/v1"), "predicate-type"},
		{"two logs wanted", good, hello, root, hallmark.SignedBy(anyone).WithThresholds(1, 2, 1), "log-threshold"},
		{"no time wanted", good, hello, root, hallmark.SignedBy(anyone).WithThresholds(1, 1, 0), hallmark.CodePolicy},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v, err := hallmark.Verify(tc.bundle, tc.artifact, tc.root, tc.policy)
			if tc.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			var refusal *hallmark.Error
			if v != nil || !errors.As(err, &refusal) || refusal.Code != tc.want {
				t.Fatalf("%v, %v; want code %s", v, err, tc.want)
			}
			if refusal.Code.Meaning() == "" {
				t.Errorf("code %s has no meaning", refusal.Code)
			}
		})
	}
}

// The public interfaces change only on purpose: whoever changes one sees the
// difference here.
func TestPublicInterface(t *testing.T) {
	for pkg, golden := range map[string]string{".": "hallmark.txt", "./sign": "sign.txt"} {
		cmd := exec.Command("go", "doc", "-all", pkg)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		got, err := cmd.Output()
		if err != nil {
			t.Fatalf("go doc %s: %v\n%s", pkg, err, &stderr)
		}
		golden = filepath.Join("testdata", "api", golden)
		if *update {
			if err := os.WriteFile(golden, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("the public interface is not the one in %s. If that is meant, run go test . -update.\ngot:\n%s", golden, got)
		}
	}
}
