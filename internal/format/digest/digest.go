// SPDX-License-Identifier: Apache-2.0

// Package digest is a hash value that knows its algorithm.
//
// Formats write digests as "sha256:<lower-case hex>" (OCI image-spec,
// https://github.com/opencontainers/image-spec/blob/main/descriptor.md#digests),
// as enum names such as "SHA2_256" (Sigstore protobuf-specs) or as bare bytes.
//
// Invariants: a non-zero [Digest] always holds exactly as many bytes as its
// algorithm produces, and it is immutable and comparable with ==.
package digest

import (
	"crypto"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"strings"
)

// Algorithm is one of the hash functions that evidence may use. The zero
// Algorithm is none of them. SHA-1 and MD5 are absent on purpose.
type Algorithm uint8

// The accepted hash functions.
const (
	SHA256 Algorithm = iota + 1
	SHA384
	SHA512
)

// ParseAlgorithm reads "sha256", "sha384" or "sha512", or the Sigstore enum
// names "SHA2_256", "SHA2_384" and "SHA2_512".
func ParseAlgorithm(s string) (Algorithm, error) {
	for _, a := range []Algorithm{SHA256, SHA384, SHA512} {
		if s == a.String() || s == a.Sigstore() {
			return a, nil
		}
	}
	return 0, fmt.Errorf("digest algorithm %.32q is not supported: expected sha256, sha384 or sha512", s)
}

// String is the lower-case OCI name, such as "sha256".
func (a Algorithm) String() string {
	switch a {
	case SHA256:
		return "sha256"
	case SHA384:
		return "sha384"
	case SHA512:
		return "sha512"
	}
	return "unknown"
}

// Sigstore is the protobuf-specs enum name, such as "SHA2_256".
func (a Algorithm) Sigstore() string {
	switch a {
	case SHA256:
		return "SHA2_256"
	case SHA384:
		return "SHA2_384"
	case SHA512:
		return "SHA2_512"
	}
	return "HASH_ALGORITHM_UNSPECIFIED"
}

// Hash is the standard library's name for a, or 0 for the zero Algorithm.
func (a Algorithm) Hash() crypto.Hash {
	switch a {
	case SHA256:
		return crypto.SHA256
	case SHA384:
		return crypto.SHA384
	case SHA512:
		return crypto.SHA512
	}
	return 0
}

// New is a fresh hash state, or nil for the zero Algorithm.
func (a Algorithm) New() hash.Hash {
	switch a {
	case SHA256:
		return sha256.New()
	case SHA384:
		return sha512.New384()
	case SHA512:
		return sha512.New()
	}
	return nil
}

// Size is the length of a digest in bytes, or 0 for the zero Algorithm.
func (a Algorithm) Size() int {
	switch a {
	case SHA256:
		return sha256.Size
	case SHA384:
		return sha512.Size384
	case SHA512:
		return sha512.Size
	}
	return 0
}

// Digest is an algorithm and the bytes it produced. The zero Digest is absent.
type Digest struct {
	alg Algorithm
	sum string
}

// New wraps sum, which is copied. It fails unless sum is as long as a says.
func New(a Algorithm, sum []byte) (Digest, error) {
	if a.Size() == 0 {
		return Digest{}, fmt.Errorf("digest algorithm is missing: expected sha256, sha384 or sha512")
	}
	if len(sum) != a.Size() {
		return Digest{}, fmt.Errorf("%s digest is %d bytes long: expected %d", a, len(sum), a.Size())
	}
	return Digest{a, string(sum)}, nil
}

// Parse reads "<algorithm>:<lower-case hex>".
func Parse(s string) (Digest, error) {
	name, sum, ok := strings.Cut(s, ":")
	if !ok {
		return Digest{}, fmt.Errorf("digest %.100q has no algorithm: expected the form sha256:<64 hex digits>", s)
	}
	a, err := ParseAlgorithm(name)
	if err != nil {
		return Digest{}, err
	}
	if len(sum) != 2*a.Size() || strings.ToLower(sum) != sum {
		return Digest{}, fmt.Errorf("digest %.160q is malformed: expected %s: and %d lower-case hex digits", s, a, 2*a.Size())
	}
	raw, err := hex.DecodeString(sum)
	if err != nil {
		return Digest{}, fmt.Errorf("digest %.160q is malformed: expected %s: and %d lower-case hex digits", s, a, 2*a.Size())
	}
	return Digest{a, string(raw)}, nil
}

// Of hashes data with a, which must not be the zero Algorithm.
func Of(a Algorithm, data []byte) Digest {
	h := a.New()
	h.Write(data)
	return Digest{a, string(h.Sum(nil))}
}

// FromReader hashes all that r gives. Only errors of r are returned.
func FromReader(a Algorithm, r io.Reader) (Digest, error) {
	h := a.New()
	if h == nil {
		return Digest{}, fmt.Errorf("digest algorithm is missing: expected sha256, sha384 or sha512")
	}
	if _, err := io.Copy(h, r); err != nil {
		return Digest{}, err
	}
	return Digest{a, string(h.Sum(nil))}, nil
}

// Algorithm is the hash function, zero for the zero Digest.
func (d Digest) Algorithm() Algorithm { return d.alg }

// Bytes is a copy of the raw sum.
func (d Digest) Bytes() []byte { return []byte(d.sum) }

// Hex is the raw sum in lower-case hexadecimal.
func (d Digest) Hex() string { return hex.EncodeToString([]byte(d.sum)) }

// String is "<algorithm>:<hex>", or "" for the zero Digest.
func (d Digest) String() string {
	if d.IsZero() {
		return ""
	}
	return d.alg.String() + ":" + d.Hex()
}

// IsZero says whether d is absent.
func (d Digest) IsZero() bool { return d.alg == 0 }
