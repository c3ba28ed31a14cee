// SPDX-License-Identifier: Apache-2.0

package certext_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hallmark/internal/format/certext"
)

func sampleSCTs() []certext.SCT {
	return []certext.SCT{
		{LogID: [32]byte{1}, Timestamp: 1700000000123, HashAlg: certext.HashSHA256, SigAlg: certext.SigECDSA, Signature: []byte("one")},
		{LogID: [32]byte{2}, Timestamp: 1, Extensions: []byte{0, 0, 5, 0, 0, 0, 0, 7}, HashAlg: certext.HashSHA384, SigAlg: certext.SigRSA, Signature: bytes.Repeat([]byte{9}, 512)},
	}
}

func TestSCTListThroughACertificate(t *testing.T) {
	want := sampleSCTs()
	ext, err := certext.MarshalSCTList(want)
	if err != nil {
		t.Fatal(err)
	}
	if ext.Critical || !ext.Id.Equal(certext.OIDSCTList) {
		t.Errorf("extension %v, critical %v", ext.Id, ext.Critical)
	}
	key := newKey(t)
	cert := newIssuer(t).leaf(t, &key.PublicKey, ext)
	got, err := certext.SCTs(cert)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if got, err := certext.SCTs(&x509.Certificate{}); got != nil || err != nil {
		t.Errorf("no extension: %v, %v", got, err)
	}
	twice := &x509.Certificate{Extensions: []pkix.Extension{ext, ext}}
	if _, err := certext.SCTs(twice); err == nil {
		t.Error("two SCT lists: accepted")
	}
}

func TestMarshalSCTListRefuses(t *testing.T) {
	long := certext.SCT{Signature: make([]byte, 1<<16)}
	for name, list := range map[string][]certext.SCT{
		"no SCT":              nil,
		"long signature":      {long},
		"long extensions":     {{Extensions: make([]byte, 1<<16)}},
		"list over 64 KiB":    {{Signature: make([]byte, 40000)}, {Signature: make([]byte, 40000)}},
		"SCT just over limit": {{Signature: make([]byte, 1<<16-47)}},
	} {
		if _, err := certext.MarshalSCTList(list); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// tlsList wraps a TLS list of items as the extension's value.
func tlsList(items ...[]byte) []byte {
	var list []byte
	for _, item := range items {
		list = append(binary.BigEndian.AppendUint16(list, uint16(len(item))), item...)
	}
	return octets(append(binary.BigEndian.AppendUint16(nil, uint16(len(list))), list...))
}

// octets is a DER OCTET STRING.
func octets(content []byte) []byte {
	if len(content) < 0x80 {
		return append([]byte{4, byte(len(content))}, content...)
	}
	return append([]byte{4, 0x82, byte(len(content) >> 8), byte(len(content))}, content...)
}

func TestParseSCTList(t *testing.T) {
	ext, err := certext.MarshalSCTList(sampleSCTs()[:1])
	if err != nil {
		t.Fatal(err)
	}
	item := ext.Value[2+4:] // after the OCTET STRING header, list length and item length
	future := append([]byte{1}, "whatever version 2 is"...)
	cut := func(n int) []byte { return item[:len(item)-n] }
	for _, tt := range []struct {
		name  string
		value []byte
		count int
		err   string
	}{
		{"one", tlsList(item), 1, ""},
		{"two", tlsList(item, item), 2, ""},
		{"unknown version is skipped", tlsList(future, item), 1, ""},
		{"only unknown versions", tlsList(future), 0, ""},
		{"nothing", nil, 0, "OCTET STRING"},
		{"not an OCTET STRING", append([]byte{5}, tlsList(item)[1:]...), 0, "OCTET STRING"},
		{"data after the OCTET STRING", append(tlsList(item), 0), 0, "OCTET STRING"},
		{"empty list", tlsList(), 0, "empty"},
		{"empty SCT", tlsList(item, nil), 0, "empty"},
		{"data after the list", octets(append(bytes.Clone(tlsList(item)[2:]), 0)), 0, "TLS list"},
		{"cut SCT", tlsList(cut(1)), 0, "TLS encoding"},
		{"cut before the signature", tlsList(cut(5)), 0, "TLS encoding"},
		{"data after the signature", tlsList(append(bytes.Clone(item), 0)), 0, "TLS encoding"},
		{"item longer than the list", octets([]byte{0, 3, 0, 9, 0}), 0, "malformed"},
		{"too long", make([]byte, certext.MaxExtension+9), 0, "at most"},
	} {
		got, err := certext.ParseSCTList(tt.value)
		if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
			t.Errorf("%s: error %v; expected %q", tt.name, err, tt.err)
		}
		if len(got) != tt.count {
			t.Errorf("%s: %d SCTs; expected %d", tt.name, len(got), tt.count)
		}
	}
}

func TestSCTSignedData(t *testing.T) {
	got := certext.SCTSignedData(0x0102030405060708, []byte{0xaa}, [32]byte{1}, []byte("tbs"))
	want := []byte{0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 1, 1}
	want = append(want, make([]byte, 31)...)
	want = append(want, 0, 0, 3, 't', 'b', 's', 0, 1, 0xaa)
	if !bytes.Equal(got, want) {
		t.Errorf("precert_entry\n%x; expected\n%x", got, want)
	}
	got = certext.SCTSignedDataX509(1, nil, []byte("cert"))
	want = []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 4, 'c', 'e', 'r', 't', 0, 0}
	if !bytes.Equal(got, want) {
		t.Errorf("x509_entry\n%x; expected\n%x", got, want)
	}
	if certext.SCTSignedData(1, make([]byte, 1<<16), [32]byte{}, nil) != nil {
		t.Error("extensions over 64 KiB give data to sign")
	}
}

