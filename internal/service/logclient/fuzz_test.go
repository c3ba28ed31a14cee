// SPDX-License-Identifier: Apache-2.0

package logclient

import (
	"testing"

	"hallmark/internal/format/logentry"
	"hallmark/internal/service/trust"
)

// Whatever a server answers, nothing unproven comes out and nothing panics.
func FuzzSearch(f *testing.F) {
	root, err := trust.New(f.TempDir(), trust.Deps{}).Load(trust.PublicGood)
	if err != nil {
		f.Fatal(err)
	}
	c, err := New(Config{Search: "https://log.example.com", Root: root.Root})
	if err != nil {
		f.Fatal(err)
	}
	e := logentry.Entry{
		LogIndex: 1, LogID: root.Root.Logs[0].ID, Kind: "hashedrekord", Version: "0.0.2", Body: []byte(`{}`),
		Proof: &logentry.InclusionProof{LogIndex: 1, TreeSize: 2, RootHash: make([]byte, 32), Hashes: [][]byte{make([]byte, 32)}, Checkpoint: "log.example.com\n2\n"},
	}
	raw, err := e.Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(`{"checkpoint":"x","entries":[` + string(raw) + `],"bundles":[],"next":"1"}`))
	f.Add([]byte(`{"entries":[],"bundles":[{"logIndex":"1","bundle":{}}],"next":"7"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		answer := &Answer{}
		if _, err := c.takePage(answer, data, Query{Identity: "x"}, -1); err == nil && len(answer.Entries) > 0 {
			t.Errorf("believed %s", data)
		}
	})
}
