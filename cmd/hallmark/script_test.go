// SPDX-License-Identifier: Apache-2.0

package main

import (
	"flag"
	"testing"

	"hallmark/internal/lab/scriptkit"
)

var _ = flag.Bool("update", false, "rewrite what scripts compare output with")

func TestMain(m *testing.M) { scriptkit.Main(m) }

// TestScript runs testdata/script: how the program answers, right and wrong.
// Package scriptkit lists the commands that scripts have.
func TestScript(t *testing.T) { scriptkit.Run(t, "testdata/script") }
