// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hallmark/internal/judge/verify"
)

// TestManual holds the table of codes in the manual against the closed set.
func TestManual(t *testing.T) {
	var want strings.Builder
	want.WriteString("| code | what it means |\n|---|---|\n")
	for _, code := range verify.Codes() {
		fmt.Fprintf(&want, "| `%s` | %s |\n", code, code.Meaning())
	}
	file := filepath.Join("..", "..", "..", "docs", "verification.md")
	manual, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(string(manual), want.String()) {
		t.Errorf("%s does not end with this table:\n%s", file, want.String())
	}
}

// TestCodes: codes are distinct, and each has a meaning in one sentence.
func TestCodes(t *testing.T) {
	seen := make(map[verify.Code]bool)
	for _, code := range verify.Codes() {
		if seen[code] {
			t.Errorf("code %q is there twice", code)
		}
		seen[code] = true
		if m := code.Meaning(); !strings.HasSuffix(m, ".") || strings.Contains(m, "|") {
			t.Errorf("meaning of %q is %q, want a sentence that fits in a table", code, m)
		}
	}
	if verify.Code("nothing").Meaning() != "" {
		t.Error("an unknown code has a meaning")
	}
}
