// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"crypto/x509"
	"fmt"
	"strings"
	"time"

	"hallmark/internal/format/logentry"
	"hallmark/internal/format/pubkey"
	"hallmark/internal/format/rfc3161"
	"hallmark/internal/format/trustroot"
)

// timestamps proves when the signature existed, by the promises of Rekor v1
// logs and by RFC 3161 tokens. Everything that depends on the time comes later.
func (c *check) timestamps() error {
	var seen authorities
	for i := range c.entries {
		e := &c.entries[i]
		if len(e.SET) == 0 {
			continue
		}
		if err := checkSET(e); err != nil {
			return err
		}
		e.time = time.Unix(e.IntegratedTime, 0).UTC()
		c.times = append(c.times, Timestamp{Time: e.time, Source: SourceLog, URI: e.log.BaseURL})
		seen.add("log:"+string(e.LogID), "")
	}
	var skipped []string
	for i, der := range c.bundle.Timestamps {
		t, signer, err := c.token(der)
		if err != nil {
			err.Err = fmt.Errorf("timestamp %d: %w", i, err.Err)
			return err
		}
		if signer == "" {
			skipped = append(skipped, fmt.Sprintf("timestamp %d is by no authority of the trusted root", i))
			continue
		}
		c.times = append(c.times, t)
		seen.add("tsa:"+signer, t.URI)
	}
	if n := len(seen); n < c.policy.Timestamps {
		return fail(CodeTimestampThreshold, "%d authorities vouch for the time, the policy asks for %d%s", n, c.policy.Timestamps, because(skipped))
	}
	return nil
}

func because(reasons []string) string {
	if len(reasons) == 0 {
		return ""
	}
	return " (" + strings.Join(reasons, "; ") + ")"
}

// checkSET proves the promise of a Rekor v1 log: that it took the entry at the
// integrated time. Without one the integrated time is only the bundle's word.
func checkSET(e *entry) error {
	if e.v2 {
		return fail(CodeSET, "entry %d of log %s is of Rekor v2, which makes no promises, yet it carries one", e.LogIndex, e.log.BaseURL)
	}
	if err := pubkey.Verify(e.log.Key, e.log.Details, logentry.SETPayload(e.Entry), e.SET); err != nil {
		return fail(CodeSET, "promise of log %s for entry %d: %w", e.log.BaseURL, e.LogIndex, err)
	}
	return nil
}

// token proves one timestamp token. signer identifies who signed it, by its
// key; it is "" if that is no authority of the trusted root.
func (c *check) token(der []byte) (t Timestamp, signer string, err *Error) {
	token, parseErr := rfc3161.ParseResponse(der)
	if parseErr != nil {
		return Timestamp{}, "", fail(CodeTimestamp, "%w", parseErr)
	}
	var late *Error
	for i := range c.root.TSAs {
		tsa := &c.root.TSAs[i]
		leaf, leafErr := token.Leaf(tsa.Chain)
		if leafErr != nil || !token.ClaimsSigner(leaf) {
			continue
		}
		if !tsa.Valid.Contains(token.Time()) {
			late = fail(CodeTimestampWindow, "is from %s, but authority %s is trusted %s", stamp(token.Time()), tsa.URI, windowText(tsa.Valid))
			continue // it may be listed again, with another window
		}
		switch verifyErr := c.tokenBy(token, leaf, tsa.Chain); {
		case verifyErr == nil:
			return Timestamp{Time: token.Time(), Source: SourceTSA, URI: tsa.URI}, string(leaf.RawSubjectPublicKeyInfo), nil
		case pinned(tsa):
			return Timestamp{}, "", fail(CodeTimestamp, "of authority %s: %w", tsa.URI, verifyErr)
		}
	}
	return Timestamp{}, "", late
}

// tokenBy proves that token is over the signature and signed by leaf, which
// leads to the end of chain at the token's time. Where the trusted root names a
// CA only, the token may bring intermediates of its own, which is for package
// rfc3161 to sort out.
func (c *check) tokenBy(token *rfc3161.Token, leaf *x509.Certificate, chain []*x509.Certificate) error {
	if chain[0].IsCA && !names(chain, leaf.RawIssuer) {
		return token.Verify(c.signature, chain)
	}
	if err := token.VerifySignedBy(c.signature, leaf); err != nil {
		return err
	}
	if _, err := c.memo.pathTo(leaf, chain, []time.Time{token.Time()}, x509.ExtKeyUsageTimeStamping); err != nil {
		return fmt.Errorf("certificate chain of the authority: %w", err)
	}
	return nil
}

// pinned says whether the trusted root names the very certificate that signs
// tokens. Where it names a CA only, who signed a token is the token's own word
// until it verifies, so that failing to is not yet a trusted authority's fault.
func pinned(tsa *trustroot.TimestampAuthority) bool {
	return !tsa.Chain[0].IsCA
}

// authorities counts those who vouch for the time. Two names for one key, or
// two keys under one URI, are one authority.
type authorities []struct{ key, uri string }

func (a *authorities) add(key, uri string) {
	for _, known := range *a {
		if known.key == key || uri != "" && known.uri == uri {
			return
		}
	}
	*a = append(*a, struct{ key, uri string }{key, uri})
}