// logKeys has a log key of every accepted kind and how it signs.
func logKeys(t *testing.T) map[string]struct {
	key      crypto.Signer
	hash     crypto.Hash
	hashAlg  uint8
	sigAlg   uint8
	wrongAlg uint8
} {
	t.Helper()
	p256, p384 := newKey(t), must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	rsaKey := must(rsa.GenerateKey(rand.Reader, 2048))
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	type row = struct {
		key      crypto.Signer
		hash     crypto.Hash
		hashAlg  uint8
		sigAlg   uint8
		wrongAlg uint8
	}
	return map[string]row{
		"P-256":            {p256, crypto.SHA256, certext.HashSHA256, certext.SigECDSA, certext.SigRSA},
		"P-384, SHA-256":   {p384, crypto.SHA256, certext.HashSHA256, certext.SigECDSA, certext.SigEd25519},
		"P-384, SHA-384":   {p384, crypto.SHA384, certext.HashSHA384, certext.SigECDSA, certext.SigRSA},
		"P-256, SHA-512":   {p256, crypto.SHA512, certext.HashSHA512, certext.SigECDSA, certext.SigRSA},
		"RSA":              {rsaKey, crypto.SHA256, certext.HashSHA256, certext.SigRSA, certext.SigECDSA},
		"Ed25519":          {ed, 0, certext.HashIntrinsic, certext.SigEd25519, certext.SigECDSA},
		"Ed25519, no hash": {ed, 0, certext.HashNone, certext.SigEd25519, certext.SigRSA},
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestSCTVerify(t *testing.T) {
	issuerKeyHash, tbs := sha256.Sum256([]byte("issuer")), []byte("a TBSCertificate")
	otherKeyHash := sha256.Sum256([]byte("another issuer"))
	for name, k := range logKeys(t) {
		good := certext.SCT{Timestamp: 1700000000000, Extensions: []byte{1, 2}, HashAlg: k.hashAlg, SigAlg: k.sigAlg}
		good.Signature = signData(t, k.key, k.hash, certext.SCTSignedData(good.Timestamp, good.Extensions, issuerKeyHash, tbs))
		if err := good.Verify(k.key.Public(), issuerKeyHash, tbs); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := good.Verify(k.key.Public(), otherKeyHash, tbs); err == nil {
			t.Errorf("%s: another issuer: accepted", name)
		}
		if err := good.Verify(k.key.Public(), issuerKeyHash, []byte("another TBSCertificate")); err == nil {
			t.Errorf("%s: another certificate: accepted", name)
		}
		if err := good.VerifyX509(k.key.Public(), tbs); err == nil {
			t.Errorf("%s: precert_entry accepted as x509_entry", name)
		}
		for what, change := range map[string]func(*certext.SCT){
			"timestamp":           func(s *certext.SCT) { s.Timestamp++ },
			"extensions":          func(s *certext.SCT) { s.Extensions = nil },
			"signature":           func(s *certext.SCT) { s.Signature = append([]byte{}, s.Signature...); s.Signature[8] ^= 1 },
			"empty signature":     func(s *certext.SCT) { s.Signature = nil },
			"hash algorithm":      func(s *certext.SCT) { s.HashAlg = 2 /* SHA-1 */ },
			"signature algorithm": func(s *certext.SCT) { s.SigAlg = k.wrongAlg },
			"long extensions":     func(s *certext.SCT) { s.Extensions = make([]byte, 1<<16) },
		} {
			bad := good
			change(&bad)
			if err := bad.Verify(k.key.Public(), issuerKeyHash, tbs); err == nil {
				t.Errorf("%s: changed %s: accepted", name, what)
			}
		}
		final := certext.SCT{Timestamp: 5, HashAlg: k.hashAlg, SigAlg: k.sigAlg}
		final.Signature = signData(t, k.key, k.hash, certext.SCTSignedDataX509(5, nil, tbs))
		if err := final.VerifyX509(k.key.Public(), tbs); err != nil {
			t.Errorf("%s: x509_entry: %v", name, err)
		}
	}
	if err := (certext.SCT{HashAlg: 4, SigAlg: 3}).Verify("a string", issuerKeyHash, tbs); err == nil {
		t.Error("key of an unknown type: accepted")
	}
	if err := (certext.SCT{HashAlg: 8, SigAlg: 7}).Verify(ed25519.PublicKey{1}, issuerKeyHash, tbs); err == nil {
		t.Error("short Ed25519 key: accepted")
	}
}

func TestSCTVerifyAnotherKey(t *testing.T) {
	key, other := newKey(t), newKey(t)
	sct := certext.SCT{Timestamp: 5, HashAlg: certext.HashSHA256, SigAlg: certext.SigECDSA}
	sct.Signature = signData(t, key, crypto.SHA256, certext.SCTSignedData(5, nil, [32]byte{}, []byte("x")))
	if err := sct.Verify(&other.PublicKey, [32]byte{}, []byte("x")); err == nil {
		t.Error("another log's key: accepted")
	}
}

func signData(t *testing.T, key crypto.Signer, hash crypto.Hash, data []byte) []byte {
	t.Helper()
	if hash != 0 {
		h := hash.New()
		h.Write(data)
		data = h.Sum(nil)
	}
	return must(key.Sign(rand.Reader, data, hash))
}
