// SPDX-License-Identifier: Apache-2.0

package trustroot

import (
	"crypto/rsa"
	"crypto/x509"

	"hallmark/internal/format/pubkey"
)

// rawKey encodes a log's key as its details demand: PKCS #1 for the one legacy
// name that says so, SubjectPublicKeyInfo for all others.
func rawKey(l Log) ([]byte, error) {
	if key, ok := l.Key.(*rsa.PublicKey); ok && l.Details == pubkey.LegacyPKCS1RSAPKCS1v15 {
		return x509.MarshalPKCS1PublicKey(key), nil
	}
	return pubkey.MarshalPKIX(l.Key)
}
