// SPDX-License-Identifier: Apache-2.0

package strictjson

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func TestParseRefuses(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"nothing", "", "unexpected end"},
		{"white space", " \n", "unexpected end"},
		{"trailing value", `{} {}`, "after the end"},
		{"trailing comma", `[1,]`, "expected a value"},
		{"byte order mark", "\ufeff{}", "expected a value"},
		{"name twice", `{"a":1,"b":2,"a":3}`, `"a" occurs twice`},
		{"name twice, once escaped", `{"a":1,"\u0061":3}`, `"a" occurs twice`},
		{"name twice, deep", `[{"x":{"k":1,"k":1}}]`, `"k" occurs twice`},
		{"name twice among many", manyMembers(40, `,"k39":0`), `"k39" occurs twice`},
		{"name twice among many, early", manyMembers(40, `,"k0":0`), `"k0" occurs twice`},
		{"invalid UTF-8", "\"\xff\"", "UTF-8"},
		{"overlong UTF-8", "\"\xc0\x80\"", "UTF-8"},
		{"surrogate in UTF-8", "\"\xed\xa0\x80\"", "UTF-8"},
		{"lone high surrogate", `"\ud800"`, "lone surrogate"},
		{"lone low surrogate", `"\udc00"`, "lone surrogate"},
		{"two high surrogates", `"\ud800\ud800"`, "lone surrogate"},
		{"control character", "\"a\nb\"", "control character"},
		{"unknown escape", `"\x41"`, "unknown escape"},
		{"short escape", `"\u12"`, "four hex digits"},
		{"end in escape", `"\`, "unknown escape"},
		{"open string", `"abc`, "unexpected end"},
		{"leading zero", `01`, "after the end"},
		{"plus sign", `+1`, "expected a value"},
		{"no fraction", `1.`, "malformed number"},
		{"no exponent", `1e+`, "malformed number"},
		{"only minus", `-`, "malformed number"},
		{"NaN", `NaN`, "expected a value"},
		{"half a word", `tru`, "expected a value"},
		{"open object", `{"a":1`, "expected , or }"},
		{"no colon", `{"a" 1}`, "expected :"},
		{"name is no string", `{1:1}`, "expected a name"},
		{"trailing comma in object", `{"a":1,}`, "expected a name"},
		{"open array", `[1`, "expected , or ]"},
		{"comment", `{/**/}`, "expected a name"},
		{"too deep", strings.Repeat("[", MaxDepth+1) + strings.Repeat("]", MaxDepth+1), "nested more than"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse([]byte(tt.in))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %v: want one with %q", err, tt.want)
			}
		})
	}
}

func manyMembers(n int, more string) string {
	var b strings.Builder
	b.WriteString(`{"k0":0`)
	for i := 1; i < n; i++ {
		fmt.Fprintf(&b, `,"k%d":0`, i)
	}
	return b.String() + more + "}"
}

func TestParseAccepts(t *testing.T) {
	for _, in := range []string{
		`null`, `true`, `false`, `0`, `-0`, `-12.5e-3`, `1E9`, `""`, `{}`, `[]`, " [ 1 , 2 ]\n", `{"a":{"a":{"a":[]}}}`,
		`[{"a":1},{"a":1}]`, `{"a":1,"A":2}`, `"\ud83d\ude00\u0000\/"`, manyMembers(1000, ""),
		strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth),
	} {
		v, err := Parse([]byte(in))
		if err != nil {
			t.Errorf("%.60s: %v", in, err)
			continue
		}
		if got, want := string(v.Raw()), strings.TrimSpace(in); got != want {
			t.Errorf("Raw is %.60s: want %.60s", got, want)
		}
	}
}

func parse(t *testing.T, in string) Value {
	t.Helper()
	v, err := Parse([]byte(in))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestMembers(t *testing.T) {
	v := parse(t, ` { "a" : "x\"}]" , "b" : [ { "c" : "\\" } , 2 ] , "n" : null, "\u0063" : true } `)
	m, err := v.Open("a", "b", "c", "n", "absent")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"a": `"x\"}]"`, "b": `[ { "c" : "\\" } , 2 ]`, "c": `true`} {
		if got, ok := m.Get(name); !ok || string(got.Raw()) != want {
			t.Errorf("%s is %s, %v: want %s", name, got.Raw(), ok, want)
		}
	}
	for _, name := range []string{"n", "absent", "other"} {
		if got, ok := m.Get(name); ok || got.Kind() != Null {
			t.Errorf("%s is %s, %v: want none", name, got.Raw(), ok)
		}
	}
	if _, err := v.Open("a"); err != nil {
		t.Errorf("unknown fields: %v", err)
	}
	if _, err := v.Closed("a", "b", "n"); err == nil || !strings.Contains(err.Error(), `unknown field "c"`) {
		t.Errorf("Closed with unknown field: %v", err)
	}
	for _, known := range []string{"A", "B"} {
		if _, err := v.Open(known); err == nil || !strings.Contains(err.Error(), "must be written") {
			t.Errorf("Open(%s) with another case: %v", known, err)
		}
	}
	// The long s and the Kelvin sign fold to ASCII letters in encoding/json.
	if _, err := parse(t, `{"\u017fig":1}`).Open("sig"); err == nil {
		t.Error("long s passed")
	}
	if _, err := parse(t, `[]`).Open("a"); err == nil {
		t.Error("opened an array")
	}
}

