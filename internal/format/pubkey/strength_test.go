// SPDX-License-Identifier: Apache-2.0

package pubkey

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"math/big"
	"strings"
	"testing"
)

// rocaKey is one of the example keys published with the attack's detector.
const rocaKey = `-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAlze9c7qGdjDLVR/ntk+4
ZkfMcYsAnmfTFHfe3Xv7jRQqPCXCULtr0y0jG3aRJmEenoXO9uDveqr43gFB9yvA
dLEhu0aJqpB7lNZ+yXsvfVp/96dkSN8oWYL/dd9Z7GQOvVniHUY3Xsd7zdw2eYOy
HSXhhA2Ttwnj3c1jEYfC0y9q1cU99aL0ogGDqolcOvlkJu+mGb+6+WyboFa1gwRu
kYxBHZWKiHCt/eihvXsPTzTlXmTXWdGJtA1xZDnCBWuZ90b5R0agXVIESTl0cCyH
aQM/tLZmktJIU+Eu7ALBXemPg9kh3SCnYd3/YvDGCtYSXOWthHwlP5CImRBcQaNn
cQIDAQAB
-----END PUBLIC KEY-----`

func TestCheckStrength(t *testing.T) {
	for name, key := range keys() {
		if err := CheckStrength(key.Public()); (err == nil) != (name != "P-224") {
			t.Errorf("%s: %v", name, err)
		}
	}
	modulus := keys()["RSA-2048"].Public().(*rsa.PublicKey).N
	rsaWith := func(n *big.Int, e int) crypto.PublicKey { return &rsa.PublicKey{N: n, E: e} }
	for _, tt := range []struct {
		name, want string
		pub        crypto.PublicKey
	}{
		{"size between the standard ones", "bits", rsaWith(power2(2056), 65537)},
		{"larger than 4096 bits", "bits", rsaWith(power2(5120), 65537)},
		{"exponent 3", "exponent", rsaWith(modulus, 3)},
		{"even exponent", "exponent", rsaWith(modulus, 65538)},
		{"exponent 1", "exponent", rsaWith(modulus, 1)},
		{"even modulus", "divisible by 2", rsaWith(power2(2048), 65537)},
		{"small factor", "divisible by 751", rsaWith(factor751(), 65537)},
		{"ROCA", "ROCA", must(ParsePEM([]byte(rocaKey)))},
		{"neighbouring primes", "too close", rsaWith(neighbours(), 65537)},
		{"square of a prime", "too close", rsaWith(square(), 65537)},
	} {
		if err := CheckStrength(tt.pub); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error is %v: want one with %q", tt.name, err, tt.want)
		}
	}
}

func TestCheckStrengthRefusesPointsOffTheCurve(t *testing.T) {
	good := keys()["P-256"].Public().(*ecdsa.PublicKey)
	xy := must(good.Bytes())[1:]
	x, y := new(big.Int).SetBytes(xy[:32]), new(big.Int).SetBytes(xy[32:])
	p := elliptic.P256().Params().P
	for name, q := range map[string][2]*big.Int{
		"off the curve": {x, new(big.Int).Xor(y, big.NewInt(1))},
		"infinity":      {new(big.Int), new(big.Int)},
		"out of range":  {new(big.Int).Add(x, p), y},
		"negative":      {new(big.Int).Neg(x), y},
	} {
		//lint:ignore SA1019 bad points cannot be made any other way
		if CheckStrength(&ecdsa.PublicKey{Curve: elliptic.P256(), X: q[0], Y: q[1]}) == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if CheckStrength(&ecdsa.PublicKey{Curve: elliptic.P256()}) == nil {
		t.Error("no coordinates: accepted")
	}
}

func power2(bits int) *big.Int { return new(big.Int).Lsh(big.NewInt(1), uint(bits-1)) }

// factor751 has 2048 bits and no prime factor below 751.
func factor751() *big.Int {
	n := new(big.Int).Exp(big.NewInt(751), big.NewInt(213), nil)
	return n.Mul(n, big.NewInt(8191))
}

// neighbours is the product of two primes about a thousand apart.
func neighbours() *big.Int {
	p := keys()["RSA-2048"].(*rsa.PrivateKey).Primes[0]
	q := new(big.Int).Add(p, big.NewInt(2))
	for !q.ProbablyPrime(1) {
		q.Add(q, big.NewInt(2))
	}
	return q.Mul(p, q)
}

func square() *big.Int {
	p := keys()["RSA-2048"].(*rsa.PrivateKey).Primes[0]
	return new(big.Int).Mul(p, p)
}
