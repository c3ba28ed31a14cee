// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"hallmark/internal/format/bundle"
	"hallmark/internal/judge/verify"
)

// sample is a bundle that verifies, as JSON, with how to verify it.
type sample struct {
	name     string
	json     []byte
	check    func(b *bundle.Bundle) (*verify.Verified, error)
	original *verify.Verified
}

func samples(tb testing.TB) []sample {
	tb.Helper()
	in := newInstance(tb)
	var all []sample
	for _, kind := range []struct {
		name string
		vary func(*setup)
	}{
		{"message", func(*setup) {}},
		{"statement", (*setup).attest},
		{"v1 message", (*setup).v1Message},
		{"v1 envelope", (*setup).v1Envelope},
		{"v1 intoto 0.0.1", (*setup).v1Intoto1},
		{"v1 intoto with a token", func(s *setup) { s.attest(); s.inV1("intoto") }},
	} {
		s := newSetup(in)
		kind.vary(s)
		b := in.sign(s.recipe)
		data, err := b.Marshal()
		in.ok(err)
		id, err := verify.NewIdentity(s.identity)
		in.ok(err)
		s.policy.Identities = []verify.Identity{id}
		check := func(b *bundle.Bundle) (*verify.Verified, error) {
			return verify.Check(b, s.artifact, s.root, s.policy)
		}
		original, err := check(b)
		in.ok(err)
		all = append(all, sample{kind.name, data, check, original})
	}
	return all
}

// judge verifies data; what it accepts has to mean what the original means:
// the same signer, artifact and statement, and no evidence that the original
// did not have. It reports whether data was accepted.
func (s sample) judge(tb testing.TB, data []byte) bool {
	tb.Helper()
	b, err := bundle.Parse(data)
	if err != nil {
		return false
	}
	v, err := s.check(b)
	if err != nil {
		if codeOf(err) == "" {
			tb.Errorf("refused without a code: %v", err)
		}
		return false
	}
	switch {
	case !v.Signer().Certificate.Equal(s.original.Signer().Certificate):
		tb.Error("accepted for another signer")
	case v.Subject() != s.original.Subject():
		tb.Error("accepted for another artifact")
	case !reflect.DeepEqual(v.Statement(), s.original.Statement()):
		tb.Error("accepted with another statement")
	}
	for _, t := range v.Times() {
		if !slices.Contains(s.original.Times(), t) {
			tb.Errorf("accepted for another time, %v", t)
		}
	}
	for _, e := range v.Entries() {
		if !slices.ContainsFunc(s.original.Entries(), func(o verify.LoggedEntry) bool {
			return o.Origin == e.Origin && o.LogIndex == e.LogIndex && bytes.Equal(o.Body, e.Body)
		}) {
			tb.Errorf("accepted with another log entry, %d of %s", e.LogIndex, e.Origin)
		}
	}
	return true
}

// indifferent lists the fields that may be changed without harm, as the
// formats have it: nothing is derived from them, or a shorter bundle still
// meets the policy.
var indifferent = map[string][]string{
	"v1 intoto with a token": {
		"verificationMaterial.timestampVerificationData",
		"verificationMaterial.timestampVerificationData.rfc3161Timestamps",
		"verificationMaterial.tlogEntries[0].inclusionPromise",
		"verificationMaterial.tlogEntries[0].inclusionPromise.signedEntryTimestamp",
	},
}

// TestEveryFieldMatters changes, empties and removes every field of a bundle,
// one at a time. Only the indifferent ones may go unnoticed.
func TestEveryFieldMatters(t *testing.T) {
	for _, s := range samples(t) {
		t.Run(s.name, func(t *testing.T) {
			mutants := 0
			same, err := bundle.Parse(s.json)
			if err != nil {
				t.Fatal(err)
			}
			accepted := make(map[string]bool)
			mutate(t, s.json, func(path string, data []byte) {
				mutants++
				if b, err := bundle.Parse(data); err != nil || reflect.DeepEqual(b, same) {
					return // base64 may be written with and without padding
				}
				if s.judge(t, data) {
					accepted[path] = true
				}
			})
			if mutants < 100 {
				t.Errorf("only %d mutants: the test does not see the bundle", mutants)
			}
			harmless := indifferent[s.name]
			for _, path := range slices.Sorted(maps.Keys(accepted)) {
				if !slices.Contains(harmless, path) {
					t.Errorf("a change of %s went unnoticed", path)
				}
			}
			for _, path := range harmless {
				if !accepted[path] {
					t.Errorf("no change of %s was accepted; it is not indifferent", path)
				}
			}
		})
	}
}

