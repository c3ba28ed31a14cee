// SPDX-License-Identifier: Apache-2.0

package logentry

import (
	"bytes"
	"encoding/hex"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
)

func pemDER(t testing.TB, text string) []byte {
	t.Helper()
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		t.Fatal("not PEM")
	}
	return block.Bytes
}

// entry is a valid one with everything set.
func entry() *Entry {
	hash := bytes.Repeat([]byte{7}, 32)
	return &Entry{
		LogIndex: 735, LogID: hash, Kind: "hashedrekord", Version: "0.0.1", IntegratedTime: 1689177396, SET: []byte("set"), Body: []byte(`{"a":1}`),
		Proof: &InclusionProof{LogIndex: 5, TreeSize: 6, RootHash: hash, Hashes: [][]byte{hash, hash}, Checkpoint: "log.example\n6\nAAAA=\n\n— log.example \"AAAA\n"},
	}
}

func TestMarshal(t *testing.T) {
	v2 := entry()
	v2.Version, v2.IntegratedTime, v2.SET, v2.Proof.Hashes = "0.0.2", 0, nil, nil
	unproven := entry()
	unproven.Proof = nil
	for name, e := range map[string]*Entry{"v1": entry(), "v2": v2, "only promised": unproven} {
		got, err := e.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		want, err := (protojson.MarshalOptions{EmitUnpopulated: true}).Marshal(e.ToProto())
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, compact(t, want)) {
			t.Errorf("%s:\ngot  %s\nwant %s", name, got, compact(t, want))
		}
		back, err := Parse(got)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if back.Proof != nil && len(back.Proof.Hashes) == 0 {
			back.Proof.Hashes = nil
		}
		if diff := cmp.Diff(e, back); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", name, diff)
		}
	}
}

