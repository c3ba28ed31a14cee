// SPDX-License-Identifier: Apache-2.0

package pubkey

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"strings"
	"sync"
	"testing"

	commonpb "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
)

// keys are the test keys by name. RSA keys are read, since they take long to make.
var keys = sync.OnceValue(func() map[string]crypto.Signer {
	out := make(map[string]crypto.Signer)
	for _, c := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521(), elliptic.P224()} {
		out[c.Params().Name] = must(ecdsa.GenerateKey(c, rand.Reader))
	}
	for _, bits := range []int{2048, 3072, 4096} {
		out[fmt.Sprintf("RSA-%d", bits)] = loadRSA(bits)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	out["Ed25519"] = must(ed, err)
	return out
})

func loadRSA(bits int) crypto.Signer {
	block, _ := pem.Decode(must(os.ReadFile(fmt.Sprintf("testdata/rsa-%d.pem", bits))))
	return must(x509.ParsePKCS8PrivateKey(block.Bytes)).(*rsa.PrivateKey)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// keyFor names the test key that fits a scheme.
var keyFor = map[Details]string{
	ECDSAP256SHA256: "P-256", ECDSAP384SHA384: "P-384", ECDSAP521SHA512: "P-521",
	RSAPKCS1v15_2048_SHA256: "RSA-2048", RSAPKCS1v15_3072_SHA256: "RSA-3072", RSAPKCS1v15_4096_SHA256: "RSA-4096",
	RSAPSS_2048_SHA256: "RSA-2048", RSAPSS_3072_SHA256: "RSA-3072", RSAPSS_4096_SHA256: "RSA-4096",
	Ed25519: "Ed25519", Ed25519ph: "Ed25519",
	LegacyPKCS1RSAPKCS1v15: "RSA-2048", LegacyPKCS1RSAPSS: "RSA-2048", LegacyRSAPKCS1v15: "RSA-3072", LegacyRSAPSS: "RSA-3072",
	LegacyECDSAP256HMAC: "P-256", LegacyECDSAP384SHA256: "P-384", LegacyECDSAP521SHA256: "P-521",
}

func TestDetailsAreTheProtobufEnum(t *testing.T) {
	for _, d := range All() {
		if n, ok := commonpb.PublicKeyDetails_value[string(d)]; !ok || n != d.Number() {
			t.Errorf("%s is number %d: the enum says %d, %v", d, d.Number(), n, ok)
		}
		if got, err := DetailsByNumber(d.Number()); err != nil || got != d {
			t.Errorf("number %d is %s, %v: want %s", d.Number(), got, err, d)
		}
		if got, err := ParseDetails(string(d)); err != nil || got != d {
			t.Errorf("ParseDetails(%s) = %s, %v", d, got, err)
		}
		if keyFor[d] == "" {
			t.Errorf("%s has no test key", d)
		}
	}
	for _, name := range []string{"", "PUBLIC_KEY_DETAILS_UNSPECIFIED", "ML_DSA_65", "LMS_SHA256", "pkix_ed25519"} {
		if d, err := ParseDetails(name); err == nil {
			t.Errorf("ParseDetails(%q) = %s", name, d)
		}
	}
	for _, n := range []int32{-1, 0, 14, 21, 99} {
		if d, err := DetailsByNumber(n); err == nil {
			t.Errorf("DetailsByNumber(%d) = %s", n, d)
		}
	}
}

// TestVerify signs under every scheme and checks that only the right key,
// scheme, message and signature verify.
func TestVerify(t *testing.T) {
	msg := []byte("a message")
	for _, d := range All() {
		key := keys()[keyFor[d]]
		pub := key.Public()
		sig, err := Sign(key, d, msg)
		if err != nil {
			t.Fatalf("%s: %v", d, err)
		}
		if err := Verify(pub, d, msg, sig); err != nil {
			t.Errorf("%s: %v", d, err)
		}
		if err := Verify(pub, d, []byte("a Message"), sig); !errors.Is(err, ErrSignature) {
			t.Errorf("%s, other message: %v", d, err)
		}
		bad := bytes.Clone(sig)
		bad[len(bad)-1] ^= 1
		for name, s := range map[string][]byte{"flipped": bad, "short": sig[:len(sig)-1], "long": append(sig[:len(sig):len(sig)], 0), "empty": nil} {
			if err := Verify(pub, d, msg, s); !errors.Is(err, ErrSignature) {
				t.Errorf("%s, %s signature: %v", d, name, err)
			}
		}
		for _, other := range All() {
			err := Verify(pub, other, msg, sig)
			if same := sameScheme(d, other); (err == nil) != same {
				t.Errorf("signed as %s, verified as %s: %v", d, other, err)
			}
		}
	}
}

// sameScheme says whether two names mean the same check for the same key.
func sameScheme(a, b Details) bool {
	sa, _ := a.scheme()
	sb, _ := b.scheme()
	return sa.family == sb.family && sa.hash == sb.hash && keyFits(a, b)
}

func keyFits(a, b Details) bool { return b.Check(keys()[keyFor[a]].Public()) == nil }

func TestVerifyDigest(t *testing.T) {
	msg := []byte("a message")
	for _, d := range All() {
		key := keys()[keyFor[d]]
		sig := must(Sign(key, d, msg))
		if d == Ed25519 {
			sum := sha512.Sum512(msg)
			if err := VerifyDigest(key.Public(), d, sum[:], sig); err == nil || !strings.Contains(err.Error(), "content") {
				t.Errorf("pure Ed25519 over a digest: %v", err)
			}
			if d.Hash() != 0 || d.Digest() != 0 {
				t.Errorf("pure Ed25519 has the hash %v", d.Hash())
			}
			continue
		}
		h := d.Hash().New()
		h.Write(msg)
		sum := h.Sum(nil)
		if err := VerifyDigest(key.Public(), d, sum, sig); err != nil {
			t.Errorf("%s: %v", d, err)
		}
		for _, s := range [][]byte{nil, sum[:len(sum)-1], append(sum[:len(sum):len(sum)], 0)} {
			if err := VerifyDigest(key.Public(), d, s, sig); err == nil || !strings.Contains(err.Error(), "digest is") {
				t.Errorf("%s with a digest of %d bytes: %v", d, len(s), err)
			}
		}
	}
}

// TestEd25519phVector is the vector of RFC 8032 section 7.3.
func TestEd25519phVector(t *testing.T) {
	seed := must(hex.DecodeString("833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42"))
	want := "98a70222f0b8121aa9d30f813d683f809e462b469c7ff87639499bb94e6dae4131f85042463c2a355a2003d062adf5aaa10b8c61e636062aaad11c2a26083406"
	key := ed25519.NewKeyFromSeed(seed)
	sig := must(Sign(key, Ed25519ph, []byte("abc")))
	if got := hex.EncodeToString(sig); got != want {
		t.Errorf("signature is %s: want %s", got, want)
	}
	if err := Verify(key.Public(), Ed25519ph, []byte("abc"), sig); err != nil {
		t.Error(err)
	}
}

func TestDefaultDetails(t *testing.T) {
	for name, want := range map[string]Details{
		"P-256": ECDSAP256SHA256, "P-384": ECDSAP384SHA384, "P-521": ECDSAP521SHA512, "Ed25519": Ed25519,
		"RSA-2048": RSAPKCS1v15_2048_SHA256, "RSA-3072": RSAPKCS1v15_3072_SHA256, "RSA-4096": RSAPKCS1v15_4096_SHA256,
	} {
		if got, err := DefaultDetails(keys()[name].Public()); err != nil || got != want {
			t.Errorf("%s: %s, %v: want %s", name, got, err, want)
		}
		if want == Ed25519 {
			want = Ed25519ph
		}
		if got, err := LogDetails(keys()[name].Public()); err != nil || got != want {
			t.Errorf("%s in a log: %s, %v: want %s", name, got, err, want)
		}
	}
	odd := &rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 2499, 1), E: 65537}
	if d, err := DefaultDetails(odd); err == nil {
		t.Errorf("RSA-2500: %s", d)
	}
}

