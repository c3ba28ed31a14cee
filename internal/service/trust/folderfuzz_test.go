// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// FuzzFolder: no folder, whatever its metadata, makes the readers of mirrors and
// caches panic.
func FuzzFolder(f *testing.F) {
	srv := newServer(f)
	root, ts := srv.repo.Root(), srv.get("/tuf/timestamp.json")
	sn, tg := srv.get("/tuf/1.snapshot.json"), srv.get("/tuf/1.targets.json")
	f.Add(root, ts, sn, tg)
	f.Add(root, []byte(`{"signed":{"_type":"timestamp","meta":{}}}`), sn, tg)
	f.Add([]byte(`{}`), []byte(`{"signed":{"_type":"timestamp","meta":{"snapshot.json":null}}}`), []byte(`{}`), []byte(`null`))
	f.Fuzz(func(t *testing.T, root, ts, sn, tg []byte) {
		dir := t.TempDir()
		for name, data := range map[string][]byte{"1.root.json": root, "timestamp.json": ts, "1.snapshot.json": sn, "1.targets.json": tg} {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_, _ = readFolder(dir) // an error is an answer
		c := &folder{files: map[string][]byte{tufRoot: root, tufTimestamp: ts, tufSnapshot: sn, tufTargets: tg}}
		_ = c.verify(func(string, *metadata.TargetFiles) ([]byte, error) { return publicGoodTrustedRoot, nil })
	})
}
