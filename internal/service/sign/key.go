// SPDX-License-Identifier: Apache-2.0

package sign

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"

	"hallmark/internal/format/pubkey"
)

// keyUsable says whether a key of the kind d can be certified and logged.
func keyUsable(d pubkey.Details) error {
	switch d {
	case pubkey.ECDSAP256SHA256, pubkey.ECDSAP384SHA384, pubkey.ECDSAP521SHA512,
		pubkey.RSAPKCS1v15_2048_SHA256, pubkey.RSAPKCS1v15_3072_SHA256, pubkey.RSAPKCS1v15_4096_SHA256:
		return nil
	case pubkey.Ed25519, pubkey.Ed25519ph:
		return fmt.Errorf("keyless signing with Ed25519 is not possible with a Rekor v2 log: the log takes only the prehashed form (Ed25519ph) and certificates are issued for the pure one: use %s", pubkey.ECDSAP256SHA256)
	}
	return fmt.Errorf("key kind %q cannot be used for keyless signing: expected %s, %s, %s or RSA with PKCS #1 v1.5", d,
		pubkey.ECDSAP256SHA256, pubkey.ECDSAP384SHA384, pubkey.ECDSAP521SHA512)
}

// newKey makes a key of a kind that keyUsable accepts.
func newKey(d pubkey.Details) (crypto.Signer, error) {
	switch d {
	case pubkey.ECDSAP256SHA256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case pubkey.ECDSAP384SHA384:
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case pubkey.ECDSAP521SHA512:
		return ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case pubkey.RSAPKCS1v15_2048_SHA256:
		return rsa.GenerateKey(rand.Reader, 2048)
	case pubkey.RSAPKCS1v15_3072_SHA256:
		return rsa.GenerateKey(rand.Reader, 3072)
	case pubkey.RSAPKCS1v15_4096_SHA256:
		return rsa.GenerateKey(rand.Reader, 4096)
	}
	return nil, keyUsable(d)
}
