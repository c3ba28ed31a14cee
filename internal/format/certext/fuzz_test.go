// SPDX-License-Identifier: Apache-2.0

package certext_test

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"

	"hallmark/internal/format/certext"
)

func FuzzParseSCTList(f *testing.F) {
	ext, err := certext.MarshalSCTList(sampleSCTs())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(ext.Value)
	f.Add([]byte{4, 2, 0, 0})
	f.Add(tlsList([]byte{1, 2, 3}))
	f.Fuzz(func(t *testing.T, data []byte) {
		scts, err := certext.ParseSCTList(data)
		if err != nil || len(scts) == 0 {
			return
		}
		ext, err := certext.MarshalSCTList(scts)
		if err != nil {
			t.Fatal(err)
		}
		// Equal unless SCTs of unknown versions were skipped.
		if len(ext.Value) == len(data) && !bytes.Equal(ext.Value, data) {
			t.Errorf("%x is read and written as %x", data, ext.Value)
		}
		again, err := certext.ParseSCTList(ext.Value)
		if err != nil || len(again) != len(scts) {
			t.Errorf("own list does not parse: %v", err)
		}
	})
}

func FuzzParseSANs(f *testing.F) {
	for _, san := range []certext.SAN{
		{Kind: certext.Email, Value: "a@b"}, {Kind: certext.URI, Value: "u:v"}, {Kind: certext.OtherName, Value: "x!y"},
		{Kind: certext.DNS, Value: "d"}, {Kind: certext.IP, Value: "::1"}, {Kind: certext.IP, Value: "192.0.2.1"},
	} {
		ext, err := certext.SANExtension(san)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(ext.Value)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		cert := &x509.Certificate{Extensions: []pkix.Extension{{Id: certext.OIDSubjectAltName, Value: data}}}
		sans, err := certext.ParseSANs(cert)
		if err != nil || len(sans) != 1 {
			return
		}
		ext, err := certext.SANExtension(sans[0])
		if err != nil {
			return // readable, but we would not issue it
		}
		again, err := certext.ParseSANs(&x509.Certificate{Extensions: []pkix.Extension{ext}})
		if err != nil || len(again) != 1 || again[0] != sans[0] {
			t.Errorf("%v is read back as %v, %v", sans, again, err)
		}
	})
}

func FuzzParseExtensions(f *testing.F) {
	f.Add(1, []byte("https://x"))
	f.Add(8, []byte("\x0c\x01x"))
	f.Add(24, []byte("\x0c\x80"))
	f.Fuzz(func(t *testing.T, number int, value []byte) {
		cert := &x509.Certificate{Extensions: []pkix.Extension{{Id: fulcio(number), Value: value}}}
		e, err := certext.ParseExtensions(cert)
		if err != nil || e == (certext.Extensions{}) {
			return
		}
		exts, err := e.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if len(exts) != 1 || !exts[0].Id.Equal(fulcio(number)) || !bytes.Equal(exts[0].Value, value) {
			t.Errorf(".%d %x is written as %v", number, value, exts)
		}
	})
}

func FuzzPrecertTBS(f *testing.F) {
	plain, precert, final, _ := variants(f)
	f.Add(plain)
	f.Add(precert)
	f.Add(final)
	f.Fuzz(func(t *testing.T, data []byte) {
		tbs, err := certext.PrecertTBS(data)
		if err != nil {
			return
		}
		// A TBS without the two extensions is a fixed point: wrapped as a
		// certificate again, it comes out as it is.
		var b cryptobyte.Builder
		b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddBytes(tbs) })
		cert := b.BytesOrPanic()
		if again, err := certext.PrecertTBS(cert); err != nil || !bytes.Equal(again, tbs) {
			t.Errorf("not a fixed point: %v", err)
		}
	})
}
