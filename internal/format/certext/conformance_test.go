// SPDX-License-Identifier: Apache-2.0

package certext_test

import (
	"crypto/sha256"
	"crypto/x509"
	"slices"
	"strings"
	"testing"
	"time"

	"hallmark/internal/format/certext"
	"hallmark/internal/format/trustroot"
)

// issuerOf finds the CA certificate that issued cert.
func issuerOf(cert *x509.Certificate, root *trustroot.Root) *x509.Certificate {
	for _, ca := range root.CAs {
		if cert.CheckSignatureFrom(ca.Chain[0]) == nil {
			return ca.Chain[0]
		}
	}
	return nil
}

// verifiedSCTs counts the SCTs of a certificate that a log of the root signed.
func verifiedSCTs(t *testing.T, v vector) (verified, total int) {
	t.Helper()
	scts, err := certext.SCTs(v.cert)
	if err != nil {
		t.Fatalf("%s: %v", v.name, err)
	}
	issuer := issuerOf(v.cert, v.root)
	if issuer == nil {
		t.Logf("%s: issuer not in the root", v.name)
		return 0, len(scts)
	}
	tbs, err := certext.PrecertTBS(v.cert.Raw)
	if err != nil {
		t.Fatalf("%s: %v", v.name, err)
	}
	for _, sct := range scts {
		log := v.root.CTLogByID(sct.LogID[:])
		if log == nil || !log.Valid.Contains(time.UnixMilli(int64(sct.Timestamp))) {
			continue
		}
		if err := sct.Verify(log.Key, sha256.Sum256(issuer.RawSubjectPublicKeyInfo), tbs); err != nil {
			t.Errorf("%s: %v", v.name, err)
			continue
		}
		verified++
		if err := sct.Verify(log.Key, sha256.Sum256(v.cert.RawSubjectPublicKeyInfo), tbs); err == nil {
			t.Errorf("%s: SCT verifies with another issuer", v.name)
		}
	}
	return verified, len(scts)
}

func TestConformanceSCTs(t *testing.T) {
	checked := 0
	for _, v := range vectors(t) {
		verified, total := verifiedSCTs(t, v)
		switch {
		case v.name == "invalid-ct-key_fail":
			if verified != 0 || total == 0 {
				t.Errorf("%s: %d of %d SCTs verified; expected none of at least one", v.name, verified, total)
			}
		case strings.HasSuffix(v.name, "_fail"):
		case verified == 0:
			t.Errorf("%s: none of %d SCTs verified", v.name, total)
		default:
			checked++
		}
	}
	if checked < 5 {
		t.Errorf("only %d certificates had a verified SCT; expected at least 5", checked)
	}
}

func TestConformanceSCTExtensions(t *testing.T) {
	for _, v := range vectors(t) {
		if v.name != "bundle-with-sct-with-extensions" {
			continue
		}
		scts, err := certext.SCTs(v.cert)
		if err != nil || len(scts) == 0 || len(scts[0].Extensions) == 0 {
			t.Fatalf("SCTs() = %v, %v; expected one with extensions", scts, err)
		}
		return
	}
	t.Fatal("vector not found")
}

func TestConformanceIdentities(t *testing.T) {
	beacons := 0
	for _, v := range vectors(t) {
		sans, err := certext.ParseSANs(v.cert)
		if err != nil {
			t.Errorf("%s: %v", v.name, err)
			continue
		}
		if issuerOf(v.cert, v.root) == nil {
			continue
		}
		if len(sans) != 1 {
			t.Errorf("%s: %d names; expected one", v.name, len(sans))
			continue
		}
		var std []string
		std = append(std, v.cert.EmailAddresses...)
		for _, u := range v.cert.URIs {
			std = append(std, u.String())
		}
		if !slices.Contains(std, sans[0].Value) {
			t.Errorf("%s: SAN %q; crypto/x509 reads %q", v.name, sans[0].Value, std)
		}
		e, err := certext.ParseExtensions(v.cert)
		if err != nil {
			t.Errorf("%s: %v", v.name, err)
			continue
		}
		if e.IssuerURL() == "" {
			t.Errorf("%s: no issuer", v.name)
		}
		if e.Issuer != "" && e.IssuerV2 != "" && e.Issuer != e.IssuerV2 {
			t.Errorf("%s: issuers %q and %q differ", v.name, e.Issuer, e.IssuerV2)
		}
		who, err := certext.WhoOf(v.cert)
		if err != nil {
			t.Errorf("%s: %v", v.name, err)
			continue
		}
		if strings.Contains(who.SAN.Value, "extremely-dangerous-public-oidc-beacon") && e.GitHubTrigger != "" { // not from a mock CA
			beacons++
			if !strings.HasSuffix(who.Repository, "extremely-dangerous-public-oidc-beacon") || who.Workflow == "" || who.Ref != "refs/heads/main" || len(who.SHA) != 40 {
				t.Errorf("%s: WhoOf() = %s", v.name, who)
			}
		}
	}
	if beacons == 0 {
		t.Error("no certificate of a GitHub workflow among the vectors")
	}
}
