// SPDX-License-Identifier: Apache-2.0

package rfc3161_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/json"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/digitorus/timestamp"

	"hallmark/internal/format/rfc3161"
	"hallmark/internal/format/trustroot"
)

// longLived widens a leaf's validity: the other implementation compares its own
// clock with it.
func longLived(c *x509.Certificate) { c.NotAfter = genTime.AddDate(50, 0, 0) }

// digitorusResponse makes a token with the other implementation.
func digitorusResponse(t testing.TB, a authority, hash, sigHash crypto.Hash, embed bool) []byte {
	t.Helper()
	h := hash.New()
	h.Write([]byte("message"))
	ts := timestamp.Timestamp{
		HashAlgorithm: hash, HashedMessage: h.Sum(nil), Time: genTime, Accuracy: time.Second + 2*time.Millisecond,
		Policy: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 2}, Nonce: big.NewInt(4711), AddTSACertificate: embed,
	}
	if embed {
		ts.Certificates = a.chain[1:2]
	}
	return must(ts.CreateResponseWithOpts(a.chain[0], a.key, sigHash))
}

func TestTokensOfDigitorus(t *testing.T) {
	for name, key := range map[string]crypto.Signer{
		"P-256": newECDSA(),
		"P-384": must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)),
		"RSA":   must(rsa.GenerateKey(rand.Reader, 2048)),
	} {
		a := newAuthority(t, key, longLived)
		for _, hash := range []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512} {
			for _, sigHash := range []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512} {
				for _, embed := range []bool{false, true} {
					der := digitorusResponse(t, a, hash, sigHash, embed)
					token, err := rfc3161.ParseResponse(der)
					if err != nil {
						t.Errorf("%s, %v, %v, %v: %v", name, hash, sigHash, embed, err)
						continue
					}
					if err := token.Verify([]byte("message"), a.chain); err != nil {
						t.Errorf("%s, %v, %v, %v: %v", name, hash, sigHash, embed, err)
					}
					if err := token.Verify([]byte("another"), a.chain); err == nil {
						t.Errorf("%s, %v, %v, %v: another message: accepted", name, hash, sigHash, embed)
					}
					compare(t, token, must(timestamp.ParseResponse(der)))
				}
			}
		}
	}
}

// compare compares what the two implementations read.
func compare(t *testing.T, ours *rfc3161.Token, theirs *timestamp.Timestamp) {
	t.Helper()
	sameNonce := (ours.Nonce() == nil) == (theirs.Nonce == nil) && (ours.Nonce() == nil || ours.Nonce().Cmp(theirs.Nonce) == 0)
	if !ours.Time().Equal(theirs.Time) || ours.HashAlgorithm() != theirs.HashAlgorithm || !bytes.Equal(ours.HashedMessage(), theirs.HashedMessage) ||
		ours.SerialNumber().Cmp(theirs.SerialNumber) != 0 || !sameNonce || !ours.Policy().Equal(theirs.Policy) || ours.Accuracy() != theirs.Accuracy {
		t.Errorf("token %+v; digitorus/timestamp reads %+v", ours, theirs)
	}
}

