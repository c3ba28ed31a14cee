// SPDX-License-Identifier: Apache-2.0

package intoto

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hallmark/internal/format/digest"
)

const good = `{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"a","digest":{"sha256":"aa"}}],"predicateType":"p","predicate":{"x":[1, 2]}}`

func TestParse(t *testing.T) {
	got, err := Parse([]byte(`{
		"_type": "https://in-toto.io/Statement/v0.1",
		"subject": [
			{"name": "a", "digest": {"sha256": "AA", "gitCommit": "bb"}, "annotations": {"k": ["v", 1, null]}, "uri": "u"},
			{"digest": {"sha512": "cc"}, "name": null, "annotations": null}
		],
		"predicateType": "https://slsa.dev/provenance/v0.2",
		"predicate": {"big": 12345678901234567890.5, "A": 1, "a": 2},
		"extra": true
	}`))
	if err != nil {
		t.Fatal(err)
	}
	want := &Statement{
		Type: StatementV01,
		Subjects: []Subject{
			{Name: "a", Digests: map[string]string{"sha256": "AA", "gitCommit": "bb"}, Annotations: map[string]any{"k": []any{"v", 1.0, nil}}},
			{Digests: map[string]string{"sha512": "cc"}},
		},
		PredicateType: "https://slsa.dev/provenance/v0.2",
		Predicate:     json.RawMessage(`{"big": 12345678901234567890.5, "A": 1, "a": 2}`),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestPredicateMayBeAbsent(t *testing.T) {
	for _, in := range []string{strings.Replace(good, `,"predicate":{"x":[1, 2]}`, ``, 1), strings.Replace(good, `{"x":[1, 2]}`, `null`, 1)} {
		s, err := Parse([]byte(in))
		if err != nil || s.Predicate != nil {
			t.Errorf("%s: predicate %s, %v", in, s.Predicate, err)
		}
	}
}

func TestParseKeepsNoAlias(t *testing.T) {
	data := []byte(good)
	s, err := Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	clear(data)
	if string(s.Predicate) != `{"x":[1, 2]}` {
		t.Errorf("predicate changed to %q with the input", s.Predicate)
	}
}

func TestParseRefuses(t *testing.T) {
	replace := func(old, new string) string { return strings.Replace(good, old, new, 1) }
	var digests strings.Builder
	for i := range MaxDigests + 1 {
		fmt.Fprintf(&digests, `"d%d":"aa",`, i)
	}
	for name, tt := range map[string]struct{ in, want string }{
		"nothing":                      {``, "unexpected end"},
		"array":                        {`[]`, "expected an object"},
		"trailing data":                {good + `{}`, "after the end"},
		"no type":                      {replace(`"_type":"https://in-toto.io/Statement/v1",`, ``), "_type: missing"},
		"other type":                   {replace(`Statement/v1`, `Statement/v2`), "_type is"},
		"type as in Link":              {replace(`https://in-toto.io/Statement/v1`, `link`), "_type is"},
		"type in another case":         {replace(`"_type"`, `"_Type"`), "must be written"},
		"subject twice":                {replace(`{"_type"`, `{"subject":[],"_type"`), "occurs twice"},
		"subject in two cases":         {replace(`{"_type"`, `{"Subject":[],"_type"`), "must be written"},
		"name twice in predicate":      {replace(`"x":[1, 2]`, `"x":1,"x":2`), "occurs twice"},
		"no predicate type":            {replace(`"predicateType":"p",`, ``), "predicateType: missing"},
		"empty predicate type":         {replace(`"p"`, `""`), "predicateType is empty"},
		"predicate no object":          {replace(`{"x":[1, 2]}`, `"x"`), "predicate: expected an object"},
		"no subject":                   {replace(`"subject":`, `"other":`), "subject: missing"},
		"empty subject":                {replace(`[{"name":"a","digest":{"sha256":"aa"}}]`, `[]`), "subject is empty"},
		"subject no array":             {replace(`[{"name":"a","digest":{"sha256":"aa"}}]`, `{}`), "subject: expected an array"},
		"null subject":                 {replace(`{"name":"a","digest":{"sha256":"aa"}}`, `null`), "subject[0]: missing"},
		"no digest":                    {replace(`,"digest":{"sha256":"aa"}`, ``), "subject[0].digest is empty"},
		"empty digest":                 {replace(`{"sha256":"aa"}`, `{}`), "subject[0].digest is empty"},
		"empty value":                  {replace(`"aa"`, `""`), "empty algorithm or value"},
		"empty algorithm":              {replace(`"sha256"`, `""`), "empty algorithm or value"},
		"digest twice":                 {replace(`{"sha256":"aa"}`, `{"sha256":"aa","sha256":"bb"}`), "occurs twice"},
		"digest a number":              {replace(`"aa"`, `1`), "subject[0].digest: sha256: expected a string"},
		"too many digests":             {replace(`{"sha256"`, `{`+digests.String()+`"sha256"`), "more than"},
		"name a number":                {replace(`"a"`, `1`), "subject[0].name: expected a string"},
		"annotations no object":        {replace(`"name":"a"`, `"annotations":[]`), "subject[0].annotations: expected an object"},
		"digest in another case":       {replace(`"digest"`, `"Digest"`), "must be written"},
		"too many subjects":            {replace(`[{`, `[`+strings.Repeat(`{"digest":{"sha256":"aa"}},`, MaxSubjects)+`{`), "more than"},
		"larger than a payload can be": {strings.Repeat(" ", MaxSize+1), "larger than"},
	} {
		if _, err := Parse([]byte(tt.in)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error is %v: want one with %q", name, err, tt.want)
		}
	}
	for i := range good {
		if _, err := Parse([]byte(good[:i])); err == nil {
			t.Errorf("accepted the first %d bytes", i)
		}
	}
}

func TestMarshal(t *testing.T) {
	s := &Statement{
		Type:          StatementV1,
		Subjects:      []Subject{{Digests: map[string]string{"sha512": "b", "sha256": "a"}, Annotations: map[string]any{"k": "v", "a": 1.0}}, {Name: "é\"", Digests: map[string]string{"sha256": "c"}}},
		PredicateType: CosignSignV1,
	}
	want := `{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":"a","sha512":"b"},"annotations":{"a":1,"k":"v"}},{"name":"é\"","digest":{"sha256":"c"}}],"predicateType":"https://sigstore.dev/cosign/sign/v1","predicate":{}}`
	if got, err := s.Marshal(); err != nil || string(got) != want {
		t.Errorf("got  %s, %v\nwant %s", got, err, want)
	}
	for name, bad := range map[string]Statement{
		"no type":             {Subjects: s.Subjects, PredicateType: "p"},
		"no subject":          {Type: StatementV1, PredicateType: "p"},
		"no digest":           {Type: StatementV1, Subjects: []Subject{{Name: "n"}}, PredicateType: "p"},
		"no predicate type":   {Type: StatementV1, Subjects: s.Subjects},
		"broken predicate":    {Type: StatementV1, Subjects: s.Subjects, PredicateType: "p", Predicate: json.RawMessage(`{}}`)},
		"predicate no object": {Type: StatementV1, Subjects: s.Subjects, PredicateType: "p", Predicate: json.RawMessage(`[]`)},
		"name twice":          {Type: StatementV1, Subjects: s.Subjects, PredicateType: "p", Predicate: json.RawMessage(`{"a":1,"a":2}`)},
		"bad annotation":      {Type: StatementV1, Subjects: []Subject{{Digests: map[string]string{"a": "b"}, Annotations: map[string]any{"f": func() {}}}}, PredicateType: "p"},
	} {
		if out, err := bad.Marshal(); err == nil {
			t.Errorf("%s: wrote %s", name, out)
		}
	}
}

func TestHasSubject(t *testing.T) {
	d256, d512 := digest.Of(digest.SHA256, []byte("x")), digest.Of(digest.SHA512, []byte("x"))
	other := digest.Of(digest.SHA256, []byte("y"))
	s := &Statement{Subjects: []Subject{
		{Name: other.String(), Digests: map[string]string{"md5": "aa", "SHA256": other.Hex(), "sha1": other.Hex()}},
		{Digests: map[string]string{"sha256": strings.ToUpper(d256.Hex())}},
	}}
	for _, tt := range []struct {
		name string
		d    digest.Digest
		want bool
	}{
		{"second subject, upper case", d256, true},
		{"other algorithm", d512, false},
		{"only as a name or under another algorithm", other, false},
		{"zero", digest.Digest{}, false},
	} {
		if got := s.HasSubject(tt.d); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
	s.Subjects[1].Digests["sha256"] += "00"
	if s.HasSubject(d256) {
		t.Error("a longer value matches")
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		good, strings.Replace(good, "v1", "v0.1", 1), strings.Replace(good, `{"x":[1, 2]}`, `null`, 1),
		strings.Replace(good, `"name":"a"`, `"annotations":{"a":{"b":[null,1e9,"<"]}}`, 1), strings.Replace(good, `"_type"`, `"_TYPE"`, 1),
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Parse(data)
		if err != nil {
			return
		}
		s.HasSubject(digest.Of(digest.SHA256, data))
		out, err := s.Marshal()
		if err != nil {
			t.Fatalf("parsed but not written: %v", err)
		}
		back, err := Parse(out)
		if err != nil {
			t.Fatalf("written but not parsed: %v\n%s", err, out)
		}
		again, err := back.Marshal()
		if err != nil || string(again) != string(out) {
			t.Fatalf("%s is written again as %s, %v", out, again, err)
		}
	})
}
