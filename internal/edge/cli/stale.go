// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"slices"

	"hallmark/internal/judge/verify"
	"hallmark/internal/service/trust"
)

// unknownAuthority lists the refusals that mean, among other things, that the
// evidence is by a key that the trust root does not know: forged, another
// instance's, or new since the copy was refreshed.
var unknownAuthority = []verify.Code{
	verify.CodeCertificateChain, verify.CodeSCTThreshold, verify.CodeTimestampThreshold, verify.CodeLogThreshold,
}

// hintStale says what may help where a refusal can be due to an old copy of
// the trust root.
func (a *app) hintStale(reports []*report, active *trust.Active) {
	if active.Kind == trust.KindStatic {
		return
	}
	stale := func(v verdict) bool { return slices.Contains(unknownAuthority, verify.Code(v.Code)) }
	for _, r := range reports {
		if r.Verified || !slices.ContainsFunc(r.Candidates, stale) {
			continue
		}
		when := "comes with this program"
		if !active.Refreshed.IsZero() {
			when = "was refreshed " + ago(active.Age(a.Now()))
		}
		a.note("hallmark: note: trust root %s %s: if its authority has replaced keys since, run hallmark trust refresh %s and try again", active.Name, when, active.Name)
		return
	}
}