// TestEveryBit flips each bit of a response: either it is refused, or what it
// says is unchanged, as for the bits that no signature covers.
func TestEveryBit(t *testing.T) {
	a := newAuthority(t, newECDSA(), longLived)
	for name, good := range map[string][]byte{
		"ours":      forge{a: a, certs: [][]byte{a.chain[0].Raw}}.response(t),
		"digitorus": digitorusResponse(t, a, crypto.SHA256, crypto.SHA256, false),
	} {
		want := must(rfc3161.ParseResponse(good))
		accepted := 0
		for i := range len(good) * 8 {
			bad := bytes.Clone(good)
			bad[i/8] ^= 1 << (i % 8)
			got, err := rfc3161.ParseResponse(bad)
			if err != nil || got.Verify([]byte("message"), a.chain) != nil {
				continue
			}
			accepted++
			if !got.Time().Equal(want.Time()) || !bytes.Equal(got.HashedMessage(), want.HashedMessage()) || got.SerialNumber().Cmp(want.SerialNumber()) != 0 {
				t.Errorf("%s: bit %d changes a token that still verifies", name, i)
			}
		}
		// Status, the CMS version, the list of digest algorithms, and bits of
		// an embedded certificate that turn it into one nobody looks at.
		if limit := len(good); accepted > limit {
			t.Errorf("%s: %d of %d flips accepted; expected at most %d", name, accepted, len(good)*8, limit)
		}
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

func TestConformanceTimestamps(t *testing.T) {
	dir := sharedDir(t)
	bundles, err := filepath.Glob(filepath.Join(dir, "conformance", "bundle-verify", "*", "bundle.sigstore.json"))
	if err != nil || len(bundles) == 0 {
		t.Fatalf("no conformance bundles in %s: %v", dir, err)
	}
	bad := map[string]bool{
		"rekor2-timestamp-payload-mismatch_fail":                    true, // of another message
		"rekor2-timestamp-untrusted-tsa-without-embedded-cert_fail": true,
		"rekor2-timestamp-outside-trust-root-tsa-validity_fail":     false, // good but for its time
	}
	good := 0
	for _, path := range bundles {
		name := filepath.Base(filepath.Dir(path))
		var b struct {
			VerificationMaterial struct {
				TimestampVerificationData struct {
					Rfc3161Timestamps []struct{ SignedTimestamp []byte }
				}
			}
			MessageSignature struct{ Signature []byte }
			DsseEnvelope     struct{ Signatures []struct{ Sig []byte } }
		}
		if err := json.Unmarshal(must(os.ReadFile(path)), &b); err != nil {
			continue // a case about broken JSON or base64
		}
		signature := b.MessageSignature.Signature
		if len(b.DsseEnvelope.Signatures) > 0 {
			signature = b.DsseEnvelope.Signatures[0].Sig
		}
		rootPath := filepath.Join(filepath.Dir(path), "trusted_root.json")
		if _, err := os.Stat(rootPath); err != nil {
			rootPath = filepath.Join(dir, "public-good", "trusted_root.json")
		}
		root := must(trustroot.Parse(must(os.ReadFile(rootPath))))
		for _, ts := range b.VerificationMaterial.TimestampVerificationData.Rfc3161Timestamps {
			token, err := rfc3161.ParseResponse(ts.SignedTimestamp)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			compare(t, token, must(timestamp.ParseResponse(ts.SignedTimestamp)))
			err = verifyByAny(token, signature, root.TSAs)
			want, known := bad[name]
			switch {
			case known && (err != nil) != want:
				t.Errorf("%s: error %v; expected one: %v", name, err, want)
			case !known && err != nil && !bytes.HasSuffix([]byte(name), []byte("_fail")):
				t.Errorf("%s: %v", name, err)
			case err == nil:
				good++
			}
		}
	}
	if good < 5 {
		t.Errorf("only %d timestamps verified; expected at least 5", good)
	}
}

// verifyByAny tries every authority.
func verifyByAny(token *rfc3161.Token, message []byte, tsas []trustroot.TimestampAuthority) error {
	err := os.ErrNotExist
	for _, tsa := range tsas {
		if err = token.Verify(message, tsa.Chain); err == nil {
			return nil
		}
	}
	return err
}

func FuzzParseRequest(f *testing.F) {
	f.Add(rfc3161.NewRequest([]byte("message")))
	f.Add(must((&rfc3161.Request{HashAlg: crypto.SHA512, HashedMessage: make([]byte, 64), Nonce: big.NewInt(-1), CertReq: true, PolicyOID: asn1.ObjectIdentifier{1, 2, 3}}).Marshal()))
	f.Fuzz(func(t *testing.T, der []byte) {
		r, err := rfc3161.ParseRequest(der)
		if err != nil {
			return
		}
		again, err := r.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := rfc3161.ParseRequest(again); err != nil {
			t.Errorf("own request does not parse: %v", err)
		}
		theirs, err := timestamp.ParseRequest(der)
		if err == nil && (theirs.HashAlgorithm != r.HashAlg || !bytes.Equal(theirs.HashedMessage, r.HashedMessage) || theirs.Certificates != r.CertReq) {
			t.Errorf("%+v; digitorus/timestamp reads %+v", r, theirs)
		}
	})
}

func FuzzParseResponse(f *testing.F) {
	a := newAuthority(f, newECDSA(), longLived)
	rsaAuthority := newAuthority(f, must(rsa.GenerateKey(rand.Reader, 2048)), longLived)
	f.Add(forge{a: a, certs: [][]byte{a.chain[0].Raw}}.response(f))
	f.Add(forge{a: a, sidKeyID: []byte{9, 8, 7}}.response(f))
	f.Add(digitorusResponse(f, a, crypto.SHA256, crypto.SHA512, true))
	f.Add(digitorusResponse(f, rsaAuthority, crypto.SHA512, crypto.SHA256, false))
	f.Add(rfc3161.MarshalRejection(rfc3161.SystemFailure, "text"))
	f.Fuzz(func(t *testing.T, der []byte) {
		token, err := rfc3161.ParseResponse(der)
		if err != nil {
			return
		}
		for _, chain := range [][]*x509.Certificate{a.chain, a.chain[1:], rsaAuthority.chain} {
			if token.Verify([]byte("message"), chain) == nil && !token.Time().Equal(genTime) {
				t.Errorf("a token of %v verifies; every genuine one is of %v", token.Time(), genTime)
			}
			_ = token.VerifySignedBy(nil, chain[0]) // must not panic
		}
		if theirs, err := timestamp.ParseResponse(der); err == nil {
			if !token.Time().Equal(theirs.Time) || token.HashAlgorithm() != theirs.HashAlgorithm || !bytes.Equal(token.HashedMessage(), theirs.HashedMessage) {
				t.Errorf("token %+v; digitorus/timestamp reads %+v", token, theirs)
			}
		}
	})
}
