// SPDX-License-Identifier: Apache-2.0

package digest

import (
	"bytes"
	"crypto"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	good := Of(SHA256, []byte("x")).String()
	for _, tc := range []struct {
		name, in, want string // want is part of the error, "" for none
	}{
		{"good", good, ""},
		{"sha512", Of(SHA512, nil).String(), ""},
		{"no algorithm", good[7:], "no algorithm"},
		{"upper case", "sha256:" + strings.ToUpper(good[7:]), "lower-case"},
		{"short", good[:len(good)-1], "64 lower-case hex digits"},
		{"not hex", good[:len(good)-1] + "g", "malformed"},
		{"sha1", "sha1:da39a3ee5e6b4b0d3255bfef95601890afd80709", "not supported"},
		{"empty", "", "no algorithm"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d, err := Parse(tc.in)
			if tc.want == "" {
				if err != nil || d.String() != tc.in {
					t.Fatalf("Parse(%q) = %v, %v", tc.in, d, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("Parse(%q) error %v, want it to say %q", tc.in, err, tc.want)
			}
		})
	}
}

func TestAlgorithmsAgreeWithTheStandardLibrary(t *testing.T) {
	for _, a := range []Algorithm{SHA256, SHA384, SHA512} {
		if a.Size() != a.Hash().Size() || a.New().Size() != a.Size() {
			t.Errorf("%s: sizes disagree", a)
		}
		for _, name := range []string{a.String(), a.Sigstore()} {
			if got, err := ParseAlgorithm(name); err != nil || got != a {
				t.Errorf("ParseAlgorithm(%q) = %v, %v", name, got, err)
			}
		}
		d, err := FromReader(a, strings.NewReader("abc"))
		if err != nil || d != Of(a, []byte("abc")) {
			t.Errorf("%s: FromReader and Of disagree", a)
		}
		if e, err := New(a, d.Bytes()); err != nil || e != d {
			t.Errorf("%s: New(Bytes()) = %v, %v", a, e, err)
		}
		if _, err := New(a, d.Bytes()[1:]); err == nil {
			t.Errorf("%s: a short sum was accepted", a)
		}
	}
	if Algorithm(0).Hash() != crypto.Hash(0) {
		t.Error("the zero Algorithm names a hash")
	}
	if _, err := New(0, nil); err == nil {
		t.Error("the zero Algorithm was accepted")
	}
}

func FuzzParse(f *testing.F) {
	f.Add(Of(SHA256, nil).String())
	f.Add("sha512:00")
	f.Add("sha256")
	f.Fuzz(func(t *testing.T, s string) {
		d, err := Parse(s)
		if err != nil {
			return
		}
		// sha2 enum names are accepted, so compare values rather than text.
		again, err := New(d.Algorithm(), d.Bytes())
		if err != nil || again != d || !bytes.Equal(again.Bytes(), d.Bytes()) {
			t.Fatalf("%q does not round trip", s)
		}
	})
}