func TestInvariants(t *testing.T) {
	long := func(n int) []byte { return bytes.Repeat([]byte{1}, n) }
	for name, tt := range map[string]struct {
		break_ func(*Entry)
		want   string
	}{
		"negative index":       {func(e *Entry) { e.LogIndex = -1 }, "logIndex is -1"},
		"huge index":           {func(e *Entry) { e.LogIndex = MaxNumber + 1 }, "logIndex is"},
		"negative time":        {func(e *Entry) { e.IntegratedTime = -1 }, "integratedTime is -1"},
		"huge time":            {func(e *Entry) { e.IntegratedTime = MaxNumber + 1 }, "integratedTime is"},
		"no log id":            {func(e *Entry) { e.LogID = nil }, "logId.keyId is missing"},
		"long log id":          {func(e *Entry) { e.LogID = long(MaxLogID + 1) }, "logId.keyId is longer"},
		"no kind":              {func(e *Entry) { e.Kind = "" }, "kindVersion is missing"},
		"no version":           {func(e *Entry) { e.Version = "" }, "kindVersion is missing"},
		"long kind":            {func(e *Entry) { e.Kind = strings.Repeat("k", MaxKind+1) }, "kindVersion is longer"},
		"long SET":             {func(e *Entry) { e.SET = long(MaxSET + 1) }, "signedEntryTimestamp is longer"},
		"no body":              {func(e *Entry) { e.Body = nil }, "canonicalizedBody is missing"},
		"large body":           {func(e *Entry) { e.Body = long(MaxBody + 1) }, "too large"},
		"large v2 body":        {func(e *Entry) { e.Version, e.Body = "0.0.2", long(MaxBodyV2+1) }, "too large"},
		"empty tree":           {func(e *Entry) { e.Proof.TreeSize = 0 }, "inclusionProof.treeSize is 0"},
		"huge tree":            {func(e *Entry) { e.Proof.TreeSize = MaxNumber + 1 }, "inclusionProof.treeSize is"},
		"negative proof index": {func(e *Entry) { e.Proof.LogIndex = -1 }, "inclusionProof.logIndex is -1"},
		"index past the tree":  {func(e *Entry) { e.Proof.LogIndex = 6 }, "inclusionProof.logIndex is 6"},
		"short root":           {func(e *Entry) { e.Proof.RootHash = long(31) }, "rootHash is 31"},
		"no root":              {func(e *Entry) { e.Proof.RootHash = nil }, "rootHash is 0"},
		"too many hashes":      {func(e *Entry) { e.Proof.Hashes = make([][]byte, MaxHashes+1) }, "hashes has 65"},
		"short hash":           {func(e *Entry) { e.Proof.Hashes[1] = long(20) }, "hashes[1] is 20"},
		"no checkpoint":        {func(e *Entry) { e.Proof.Checkpoint = "" }, "checkpoint is missing"},
		"long checkpoint":      {func(e *Entry) { e.Proof.Checkpoint = string(long(MaxCheckpoint + 1)) }, "checkpoint is longer"},
	} {
		e := entry()
		if err := e.Validate(); err != nil {
			t.Fatal(err)
		}
		tt.break_(e)
		err := e.Validate()
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error is %v: want one with %q", name, err, tt.want)
		}
		if _, err := e.Marshal(); err == nil {
			t.Errorf("%s: was written", name)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	out, err := entry().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	good := string(out)
	replace := func(old, new string) string { return strings.Replace(good, old, new, 1) }
	for name, in := range map[string]string{
		"nothing":             "",
		"null":                "null",
		"empty":               "{}",
		"array":               "[]",
		"trailing data":       good + good,
		"unknown field":       replace(`{`, `{"x":1,`),
		"field twice":         replace(`{`, `{"logIndex":"1",`),
		"field in both names": replace(`{`, `{"log_index":"1",`),
		"field in other case": replace(`"logIndex"`, `"LogIndex"`),
		"null log id":         replace(`"logId":{"keyId":"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc="}`, `"logId":null`),
		"null kind":           replace(`{"kind":"hashedrekord","version":"0.0.1"}`, `null`),
		"bad base64":          replace(`BwcH`, `!!!!`),
		"index no number":     replace(`"735"`, `"x"`),
		"invalid UTF-8":       replace(`log.example`, "\xff"),
		"too large":           strings.Repeat(" ", MaxSize+1),
	} {
		if e, err := Parse([]byte(in)); err == nil {
			t.Errorf("%s: parsed as %+v", name, e)
		}
	}
	for i := range good {
		if _, err := Parse([]byte(good[:i])); err == nil {
			t.Errorf("accepted the first %d bytes", i)
		}
	}
	if _, err := Parse([]byte(replace(`"logIndex":"735"`, `"log_index":735`))); err != nil {
		t.Errorf("snake case and bare numbers: %v", err)
	}
}

func TestSETPayload(t *testing.T) {
	e := &Entry{LogIndex: 12, LogID: []byte{0xab, 0xcd}, IntegratedTime: 34, Body: []byte("{}")}
	if got, want := string(SETPayload(e)), `{"body":"e30=","integratedTime":34,"logID":"abcd","logIndex":12}`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestLeafHash(t *testing.T) {
	// The empty leaf of RFC 6962's reference implementation.
	if got := LeafHash(nil); hex.EncodeToString(got[:]) != "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d" {
		t.Errorf("empty leaf: %x", got)
	}
	if LeafHash([]byte("a")) == LeafHash([]byte("b")) {
		t.Error("two leaves have one hash")
	}
}

func FuzzParse(f *testing.F) {
	out, err := entry().Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(out)
	f.Add([]byte(strings.Replace(string(out), "0.0.1", "0.0.2", 1)))
	f.Add([]byte(`{"log_index":"1","kindVersion":{"kind":"k"},"inclusionProof":{"hashes":[null]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := Parse(data)
		if err != nil {
			return
		}
		body(e)
		SETPayload(e)
		out, err := e.Marshal()
		if err != nil {
			t.Fatalf("parsed but not written: %v", err)
		}
		back, err := Parse(out)
		if err != nil {
			t.Fatalf("written but not parsed: %v", err)
		}
		if again, _ := back.Marshal(); !bytes.Equal(again, out) {
			t.Fatalf("%s is written again as %s", out, again)
		}
	})
}