func TestUnsupportedKeys(t *testing.T) {
	small := &rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 1023, 1), E: 65537}
	large := &rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 8192, 1), E: 65537}
	for name, pub := range map[string]crypto.PublicKey{
		"nil": nil, "nil ECDSA": (*ecdsa.PublicKey)(nil), "zero ECDSA": &ecdsa.PublicKey{}, "nil RSA": (*rsa.PublicKey)(nil), "zero RSA": &rsa.PublicKey{},
		"P-224": keys()["P-224"].Public(), "RSA-1024": small, "RSA-8193": large, "short Ed25519": ed25519.PublicKey("x"), "string": "x",
	} {
		if _, err := DefaultDetails(pub); err == nil {
			t.Errorf("%s has default details", name)
		}
		if _, err := MarshalPKIX(pub); err == nil {
			t.Errorf("%s was encoded", name)
		}
		if _, err := KeyID(pub); err == nil {
			t.Errorf("%s has a key id", name)
		}
		if CheckStrength(pub) == nil {
			t.Errorf("%s is strong", name)
		}
		for _, d := range All() {
			if Verify(pub, d, nil, nil) == nil || d.Check(pub) == nil {
				t.Errorf("%s fits %s", name, d)
			}
		}
	}
	if _, err := Sign(nil, ECDSAP256SHA256, nil); err == nil {
		t.Error("signed with no key")
	}
	if _, err := Sign(keys()["P-256"], Ed25519, nil); err == nil {
		t.Error("signed with a key that does not fit")
	}
	if err := Details("x").Check(keys()["P-256"].Public()); err == nil || !strings.Contains(err.Error(), "not supported") {
		t.Errorf("unknown details: %v", err)
	}
}