// mutate calls try with every variation of doc that differs in one place.
func mutate(t *testing.T, doc []byte, try func(path string, data []byte)) {
	var root any
	if err := json.Unmarshal(doc, &root); err != nil {
		t.Fatal(err)
	}
	again := func(path string) {
		data, err := json.Marshal(root)
		if err != nil {
			t.Fatal(err)
		}
		try(path, data)
	}
	var walk func(path string, v any, set func(any))
	walk = func(path string, v any, set func(any)) {
		switch v := v.(type) {
		case map[string]any:
			for _, name := range slices.Sorted(maps.Keys(v)) {
				child := strings.TrimPrefix(path+"."+name, ".")
				value := v[name]
				delete(v, name)
				again(child)
				v[name] = nil
				again(child)
				v[name] = value
				walk(child, value, func(x any) { v[name] = x })
			}
		case []any:
			set(append(slices.Clone(v), v...))
			again(path)
			set([]any{})
			again(path)
			set(v)
			for i, value := range v {
				walk(fmt.Sprintf("%s[%d]", path, i), value, func(x any) { v[i] = x })
			}
		case string:
			for _, x := range variations(v) {
				set(x)
				again(path)
			}
			set(v)
		}
	}
	walk("", root, func(any) {})
}

// variations of a string: as bytes in base64, as a number, as text.
func variations(s string) []string {
	all := []string{"", s + "A", s + s, "A"}
	if raw, err := base64.StdEncoding.DecodeString(s); err == nil && len(raw) > 0 {
		for _, at := range []int{0, len(raw) / 3, len(raw) / 2, len(raw) - 1} {
			b := bytes.Clone(raw)
			b[at] ^= 4
			all = append(all, base64.StdEncoding.EncodeToString(b))
		}
		all = append(all, base64.StdEncoding.EncodeToString(raw[:len(raw)-1]), base64.StdEncoding.EncodeToString(append(bytes.Clone(raw), 0)))
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		for _, x := range []int64{n + 1, n - 1, n * 2, -n, 1<<63 - 1, 0} {
			all = append(all, strconv.FormatInt(x, 10))
		}
	}
	for _, at := range []int{0, len(s) / 2, len(s) - 1} {
		if at >= 0 && at < len(s) {
			all = append(all, s[:at]+"\u00e9"+s[at+1:], s[:at]+s[at+1:])
		}
	}
	return all
}

// FuzzCheck: no change of bundle JSON makes Check panic, and none is accepted
// that changes what the bundle means. Inputs are two splices into one of the
// samples, so that they mean the same in every process although keys differ.
func FuzzCheck(f *testing.F) {
	known := samples(f)
	for i := range known {
		f.Add(uint8(i), uint32(0), uint16(0), "", uint32(0), uint16(0), "")
		f.Add(uint8(i), uint32(100), uint16(1), "x", uint32(900), uint16(4), "AAAA")
		f.Add(uint8(i), uint32(1), uint16(0), `"x":1,`, uint32(2000), uint16(40), "")
		for _, name := range []string{`"hashes":[`, `"logIndex":"`, `"keyid"`, `"sig":"`, `"checkpoint":{"envelope":"`} {
			if at := bytes.Index(known[i].json, []byte(name)); at >= 0 {
				f.Add(uint8(i), uint32(at+len(name)), uint16(0), "1", uint32(0), uint16(0), "")
			}
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, at uint32, cut uint16, put string, at2 uint32, cut2 uint16, put2 string) {
		s := known[int(which)%len(known)]
		s.judge(t, splice(splice(s.json, at, cut, put), at2, cut2, put2))
	})
}

// splice replaces cut bytes at a place by put.
func splice(data []byte, at uint32, cut uint16, put string) []byte {
	from := int(at) % (len(data) + 1)
	to := min(from+int(cut), len(data))
	return slices.Concat(data[:from], []byte(put), data[to:])
}
