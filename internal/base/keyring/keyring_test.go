// SPDX-License-Identifier: Apache-2.0

package keyring

import (
	"crypto"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSaveAndLoad(t *testing.T) {
	for name, generate := range map[string]func() (crypto.Signer, error){
		"p256":    GenerateP256,
		"ed25519": GenerateEd25519,
		"rsa":     func() (crypto.Signer, error) { return GenerateRSA(2048) },
	} {
		t.Run(name, func(t *testing.T) {
			key, err := generate()
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "key.pem")
			if err := Save(path, key); err != nil {
				t.Fatal(err)
			}
			fi, err := os.Stat(path)
			if err != nil || fi.Mode().Perm() != 0o600 {
				t.Fatalf("mode %v, %v", fi.Mode(), err)
			}
			got, err := Load(path)
			if err != nil {
				t.Fatal(err)
			}
			type equaler interface{ Equal(crypto.PublicKey) bool }
			if !key.Public().(equaler).Equal(got.Public()) {
				t.Fatal("another key came back")
			}
			if err := Save(path, key); !errors.Is(err, fs.ErrExist) {
				t.Fatalf("overwriting: %v", err)
			}
			if err := os.Chmod(path, 0o640); err != nil {
				t.Fatal(err)
			}
			if _, err := Load(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
				t.Fatalf("readable by the group: %v", err)
			}
		})
	}
}

func TestLoadRefuses(t *testing.T) {
	for name, tc := range map[string]struct{ content, want string }{
		"empty":      {"", "no PEM block"},
		"wrong type": {"-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n", `expected "PRIVATE KEY"`},
		"damaged":    {"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "key.pem")
			if err := os.WriteFile(path, []byte(tc.content), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Load(path)
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), path) {
				t.Fatalf("error %v, want it to name %s and say %q", err, path, tc.want)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	key, err := GenerateEd25519()
	if err != nil {
		f.Fatal(err)
	}
	good, err := Marshal(key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if key, err := parse(data); err == nil && key == nil {
			t.Fatal("no key and no error")
		}
	})
}
