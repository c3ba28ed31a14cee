// SPDX-License-Identifier: Apache-2.0

// Package differential holds our verification against sigstore-go's, over the
// conformance vectors and over mutations of every good one, and measures the two
// beside the signature checks that neither can do without. It is a module of its
// own, since it links sigstore-go.
package differential
