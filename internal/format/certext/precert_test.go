// SPDX-License-Identifier: Apache-2.0

package certext_test

import (
	"bytes"
	"crypto/x509/pkix"
	"strings"
	"testing"

	"hallmark/internal/format/certext"
)

// variants are a certificate, its precertificate and its final form, which
// differ in poison and SCT list only.
func variants(t testing.TB) (plain, precert, final []byte, plainTBS []byte) {
	t.Helper()
	ca, key := newIssuer(t), newKey(t)
	san, err := certext.SANExtension(certext.SAN{Kind: certext.Email, Value: "a@example.com"})
	if err != nil {
		t.Fatal(err)
	}
	exts, err := allClaims().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	exts = append(exts, san)
	scts, err := certext.MarshalSCTList(sampleSCTs())
	if err != nil {
		t.Fatal(err)
	}
	poison := pkix.Extension{Id: certext.OIDPoison, Critical: true, Value: []byte{5, 0}}
	base := ca.leaf(t, &key.PublicKey, exts...)
	// One in front, one in the middle, one at the end: the place must not matter.
	pre := ca.leaf(t, &key.PublicKey, append([]pkix.Extension{poison}, exts...)...)
	mixed := append(append(append([]pkix.Extension{}, exts[:3]...), scts), exts[3:]...)
	return base.Raw, pre.Raw, ca.leaf(t, &key.PublicKey, mixed...).Raw, base.RawTBSCertificate
}

func TestPrecertTBS(t *testing.T) {
	plain, precert, final, want := variants(t)
	for name, der := range map[string][]byte{"plain": plain, "precertificate": precert, "final": final} {
		got, err := certext.PrecertTBS(der)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if !bytes.Equal(got, want) {
			t.Errorf("%s: TBS is not that of the certificate without the extensions", name)
		}
	}
}

func TestPrecertTBSWithoutOtherExtensions(t *testing.T) {
	// version, serial, … are not looked at: any elements do.
	tbs := []byte{0xa0, 3, 2, 1, 2, 2, 1, 7}
	poison := wrap(append([]byte{6, 10, 0x2b, 6, 1, 4, 1, 0xd6, 0x79, 2, 4, 3}, 1, 1, 0xff, 4, 2, 5, 0)...)
	with := append(bytes.Clone(tbs), explicit3(wrap(poison...))...)
	got, err := certext.PrecertTBS(wrap(wrap(with...)...))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, wrap(tbs...)) {
		t.Errorf("%x; expected the extensions field to vanish: %x", got, wrap(tbs...))
	}
}

// explicit3 is [3] EXPLICIT.
func explicit3(content []byte) []byte { return append([]byte{0xa3, byte(len(content))}, content...) }

func TestPrecertTBSRefuses(t *testing.T) {
	plain, _, final, _ := variants(t)
	poison := wrap(append([]byte{6, 10, 0x2b, 6, 1, 4, 1, 0xd6, 0x79, 2, 4, 3}, 4, 2, 5, 0)...)
	sctList := bytes.Clone(poison)
	sctList[13] = 2
	for _, tt := range []struct {
		name string
		der  []byte
		err  string
	}{
		{"nothing", nil, "not a DER certificate"},
		{"garbage", []byte("garbage"), "not a DER certificate"},
		{"cut", final[:len(final)-1], "not a DER certificate"},
		{"trailing data", append(bytes.Clone(plain), 0), "not a DER certificate"},
		{"TBS is no sequence", wrap(5, 0), "not a DER certificate"},
		{"malformed TBS", wrap(wrap(2, 9, 1)...), "malformed TBSCertificate"},
		{"two poisons", wrap(wrap(explicit3(wrap(append(bytes.Clone(poison), poison...)...))...)...), "more than once"},
		{"two SCT lists", wrap(wrap(explicit3(wrap(append(bytes.Clone(sctList), sctList...)...))...)...), "more than once"},
		{"malformed extensions", wrap(wrap(explicit3([]byte{5, 0})...)...), "malformed extensions"},
		{"malformed extension", wrap(wrap(explicit3(wrap(5, 0))...)...), "malformed extension"},
		{"extension without OID", wrap(wrap(explicit3(wrap(wrap(5, 0)...))...)...), "malformed extension"},
		{"data after the extensions", wrap(wrap(append(explicit3(wrap(poison...)), 5, 0)...)...), "after the extensions"},
		{"indefinite length", []byte{0x30, 0x80, 0x30, 0, 0, 0}, "not a DER certificate"},
		{"too long", make([]byte, certext.MaxCertificate+1), "at most"},
	} {
		_, err := certext.PrecertTBS(tt.der)
		if err == nil || !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: error %v; expected %q", tt.name, err, tt.err)
		}
	}
}
