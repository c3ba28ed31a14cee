// SPDX-License-Identifier: Apache-2.0

package bundle

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// refused names the bad bundles of the conformance suite that fail here already,
// and why; what is wrong with the others takes a verifier to see.
var refused = map[string]string{
	"bundle-empty-certificate-chain_fail":  "checkpoint is missing",
	"bundle-invalid-base64-signature_fail": "messageSignature.signature: string is not base64",
	"bundle-negative-log-index_fail":       "logIndex is -1",
	"bundle-with-root-cert_fail":           "checkpoint is missing",
	"rekor2-no-inclusion-proof_fail":       "inclusionProof is missing",
}

func TestConformanceBundles(t *testing.T) {
	root := os.Getenv("HALLMARK_CONFORMANCE")
	if root == "" {
		root = filepath.Join("..", "..", "..", "..", "shared", "conformance")
		if _, err := os.Stat(root); err != nil {
			t.Skip("no conformance vectors: set HALLMARK_CONFORMANCE to their folder")
		}
	}
	files, _ := filepath.Glob(filepath.Join(root, "bundle-verify", "*", "bundle.sigstore.json"))
	if len(files) == 0 {
		t.Fatalf("%s holds no bundle-verify/*/bundle.sigstore.json", root)
	}
	versions := make(map[Version]int)
	for _, file := range files {
		name := filepath.Base(filepath.Dir(file))
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		b, err := Parse(data)
		if want, bad := refused[name]; bad {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error is %v: want one with %q", name, err, want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		versions[b.Version]++
		if b.HasKeyHint != strings.HasPrefix(name, "managed-key") || (b.Envelope != nil) != (strings.Contains(name, "dsse") || strings.Contains(name, "intoto")) {
			t.Errorf("%s: key hint %v, envelope %v", name, b.HasKeyHint, b.Envelope != nil)
		}
		out, err := b.Marshal()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		back, err := Parse(out)
		if err != nil {
			t.Errorf("%s: written but not parsed: %v", name, err)
			continue
		}
		if again, err := back.Marshal(); err != nil || !bytes.Equal(again, out) || !bytes.Equal(back.Signature(), b.Signature()) {
			t.Errorf("%s: changed by a round trip: %v", name, err)
		}
		for i := 0; i < len(data); i += 1 + len(data)/100 {
			if _, err := Parse(bytes.TrimSpace(data)[:min(i, len(bytes.TrimSpace(data))-1)]); err == nil {
				t.Errorf("%s: accepted the first %d bytes", name, i)
			}
		}
	}
	for _, v := range []Version{V01, V02, V03} {
		if versions[v] == 0 {
			t.Errorf("no vector of version %s", v)
		}
	}
}
