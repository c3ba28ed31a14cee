// SPDX-License-Identifier: Apache-2.0

package hallmark_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"log"
	"os"

	"hallmark"
)

func read(path string) []byte {
	data, err := os.ReadFile(path)
	if err != nil {
		log.Fatal(err)
	}
	return data
}

func Example() {
	root, err := hallmark.ParseTrustRoot(read("testdata/example/trusted_root.json"))
	if err != nil {
		log.Fatal(err)
	}
	release, err := hallmark.NewIdentity(hallmark.IdentityConfig{
		SAN:    "https://github.com/acme/app/.github/workflows/release.yml@refs/heads/main",
		Issuer: "http://127.0.0.1:8484/dev-issuer",
	})
	if err != nil {
		log.Fatal(err)
	}
	sum := sha256.Sum256(read("testdata/example/hello.txt"))
	verified, err := hallmark.Verify(read("testdata/example/hello.sigstore.json"), hallmark.SHA256(sum[:]), root, hallmark.SignedBy(release))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(verified.Source.Repository, verified.Source.Ref)
	fmt.Println("logged at", verified.Entries[0].Origin)
	// Output:
	// https://github.com/acme/app refs/heads/main
	// logged at localhost
}

func ExampleVerify_refused() {
	root, err := hallmark.ParseTrustRoot(read("testdata/example/trusted_root.json"))
	if err != nil {
		log.Fatal(err)
	}
	mallory, err := hallmark.NewIdentity(hallmark.IdentityConfig{SAN: "mallory@example.com", IssuerRegexp: ".*"})
	if err != nil {
		log.Fatal(err)
	}
	_, err = hallmark.Verify(read("testdata/example/hello.sigstore.json"), hallmark.Content(read("testdata/example/hello.txt")), root, hallmark.SignedBy(mallory))
	var refusal *hallmark.Error
	if errors.As(err, &refusal) {
		fmt.Println(refusal.Code)
		fmt.Println(refusal.Code.Meaning())
	}
	// Output:
	// no-matching-identity
	// The signer is none of the identities that the policy accepts.
}
