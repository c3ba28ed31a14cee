// SPDX-License-Identifier: Apache-2.0

package hallmark_test

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite testdata/links from what the programs link now")

// forbidden says what a program (or a public package) must never link, whatever the pinned list says.
var forbidden = map[string][]string{
	"hallmark":  {"k8s.io/api", "k8s.io/client-go", "cuelang.org", "github.com/open-policy-agent", "cel.dev", "github.com/google/cel-go", "google.golang.org/grpc", "modernc.org/sqlite", "github.com/jackc", "github.com/transparency-dev/tessera", "github.com/prometheus", "github.com/anchore", "github.com/sigstore/cosign"},
	"signing":   {"k8s.io", "google.golang.org/grpc", "modernc.org", "github.com/prometheus", "github.com/google/go-containerregistry", "github.com/theupdateframework", "github.com/spf13"},
	"library":   {"k8s.io", "google.golang.org/grpc", "modernc.org", "github.com/prometheus", "github.com/google/go-containerregistry", "github.com/theupdateframework", "github.com/spf13"},
	"hallmarkd": {"k8s.io/api", "k8s.io/client-go", "cuelang.org", "github.com/open-policy-agent", "cel.dev", "github.com/google/cel-go", "google.golang.org/grpc", "github.com/anchore", "github.com/sigstore/cosign"},
}

// TestLinks pins the modules that each program, and the public packages, link, so that a heavy one
// cannot slip in with an import: whoever adds one sees it here and decides.
func TestLinks(t *testing.T) {
	for program, never := range forbidden {
		t.Run(program, func(t *testing.T) {
			pkg := "./cmd/" + program
			switch program {
			case "library":
				pkg = "."
			case "signing":
				pkg = "./sign"
			}
			cmd := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", pkg)
			cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0")
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("go list: %v\n%s", err, &stderr)
			}
			modules := strings.Fields(string(out))
			slices.Sort(modules)
			modules = slices.DeleteFunc(slices.Compact(modules), func(m string) bool { return m == module })
			for _, m := range modules {
				for _, n := range never {
					if strings.HasPrefix(m, n) {
						t.Errorf("%s links %s, which it must never", program, m)
					}
				}
			}
			pinned := filepath.Join("testdata", "links", program+".txt")
			got := strings.Join(modules, "\n") + "\n"
			if *update {
				if err := os.WriteFile(pinned, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(pinned)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s links other modules than %s says. If that is meant, run go test . -update.\ngot:\n%swant:\n%s", program, pinned, got, want)
			}
		})
	}
}
