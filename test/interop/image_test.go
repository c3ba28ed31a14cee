// SPDX-License-Identifier: Apache-2.0

package interop

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"

	"hallmark/test/interop/internal/peers"
)

// The exit codes that both clients share.
const (
	exitError        = 1
	exitNoSignatures = 10
	exitNoImage      = 11
	exitNoMatch      = 12
)

// imageCases are what is asked of a signed image, and how each client refuses
// it. The one without refusals has to be accepted by both.
var imageCases = []struct {
	name     string
	identity string // default alice
	issuer   string // default the authority's
	alter    string // the part that is altered of the bundle attached to the same image elsewhere
	replace  bool   // another image has the attached bundle
	unsigned bool   // another image has nothing attached
	absent   bool   // there is no such image

	cosign, hallmark refusal
}{
	{name: "good"},
	{name: "wrong identity", identity: mallory,
		cosign: refusal{exitError, `expected SAN value "mallory@example.com"`}, hallmark: refusal{exitNoMatch, "no-matching-identity"}},
	{name: "wrong issuer", issuer: "https://accounts.example.com",
		cosign: refusal{exitError, `expected issuer value "https://accounts.example.com"`}, hallmark: refusal{exitNoMatch, "no-matching-identity"}},
	{name: "tampered image", replace: true,
		cosign: refusal{exitError, "artifact digest does not match any digest in statement"}, hallmark: refusal{exitNoMatch, "artifact-digest-mismatch"}},
	{name: "unsigned image", unsigned: true,
		cosign: refusal{exitNoSignatures, "no signatures found"}, hallmark: refusal{exitNoSignatures, "no signatures found"}},
	{name: "no image", absent: true,
		cosign: refusal{exitNoSignatures, "no signatures found"}, hallmark: refusal{exitNoImage, "404 Not Found"}},
	{name: "tampered payload", alter: imagePayload,
		cosign: refusal{exitError, "failed to verify log inclusion"}, hallmark: refusal{exitNoMatch, "log-entry-mismatch"}},
	{name: "tampered signature", alter: imageSignature,
		cosign: refusal{exitError, "failed to verify log inclusion"}, hallmark: refusal{exitNoMatch, "timestamp: "}},
	{name: "tampered certificate", alter: certificatePart,
		cosign: refusal{exitError, "failed to verify log inclusion"}, hallmark: refusal{exitNoMatch, "certificate-chain"}},
	{name: "tampered timestamp", alter: timestampPart,
		cosign: refusal{exitError, "failed to verify timestamps"}, hallmark: refusal{exitNoMatch, "timestamp: "}},
	{name: "tampered entry", alter: entryBody,
		cosign: refusal{exitNoSignatures, "no signatures found"}, hallmark: refusal{exitNoMatch, "log-entry-mismatch"}},
	{name: "tampered proof", alter: proofHash,
		cosign: refusal{exitError, "failed to verify log inclusion"}, hallmark: refusal{exitNoMatch, "inclusion-proof"}},
	{name: "tampered checkpoint", alter: checkpointPart,
		cosign: refusal{exitError, "unverified checkpoint signature"}, hallmark: refusal{exitNoMatch, "checkpoint-signature"}},
}

// TestImages verifies what each client signed with each client, on each kind
// of registry. Each client signs by digest once, and once by tag.
func TestImages(t *testing.T) {
	lab := newLab(t)
	token := lab.token(t, "--email", alice)
	first := lab.file(t, "first", nil)
	// An entry before the others, so that their inclusion proofs have a hash.
	lab.run(t, peers.Hallmark, "sign-blob", "--yes", "--identity-token", token, "--bundle", lab.dir+"/first.json", first)
	for _, kind := range registries {
		host := newRegistry(t, kind.referrers)
		for _, signs := range clients {
			image := newImage(t)
			tagged := host + "/" + signs + "/tagged:v1"
			push(t, image, tagged)
			lab.run(t, signs, "sign", "--yes", "--identity-token", token, tagged)
			signed := push(t, image, host+"/"+signs+"/app:v1")
			lab.run(t, signs, "sign", "--yes", "--identity-token", token, signed.String())

			for _, c := range imageCases {
				shown := signed
				elsewhere := host + "/" + signs + "/" + strings.ReplaceAll(c.name, " ", "-") + ":v1"
				switch {
				case c.alter != "":
					shown = push(t, image, elsewhere)
					copySignatures(t, signed, shown, func(b []byte) []byte { return altered(t, b, c.alter) })
				case c.replace:
					shown = push(t, newImage(t), elsewhere)
					copySignatures(t, signed, shown, func(b []byte) []byte { return b })
				case c.unsigned:
					shown = push(t, newImage(t), elsewhere)
				case c.absent:
					shown = absent(t, host+"/"+signs+"/app")
				}
				asked := append(signer(or(c.identity, alice), or(c.issuer, lab.Issuer())), shown.String())
				for _, verifies := range clients {
					t.Run(kind.name+", "+signs+" signs, "+verifies+" verifies, "+c.name, func(t *testing.T) {
						want := c.hallmark
						if verifies == peers.Cosign {
							want = c.cosign
						}
						lab.expect(t, refusedWith(want.code, want.reason), words([]string{verifies, "verify"}, asked)...)
					})
				}
			}
			for _, verifies := range clients {
				t.Run(kind.name+", "+signs+" signs by tag, "+verifies+" verifies by tag", func(t *testing.T) {
					lab.run(t, words([]string{verifies, "verify"}, signer(alice, lab.Issuer()), []string{tagged})...)
				})
			}
		}
	}
}

