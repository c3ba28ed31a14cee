// SPDX-License-Identifier: Apache-2.0

package translog

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"hallmark/internal/format/certext"
	"hallmark/internal/format/digest"
	"hallmark/internal/format/logentry"
)

// term is what an entry can be found by: the first half of a SHA-256 over kind and value. A
// collision would cost a lookup and show nothing, since every hit is compared with the query.
type term [16]byte

func termOf(kind, value string) term {
	sum := sha256.Sum256([]byte(kind + "\x00" + value))
	return term(sum[:16])
}

// query is one thing to search for. Exactly one field is set.
type query struct {
	digest   digest.Digest
	identity string
	key      *[32]byte // SHA-256 of the DER SubjectPublicKeyInfo
}

func (q query) term() term {
	switch {
	case q.key != nil:
		return termOf("key", string(q.key[:]))
	case q.identity != "":
		return termOf("identity", q.identity)
	}
	return termOf("digest", q.digest.String())
}

// maxIdentity caps a searched identity, in bytes.
const maxIdentity = 2048

// parseQuery reads the three query parameters, of which one must be given.
func parseQuery(dig, identity, key string) (query, error) {
	given := 0
	for _, s := range []string{dig, identity, key} {
		if s != "" {
			given++
		}
	}
	if given != 1 {
		return query{}, errors.New("expected exactly one of digest=sha256:<hex>, identity=<name in the certificate> and key=<hex SHA-256 of the SubjectPublicKeyInfo>")
	}
	switch {
	case dig != "":
		d, err := digest.Parse(dig)
		if err != nil {
			return query{}, fmt.Errorf("digest: %w", err)
		}
		return query{digest: d}, nil
	case key != "":
		sum, err := hex.DecodeString(strings.TrimPrefix(key, "sha256:"))
		if err != nil || len(sum) != sha256.Size {
			return query{}, errors.New("key: expected the SHA-256 of the key's DER SubjectPublicKeyInfo in hexadecimal")
		}
		return query{key: (*[32]byte)(sum)}, nil
	}
	if len(identity) > maxIdentity {
		return query{}, fmt.Errorf("identity is longer than %d bytes", maxIdentity)
	}
	return query{identity: identity}, nil
}

// matches reports whether an entry is what q asks for, by the entry itself.
func (q query) matches(h logentry.HashedRekord) bool {
	s, _, err := signerOf(h)
	if err != nil {
		return false
	}
	switch {
	case q.key != nil:
		return s.spki == *q.key
	case q.identity != "":
		return slices.Contains(s.names, q.identity)
	}
	return h.Digest == q.digest
}

// namesIn lists the subject alternative names of a certificate.
func namesIn(cert *x509.Certificate) []string {
	sans, err := certext.ParseSANs(cert)
	if err != nil {
		return nil // a certificate of a foreign CA, under accept: any
	}
	var out []string
	for _, san := range sans {
		if san.Value != "" && !slices.Contains(out, san.Value) {
			out = append(out, san.Value)
		}
	}
	return out
}

// terms are what an entry over d by s is indexed by.
func (s signer) terms(d digest.Digest) []term {
	out := []term{query{digest: d}.term(), query{key: &s.spki}.term()}
	for _, name := range s.names {
		out = append(out, query{identity: name}.term())
	}
	return out
}

// termsOf indexes a body read back from the tiles.
func termsOf(body []byte) ([]term, error) {
	h, err := logentry.ParseHashedRekord(body)
	if err != nil {
		return nil, err
	}
	s, _, err := signerOf(h)
	if err != nil {
		return nil, err
	}
	return s.terms(h.Digest), nil
}
