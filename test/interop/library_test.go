// SPDX-License-Identifier: Apache-2.0

package interop

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"testing"

	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/tuf"
	"github.com/sigstore/sigstore-go/pkg/verify"

	"hallmark/test/interop/internal/peers"
)

// TestSigstoreGo verifies bundles with the sigstore-go library, against the
// trusted root that it fetches over TUF from the root that serve announces.
func TestSigstoreGo(t *testing.T) {
	lab := newLab(t)
	token := lab.token(t, "--email", alice)
	content := []byte("verified by a library\n")
	blob := lab.file(t, "blob", content)
	trusted := trustedRootOverTUF(t, lab)
	verifier, err := verify.NewVerifier(trusted,
		verify.WithSignedCertificateTimestamps(1), verify.WithTransparencyLog(1), verify.WithSignedTimestamps(1))
	if err != nil {
		t.Fatal(err)
	}
	for _, signs := range clients {
		t.Run(signs, func(t *testing.T) {
			path := lab.dir + "/" + signs + ".json"
			lab.run(t, signs, "sign-blob", "--yes", "--identity-token", token, "--bundle", path, blob)
			b, err := bundle.LoadJSONFromPath(path)
			if err != nil {
				t.Fatal(err)
			}
			result, err := verifier.Verify(b, wanted(t, alice, lab.Issuer(), content))
			if err != nil {
				t.Fatal(err)
			}
			if got := result.VerifiedIdentity.SubjectAlternativeName.SubjectAlternativeName; got != alice {
				t.Errorf("the signer is %q, want %q", got, alice)
			}
			if _, err := verifier.Verify(b, wanted(t, mallory, lab.Issuer(), content)); err == nil {
				t.Errorf("accepted as signed by %s", mallory)
			}
			if _, err := verifier.Verify(b, wanted(t, alice, lab.Issuer(), []byte("something else\n"))); err == nil {
				t.Error("accepted for another file")
			}
		})
	}
}

// wanted asks for a signer and an artifact.
func wanted(t *testing.T, identity, issuer string, artifact []byte) verify.PolicyBuilder {
	t.Helper()
	id, err := verify.NewShortCertificateIdentity(issuer, "", identity, "")
	if err != nil {
		t.Fatal(err)
	}
	return verify.NewPolicy(verify.WithArtifact(bytes.NewReader(artifact)), verify.WithCertificateIdentity(id))
}

// trustedRootOverTUF is the authority's trusted root, as sigstore-go's TUF
// client gets it.
func trustedRootOverTUF(t *testing.T, lab *lab) *root.TrustedRoot {
	t.Helper()
	client, err := tuf.New(tuf.DefaultOptions().
		WithRoot(announcedRoot(t, lab)).WithRepositoryBaseURL(lab.URL + "/tuf").WithCachePath(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	trusted, err := root.GetTrustedRoot(client)
	if err != nil {
		t.Fatal(err)
	}
	return trusted
}

// announcedRoot fetches the root that serve announces with its checksum.
func announcedRoot(t *testing.T, lab *lab) []byte {
	t.Helper()
	flag := func(name string) string {
		line := lab.CosignInitialize
		i := slices.Index(line, name)
		if i < 0 || i+1 == len(line) {
			t.Fatalf("%v has no %s", line, name)
		}
		return line[i+1]
	}
	resp, err := http.Get(flag("--root"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != flag("--root-checksum") {
		t.Fatalf("%s has the SHA-256 %x, announced was %s", flag("--root"), sum, flag("--root-checksum"))
	}
	return data
}

// TestOffline verifies with the authority gone: hallmark from what it keeps,
// cosign from the trusted root that hallmark exports.
func TestOffline(t *testing.T) {
	lab := newLab(t)
	token := lab.token(t, "--email", alice)
	blob := lab.file(t, "blob", []byte("verified without a network\n"))
	for _, signs := range clients {
		lab.run(t, signs, "sign-blob", "--yes", "--identity-token", token, "--bundle", lab.dir+"/"+signs+".json", blob)
	}
	exported := lab.file(t, "trusted_root.json", trustedRootOf(t, lab.run(t, peers.Hallmark, "trust", "export")))
	if err := lab.Stop(); err != nil {
		t.Fatal(err)
	}
	for _, signs := range clients {
		asked := append(signer(alice, lab.Issuer()), "--bundle", lab.dir+"/"+signs+".json", blob)
		lab.run(t, words([]string{peers.Hallmark, "verify-blob"}, asked)...)
		for _, verifies := range clients {
			lab.run(t, words([]string{verifies, "verify-blob", "--trusted-root", exported}, asked)...)
		}
	}
}

// trustedRootOf is the trusted root inside what hallmark exports.
func trustedRootOf(t *testing.T, export string) []byte {
	t.Helper()
	var file struct{ TrustedRoot json.RawMessage }
	if err := json.Unmarshal([]byte(export), &file); err != nil || file.TrustedRoot == nil {
		t.Fatalf("an export without a trusted root: %v\n%s", err, export)
	}
	return file.TrustedRoot
}