func TestEncodings(t *testing.T) {
	for name, key := range keys() {
		if name == "P-224" {
			der := must(x509.MarshalPKIXPublicKey(key.Public()))
			if _, err := ParsePKIX(der); err == nil {
				t.Error("P-224 was parsed")
			}
			continue
		}
		der := must(MarshalPKIX(key.Public()))
		pub, err := ParsePKIX(der)
		if err != nil || !pub.(interface{ Equal(crypto.PublicKey) bool }).Equal(key.Public()) {
			t.Errorf("%s: %v", name, err)
		}
		text := must(MarshalPEM(key.Public()))
		pub, err = ParsePEM(text)
		if err != nil || !pub.(interface{ Equal(crypto.PublicKey) bool }).Equal(key.Public()) {
			t.Errorf("%s in PEM: %v", name, err)
		}
		if id, err := KeyID(key.Public()); err != nil || id != sha256.Sum256(der) {
			t.Errorf("%s: key id %x, %v", name, id, err)
		}
		if pub, err := ParseRaw(must(DefaultDetails(key.Public())), der); err != nil || pub == nil {
			t.Errorf("%s raw: %v", name, err)
		}
	}
}

func TestPKCS1(t *testing.T) {
	key := keys()["RSA-2048"].Public().(*rsa.PublicKey)
	der := x509.MarshalPKCS1PublicKey(key)
	if pub, err := ParsePEM(pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: der})); err != nil || !key.Equal(pub) {
		t.Errorf("PEM: %v", err)
	}
	if pub, err := ParseRaw(LegacyPKCS1RSAPKCS1v15, der); err != nil || !key.Equal(pub) {
		t.Errorf("raw: %v", err)
	}
	if _, err := ParseRaw(LegacyRSAPKCS1v15, der); err == nil {
		t.Error("PKCS #1 was taken for SPKI")
	}
	if _, err := ParseRaw(LegacyPKCS1RSAPKCS1v15, must(MarshalPKIX(key))); err == nil {
		t.Error("SPKI was taken for PKCS #1")
	}
	if _, err := ParseRaw(RSAPKCS1v15_3072_SHA256, must(MarshalPKIX(key))); err == nil {
		t.Error("RSA-2048 was taken for RSA-3072")
	}
	if _, err := ParseRaw("x", der); err == nil {
		t.Error("unknown details were taken")
	}
}

func TestParsePEMRefuses(t *testing.T) {
	good := string(must(MarshalPEM(keys()["P-256"].Public())))
	if _, err := ParsePEM([]byte("a comment\n" + good + "\n\r\n\t ")); err != nil {
		t.Errorf("comment before, white space after: %v", err)
	}
	for name, tt := range map[string]struct{ in, want string }{
		"nothing":     {"", "not PEM"},
		"text":        {"hello", "not PEM"},
		"two keys":    {good + good, "exactly one key"},
		"trailer":     {good + "x", "exactly one key"},
		"private key": {strings.ReplaceAll(good, "PUBLIC KEY", "PRIVATE KEY"), "expected PUBLIC KEY"},
		"bad DER":     {string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte("x")})), "SubjectPublicKeyInfo"},
		"bad PKCS #1": {string(pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: []byte("x")})), "PKCS #1"},
		"huge":        {good + strings.Repeat(" ", MaxSize), "larger than"},
	} {
		if _, err := ParsePEM([]byte(tt.in)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error is %v: want one with %q", name, err, tt.want)
		}
	}
	if _, err := ParsePKIX(make([]byte, MaxSize+1)); err == nil || !strings.Contains(err.Error(), "larger") {
		t.Errorf("huge DER: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	for name, key := range keys() {
		if name != "P-224" {
			f.Add(must(MarshalPKIX(key.Public())), "PKIX_ED25519")
			f.Add(must(MarshalPEM(key.Public())), "PKCS1_RSA_PSS")
		}
	}
	f.Add(x509.MarshalPKCS1PublicKey(keys()["RSA-2048"].Public().(*rsa.PublicKey)), "PKCS1_RSA_PKCS1V5")
	f.Fuzz(func(t *testing.T, data []byte, details string) {
		for _, parse := range []func([]byte) (crypto.PublicKey, error){
			ParsePKIX, ParsePEM, func(b []byte) (crypto.PublicKey, error) { return ParseRaw(Details(details), b) },
		} {
			pub, err := parse(data)
			if err != nil {
				continue
			}
			der, err := MarshalPKIX(pub)
			if err != nil {
				t.Fatalf("parsed but not encoded: %v", err)
			}
			again, err := ParsePKIX(der)
			if err != nil || !again.(interface{ Equal(crypto.PublicKey) bool }).Equal(pub) {
				t.Fatalf("does not come back: %v", err)
			}
			if d, err := DefaultDetails(pub); err == nil {
				Verify(pub, d, data, data)
			}
			CheckStrength(pub)
		}
	})
}
