// SPDX-License-Identifier: Apache-2.0

package pubkey

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"errors"
	"fmt"
	"math/big"
)

// fermatRounds is how far apart two primes must be, in steps of Fermat's
// method; see https://fermatattack.secvuln.info/.
const fermatRounds = 100

// CheckStrength says whether a CA should certify pub. It asks for what Fulcio
// asks for (Let's Encrypt's goodkey): ECDSA on P-256, P-384 or P-521 with the
// point on the curve; Ed25519; RSA of 2048, 3072 or 4096 bits with exponent
// 65537, no prime factor below 752, not from a generator with the ROCA flaw
// (CVE-2017-15361) and not with two primes so close that Fermat's method
// factors it.
func CheckStrength(pub crypto.PublicKey) error {
	if err := checkKind(pub); err != nil {
		return err
	}
	switch k := pub.(type) {
	case *ecdsa.PublicKey:
		// Encoding refuses the point at infinity, points off the curve and
		// coordinates out of range. All three curves have cofactor 1, so every
		// other point has full order.
		if _, err := k.Bytes(); err != nil {
			return fmt.Errorf("ECDSA key is not a point on %s", k.Curve.Params().Name)
		}
	case *rsa.PublicKey:
		return checkRSA(k)
	}
	return nil
}

func checkRSA(k *rsa.PublicKey) error {
	switch n := k.N.BitLen(); n {
	case 2048, 3072, 4096:
	default:
		return fmt.Errorf("RSA key has %d bits: expected 2048, 3072 or 4096", n)
	}
	if k.E != 65537 {
		return fmt.Errorf("RSA key has exponent %d: expected 65537", k.E)
	}
	if p := smallFactor(k.N); p != 0 {
		return fmt.Errorf("RSA modulus is divisible by %d", p)
	}
	if roca(k.N) {
		return errors.New("RSA key comes from a generator with the ROCA flaw (CVE-2017-15361): generate a new key elsewhere")
	}
	if closePrimes(k.N) {
		return errors.New("RSA modulus can be factored: its two primes are too close together")
	}
	return nil
}

// smallFactor returns a prime factor of n below 752, or 0.
func smallFactor(n *big.Int) int64 {
	const limit = 752
	var composite [limit]bool
	var m, p big.Int
	for i := int64(2); i < limit; i++ {
		if composite[i] {
			continue
		}
		for j := i * i; j < limit; j += i {
			composite[j] = true
		}
		if m.Mod(n, p.SetInt64(i)).Sign() == 0 {
			return i
		}
	}
	return 0
}

// roca says whether n has the fingerprint of the flawed generator: modulo each
// of these primes p its moduli lie in the subgroup that 65537 generates, which
// has the order given. A sound modulus does so with probability 2^-27.
// (Nemec et al., https://crocs.fi.muni.cz/public/papers/rsa_ccs17.)
func roca(n *big.Int) bool {
	var m, p, order big.Int
	for _, t := range [...]struct{ order, p int64 }{
		{2, 11}, {6, 13}, {8, 17}, {9, 19}, {3, 37}, {26, 53}, {20, 61},
		{35, 71}, {24, 73}, {13, 79}, {6, 97}, {51, 103}, {53, 107},
		{54, 109}, {42, 127}, {50, 151}, {78, 157},
	} {
		m.Mod(n, p.SetInt64(t.p))
		if m.Exp(&m, order.SetInt64(t.order), &p).Int64() != 1 {
			return false
		}
	}
	return true
}

// closePrimes tries a few rounds of Fermat's method: n = a² - b² with a just
// above the root of n.
func closePrimes(n *big.Int) bool {
	one := big.NewInt(1)
	a := new(big.Int).Sqrt(n)
	square := new(big.Int).Mul(a, a)
	if square.Cmp(n) == 0 {
		return true
	}
	var b2, b, check big.Int
	for range fermatRounds {
		a.Add(a, one)
		b2.Sub(b2.Mul(a, a), n)
		b.Sqrt(&b2)
		if check.Mul(&b, &b).Cmp(&b2) == 0 {
			return true
		}
	}
	return false
}
