// SPDX-License-Identifier: Apache-2.0

package certext_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hallmark/internal/format/certext"
)

func TestSANThroughACertificate(t *testing.T) {
	ca := newIssuer(t)
	key := newKey(t)
	for _, san := range []certext.SAN{
		{Kind: certext.Email, Value: "alice@example.com"},
		{Kind: certext.URI, Value: "https://github.com/o/r/.github/workflows/w.yml@refs/heads/main"},
		{Kind: certext.URI, Value: "spiffe://example.org/ns/default"},
		{Kind: certext.OtherName, Value: "bob!example.com"},
		{Kind: certext.OtherName, Value: "żółć!example.com"},
		{Kind: certext.DNS, Value: "build.example.com"},
		{Kind: certext.IP, Value: "192.0.2.7"},
		{Kind: certext.IP, Value: "2001:db8::7"},
	} {
		ext, err := certext.SANExtension(san)
		if err != nil {
			t.Errorf("%v: %v", san, err)
			continue
		}
		if !ext.Critical {
			t.Errorf("%v: not critical", san)
		}
		cert := ca.leaf(t, &key.PublicKey, ext)
		got, err := certext.ParseSANs(cert)
		if err != nil {
			t.Errorf("%v: %v", san, err)
			continue
		}
		if d := cmp.Diff([]certext.SAN{san}, got); d != "" {
			t.Errorf("%v: (-want +got)\n%s", san, d)
		}
		if std := x509Names(cert); san.Kind != certext.OtherName && std != san.Value {
			t.Errorf("%v: crypto/x509 reads %q", san, std)
		}
		if san.Kind == certext.OtherName != (len(cert.UnhandledCriticalExtensions) == 1) {
			t.Errorf("%v: crypto/x509 leaves %v unhandled", san, cert.UnhandledCriticalExtensions)
		}
		if err := verify(ca, certext.ForVerify(cert)); err != nil {
			t.Errorf("%v: %v", san, err)
		}
	}
}

// x509Names is what crypto/x509 reads.
func x509Names(cert *x509.Certificate) string {
	names := append(append([]string{}, cert.EmailAddresses...), cert.DNSNames...)
	for _, u := range cert.URIs {
		names = append(names, u.String())
	}
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	return strings.Join(names, " ")
}

func verify(ca issuer, cert *x509.Certificate) error {
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	_, err := cert.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: notBefore, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}})
	return err
}

func TestForVerifyKeepsOtherCriticalExtensions(t *testing.T) {
	ca, key := newIssuer(t), newKey(t)
	san, err := certext.SANExtension(certext.SAN{Kind: certext.OtherName, Value: "bob!example.com"})
	if err != nil {
		t.Fatal(err)
	}
	unknown := pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}
	cert := ca.leaf(t, &key.PublicKey, san, unknown)
	if err := verify(ca, certext.ForVerify(cert)); err == nil {
		t.Error("a certificate with an unknown critical extension verifies")
	}
	if len(cert.UnhandledCriticalExtensions) != 2 {
		t.Error("ForVerify changed its argument")
	}
	// A critical SAN with nothing this package reads stays unhandled.
	foreign := pkix.Extension{Id: certext.OIDSubjectAltName, Critical: true, Value: otherName(asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 20, 2, 3}, "u@d")}
	if err := verify(ca, certext.ForVerify(ca.leaf(t, &key.PublicKey, foreign))); err == nil {
		t.Error("a certificate with only a foreign otherName verifies")
	}
	// Without the help of ForVerify crypto/x509 refuses the known one.
	if err := verify(ca, ca.leaf(t, &key.PublicKey, san)); err == nil {
		t.Error("crypto/x509 handles otherName now: ForVerify is not needed any more")
	}
}

// otherName is a subjectAltName made by encoding/asn1.
func otherName(id asn1.ObjectIdentifier, value string) []byte {
	inner, err := asn1.MarshalWithParams(struct {
		ID    asn1.ObjectIdentifier
		Value string `asn1:"utf8,explicit,tag:0"`
	}{id, value}, "tag:0")
	if err != nil {
		panic(err)
	}
	return wrap(inner...)
}

// wrap is a SEQUENCE of short content.
func wrap(content ...byte) []byte { return append([]byte{0x30, byte(len(content))}, content...) }

func TestOtherNameEncoding(t *testing.T) {
	ext, err := certext.SANExtension(certext.SAN{Kind: certext.OtherName, Value: "bob!example.com"})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(otherName(certext.OIDOtherName, "bob!example.com"), ext.Value); d != "" {
		t.Errorf("(-encoding/asn1 +got)\n%s", d)
	}
}

