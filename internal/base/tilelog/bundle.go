// SPDX-License-Identifier: Apache-2.0

package tilelog

import (
	"fmt"

	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/crypto/cryptobyte"
)

// splitBundle parses the first n entries of a bundle and calls fn with each entry's bytes as
// they stand in the bundle and its Merkle leaf preimage.
func splitBundle(raw []byte, n int, ct bool, fn func(entry, preimage []byte)) error {
	next := nextEntry
	if ct {
		next = nextCTEntry
	}
	s := cryptobyte.String(raw)
	for i := range n {
		before := s
		preimage, err := next(&s)
		if err != nil {
			return fmt.Errorf("entry %d of the bundle: %w", i, err)
		}
		fn(before[:len(before)-len(s)], preimage)
	}
	return nil
}

func cutBundle(raw []byte, n int, ct bool) ([]byte, error) {
	size := 0
	err := splitBundle(raw, n, ct, func(entry, _ []byte) { size += len(entry) })
	return raw[:size], err
}

// nextEntry reads one tlog-tiles entry: a big-endian uint16 length and the bytes of the leaf.
func nextEntry(s *cryptobyte.String) ([]byte, error) {
	var data cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&data) {
		return nil, fmt.Errorf("truncated: expected a length and that many bytes, %d bytes are left", len(*s))
	}
	return data, nil
}

// nextCTEntry reads one static-ct-api TileLeaf and rebuilds the RFC 6962 MerkleTreeLeaf:
//
//	struct {
//	    TimestampedEntry timestamped_entry;
//	    select (entry_type) {
//	        case x509_entry: Empty;
//	        case precert_entry: ASN.1Cert pre_certificate;
//	    };
//	    Fingerprint certificate_chain<0..2^16-1>;
//	} TileLeaf;
func nextCTEntry(s *cryptobyte.String) ([]byte, error) {
	start := *s
	var entryType uint16
	var cert, ext, precert, chain cryptobyte.String
	ok := s.Skip(8) && s.ReadUint16(&entryType)
	if ok && entryType > 1 {
		return nil, fmt.Errorf("entry type %d: expected 0 (x509) or 1 (precert)", entryType)
	}
	if ok && entryType == 1 {
		ok = s.Skip(hashSize)
	}
	ok = ok && s.ReadUint24LengthPrefixed(&cert) && s.ReadUint16LengthPrefixed(&ext)
	if !ok {
		return nil, fmt.Errorf("truncated timestamped entry")
	}
	timestamped := start[:len(start)-len(*s)]
	if entryType == 1 && !s.ReadUint24LengthPrefixed(&precert) {
		return nil, fmt.Errorf("truncated precertificate")
	}
	if !s.ReadUint16LengthPrefixed(&chain) || len(chain)%hashSize != 0 {
		return nil, fmt.Errorf("truncated chain fingerprints")
	}
	// version v1 and leaf type timestamped_entry precede the entry in the Merkle leaf.
	return append([]byte{0, 0}, timestamped...), nil
}

func leafHash(preimage []byte) [hashSize]byte {
	return [hashSize]byte(rfc6962.DefaultHasher.HashLeaf(preimage))
}
