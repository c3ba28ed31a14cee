// SPDX-License-Identifier: Apache-2.0

package trustroot_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"hallmark/internal/format/checkpoint"
	"hallmark/internal/format/pubkey"
	"hallmark/internal/format/trustroot"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func newECDSA(c elliptic.Curve) *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(c, rand.Reader)) }

// certificate issues one; parent nil for a self-signed one.
func certificate(name string, isCA bool, key crypto.Signer, parent *x509.Certificate, parentKey crypto.Signer) *x509.Certificate {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: start, NotAfter: start.AddDate(10, 0, 0), BasicConstraintsValid: isCA, IsCA: isCA,
	}
	if parent == nil {
		parent = template
	}
	return must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey))))
}

// rsaKeys are slow to make, and so made once.
var rsaKeys = sync.OnceValue(func() [2]crypto.PublicKey {
	return [2]crypto.PublicKey{must(rsa.GenerateKey(rand.Reader, 2048)).Public(), must(rsa.GenerateKey(rand.Reader, 2048)).Public()}
})

// sample is a root with something of everything.
func sample() *trustroot.Root {
	ed, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	log := func(url string, pub crypto.PublicKey, details pubkey.Details) trustroot.Log {
		l := trustroot.Log{BaseURL: url, Key: pub, Details: details, Valid: trustroot.Window{Start: start}}
		id := must(checkpoint.LogID(l.Origin(), pub))
		l.ID = id[:]
		return l
	}
	ct := log("https://ct.example.com/2026", newECDSA(elliptic.P256()).Public(), pubkey.ECDSAP256SHA256)
	ct.Valid.End = start.AddDate(1, 0, 0)
	rootKey, interKey, leafKey := newECDSA(elliptic.P256()), newECDSA(elliptic.P256()), newECDSA(elliptic.P256())
	root := certificate("root", true, rootKey, nil, rootKey)
	inter := certificate("intermediate", true, interKey, root, rootKey)
	leaf := certificate("tsa", false, leafKey, inter, interKey)
	subject := trustroot.Subject{Organization: "example.com", CommonName: "test"}
	return &trustroot.Root{
		Logs: []trustroot.Log{
			log("https://log2026-1.example.com", ed, pubkey.Ed25519),
			log("https://rekor.example.com", newECDSA(elliptic.P384()).Public(), pubkey.ECDSAP384SHA384),
			log("", newECDSA(elliptic.P521()).Public(), pubkey.ECDSAP521SHA512),
			log("https://rsa.example.com", rsaKeys()[0], pubkey.RSAPKCS1v15_2048_SHA256),
			log("https://old.example.com", rsaKeys()[1], pubkey.LegacyPKCS1RSAPKCS1v15),
		},
		CTLogs: []trustroot.Log{ct},
		CAs: []trustroot.CertificateAuthority{
			{Subject: subject, URI: "https://ca.example.com", Chain: []*x509.Certificate{inter, root}, Valid: trustroot.Window{Start: start, End: start.Add(time.Hour)}},
			{Subject: subject, Chain: []*x509.Certificate{root}},
		},
		TSAs: []trustroot.TimestampAuthority{
			{Subject: subject, URI: "https://tsa.example.com/api/v1/timestamp", Chain: []*x509.Certificate{leaf, inter, root}, Valid: trustroot.Window{Start: start}},
			{Chain: []*x509.Certificate{inter, root}},
		},
	}
}

// object is a JSON object to be changed by tests.
type object = map[string]any

// changed decodes JSON, changes it and encodes it again.
func changed(t *testing.T, data []byte, change func(object)) []byte {
	t.Helper()
	var o object
	if err := json.Unmarshal(data, &o); err != nil {
		t.Fatal(err)
	}
	change(o)
	return must(json.Marshal(o))
}

// in walks to an object: in(o, "tlogs", 0, "publicKey").
func in(o object, path ...any) object {
	var v any = o
	for _, step := range path {
		switch step := step.(type) {
		case string:
			v = v.(object)[step]
		case int:
			v = v.([]any)[step]
		}
	}
	return v.(object)
}

// expect compares an error with what is expected of it, "" for none.
func expect(t *testing.T, name string, err error, want string) {
	t.Helper()
	if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
		t.Errorf("%s: error %v; expected %q", name, err, want)
	}
}

// sharedDir is the folder of shared test data: beside the project, or above the
// folder that HALLMARK_CONFORMANCE names. It skips the test where the folder is
// absent and nothing demands it.
func sharedDir(t *testing.T) string {
	t.Helper()
	dir := filepath.Join("..", "..", "..", "..", "shared")
	env := os.Getenv("HALLMARK_CONFORMANCE")
	if env != "" {
		dir = filepath.Dir(filepath.Clean(env))
	}
	if _, err := os.Stat(filepath.Join(dir, "conformance")); err != nil {
		if env != "" {
			t.Fatalf("HALLMARK_CONFORMANCE=%s: %v", env, err)
		}
		t.Skip("no ../shared folder beside the project")
	}
	return dir
}
