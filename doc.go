// SPDX-License-Identifier: Apache-2.0

// Package hallmark is the root of the Hallmark module. Its programs are in cmd,
// its floors under internal; ARCHITECTURE.md draws the house and floors_test.go
// keeps it.
package hallmark