// absent is a reference to an image that the repository does not hold.
func absent(t *testing.T, repository string) name.Digest {
	t.Helper()
	ref, err := name.NewDigest(repository + "@sha256:" + strings.Repeat("0", 64))
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

// TestSigningAgain signs one image twice with each client: every signature is
// found and accepted by both.
func TestSigningAgain(t *testing.T) {
	lab := newLab(t)
	token := lab.token(t, "--email", alice)
	for _, kind := range registries {
		t.Run(kind.name, func(t *testing.T) {
			image := push(t, newImage(t), newRegistry(t, kind.referrers)+"/app:v1").String()
			for range 2 {
				for _, signs := range clients {
					lab.run(t, signs, "sign", "--yes", "--identity-token", token, image)
				}
			}
			asked := append(signer(alice, lab.Issuer()), image)

			var byCosign []json.RawMessage
			out := lab.run(t, words([]string{peers.Cosign, "verify", "--output", "json"}, asked)...)
			if err := json.Unmarshal([]byte(out), &byCosign); err != nil || len(byCosign) != 4 {
				t.Errorf("cosign accepts %d signatures, want 4 (%v):\n%s", len(byCosign), err, out)
			}
			var byHallmark struct {
				Artifacts []struct {
					Candidates []struct{ Accepted bool }
				}
			}
			out = lab.run(t, words([]string{peers.Hallmark, "verify", "--output", "json"}, asked)...)
			if err := json.Unmarshal([]byte(out), &byHallmark); err != nil || len(byHallmark.Artifacts) != 1 {
				t.Fatalf("hallmark reports on %d artifacts, want 1 (%v):\n%s", len(byHallmark.Artifacts), err, out)
			}
			accepted := 0
			for _, c := range byHallmark.Artifacts[0].Candidates {
				if c.Accepted {
					accepted++
				}
			}
			if accepted != 4 {
				t.Errorf("hallmark accepts %d signatures, want 4:\n%s", accepted, out)
			}
		})
	}
}

// TestAnnotations signs with an annotation, which both clients demand or miss.
func TestAnnotations(t *testing.T) {
	lab := newLab(t)
	token := lab.token(t, "--email", alice)
	host := newRegistry(t, true)
	for _, signs := range clients {
		image := push(t, newImage(t), host+"/"+signs+":v1").String()
		lab.run(t, signs, "sign", "--yes", "--identity-token", token, "-a", "stage=production", image)
		asked := append(signer(alice, lab.Issuer()), image)
		for _, verifies := range clients {
			t.Run(signs+" signs, "+verifies+" verifies", func(t *testing.T) {
				lab.run(t, words([]string{verifies, "verify", "-a", "stage=production"}, asked)...)
				missing := map[string]int{peers.Cosign: exitError, peers.Hallmark: exitNoMatch}[verifies]
				lab.refused(t, refusal{missing, "annotation"}, words([]string{verifies, "verify", "-a", "stage=test"}, asked)...)
			})
		}
	}
}

// TestAttestation attests an image with cosign. cosign verifies it as an
// attestation; to hallmark it is not a signature.
func TestAttestation(t *testing.T) {
	lab := newLab(t)
	token := lab.token(t, "--email", alice)
	image := push(t, newImage(t), newRegistry(t, true)+"/app:v1").String()
	predicate := lab.file(t, "predicate.json", []byte(`{"reviewed": true}`))
	const kind = "https://example.com/review/v1"
	lab.run(t, peers.Cosign, "attest", "--yes", "--identity-token", token, "--type", kind, "--predicate", predicate, image)
	asked := append(signer(alice, lab.Issuer()), image)
	lab.run(t, words([]string{peers.Cosign, "verify-attestation", "--type", kind}, asked)...)
	lab.refused(t, refusal{exitNoMatch, "predicate-type"}, words([]string{peers.Hallmark, "verify"}, asked)...)
}
