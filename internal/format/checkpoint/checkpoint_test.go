// SPDX-License-Identifier: Apache-2.0

package checkpoint_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"

	"hallmark/internal/format/checkpoint"
)

const origin = "log2026-1.example.com"

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func newEd25519() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(randomSeed()) }

func randomSeed() []byte {
	seed := make([]byte, ed25519.SeedSize)
	_, _ = rand.Read(seed) // never fails
	return seed
}

func newECDSA(c elliptic.Curve) *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(c, rand.Reader)) }

// line is a signature line.
func line(name string, hash uint32, sig []byte) string {
	return "\u2014 " + name + " " + base64.StdEncoding.EncodeToString(append(binary.BigEndian.AppendUint32(nil, hash), sig...)) + "\n"
}

// signLine signs text with a key of any kind, by the given key hash.
func signLine(t *testing.T, name, text string, key crypto.Signer, h crypto.Hash, hash uint32) string {
	t.Helper()
	msg := []byte(text)
	if h != 0 {
		w := h.New()
		w.Write(msg)
		msg = w.Sum(nil)
	}
	return line(name, hash, must(key.Sign(rand.Reader, msg, h)))
}

func spkiHash(t *testing.T, pub crypto.PublicKey) uint32 {
	t.Helper()
	sum := sha256.Sum256(must(x509.MarshalPKIXPublicKey(pub)))
	return binary.BigEndian.Uint32(sum[:])
}

