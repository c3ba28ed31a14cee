// SPDX-License-Identifier: Apache-2.0

package interop

import (
	"os"
	"testing"

	"hallmark/test/interop/internal/peers"
)

const (
	alice   = "alice@example.com"
	mallory = "mallory@example.com"
)

// blobCases are what is asked of a bundle over a file, and how each client
// refuses it. The one without refusals has to be accepted by both.
var blobCases = []struct {
	name     string
	identity string // default alice
	issuer   string // default the authority's
	content  string // default what was signed
	alter    string // the part of the bundle that is altered
	cut      bool   // the bundle is cut in half

	cosign, hallmark string // the reason; both exit with 1
}{
	{name: "good"},
	{name: "wrong identity", identity: mallory,
		cosign: `expected SAN value "mallory@example.com", got "alice@example.com"`, hallmark: "no-matching-identity"},
	{name: "wrong issuer", issuer: "https://accounts.example.com",
		cosign: `expected issuer value "https://accounts.example.com"`, hallmark: "no-matching-identity"},
	{name: "tampered blob", content: "something else\n",
		cosign: "invalid signature", hallmark: "artifact-digest-mismatch"},
	{name: "tampered signature", alter: blobSignature,
		cosign: "failed to verify log inclusion", hallmark: "timestamp: "},
	{name: "tampered digest", alter: blobDigest,
		cosign: "failed to verify log inclusion", hallmark: "log-entry-mismatch"},
	{name: "tampered certificate", alter: certificatePart,
		cosign: "failed to verify log inclusion", hallmark: "certificate-chain"},
	{name: "tampered timestamp", alter: timestampPart,
		cosign: "failed to verify timestamps", hallmark: "timestamp: "},
	{name: "tampered entry", alter: entryBody,
		cosign: "bundle does not contain cert for verification", hallmark: "log-entry-mismatch"},
	{name: "tampered proof", alter: proofHash,
		cosign: "failed to verify log inclusion", hallmark: "inclusion-proof"},
	{name: "tampered checkpoint", alter: checkpointPart,
		cosign: "unverified checkpoint signature", hallmark: "checkpoint-signature"},
	{name: "truncated bundle", cut: true,
		cosign: "unexpected end of JSON input", hallmark: "shown.json: "},
}

// TestBlobs verifies what each client signed with each client.
func TestBlobs(t *testing.T) {
	lab := newLab(t)
	token := lab.token(t, "--email", alice)
	const content = "the release\n"
	blob := lab.file(t, "blob", []byte(content))
	// An entry before the others, so that their inclusion proofs have a hash.
	lab.run(t, peers.Hallmark, "sign-blob", "--yes", "--identity-token", token, "--bundle", lab.dir+"/first", blob)
	for _, signs := range clients {
		bundle := lab.dir + "/" + signs + ".json"
		lab.run(t, signs, "sign-blob", "--yes", "--identity-token", token, "--bundle", bundle, blob)
		made, err := os.ReadFile(bundle)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range blobCases {
			shown := made
			switch {
			case c.alter != "":
				shown = altered(t, made, c.alter)
			case c.cut:
				shown = made[:len(made)/2]
			}
			asked := words(
				signer(or(c.identity, alice), or(c.issuer, lab.Issuer())),
				[]string{"--bundle", lab.file(t, "shown.json", shown), lab.file(t, "shown", []byte(or(c.content, content)))})
			for _, verifies := range clients {
				t.Run(signs+" signs, "+verifies+" verifies, "+c.name, func(t *testing.T) {
					reason := c.hallmark
					if verifies == peers.Cosign {
						reason = c.cosign
					}
					lab.expect(t, refusedWith(exitError, reason), words([]string{verifies, "verify-blob"}, asked)...)
				})
			}
		}
	}
}

// or is s, or what to take for an empty one.
func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// refusedWith is nil, for accepted, where there is no reason to refuse.
func refusedWith(code int, reason string) *refusal {
	if reason == "" {
		return nil
	}
	return &refusal{code, reason}
}
