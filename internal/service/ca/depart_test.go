// SPDX-License-Identifier: Apache-2.0

package ca

import (
	"bytes"
	"crypto/x509/pkix"
	"strings"
	"testing"

	"hallmark/internal/format/certext"
)

// TestDepart bends a finished certificate in each way that depart looks for.
func TestDepart(t *testing.T) {
	l := newLab(t, nil)
	lf, err := l.ca.leaf(alice(), fixedKey(t, "leaf").Public())
	if err != nil {
		t.Fatal(err)
	}
	sct := certext.SCT{LogID: [32]byte{1}, Timestamp: 5, HashAlg: certext.HashSHA256, SigAlg: certext.SigECDSA, Signature: []byte("sig")}
	list, err := certext.MarshalSCTList([]certext.SCT{sct})
	if err != nil {
		t.Fatal(err)
	}
	finish := func(last pkix.Extension) (der, logged []byte) {
		tbs, err := l.ca.profile.tbs(lf, last)
		if err != nil {
			t.Fatal(err)
		}
		if der, err = l.ca.profile.sign(l.made.Key, tbs); err != nil {
			t.Fatal(err)
		}
		if logged, err = certext.PrecertTBS(der); err != nil {
			t.Fatal(err)
		}
		return der, logged
	}
	der, logged := finish(list)
	if err := l.ca.depart(der, logged, sct); err != nil {
		t.Fatal(err)
	}

	flipped := bytes.Clone(der)
	flipped[len(flipped)-1] ^= 1
	other := bytes.Clone(logged)
	other[len(other)/2] ^= 1
	none, noneLogged := finish(pkix.Extension{Id: fulcio(23), Value: []byte("\x0c\x01x")})
	twice, err := certext.MarshalSCTList([]certext.SCT{sct, sct})
	if err != nil {
		t.Fatal(err)
	}
	two, twoLogged := finish(twice)
	wrong := sct
	wrong.Timestamp++
	for name, tc := range map[string]struct {
		der, logged []byte
		sct         certext.SCT
		want        string
	}{
		"does not parse":    {der[:len(der)-1], logged, sct, "does not parse"},
		"too large":         {append(bytes.Clone(der), make([]byte, maxCertificate)...), logged, sct, "more than 32768"},
		"not what was seen": {der, other, sct, "not the one that was logged"},
		"no SCT":            {none, noneLogged, sct, "does not hold the SCT"},
		"two SCTs":          {two, twoLogged, sct, "does not hold the SCT"},
		"another SCT":       {der, logged, wrong, "does not hold the SCT"},
		"bad signature":     {flipped, logged, sct, "not verified by"},
	} {
		if err := l.ca.depart(tc.der, tc.logged, tc.sct); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v, want %q", name, err, tc.want)
		}
	}
}
