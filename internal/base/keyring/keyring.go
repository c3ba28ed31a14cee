// SPDX-License-Identifier: Apache-2.0

// Package keyring keeps private keys in files.
//
// A key is one PEM block "PRIVATE KEY" holding PKCS #8 (RFC 5958,
// https://www.rfc-editor.org/rfc/rfc5958), in a file that only its owner can
// read.
//
// Invariants: [Save] never overwrites a key and never leaves one readable by
// others; [Load] refuses a file that others can read; key bytes never appear
// in an error.
package keyring

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"hallmark/internal/base/durable"
)

const (
	blockType   = "PRIVATE KEY"
	maxFileSize = 64 << 10
)

// GenerateP256 makes an ECDSA key on P-256.
func GenerateP256() (crypto.Signer, error) {
	return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
}

// GenerateEd25519 makes an Ed25519 key.
func GenerateEd25519() (crypto.Signer, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	return key, err
}

// GenerateRSA makes an RSA key with a modulus of the given length in bits.
func GenerateRSA(bits int) (crypto.Signer, error) {
	return rsa.GenerateKey(rand.Reader, bits)
}

// Marshal is key as a PEM block of PKCS #8.
func Marshal(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: blockType, Bytes: der}), nil
}

// Save writes key to a new file with mode 0600; it is durable when Save
// returns. An existing file is an error that wraps [fs.ErrExist].
func Save(path string, key crypto.Signer) error {
	data, err := Marshal(key)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("key file %s: %w", path, fs.ErrExist)
	}
	return durable.WriteFile(path, data, 0o600)
}

// Load reads a key that [Save] wrote. It refuses a file that its group or
// others can read or write.
func Load(path string) (crypto.Signer, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if fi.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("key file %s has mode %04o, so others can read it: run chmod 600 %s", path, fi.Mode().Perm(), path)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFileSize))
	if err != nil {
		return nil, err
	}
	key, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("key file %s: %w", path, err)
	}
	return key, nil
}

func parse(data []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, errors.New("no PEM block: expected -----BEGIN PRIVATE KEY-----")
	}
	if block.Type != blockType {
		return nil, fmt.Errorf("PEM block is %.40q: expected %q (PKCS #8)", block.Type, blockType)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		// x509's own text can quote no key bytes, but says nothing of use either.
		return nil, errors.New("damaged: not a PKCS #8 private key")
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a %T cannot sign", key)
	}
	return signer, nil
}
