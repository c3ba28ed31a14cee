// SPDX-License-Identifier: Apache-2.0

package reference_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"hallmark/internal/edge/cli"
	"hallmark/internal/edge/daemoncli"
)

// Every command is shown at work, and refusing a wrong command line, in a
// script below cmd.
func TestEveryCommandHasScripts(t *testing.T) {
	files, err := filepath.Glob("../../cmd/*/testdata/script/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	var all strings.Builder
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(data)
	}
	scripts := strings.ReplaceAll(all.String(), "\nserve ", "\nexec hallmarkd serve ")
	for _, c := range append(commands(cli.Command(cli.World{})), commands(daemoncli.Command(daemoncli.Streams{}))...) {
		if c.HasSubCommands() {
			continue
		}
		for what, how := range map[string]string{"succeeds": `(exec|until \S+|set \S+)`, "refuses a wrong command line": "exits 64"} {
			program, path, _ := strings.Cut(c.CommandPath(), " ")
			line := regexp.MustCompile(`(?m)^` + how + ` ` + program + `( -q)? ` + regexp.QuoteMeta(path) + `( |$)`)
			if !line.MatchString(scripts) {
				t.Errorf("no script shows that %s %s", c.CommandPath(), what)
			}
		}
	}
}
