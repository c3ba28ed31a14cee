// SPDX-License-Identifier: Apache-2.0

package hallmark_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "hallmark"

// floors lists what a package on each floor may import from this module. A
// floor is the first path element under internal/; cmd, test and the root
// package are rows of their own.
var floors = map[string][]string{
	"cmd":     {"edge"},
	"test":    {"edge", "service", "judge", "format", "base"},
	"edge":    {"edge", "service", "judge", "format", "base"},
	"service": {"judge", "format", "base"}, // never a sibling service
	"judge":   {"judge", "format"},         // never base: judges do no I/O
	"format":  {"format"},
	"base":    {"base"},
	"lab":     {"lab", "edge", "service", "judge", "format", "base"}, // and nobody else lists lab
	"root":    {"judge", "format"},                                   // the public verifying interface
	"sign":    {"root", "service", "judge", "format", "base"},        // the public signing interface
}

// dry floors touch no network, disk, environment, logger or clock.
var (
	dry = []string{"format", "judge", "root"}
	wet = []string{"net", "net/http", "os", "os/exec", "database/sql", "log", "log/slog", "context"}
)

// issuers make evidence, so they may not depend on the code that weighs it.
var issuers = []string{"oidc", "devissuer", "ca", "ctlog", "translog", "tsa", "tufrepo"}

// walls names the only packages that may import a heavy dependency directly.
var walls = map[string][]string{
	"modernc.org/sqlite":                      {"internal/base/store"},
	"github.com/sigstore/protobuf-specs":      {"internal/format/bundle", "internal/format/logentry", "internal/format/trustroot"},
	"github.com/google/go-containerregistry":  {"internal/service/registry", "internal/edge/demo", "internal/lab"},
	"github.com/theupdateframework/go-tuf/v2": {"internal/service/tufrepo", "internal/service/trust"},
	"github.com/spf13/cobra":                  {"internal/edge/cli", "internal/edge/daemoncli", "internal/edge/commandtree"},
	"k8s.io/api":                              {"internal/edge/policyd"}, // and k8s.io/apimachinery
	"k8s.io/client-go":                        {"internal/edge/policyd"},
	"sigs.k8s.io/":                            {"internal/edge/policyd"},
	"cuelang.org/go":                          {"internal/service/evaluate"},
	"github.com/open-policy-agent/opa":        {"internal/service/evaluate"},
	"github.com/google/cel-go":                {"internal/service/evaluate"},
}

// floorOf gives the floor of a folder of this module and what follows it.
func floorOf(dir string) (floor, rest string) {
	if dir == "." {
		return "root", dir
	}
	floor, rest, _ = strings.Cut(strings.TrimPrefix(dir, "internal/"), "/")
	return floor, rest
}

// violations checks one file of the package in dir.
func violations(dir string, f *ast.File) []string {
	var out []string
	fail := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	from, rest := floorOf(dir)
	allowed, ok := floors[from]
	if !ok {
		fail("%q is not a floor", from)
		return out
	}
	for _, spec := range f.Imports {
		imp, _ := strconv.Unquote(spec.Path.Value)
		if slices.Contains(dry, from) && slices.Contains(wet, imp) {
			fail("%s is dry and can't import %q", from, imp)
		}
		for wall, inside := range walls {
			if strings.HasPrefix(imp, wall) && !slices.ContainsFunc(inside, func(p string) bool { return dir == p || strings.HasPrefix(dir, p+"/") }) {
				fail("%s is walled: only %v may import it", imp, inside)
			}
		}
		ours, isOurs := strings.CutPrefix(imp, module+"/")
		if imp == module {
			ours, isOurs = ".", true
		}
		if !isOurs {
			continue
		}
		to, target := floorOf(ours)
		if !slices.Contains(allowed, to) {
			fail("%s can't import %s (%s)", from, to, imp)
		}
		if from == "service" && to == "judge" && slices.Contains(issuers, strings.Split(rest, "/")[0]) {
			fail("an issuer can't import a judge (%s)", target)
		}
	}
	if slices.Contains(dry, from) {
		ast.Inspect(f, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok {
				if pkg, ok := sel.X.(*ast.Ident); ok && pkg.Name == "time" && slices.Contains([]string{"Now", "Since", "Until", "Sleep", "After", "NewTimer", "NewTicker"}, sel.Sel.Name) {
					fail("%s is dry and can't call time.%s", from, sel.Sel.Name)
				}
			}
			return true
		})
	}
	for _, decl := range f.Decls {
		if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
			fail("init functions are not used: effects belong to constructors")
		}
	}
	return out
}