func TestSANExtensionRefuses(t *testing.T) {
	for name, san := range map[string]certext.SAN{
		"empty":             {Kind: certext.Email},
		"no kind":           {Value: "x"},
		"unknown kind":      {Kind: 99, Value: "x"},
		"email not ASCII":   {Kind: certext.Email, Value: "ł@example.com"},
		"email with NUL":    {Kind: certext.Email, Value: "a\x00@example.com"},
		"relative URI":      {Kind: certext.URI, Value: "//example.com"},
		"broken URI":        {Kind: certext.URI, Value: "https://%zz"},
		"URI with newline":  {Kind: certext.URI, Value: "https://example.com/\n"},
		"DNS not ASCII":     {Kind: certext.DNS, Value: "ł.example.com"},
		"no IP":             {Kind: certext.IP, Value: "1.2.3"},
		"IP with zone":      {Kind: certext.IP, Value: "fe80::1%eth0"},
		"username no UTF-8": {Kind: certext.OtherName, Value: "\xff"},
		"too long":          {Kind: certext.OtherName, Value: strings.Repeat("a", certext.MaxExtension)},
	} {
		if _, err := certext.SANExtension(san); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestParseSANs(t *testing.T) {
	email := []byte{0x81, 3, 'a', '@', 'b'}
	uri := []byte{0x86, 3, 'u', ':', 'v'}
	directory := []byte{0xa4, 2, 0x30, 0}
	own := otherName(certext.OIDOtherName, "x")
	for _, tt := range []struct {
		name  string
		value []byte
		want  []certext.SAN
		err   string
	}{
		{"empty list", wrap(), nil, ""},
		{"two, in order", wrap(append(append([]byte{}, uri...), email...)...), []certext.SAN{{Kind: certext.URI, Value: "u:v"}, {Kind: certext.Email, Value: "a@b"}}, ""},
		{"directoryName is left out", wrap(append(append([]byte{}, directory...), email...)...), []certext.SAN{{Kind: certext.Email, Value: "a@b"}}, ""},
		{"foreign otherName is left out", otherName(asn1.ObjectIdentifier{1, 2, 3}, "x"), nil, ""},
		{"own otherName", own, []certext.SAN{{Kind: certext.OtherName, Value: "x"}}, ""},
		{"not a sequence", email, nil, "SEQUENCE"},
		{"empty value", nil, nil, "SEQUENCE"},
		{"trailing data", append(wrap(email...), 0), nil, "SEQUENCE"},
		{"cut name", wrap(email[:4]...), nil, "malformed"},
		{"email not ASCII", wrap(0x81, 1, 0xff), nil, "ASCII"},
		{"IP of 5 bytes", wrap(0x87, 5, 1, 2, 3, 4, 5), nil, "4 or 16"},
		{"otherName, no value", wrap(0xa0, 5, 6, 3, 0x2a, 3, 4), nil, "otherName"},
		{"otherName, wrong string type", replace(own, []byte{0x0c, 1, 'x'}, []byte{0x13, 1, 'x'}), nil, "UTF8String"},
		{"otherName, not UTF-8", replace(own, []byte{0x0c, 1, 'x'}, []byte{0x0c, 1, 0xff}), nil, "UTF-8"},
		{"too long", make([]byte, certext.MaxExtension+1), nil, "at most"},
	} {
		got, err := certext.ParseSANs(&x509.Certificate{Extensions: []pkix.Extension{{Id: certext.OIDSubjectAltName, Value: tt.value}}})
		if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
			t.Errorf("%s: error %v; expected %q", tt.name, err, tt.err)
		}
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("%s: (-want +got)\n%s", tt.name, d)
		}
	}
	if got, err := certext.ParseSANs(&x509.Certificate{}); got != nil || err != nil {
		t.Errorf("no extension: %v, %v", got, err)
	}
	twice := pkix.Extension{Id: certext.OIDSubjectAltName, Value: wrap(email...)}
	if _, err := certext.ParseSANs(&x509.Certificate{Extensions: []pkix.Extension{twice, twice}}); err == nil {
		t.Error("two extensions: accepted")
	}
}

func TestParseSANsCapsTheirNumber(t *testing.T) {
	var content []byte
	for range 101 {
		content = append(content, 0x81, 1, 'a')
	}
	value := append([]byte{0x30, 0x82, byte(len(content) >> 8), byte(len(content))}, content...)
	if _, err := certext.ParseSANs(&x509.Certificate{Extensions: []pkix.Extension{{Id: certext.OIDSubjectAltName, Value: value}}}); err == nil {
		t.Error("101 names: accepted")
	}
}

// replace returns s with the one occurrence of old replaced.
func replace(s, old, new []byte) []byte {
	return []byte(strings.Replace(string(s), string(old), string(new), 1))
}

func TestWhoString(t *testing.T) {
	for _, tt := range []struct {
		who  certext.Who
		want string
	}{
		{certext.Who{SAN: certext.SAN{Kind: certext.Email, Value: "a@b"}}, "a@b"},
		{
			certext.Who{SAN: certext.SAN{Kind: certext.URI, Value: "https://x"}, Issuer: "https://i", Repository: "o/r", Workflow: "w", Ref: "refs/heads/main", SHA: "abc"},
			"https://x (https://i) repository=o/r workflow=w ref=refs/heads/main commit=abc",
		},
		{certext.Who{SAN: certext.SAN{Kind: certext.OtherName, Value: "\x1b[2Jx"}}, `"\x1b[2Jx"`},
	} {
		if got := tt.who.String(); got != tt.want {
			t.Errorf("%q; expected %q", got, tt.want)
		}
	}
	if _, err := certext.WhoOf(&x509.Certificate{}); err == nil {
		t.Error("a certificate without a name: accepted")
	}
}
