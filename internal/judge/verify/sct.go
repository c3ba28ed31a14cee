// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"crypto/sha256"
	"math"
	"time"

	"hallmark/internal/format/certext"
	"hallmark/internal/format/trustroot"
)

// scts proves that enough CT logs have promised to show the certificate
// (RFC 6962 §3.2, embedded SCTs over the precertificate).
func (c *check) scts() error {
	if c.leaf == nil || c.policy.SCTs == 0 {
		return nil
	}
	list, err := certext.SCTs(c.leaf)
	if err != nil {
		return fail(CodeSCT, "signing certificate: %w", err)
	}
	var tbs []byte
	issuerKeyHash := sha256.Sum256(c.issuer.RawSubjectPublicKeyInfo)
	seenBy := make(map[[32]byte]bool)
	for i, sct := range list {
		log := c.root.CTLogByID(sct.LogID[:])
		if log == nil || seenBy[sct.LogID] {
			continue
		}
		if err := sctTime(sct, log); err != nil {
			return err
		}
		if tbs == nil {
			if tbs, err = certext.PrecertTBS(c.leaf.Raw); err != nil {
				return fail(CodeSCT, "signing certificate: %w", err)
			}
		}
		if err := sct.Verify(log.Key, issuerKeyHash, tbs); err != nil {
			return fail(CodeSCT, "SCT %d, by CT log %s: %w", i, log.BaseURL, err)
		}
		seenBy[sct.LogID] = true
	}
	if len(seenBy) < c.policy.SCTs {
		return fail(CodeSCTThreshold, "%d trusted CT logs have seen the certificate (it carries %d SCTs), the policy asks for %d", len(seenBy), len(list), c.policy.SCTs)
	}
	return nil
}

// sctTime checks that the SCT was given while its log is trusted.
func sctTime(sct certext.SCT, log *trustroot.Log) error {
	if sct.Timestamp > math.MaxInt64 {
		return fail(CodeSCT, "SCT of CT log %s has a timestamp beyond all time", log.BaseURL)
	}
	if at := time.UnixMilli(int64(sct.Timestamp)); !log.Valid.Contains(at) {
		return fail(CodeSCT, "SCT of CT log %s is from %s, but that log is trusted %s", log.BaseURL, stamp(at), windowText(log.Valid))
	}
	return nil
}
