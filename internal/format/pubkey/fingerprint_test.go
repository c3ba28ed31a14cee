// SPDX-License-Identifier: Apache-2.0

package pubkey

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"testing"

	"golang.org/x/crypto/ssh"
)

func TestFingerprint(t *testing.T) {
	var keys []crypto.PublicKey
	for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key.Public())
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	edKey, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range append(keys, rsaKey.Public(), edKey) {
		oracle, err := ssh.NewPublicKey(key)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Fingerprint(key)
		if want := ssh.FingerprintSHA256(oracle); err != nil || got != want {
			t.Errorf("%T: got %q (%v), want %q", key, got, err, want)
		}
	}
	if got, err := Fingerprint("no key"); err == nil {
		t.Errorf("no key has the fingerprint %q", got)
	}
}
