// SPDX-License-Identifier: Apache-2.0

package reference_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const jsonIntro = `# JSON output

<!-- Written by go test ./docs/reference -update: change the types of internal/edge/cli instead. -->

What commands print with ` + "`-o json`" + `. The form's name is in ` + "`schema`" + `. Within a name fields are only
ever added, so ignore those you do not know. ` + "`[]`" + ` is an element of a list, and a field that is not
always there is in *italics*. Times are RFC 3339 in UTC.
`

// TestJSON keeps json.md what the types that are printed are.
func TestJSON(t *testing.T) {
	forms, err := readForms("../../internal/edge/cli")
	if err != nil {
		t.Fatal(err)
	}
	if len(forms.roots) < 5 {
		t.Fatalf("only %d forms found: the test is not looking at anything", len(forms.roots))
	}
	want := []byte(forms.manual())
	if *update {
		if err := os.WriteFile("json.md", want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile("json.md")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("docs/reference/json.md is not what the types are: run go test ./docs/reference -update")
	}
}

// forms is what a package's source says about the JSON it prints.
type forms struct {
	structs map[string]*ast.StructType // by the type's name
	names   map[string]string          // the value of each string constant
	roots   map[string]*ast.StructType // by the schema's name
	by      map[string]string          // which commands print it, by the schema's name
}

func readForms(dir string) (*forms, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	f := &forms{structs: map[string]*ast.StructType{}, names: map[string]string{}, roots: map[string]*ast.StructType{}, by: map[string]string{}}
	var parsed []*ast.File
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		parsed = append(parsed, file)
		ast.Inspect(file, f.declare)
	}
	for _, file := range parsed {
		ast.Inspect(file, f.findRoots)
	}
	return f, nil
}

// declare notes named structs and string constants.
func (f *forms) declare(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.TypeSpec:
		if s, ok := n.Type.(*ast.StructType); ok {
			f.structs[n.Name.Name] = s
		}
	case *ast.ValueSpec:
		for i, name := range n.Names {
			if i < len(n.Values) {
				if lit, ok := n.Values[i].(*ast.BasicLit); ok && lit.Kind == token.STRING {
					f.names[name.Name], _ = strconv.Unquote(lit.Value)
					f.by[f.names[name.Name]] = strings.TrimSpace(n.Comment.Text())
				}
			}
		}
	}
	return true
}

// findRoots finds the literals of structs whose first field is the schema.
func (f *forms) findRoots(n ast.Node) bool {
	lit, ok := n.(*ast.CompositeLit)
	if !ok || len(lit.Elts) == 0 {
		return true
	}
	s, ok := lit.Type.(*ast.StructType)
	if !ok {
		name, isName := lit.Type.(*ast.Ident)
		if !isName || f.structs[name.Name] == nil {
			return true
		}
		s = f.structs[name.Name]
	}
	first := lit.Elts[0]
	if kv, ok := first.(*ast.KeyValueExpr); ok {
		first = kv.Value
	}
	if schema, ok := first.(*ast.Ident); ok && strings.HasPrefix(f.names[schema.Name], "hallmark/") && len(s.Fields.List) > 0 && tagOf(s.Fields.List[0]) == "schema" {
		f.roots[f.names[schema.Name]] = s
	}
	return true
}

func (f *forms) manual() string {
	var b strings.Builder
	b.WriteString(jsonIntro)
	var names []string
	for name := range f.roots {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(&b, "\n## %s\n", name)
		for i, command := range strings.Split(f.by[name], ", ") {
			fmt.Fprintf(&b, "%s`hallmark %s`", []string{"\nOf ", " and "}[min(i, 1)], command)
		}
		b.WriteString(".\n\n| Field | | |\n|---|---|---|\n")
		f.rows(&b, "", f.roots[name], nil)
	}
	return b.String()
}

// rows describes the fields of s, which stands at path, inside of the structs
// above.
func (f *forms) rows(b *strings.Builder, path string, s *ast.StructType, above []*ast.StructType) {
	if slices.Contains(above, s) {
		return
	}
	above = append(slices.Clone(above), s)
	for _, field := range s.Fields.List {
		tag := tagOf(field)
		name, options, _ := strings.Cut(tag, ",")
		kind, inner, list := f.kindOf(field.Type)
		if len(field.Names) == 0 && inner != nil {
			f.rows(b, path, inner, above[:len(above)-1]) // embedded
			continue
		}
		if name == "" {
			continue
		}
		at := path + name
		shown := "`" + at + "`"
		if strings.Contains(options, "omitempty") {
			shown = "*" + shown + "*"
		}
		if inner != nil && slices.Contains(above, inner) {
			kind += " of the same form"
		}
		fmt.Fprintf(b, "| %s | %s | %s |\n", shown, kind, cell(commentOf(field)))
		if inner != nil {
			if list {
				at += "[]"
			}
			f.rows(b, at+".", inner, above)
		}
	}
}

func tagOf(field *ast.Field) string {
	if field.Tag == nil {
		return ""
	}
	raw, err := strconv.Unquote(field.Tag.Value)
	if err != nil {
		return ""
	}
	return reflect.StructTag(raw).Get("json")
}

func commentOf(field *ast.Field) string {
	text := field.Comment.Text()
	if text == "" {
		text = field.Doc.Text()
	}
	return strings.Join(strings.Fields(text), " ")
}

// kindOf names a type in words, with the struct that it is or holds.
func (f *forms) kindOf(t ast.Expr) (kind string, inner *ast.StructType, list bool) {
	switch t := t.(type) {
	case *ast.StarExpr:
		return f.kindOf(t.X)
	case *ast.ArrayType:
		kind, inner, _ := f.kindOf(t.Elt)
		return "list of " + strings.Replace(kind, "object", "objects", 1), inner, true
	case *ast.MapType:
		return "object", nil, false
	case *ast.SelectorExpr:
		if t.Sel.Name == "Time" {
			return "time", nil, false
		}
		if t.Sel.Name == "RawMessage" {
			return "object", nil, false
		}
		return "string", nil, false
	case *ast.Ident:
		if s := f.structs[t.Name]; s != nil {
			return "object", s, false
		}
		switch {
		case t.Name == "bool":
			return "true or false", nil, false
		case strings.HasPrefix(t.Name, "int"), strings.HasPrefix(t.Name, "uint"):
			return "number", nil, false
		}
	}
	return "string", nil, false
}
