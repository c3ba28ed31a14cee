// SPDX-License-Identifier: Apache-2.0

// Package buildinfo says which build of Hallmark is running, from what the Go
// linker records (https://pkg.go.dev/runtime/debug#BuildInfo).
package buildinfo

import "runtime/debug"

// Version is the module version this program was built from, or the VCS
// revision of a development build.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return "devel-" + s.Value[:12]
		}
	}
	return "devel"
}
