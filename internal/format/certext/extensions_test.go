// SPDX-License-Identifier: Apache-2.0

package certext_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hallmark/internal/format/certext"
)

// allClaims has a distinct value in every field.
func allClaims() certext.Extensions {
	var e certext.Extensions
	v := reflect.ValueOf(&e).Elem()
	for i := range v.NumField() {
		v.Field(i).SetString(fmt.Sprintf("%s – %d", v.Type().Field(i).Name, i))
	}
	return e
}

func fulcio(n int) asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, n}
}

func TestExtensionsThroughACertificate(t *testing.T) {
	want := allClaims()
	exts, err := want.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	key := newKey(t)
	got, err := certext.ParseExtensions(newIssuer(t).leaf(t, &key.PublicKey, exts...))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

func TestExtensionsMarshalEncoding(t *testing.T) {
	exts, err := allClaims().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	numbers := []int{1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24}
	if len(exts) != len(numbers) {
		t.Fatalf("%d extensions; expected %d", len(exts), len(numbers))
	}
	for i, ext := range exts {
		n := numbers[i]
		if !ext.Id.Equal(fulcio(n)) || ext.Critical {
			t.Errorf("extension %d is %v, critical %v; expected %v, not critical", i, ext.Id, ext.Critical, fulcio(n))
		}
		if n < 8 {
			if strings.HasPrefix(string(ext.Value), "\x0c") {
				t.Errorf(".%d is DER; expected the raw string", n)
			}
			continue
		}
		var s string
		if rest, err := asn1.UnmarshalWithParams(ext.Value, &s, "utf8"); err != nil || len(rest) > 0 || s == "" {
			t.Errorf(".%d is not a DER UTF8String: %v", n, err)
		}
	}
}

func TestExtensionsMarshal(t *testing.T) {
	if exts, err := (certext.Extensions{}).Marshal(); err != nil || len(exts) != 0 {
		t.Errorf("empty: %d extensions, %v; expected none", len(exts), err)
	}
	for name, e := range map[string]certext.Extensions{
		"raw not UTF-8": {GitHubRef: "\xff"},
		"DER not UTF-8": {TokenSubject: "\xff"},
		"too long":      {TokenSubject: strings.Repeat("a", certext.MaxExtension)},
	} {
		if _, err := e.Marshal(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestIssuerURL(t *testing.T) {
	for _, tt := range []struct {
		e    certext.Extensions
		want string
	}{
		{certext.Extensions{}, ""},
		{certext.Extensions{Issuer: "https://old"}, "https://old"},
		{certext.Extensions{IssuerV2: "https://new"}, "https://new"},
		{certext.Extensions{Issuer: "https://old", IssuerV2: "https://new"}, "https://new"},
	} {
		if got := tt.e.IssuerURL(); got != tt.want {
			t.Errorf("%+v: %q; expected %q", tt.e, got, tt.want)
		}
	}
}

func TestParseExtensions(t *testing.T) {
	ext := func(n int, value string) pkix.Extension { return pkix.Extension{Id: fulcio(n), Value: []byte(value)} }
	for _, tt := range []struct {
		name string
		exts []pkix.Extension
		want certext.Extensions
		err  string
	}{
		{"none", nil, certext.Extensions{}, ""},
		{"unknown number", []pkix.Extension{ext(99, "x"), ext(0, "x")}, certext.Extensions{}, ""},
		{"unknown arc", []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3}}}, certext.Extensions{}, ""},
		{"no OID", []pkix.Extension{{}}, certext.Extensions{}, ""},
		{"raw", []pkix.Extension{ext(5, "o/r")}, certext.Extensions{GitHubRepository: "o/r"}, ""},
		{"DER", []pkix.Extension{ext(8, "\x0c\x01x")}, certext.Extensions{IssuerV2: "x"}, ""},
		{"raw in .8", []pkix.Extension{ext(8, "https://x")}, certext.Extensions{}, "DER UTF8String"},
		{"PrintableString in .9", []pkix.Extension{ext(9, "\x13\x01x")}, certext.Extensions{}, "DER UTF8String"},
		{"trailing data in .8", []pkix.Extension{ext(8, "\x0c\x01xy")}, certext.Extensions{}, "DER UTF8String"},
		{"long form length in .8", []pkix.Extension{ext(8, "\x0c\x81\x01x")}, certext.Extensions{}, "DER UTF8String"},
		{"empty .8", []pkix.Extension{ext(8, "")}, certext.Extensions{}, "DER UTF8String"},
		{".1 not UTF-8", []pkix.Extension{ext(1, "\xff")}, certext.Extensions{}, "not UTF-8"},
		{".8 not UTF-8", []pkix.Extension{ext(8, "\x0c\x01\xff")}, certext.Extensions{}, "not UTF-8"},
		{"twice", []pkix.Extension{ext(1, "a"), ext(1, "a")}, certext.Extensions{}, "more than once"},
		{"too long", []pkix.Extension{ext(1, strings.Repeat("a", certext.MaxExtension+1))}, certext.Extensions{}, "at most"},
	} {
		got, err := certext.ParseExtensions(&x509.Certificate{Extensions: tt.exts})
		if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
			t.Errorf("%s: error %v; expected %q", tt.name, err, tt.err)
		}
		if got != tt.want {
			t.Errorf("%s: %+v; expected %+v", tt.name, got, tt.want)
		}
	}
}