func TestSignAndVerify(t *testing.T) {
	root := sha256.Sum256([]byte("root"))
	for name, key := range map[string]crypto.Signer{"Ed25519": newEd25519(), "P-256": newECDSA(elliptic.P256())} {
		signer, err := checkpoint.NewSigner(origin, key)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		envelope, err := note.Sign(&note.Note{Text: checkpoint.Text(origin, 42, root)}, signer)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		c, err := checkpoint.Parse(envelope)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if c.Origin != origin || c.Size != 42 || c.Root != root || len(c.Extensions) != 0 || len(c.Signatures) != 1 {
			t.Errorf("%s: parsed as %+v", name, c)
		}
		if err := c.VerifiedBy(origin, key.Public()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		verifier, err := checkpoint.NewVerifier(origin, key.Public())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := note.Open(envelope, note.VerifierList(verifier)); err != nil {
			t.Errorf("%s: note.Open: %v", name, err)
		}
		if hash := must(checkpoint.KeyHash(origin, key.Public())); signer.KeyHash() != hash || verifier.KeyHash() != hash || c.Signatures[0].KeyHash != hash {
			t.Errorf("%s: key hashes differ", name)
		}
	}
}

func TestEd25519IsTheStandardNoteSignature(t *testing.T) {
	key := newEd25519()
	vkey := must(note.NewEd25519VerifierKey(origin, key.Public().(ed25519.PublicKey)))
	signer := must(checkpoint.NewSigner(origin, key))
	envelope := must(note.Sign(&note.Note{Text: checkpoint.Text(origin, 1, [32]byte{})}, signer))
	if _, err := note.Open(envelope, note.VerifierList(must(note.NewVerifier(vkey)))); err != nil {
		t.Error(err)
	}
}

func TestECDSAKeyHashIsRekors(t *testing.T) {
	key := newECDSA(elliptic.P256())
	if got := must(checkpoint.KeyHash("any name", &key.PublicKey)); got != spkiHash(t, &key.PublicKey) {
		t.Errorf("KeyHash() = %08x; expected the hash of the SubjectPublicKeyInfo", got)
	}
}

func TestNewSignerRefuses(t *testing.T) {
	rsaKey := must(rsa.GenerateKey(rand.Reader, 2048))
	for name, tt := range map[string]struct {
		name string
		key  crypto.Signer
	}{
		"no name":         {"", newEd25519()},
		"name with space": {"a b", newEd25519()},
		"name with plus":  {"a+b", newEd25519()},
		"P-384":           {origin, newECDSA(elliptic.P384())},
		"RSA":             {origin, rsaKey},
	} {
		if _, err := checkpoint.NewSigner(tt.name, tt.key); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := checkpoint.NewVerifier("a b", newEd25519().Public()); err == nil {
		t.Error("verifier, name with space: accepted")
	}
	if _, err := checkpoint.NewVerifier(origin, "no key"); err == nil {
		t.Error("verifier, unknown key type: accepted")
	}
}

func TestKeysOfEveryKind(t *testing.T) {
	root := [32]byte{7}
	v2, v1 := checkpoint.Text(origin, 5, root), checkpoint.Text(origin+" - 1234", 5, root)+"Timestamp: 1689177396617352539\n"
	ed, rsaKey := newEd25519(), must(rsa.GenerateKey(rand.Reader, 2048))
	p256, p384, p521 := newECDSA(elliptic.P256()), newECDSA(elliptic.P384()), newECDSA(elliptic.P521())
	noteHash := func(k crypto.Signer) uint32 { return must(checkpoint.KeyHash(origin, k.Public())) }
	for _, tt := range []struct {
		name, text string
		key        crypto.Signer
		hash       crypto.Hash
		keyHash    uint32
		ok         bool
	}{
		{"v2 Ed25519", v2, ed, 0, noteHash(ed), true},
		{"v2 P-256", v2, p256, crypto.SHA256, noteHash(p256), true},
		{"v2 P-384", v2, p384, crypto.SHA384, noteHash(p384), true},
		{"v2 P-521", v2, p521, crypto.SHA512, noteHash(p521), true},
		{"v2 RSA", v2, rsaKey, crypto.SHA256, noteHash(rsaKey), true},
		{"v2 Ed25519 with the v1 hash", v2, ed, 0, spkiHash(t, ed.Public()), false},
		{"v2 RSA with the v1 hash", v2, rsaKey, crypto.SHA256, spkiHash(t, rsaKey.Public()), false},
		{"v2 P-384 with SHA-256", v2, p384, crypto.SHA256, noteHash(p384), false},
		{"v1 P-256", v1, p256, crypto.SHA256, noteHash(p256), true},
		{"v1 P-384", v1, p384, crypto.SHA256, noteHash(p384), true},
		{"v1 Ed25519", v1, ed, 0, spkiHash(t, ed.Public()), true},
		{"v1 RSA", v1, rsaKey, crypto.SHA256, spkiHash(t, rsaKey.Public()), true},
	} {
		c, err := checkpoint.Parse([]byte(tt.text + "\n" + signLine(t, origin, tt.text, tt.key, tt.hash, tt.keyHash)))
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if err := c.VerifiedBy(origin, tt.key.Public()); (err == nil) != tt.ok {
			t.Errorf("%s: VerifiedBy: %v; expected success %v", tt.name, err, tt.ok)
		}
		if strings.HasPrefix(tt.name, "v1") {
			if err := c.VerifiedByKey(tt.key.Public()); err != nil {
				t.Errorf("%s: VerifiedByKey: %v", tt.name, err)
			}
		}
	}
}

// TestVerifiedBy changes one thing at a time about a checkpoint that verifies.
func TestVerifiedBy(t *testing.T) {
	key, other := newEd25519(), newEd25519()
	text := checkpoint.Text(origin, 5, [32]byte{7})
	hash, otherHash := must(checkpoint.KeyHash(origin, key.Public())), must(checkpoint.KeyHash(origin, other.Public()))
	good := signLine(t, origin, text, key, 0, hash)
	forged := line(origin, hash, make([]byte, 64))
	witness := line("witness.example.net/w", 0x01020304, make([]byte, 72))
	var hundred strings.Builder
	for range 99 {
		hundred.WriteString(witness)
	}
	for _, tt := range []struct {
		name     string
		envelope string
		by       string
		pub      crypto.PublicKey
		err      string
	}{
		{"good", text + "\n" + good, origin, key.Public(), ""},
		{"witnesses before and after", text + "\n" + witness + good + witness, origin, key.Public(), ""},
		{"100 lines", text + "\n" + hundred.String() + good, origin, key.Public(), ""},
		{"another key of the log too", text + "\n" + signLine(t, origin, text, other, 0, otherHash) + good, origin, key.Public(), ""},
		{"a forged line too", text + "\n" + forged + good, origin, key.Public(), ""},
		{"twice", text + "\n" + good + good, origin, key.Public(), ""},
		{"another origin", checkpoint.Text("x.example.com", 5, [32]byte{7}) + "\n" + good, origin, key.Public(), "origin"},
		{"origin with a port", checkpoint.Text(origin+":443", 5, [32]byte{7}) + "\n" + good, origin, key.Public(), "origin"},
		{"another size", checkpoint.Text(origin, 6, [32]byte{7}) + "\n" + good, origin, key.Public(), "wrong signature"},
		{"another root", checkpoint.Text(origin, 5, [32]byte{8}) + "\n" + good, origin, key.Public(), "wrong signature"},
		{"extension added", text + "extension\n\n" + good, origin, key.Public(), "wrong signature"},
		{"forged", text + "\n" + forged, origin, key.Public(), "wrong signature"},
		{"another key", text + "\n" + good, origin, other.Public(), "key hash"},
		{"another key's hash", text + "\n" + signLine(t, origin, text, key, 0, otherHash), origin, key.Public(), "key hash"},
		{"only another name", text + "\n" + signLine(t, "x.example.com", text, key, 0, hash), origin, key.Public(), "no signature line by"},
		{"witness only", text + "\n" + witness, origin, key.Public(), "no signature line by"},
		{"unknown key type", text + "\n" + good, origin, struct{}{}, "type struct"},
		{"short Ed25519 key", text + "\n" + good, origin, ed25519.PublicKey{1}, "bytes"},
	} {
		c, err := checkpoint.Parse([]byte(tt.envelope))
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		err = c.VerifiedBy(tt.by, tt.pub)
		if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
			t.Errorf("%s: error %v; expected %q", tt.name, err, tt.err)
		}
	}
}

func TestVerifiedByKey(t *testing.T) {
	key := newECDSA(elliptic.P256())
	text := checkpoint.Text("localhost:8000 - 63453783892779", 1, [32]byte{1})
	c := must(checkpoint.Parse([]byte(text + "\n" + signLine(t, "localhost:8000", text, key, crypto.SHA256, spkiHash(t, key.Public())))))
	if err := c.VerifiedByKey(key.Public()); err != nil {
		t.Error(err)
	}
	if err := c.VerifiedByKey(newECDSA(elliptic.P256()).Public()); err == nil {
		t.Error("another key: accepted")
	}
	if err := c.VerifiedBy("localhost", key.Public()); err == nil {
		t.Error("another name: accepted")
	}
	text = checkpoint.Text(origin, 1, [32]byte{1})
	c = must(checkpoint.Parse([]byte(text + "\n" + signLine(t, origin, text, key, crypto.SHA256, spkiHash(t, key.Public())))))
	if err := c.VerifiedByKey(key.Public()); err == nil {
		t.Error("origin that is not Rekor v1's: accepted")
	}
}

func TestTreeID(t *testing.T) {
	for origin, want := range map[string][2]string{
		"rekor.sigstore.dev - 2605736670972794746": {"rekor.sigstore.dev", "2605736670972794746"},
		"a - b - 1":               {"a - b", "1"},
		"rekor.sigstore.dev":      {},
		"rekor.sigstore.dev - ":   {},
		"rekor.sigstore.dev - 1a": {},
		"rekor.sigstore.dev -1":   {},
		"x - 1 ":                  {},
	} {
		host, id, ok := (&checkpoint.Checkpoint{Origin: origin}).TreeID()
		if host != want[0] || id != want[1] || ok != (want[1] != "") {
			t.Errorf("%q: %q, %q, %v; expected %q", origin, host, id, ok, want)
		}
	}
}

func TestParse(t *testing.T) {
	root := base64.StdEncoding.EncodeToString(make([]byte, 32))
	sig := line("s", 1, []byte("x"))
	for _, tt := range []struct{ name, envelope, err string }{
		{"good", "o\n5\n" + root + "\n\n" + sig, ""},
		{"empty tree", "o\n0\n" + root + "\n\n" + sig, ""},
		{"largest size", "o\n18446744073709551615\n" + root + "\n\n" + sig, ""},
		{"extensions", "o\n5\n" + root + "\ne1\ne2\n\n" + sig, ""},
		{"origin with spaces", "o p - 1\n5\n" + root + "\n\n" + sig, ""},
		{"nothing", "", "no empty line"},
		{"no signatures", "o\n5\n" + root + "\n\n", "no signature"},
		{"no empty line", "o\n5\n" + root + "\n" + sig, "no empty line"},
		{"no root hash", "o\n5\n\n" + sig, "2 lines"},
		{"no origin", "\n5\n" + root + "\n\n" + sig, "origin"},
		{"leading zero", "o\n05\n" + root + "\n\n" + sig, "tree size"},
		{"negative size", "o\n-5\n" + root + "\n\n" + sig, "tree size"},
		{"plus sign", "o\n+5\n" + root + "\n\n" + sig, "tree size"},
		{"no size", "o\n\n" + root + "\n\n" + sig, "tree size"},
		{"size over 64 bits", "o\n18446744073709551616\n" + root + "\n\n" + sig, "tree size"},
		{"short root", "o\n5\nAAAA\n\n" + sig, "root hash"},
		{"long root", "o\n5\n" + base64.StdEncoding.EncodeToString(make([]byte, 33)) + "\n\n" + sig, "root hash"},
		{"root in URL base64", "o\n5\n" + strings.Repeat("_", 43) + "=\n\n" + sig, "root hash"},
		{"root with stray bits", "o\n5\n" + strings.TrimSuffix(root, "A=") + "B=\n\n" + sig, "root hash"},
		{"root without padding", "o\n5\n" + strings.TrimSuffix(root, "=") + "\n\n" + sig, "root hash"},
		{"empty extension line", "o\n5\n" + root + "\n\ne\n\n" + sig, "is empty"},
		{"too many extensions", "o\n5\n" + root + "\n" + strings.Repeat("e\n", 101) + "\n" + sig, "extension lines"},
		{"carriage return", "o\r\n5\n" + root + "\n\n" + sig, "control character"},
		{"not UTF-8", "o\xff\n5\n" + root + "\n\n" + sig, "UTF-8"},
		{"last line without line feed", "o\n5\n" + root + "\n\n" + strings.TrimSuffix(sig, "\n"), "line feed"},
		{"hyphen for em dash", "o\n5\n" + root + "\n\n- s AAAAAAA=\n", "em dash"},
		{"no name", "o\n5\n" + root + "\n\n\u2014  AAAAAAA=\n", "key name"},
		{"name with plus", "o\n5\n" + root + "\n\n\u2014 a+b AAAAAAA=\n", "key name"},
		{"no signature bytes", "o\n5\n" + root + "\n\n\u2014 s AAAAAA==\n", "key hash"},
		{"no base64", "o\n5\n" + root + "\n\n\u2014 s ????\n", "base64"},
		{"two fields", "o\n5\n" + root + "\n\n\u2014 s AAAAAAA= x\n", "base64"},
		{"no second field", "o\n5\n" + root + "\n\n\u2014 s\n", "base64"},
		{"malformed line after a good one", "o\n5\n" + root + "\n\n" + sig + "x\n", "line 2"},
		{"101 signatures", "o\n5\n" + root + "\n\n" + strings.Repeat(sig, 101), "more than 100"},
		{"too long", "o\n5\n" + root + "\n" + strings.Repeat("e", 1<<20) + "\n\n" + sig, "at most"},
	} {
		c, err := checkpoint.Parse([]byte(tt.envelope))
		if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
			t.Errorf("%s: error %v; expected %q", tt.name, err, tt.err)
		}
		if (c == nil) != (err != nil) {
			t.Errorf("%s: %v with error %v", tt.name, c, err)
		}
	}
	c := must(checkpoint.Parse([]byte("o\n18446744073709551615\n" + root + "\ne1\ne2\n\n" + sig + line("t", math.MaxUint32, []byte("yz")))))
	want := &checkpoint.Checkpoint{
		Origin: "o", Size: math.MaxUint64, Extensions: []string{"e1", "e2"},
		Signatures: []checkpoint.Signature{{Name: "s", KeyHash: 1, Sig: []byte("x")}, {Name: "t", KeyHash: math.MaxUint32, Sig: []byte("yz")}},
		Text:       "o\n18446744073709551615\n" + root + "\ne1\ne2\n",
	}
	if d := cmp.Diff(want, c); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

func FuzzParse(f *testing.F) {
	key := newEd25519()
	envelope := must(note.Sign(&note.Note{Text: checkpoint.Text(origin, 3, [32]byte{1})}, must(checkpoint.NewSigner(origin, key))))
	f.Add(string(envelope))
	f.Add("rekor.sigstore.dev - 2605736670972794746\n23083062\ndauhleYK4YyAdxwwDtR0l0KnSOWZdG2bwqHftlanvcI=\nTimestamp: 1689177396617352539\n\n\u2014 rekor.sigstore.dev wNI9ajBFAiBxaGyEtxkzFLkaCSEJqFuSS3dJjEZCNiyByVs1CNVQ8gIhAOoNnXtmMtTctV2oRnSRUZAo4EWUYPK/vBsqOzAU6TMs\n")
	f.Add("o\n5\n\n\n\u2014 s AAAAAAA=\n")
	f.Fuzz(func(t *testing.T, envelope string) {
		c, err := checkpoint.Parse([]byte(envelope))
		if err != nil {
			return
		}
		// What is accepted is canonical: written anew, it is the same.
		text := checkpoint.Text(c.Origin, c.Size, c.Root)
		for _, e := range c.Extensions {
			text += e + "\n"
		}
		if text != c.Text {
			t.Errorf("text %q is read as %q", c.Text, text)
		}
		again := text + "\n"
		for _, s := range c.Signatures {
			again += line(s.Name, s.KeyHash, s.Sig)
		}
		if again != envelope {
			t.Errorf("envelope %q is read as %q", envelope, again)
		}
		// And x/mod reads the same from it.
		n, err := note.Open([]byte(envelope), note.VerifierList())
		if unverified, ok := err.(*note.UnverifiedNoteError); ok {
			n = unverified.Note
		} else if err != nil {
			t.Fatalf("note.Open: %v", err)
		}
		if n.Text != c.Text {
			t.Errorf("note.Open reads the text %q; we read %q", n.Text, c.Text)
		}
	})
}
