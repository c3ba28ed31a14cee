// SPDX-License-Identifier: Apache-2.0

package interop

import (
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"hallmark/test/interop/internal/peers"
)

// signPredicate is the predicate type of an image signature.
const signPredicate = "https://sigstore.dev/cosign/sign/v1"

// TestLegacy has cosign sign as it did before there were bundles, logged in a
// Rekor v1 log, and both clients judge the result.
func TestLegacy(t *testing.T) {
	lab := newLab(t)
	old := newRekorV1(t)
	root := lab.file(t, "legacy-root.json", old.trust(t, trustedRootOf(t, lab.run(t, peers.Hallmark, "trust", "export"))))
	host := newRegistry(t, true)
	token := lab.token(t, "--email", alice)
	legacy := []string{"--yes", "--new-bundle-format=false", "--use-signing-config=false", "--identity-token", token,
		"--trusted-root", root, "--fulcio-url", lab.URL, "--rekor-url", old.URL}
	cosign := func(image name.Digest, verb string, more ...string) {
		t.Helper()
		lab.run(t, words([]string{peers.Cosign, verb}, legacy, more, []string{image.String()})...)
	}
	verify := func(client, identity string, image name.Digest, more ...string) []string {
		return words([]string{client, "verify", "--trusted-root", root}, signer(identity, lab.Issuer()), more, []string{image.String()})
	}

	for _, form := range []struct {
		name string
		args []string
	}{
		{"tag", []string{"-a", "env=prod"}},
		{"timestamp", []string{"-a", "env=prod", "--timestamp-server-url", lab.URL + "/api/v1/timestamp"}},
	} {
		t.Run(form.name, func(t *testing.T) {
			good := push(t, newImage(t), host+"/legacy/"+form.name+":v1")
			cosign(good, "sign", form.args...)
			lab.run(t, verify(peers.Cosign, alice, good)...)
			out := lab.run(t, verify(peers.Hallmark, alice, good, "-a", "env=prod")...)
			if !strings.Contains(out, "legacy, layer 0") || strings.Contains(out, "(tsa ") != (form.name == "timestamp") {
				t.Errorf("hallmark verify printed\n%s", out)
			}
			lab.refused(t, refusal{exitNoMatch, "annotations: expected the annotations env=test"}, verify(peers.Hallmark, alice, good, "-a", "env=test")...)
			lab.refused(t, refusal{exitNoMatch, "no-matching-identity"}, verify(peers.Hallmark, mallory, good)...)
			lab.refused(t, refusal{exitNoMatch, "none of the expected identities matched"}, verify(peers.Cosign, mallory, good)...)

			// Another image under whose tag the signature was put.
			another := push(t, newImage(t), host+"/legacy/"+form.name+":v2")
			copyTag(t, good, another, ".sig")
			lab.refused(t, refusal{exitNoMatch, "artifact-digest-mismatch"}, verify(peers.Hallmark, alice, another)...)
			lab.refused(t, refusal{exitNoMatch, "invalid or missing digest"}, verify(peers.Cosign, alice, another)...)
		})
	}

	// Legacy attestations: one says "signed", the other something else.
	predicate := lab.file(t, "empty.json", []byte(`{}`))
	signed := push(t, newImage(t), host+"/legacy/attested:v1")
	cosign(signed, "attest", "--type", signPredicate, "--predicate", predicate)
	lab.run(t, verify(peers.Hallmark, alice, signed)...)
	attested := push(t, newImage(t), host+"/legacy/attested:v2")
	cosign(attested, "attest", "--type", "https://example.com/test-results/v1", "--predicate", predicate)
	lab.refused(t, refusal{exitNoMatch, "predicate-type"}, verify(peers.Hallmark, alice, attested)...)
}

// copyTag gives one image what is under the legacy tag of another.
func copyTag(t *testing.T, from, to name.Digest, suffix string) {
	t.Helper()
	tag := func(d name.Digest) name.Tag {
		return d.Context().Tag(strings.Replace(d.DigestStr(), ":", "-", 1) + suffix)
	}
	img, err := remote.Image(tag(from))
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(tag(to), img); err != nil {
		t.Fatal(err)
	}
}

// TestAttestationsAreNoSignatures shows a difference that is meant: cosign
// takes any statement of the wanted signer about the image for a signature.
func TestAttestationsAreNoSignatures(t *testing.T) {
	lab := newLab(t)
	image := push(t, newImage(t), newRegistry(t, true)+"/attested/app:v1")
	predicate := lab.file(t, "predicate.json", []byte(`{"passed":false}`))
	token := lab.token(t, "--email", alice)
	lab.run(t, peers.Cosign, "attest", "--yes", "--identity-token", token, "--type", "https://example.com/test-results/v1", "--predicate", predicate, image.String())
	lab.run(t, words([]string{peers.Cosign, "verify"}, signer(alice, lab.Issuer()), []string{image.String()})...)
	lab.refused(t, refusal{exitNoMatch, "predicate-type"},
		words([]string{peers.Hallmark, "verify"}, signer(alice, lab.Issuer()), []string{image.String()})...)
}
