// SPDX-License-Identifier: Apache-2.0

package pubkey

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math/big"
)

// Fingerprint names a key as OpenSSH does ("SHA256:" and base64 of the hash of
// its SSH encoding, RFC 4253 §6.6, RFC 5656 §3.1, RFC 8709 §4). DSSE signers use
// it as key identifier.
func Fingerprint(pub crypto.PublicKey) (string, error) {
	var wire []byte
	add := func(fields ...[]byte) {
		for _, f := range fields {
			wire = binary.BigEndian.AppendUint32(wire, uint32(len(f)))
			wire = append(wire, f...)
		}
	}
	switch key := pub.(type) {
	case *ecdsa.PublicKey:
		curve := fmt.Sprintf("nistp%d", key.Curve.Params().BitSize)
		point, err := key.Bytes()
		if err != nil {
			return "", fmt.Errorf("fingerprint of a key: %w", err)
		}
		add([]byte("ecdsa-sha2-"+curve), []byte(curve), point)
	case *rsa.PublicKey:
		add([]byte("ssh-rsa"), mpint(big.NewInt(int64(key.E))), mpint(key.N))
	case ed25519.PublicKey:
		add([]byte("ssh-ed25519"), key)
	default:
		return "", fmt.Errorf("fingerprint of a key of type %T: expected ECDSA, RSA or Ed25519", pub)
	}
	sum := sha256.Sum256(wire)
	return "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:]), nil
}

// mpint is a positive number in RFC 4251 §5 form: a zero byte keeps it positive.
func mpint(n *big.Int) []byte {
	b := n.Bytes()
	if len(b) > 0 && b[0] >= 0x80 {
		b = append([]byte{0}, b...)
	}
	return b
}
