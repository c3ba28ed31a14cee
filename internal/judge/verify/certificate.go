// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"time"

	"hallmark/internal/format/trustroot"
)

// CheckCertificate decides whether signatures by the key of a signing
// certificate, DER, could pass [Check] under root and p if they were made at
// the given time: its profile, the chain to the trusted root, the SCTs and the
// identity, in this order. It is for signers, who want to know before they
// sign. It says nothing about any signature, and at is the caller's own word:
// the result is no proof of anything to anybody else.
//
// The error is always an [*Error] with the code that Check would give.
// Thresholds of log entries and timestamps, and the predicate type, are not
// looked at.
func CheckCertificate(der []byte, root *trustroot.Root, p Policy, at time.Time) (Signer, error) {
	c := &check{root: root, policy: p, times: []Timestamp{{Time: at, URI: "the signer's own clock"}}}
	if err := c.policy.validate(); err != nil {
		return Signer{}, err
	}
	if p.Key != nil {
		return Signer{}, fail(CodeSignerKind, "the policy accepts a managed key, which has no certificate")
	}
	if root == nil {
		return Signer{}, fail(CodePolicy, "there is no trusted root")
	}
	leaf, err := parseLeaf(der)
	if err != nil {
		return Signer{}, err
	}
	if c.signer, err = describeLeaf(leaf); err != nil {
		return Signer{}, err
	}
	c.leaf, c.key = leaf, leaf.PublicKey
	for _, step := range []func() error{c.chain, c.scts, c.identity} {
		if err := step(); err != nil {
			return Signer{}, err
		}
	}
	return c.signer, nil
}
