// SPDX-License-Identifier: Apache-2.0

package ctlog

import (
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"

	"golang.org/x/crypto/cryptobyte"

	"hallmark/internal/base/tilelog"
)

// Fsck examines the folder of a log that is not open, and writes nothing: the checkpoint's
// signature by pub, every tile against the entries, and the issuer certificates the entries
// name. A log in order has no findings; an error means that the check could not be done.
func Fsck(ctx context.Context, cfg Config, pub crypto.PublicKey) ([]tilelog.Finding, error) {
	v, err := NewVerifier(cfg.Origin, pub)
	if err != nil {
		return nil, err
	}
	issuers := map[[32]byte]uint64{} // fingerprint to the first entry that names it
	rep, err := tilelog.Check{Dir: cfg.Dir, Verifier: v, CTLayout: true,
		Visit: func(index uint64, entry []byte, _ [32]byte) error {
			for _, f := range fingerprints(entry) {
				if _, ok := issuers[f]; !ok {
					issuers[f] = index
				}
			}
			return nil
		}}.Run(ctx)
	if err != nil {
		return nil, fmt.Errorf("CT log %s: %w", cfg.Dir, err)
	}
	for f, index := range issuers {
		where := "issuer/" + hex.EncodeToString(f[:])
		der, err := os.ReadFile(issuerPath(cfg.Dir, f))
		if err == nil && sha256.Sum256(der) != f {
			err = errors.New("its SHA-256 is not its name")
		}
		if err != nil {
			rep.Findings = append(rep.Findings, tilelog.Finding{Where: where, Problem: fmt.Sprintf("entry %d names it: %v", index, err)})
		}
	}
	return rep.Findings, nil
}

// fingerprints returns the chain of a TileLeaf whose structure has been checked.
func fingerprints(entry []byte) [][32]byte {
	s := cryptobyte.String(entry)
	var entryType uint16
	var skipped, chain cryptobyte.String
	if !s.Skip(8) || !s.ReadUint16(&entryType) {
		return nil
	}
	precert := entryType == 1
	if precert && !s.Skip(sha256.Size) ||
		!s.ReadUint24LengthPrefixed(&skipped) || !s.ReadUint16LengthPrefixed(&skipped) ||
		precert && !s.ReadUint24LengthPrefixed(&skipped) || !s.ReadUint16LengthPrefixed(&chain) {
		return nil
	}
	var out [][32]byte
	for len(chain) >= sha256.Size {
		out = append(out, [32]byte(chain[:sha256.Size]))
		chain = chain[sha256.Size:]
	}
	return out
}