func TestMapAndElementsAreCapped(t *testing.T) {
	v := parse(t, `{"a":1,"b":2,"c":3}`)
	var names []string
	each := func(name string, _ Value) error { names = append(names, name); return nil }
	if err := v.Map(3, each); err != nil || strings.Join(names, "") != "abc" {
		t.Errorf("Map gave %v, %v", names, err)
	}
	if err := v.Map(2, each); err == nil {
		t.Error("Map went above its limit")
	}
	v = parse(t, `[ "a" ,{}, [ ]]`)
	if e, err := v.Elements(3); err != nil || len(e) != 3 || string(e[2].Raw()) != "[ ]" {
		t.Errorf("Elements gave %v, %v", e, err)
	}
	if _, err := v.Elements(2); err == nil {
		t.Error("Elements went above its limit")
	}
}

func TestScalars(t *testing.T) {
	if s, err := parse(t, `"\b\f\n\r\t\"\\\/\u00e9\ud83d\ude00é"`).Text(); err != nil || s != "\b\f\n\r\t\"\\/é😀é" {
		t.Errorf("Text gave %q, %v", s, err)
	}
	if n, err := parse(t, `-9223372036854775808`).Int64(); err != nil || n != -1<<63 {
		t.Errorf("Int64 gave %d, %v", n, err)
	}
	for _, in := range []string{`9223372036854775808`, `1.0`, `1e3`, `"1"`, `null`} {
		if n, err := parse(t, in).Int64(); err == nil {
			t.Errorf("Int64 of %s is %d: want an error", in, n)
		}
	}
	for _, in := range []string{`1`, `null`, `{}`} {
		if s, err := parse(t, in).Text(); err == nil {
			t.Errorf("Text of %s is %q: want an error", in, s)
		}
	}
	if _, err := (Value{}).Text(); err == nil || !strings.Contains(err.Error(), "missing") {
		t.Errorf("Text of nothing: %v", err)
	}
}

func TestBase64(t *testing.T) {
	for in, want := range map[string]string{
		``: "", `QQ==`: "A", `QQ`: "A", `+/8=`: "\xfb\xff", `-_8=`: "\xfb\xff", `-_8`: "\xfb\xff", `\u0051Q==`: "A", `\/\/\/\/`: "\xff\xff\xff",
	} {
		got, err := parse(t, `"`+in+`"`).Base64()
		if err != nil || string(got) != want {
			t.Errorf("%s decodes to %q, %v: want %q", in, got, err, want)
		}
	}
	for _, in := range []string{`"QQ="`, `"Q"`, `"QR=="`, `"QQ==\n"`, `"Q\r\nQ=="`, `"+_8="`, `"QQ==QQ=="`, `" QQ=="`, `5`, `null`} {
		if got, err := parse(t, in).Base64(); err == nil {
			t.Errorf("%s decodes to %q: want an error", in, got)
		}
	}
}

func TestAppendString(t *testing.T) {
	for in, want := range map[string]string{
		"":            `""`,
		"a\"b\\c/d":   `"a\"b\\c/d"`,
		"\b\f\n\r\t":  `"\b\f\n\r\t"`,
		"\x00\x1f":    `"\u0000\u001f"`,
		"<>&\u2028é—": "\"<>&\u2028é—\"",
		"a\xffb":      "\"a\ufffdb\"",
	} {
		if got := string(AppendString(nil, in)); got != want {
			t.Errorf("%q is written %s: want %s", in, got, want)
		}
	}
}

// walk uses every accessor on v; none may panic.
func walk(t *testing.T, v Value) {
	v.Int64()
	v.Base64()
	if s, err := v.Text(); err == nil {
		var want string
		if err := json.Unmarshal(v.Raw(), &want); err != nil || s != want {
			t.Fatalf("Text of %q is %q: encoding/json says %q, %v", v.Raw(), s, want, err)
		}
		again := parse(t, string(AppendString(nil, s)))
		if back, _ := again.Text(); back != s {
			t.Fatalf("%q comes back as %q", s, back)
		}
	}
	if e, err := v.Elements(1 << 20); err == nil {
		for _, v := range e {
			walk(t, v)
		}
	}
	v.Map(1<<20, func(name string, val Value) error {
		m, err := v.Open(name)
		if got, _ := m.Get(name); err == nil && !bytes.Equal(got.Raw(), val.Raw()) {
			t.Fatalf("member %q is %s by name, %s in order", name, got.Raw(), val.Raw())
		}
		walk(t, val)
		return nil
	})
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		`{"payloadType":"a","payload":"QQ==","signatures":[{"sig":"QQ"}]}`, `[1,-2.5e+3,true,false,null,"\ud83d\ude00"]`,
		`{"a":1,"a":2}`, "\"\xff\"", `{"a":{"b":[[[[]]]]}} x`, `"\`, `{"`, `01`, `"\ud800"`, manyMembers(20, ""),
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := Parse(data)
		if err != nil {
			return
		}
		if !json.Valid(data) || !utf8.Valid(data) {
			t.Fatalf("accepted what encoding/json refuses: %q", data)
		}
		if len(data) < 1<<12 {
			walk(t, v)
		}
	})
}

// FuzzBase64 compares with protojson, which is the same but for line breaks and
// stray bits in the last character.
func FuzzBase64(f *testing.F) {
	for _, s := range []string{"", "QQ==", "QQ", "-_8", "+/8=", "QR==", "Q\nQ=="} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := DecodeBase64(s)
		if err != nil {
			return
		}
		want := new(wrapperspb.BytesValue)
		if err := protojson.Unmarshal(AppendString(nil, s), want); err != nil || !bytes.Equal(got, want.Value) {
			t.Fatalf("%q decodes to %x: protojson says %x, %v", s, got, want.Value, err)
		}
	})
}
