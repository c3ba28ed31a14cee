// SPDX-License-Identifier: Apache-2.0

package trustreview

import (
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"hallmark/internal/format/trustroot"
)

// reviewChains looks at the certificates of CAs and timestamp authorities.
func reviewChains(r *trustroot.Root, now time.Time) []Finding {
	var out []Finding
	for i, ca := range r.CAs {
		where := field("certificateAuthorities", i)
		out = append(out, reviewSignatures(where, ca.Chain)...)
		out = append(out, reviewExpiry(where, ca.Chain, ca.Valid, now)...)
		if first := ca.Chain[0]; limited(first) && !slices.Contains(first.ExtKeyUsage, x509.ExtKeyUsageCodeSigning) {
			out = append(out, Finding{ChainUsage, where, false, fmt.Sprintf("%s may not issue code signing certificates: its extended key usage is for something else", title(first))})
		}
	}
	for i, tsa := range r.TSAs {
		where := field("timestampAuthorities", i)
		out = append(out, reviewSignatures(where, tsa.Chain)...)
		out = append(out, reviewExpiry(where, tsa.Chain, tsa.Valid, now)...)
		out = append(out, reviewTSALeaf(where, tsa.Chain[0])...)
	}
	return out
}

func reviewTSALeaf(where string, first *x509.Certificate) []Finding {
	switch {
	case first.IsCA:
		return []Finding{{TSALeaf, where, false, fmt.Sprintf("the chain begins with a CA, %s, not with the certificate that signs timestamps: only timestamps that embed that certificate can be verified, and whoever gets one from this CA can make them", title(first))}}
	case len(first.ExtKeyUsage) != 1 || first.ExtKeyUsage[0] != x509.ExtKeyUsageTimeStamping || len(first.UnknownExtKeyUsage) > 0:
		return []Finding{{ChainUsage, where, false, fmt.Sprintf("%s is not for timestamping alone (RFC 3161, section 2.3)", title(first))}}
	}
	return nil
}

// limited says whether c is for certain uses only, and these are not any.
func limited(c *x509.Certificate) bool {
	return len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) > 0 && !slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageAny)
}

func reviewSignatures(where string, chain []*x509.Certificate) []Finding {
	var out []Finding
	for i := range len(chain) - 1 {
		if err := chain[i].CheckSignatureFrom(chain[i+1]); err != nil {
			out = append(out, Finding{ChainSignature, where, false, fmt.Sprintf("%s is not signed by %s: %v", title(chain[i]), title(chain[i+1]), err)})
		}
	}
	return out
}

// reviewExpiry compares the certificates' validity with the window and the
// clock. A window that has ended is history.
func reviewExpiry(where string, chain []*x509.Certificate, w trustroot.Window, now time.Time) []Finding {
	var out []Finding
	for _, c := range chain {
		if _, _, ok := overlap(w, trustroot.Window{Start: c.NotBefore, End: c.NotAfter}); !ok {
			out = append(out, Finding{WindowUnusable, where, false, fmt.Sprintf("%s is valid %s, never within the window", title(c), span(c.NotBefore, c.NotAfter))})
			continue
		}
		if !w.End.IsZero() && (now.After(w.End) || !c.NotAfter.Before(w.End)) {
			continue
		}
		switch {
		case now.After(c.NotAfter):
			out = append(out, Finding{CertificateEnded, where, false, fmt.Sprintf("%s expired on %s: signatures made before still verify, new ones do not, and the window should end", title(c), day(c.NotAfter))})
		case now.Add(CertificateNear).After(c.NotAfter):
			out = append(out, Finding{CertificateEnds, where, false, fmt.Sprintf("%s expires on %s: add its successor in time", title(c), day(c.NotAfter))})
		}
	}
	return out
}
