// SPDX-License-Identifier: Apache-2.0

package interop

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"testing"

	"hallmark/test/interop/internal/peers"
)

// TestDuplicateEntry logs one entry twice: an RSA key signs a file the same
// way every time, so that cosign submits the same entry. The log answers with
// the entry that it has, cosign makes a bundle of it again, and both clients
// accept both bundles.
func TestDuplicateEntry(t *testing.T) {
	lab := newLab(t, "--log-accept", "keys")
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	private := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	lab.run(t, peers.Cosign, "import-key-pair", "--key", lab.file(t, "rsa.pem", private), "--output-key-prefix", lab.dir+"/key")
	blob := lab.file(t, "blob", []byte("signed twice\n"))

	var logged []string
	for _, bundle := range []string{lab.dir + "/first.json", lab.dir + "/second.json"} {
		lab.run(t, peers.Cosign, "sign-blob", "--yes", "--key", lab.dir+"/key.key", "--bundle", bundle, blob)
		logged = append(logged, logIndex(t, bundle))
		for _, verifies := range clients {
			lab.run(t, verifies, "verify-blob", "--key", lab.dir+"/key.pub", "--bundle", bundle, blob)
		}
	}
	if logged[0] != logged[1] {
		t.Errorf("the same entry was logged at %s and at %s", logged[0], logged[1])
	}
}

// logIndex is where a bundle says that it is logged.
func logIndex(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var bundle struct {
		VerificationMaterial struct {
			TlogEntries []struct{ LogIndex string }
		}
	}
	if err := json.Unmarshal(data, &bundle); err != nil || len(bundle.VerificationMaterial.TlogEntries) != 1 {
		t.Fatalf("%s has not one log entry: %v\n%s", path, err, data)
	}
	return bundle.VerificationMaterial.TlogEntries[0].LogIndex
}
