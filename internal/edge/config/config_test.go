// SPDX-License-Identifier: Apache-2.0

package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

type sample struct {
	Listen string            `yaml:"listen"`
	Count  int               `yaml:"count"`
	Nested struct{ On bool } `yaml:"nested"`
	Names  map[string]string `yaml:"names"`
}

func TestDecode(t *testing.T) {
	for _, tc := range []struct{ name, in, want string }{
		{"all", "listen: a\ncount: 3\nnested: {on: true}\nnames:\n  x: y\n", ""},
		{"empty", "", ""},
		{"only a comment", "# nothing\n", ""},
		{"json", `{"listen":"a","count":3}`, ""},
		{"unknown key", "listen: a\nlisten-on: b\n", `f.yaml:2: unknown key "listen-on"`},
		{"unknown nested key", "nested:\n  on: true\n  of: 1\n", `f.yaml:3: unknown key "of"`},
		{"case", "Listen: a\n", `f.yaml:1: unknown key "Listen"`},
		{"wrong type", "listen: a\ncount: many\n", `f.yaml:2: expected a value of type int, found str "many"`},
		{"twice", "count: 1\ncount: 2\n", `f.yaml:2: key "count" is given twice, first on line 1`},
		{"second document", "count: 1\n---\ncount: 2\n", "f.yaml:2: a second YAML document"},
		{"syntax", "listen: [\n", "f.yaml"},
		{"a list", "- a\n", "f.yaml:1: expected a value of type"},
		{"two faults", "a: 1\nb: 2\n", "f.yaml:1: unknown key \"a\"\nf.yaml:2: unknown key \"b\""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := sample{Listen: "default", Count: 7}
			err := Decode("f.yaml", []byte(tc.in), &got)
			if tc.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("error %v, want %q", err, tc.want)
			}
			if got.Listen != "default" || got.Count != 7 {
				t.Fatalf("a wrong file changed the target: %+v", got)
			}
		})
	}
}

func TestReadFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(path, []byte("count: 2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := sample{Listen: "default"}
	if err := ReadFile(path, &got); err != nil || got.Count != 2 || got.Listen != "default" {
		t.Fatalf("%+v, %v", got, err)
	}
	if err := ReadFile(path+".none", &got); err == nil || !strings.Contains(err.Error(), ".none") {
		t.Fatalf("missing file: %v", err)
	}
	if err := os.WriteFile(path, make([]byte, MaxSize+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := ReadFile(path, &got); err == nil || !strings.Contains(err.Error(), "larger than the limit") {
		t.Fatalf("large file: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("listen: a\ncount: 3\n"))
	f.Add([]byte("a: &a [*a]\n"))
	f.Add([]byte("- a\n---\n- b"))
	f.Fuzz(func(t *testing.T, data []byte) {
		before := sample{Listen: "default"}
		got := before
		if err := Decode("f", data, &got); err != nil && (got.Listen != before.Listen || got.Count != 0) {
			t.Fatalf("a wrong file changed the target: %+v", got)
		}
	})
}