func TestFloors(t *testing.T) {
	names := map[string]string{} // package name → folder
	documented := map[string]bool{}
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if p != "." && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") || hasGoMod(p)) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(p, ".go") || strings.HasSuffix(p, "_test.go") {
			return nil
		}
		dir := path.Dir(filepath.ToSlash(p))
		f, err := parser.ParseFile(token.NewFileSet(), p, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		for _, v := range violations(dir, f) {
			t.Errorf("%s: %s", p, v)
		}
		if n := f.Name.Name; n != "main" && dir != "sign" { // the public face of the service of that name
			if other, ok := names[n]; ok && other != dir {
				t.Errorf("package name %q is used by both %s and %s", n, other, dir)
			}
			names[n] = dir
		}
		documented[dir] = documented[dir] || f.Doc != nil && !strings.HasPrefix(f.Doc.Text(), "SPDX")
		src, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		if !strings.HasPrefix(string(src), "// SPDX-License-Identifier: Apache-2.0\n") {
			t.Errorf("%s: the first line must be the SPDX licence header", p)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for dir, ok := range documented {
		if !ok {
			t.Errorf("%s: the package has no package comment", dir)
		}
	}
	if len(names) < 10 {
		t.Fatalf("only %d packages found: the check is not checking anything", len(names))
	}
}

// A wrong import, planted, must be found: otherwise TestFloors proves nothing.
func TestFloorsFindPlantedFaults(t *testing.T) {
	for _, tc := range []struct{ dir, src, want string }{
		{"internal/judge/verify", `import _ "hallmark/internal/base/fetch"`, "judge can't import base"},
		{"internal/judge/verify", `import _ "net/http"`, "judge is dry"},
		{"internal/format/bundle", `import _ "hallmark/internal/judge/verify"`, "format can't import judge"},
		{"internal/format/bundle", "import \"time\"\nvar x = time.Now", "can't call time.Now"},
		{"internal/service/ca", `import _ "hallmark/internal/service/ctlog"`, "service can't import service"},
		{"internal/service/ca", `import _ "hallmark/internal/judge/verify"`, "issuer can't import a judge"},
		{"internal/service/sign", `import _ "hallmark/internal/edge/cli"`, "service can't import edge"},
		{"internal/edge/cli", `import _ "hallmark/internal/lab"`, "edge can't import lab"},
		{"internal/edge/cli", `import _ "modernc.org/sqlite"`, "walled"},
		{"internal/service/ca", `import _ "k8s.io/client-go/rest"`, "walled"},
		{"internal/base/fetch", `import _ "hallmark/internal/format/digest"`, "base can't import format"},
		{"cmd/hallmark", `import _ "hallmark/internal/service/sign"`, "cmd can't import service"},
		{".", `import _ "hallmark/internal/service/sign"`, "root can't import service"},
		{"internal/service/sign", `import _ "hallmark"`, "service can't import root"},
		{"internal/attic/x", ``, "not a floor"},
		{"internal/edge/cli", "func init() {}", "init functions"},
		{"internal/service/sign", `import _ "hallmark/internal/judge/verify"`, ""},
		{"internal/edge/cli", `import _ "hallmark/internal/service/sign"`, ""},
	} {
		f, err := parser.ParseFile(token.NewFileSet(), "planted.go", "package p\n"+tc.src, 0)
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Join(violations(tc.dir, f), "; ")
		if tc.want == "" && got != "" || !strings.Contains(got, tc.want) {
			t.Errorf("%s with %s: got %q, want %q", tc.dir, tc.src, got, tc.want)
		}
	}
}

func hasGoMod(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}
