// SPDX-License-Identifier: Apache-2.0

package checkpoint_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"hallmark/internal/format/checkpoint"
	"hallmark/internal/format/trustroot"
)

// sharedDir is the folder of shared test data: beside the project, or above the
// folder that HALLMARK_CONFORMANCE names. It skips the test where the folder is
// absent and nothing demands it.
func sharedDir(t *testing.T) string {
	t.Helper()
	dir := filepath.Join("..", "..", "..", "..", "shared")
	env := os.Getenv("HALLMARK_CONFORMANCE")
	if env != "" {
		dir = filepath.Dir(filepath.Clean(env))
	}
	if _, err := os.Stat(filepath.Join(dir, "conformance")); err != nil {
		if env != "" {
			t.Fatalf("HALLMARK_CONFORMANCE=%s: %v", env, err)
		}
		t.Skip("no ../shared folder beside the project")
	}
	return dir
}

// A vector is the checkpoint of one conformance case.
type vector struct {
	name     string
	envelope string
	logID    []byte
	root     *trustroot.Root
}

func vectors(t *testing.T) map[string]vector {
	t.Helper()
	dir := sharedDir(t)
	bundles, err := filepath.Glob(filepath.Join(dir, "conformance", "bundle-verify", "*", "bundle.sigstore.json"))
	if err != nil || len(bundles) == 0 {
		t.Fatalf("no conformance bundles in %s: %v", dir, err)
	}
	out := map[string]vector{}
	for _, path := range bundles {
		var b struct {
			VerificationMaterial struct {
				TlogEntries []struct {
					LogID          struct{ KeyID []byte }
					InclusionProof struct{ Checkpoint struct{ Envelope string } }
				}
			}
		}
		if err := json.Unmarshal(readFile(t, path), &b); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		for _, e := range b.VerificationMaterial.TlogEntries {
			if e.InclusionProof.Checkpoint.Envelope == "" {
				continue
			}
			rootPath := filepath.Join(filepath.Dir(path), "trusted_root.json")
			if _, err := os.Stat(rootPath); err != nil {
				rootPath = filepath.Join(dir, "public-good", "trusted_root.json")
			}
			name := filepath.Base(filepath.Dir(path))
			out[name] = vector{name, e.InclusionProof.Checkpoint.Envelope, e.LogID.KeyID, parseRoot(t, rootPath)}
		}
	}
	return out
}

func parseRoot(t *testing.T, path string) *trustroot.Root {
	t.Helper()
	root, err := trustroot.Parse(readFile(t, path))
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return root
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestConformanceCheckpoints(t *testing.T) {
	unreadable := map[string]bool{
		"rekor2-checkpoint-missing-root-hash_fail":     true,
		"rekor2-checkpoint-missing-log-signature_fail": true,
	}
	v1, v2, cosigned := 0, 0, 0
	for name, v := range vectors(t) {
		c, err := checkpoint.Parse([]byte(v.envelope))
		if unreadable[name] {
			if err == nil {
				t.Errorf("%s: parsed", name)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		log := v.root.LogByID(v.logID)
		if log == nil {
			t.Errorf("%s: log not in the root", name)
			continue
		}
		host, _, isV1 := c.TreeID()
		switch {
		case name == "checkpoint-bad-keyhint_fail":
			if c.VerifiedBy(log.Origin(), log.Key) == nil || c.VerifiedByKey(log.Key) == nil {
				t.Errorf("%s: verified", name)
			}
		case isV1:
			v1++
			if err := c.VerifiedByKey(log.Key); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if err := c.VerifiedBy(host, log.Key); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		default:
			v2++
			if len(c.Signatures) > 1 {
				cosigned++
			}
			if err := c.VerifiedBy(log.Origin(), log.Key); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if err := c.VerifiedByKey(log.Key); err == nil {
				t.Errorf("%s: a Rekor v2 checkpoint verifies without the log's name", name)
			}
		}
		for _, other := range v.root.Logs {
			if string(other.ID) != string(v.logID) && (c.VerifiedBy(host, other.Key) == nil || c.VerifiedBy(other.Origin(), other.Key) == nil) {
				t.Errorf("%s: verifies with the key of %s", name, other.BaseURL)
			}
		}
	}
	if v1 < 5 || v2 < 5 || cosigned < 1 {
		t.Errorf("%d Rekor v1, %d Rekor v2 and %d cosigned checkpoints verified; expected at least 5, 5 and 1", v1, v2, cosigned)
	}
}

func TestConformanceLogIDs(t *testing.T) {
	roots := []string{filepath.Join(sharedDir(t), "public-good", "trusted_root.json")}
	more, err := filepath.Glob(filepath.Join(sharedDir(t), "conformance", "bundle-verify", "*", "trusted_root.json"))
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, path := range append(roots, more...) {
		for _, log := range parseRoot(t, path).Logs {
			id, err := checkpoint.LogID(log.Origin(), log.Key)
			if err != nil {
				t.Errorf("%s: %s: %v", path, log.BaseURL, err)
			} else if string(id[:]) != string(log.ID) {
				t.Errorf("%s: %s: LogID() = %x; the root has %x", path, log.BaseURL, id, log.ID)
			}
			checked++
		}
	}
	if checked < 10 {
		t.Errorf("only %d logs checked", checked)
	}
}
