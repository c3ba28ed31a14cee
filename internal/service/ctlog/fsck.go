// SPDX-License-Identifier: Apache-2.0

package ctlog

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"

	"golang.org/x/crypto/cryptobyte"

	"hallmark/internal/base/tilelog"
	"hallmark/internal/format/certext"
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
	var unlike []tilelog.Finding     // what the tree itself does not cover
	rep, err := tilelog.Check{Dir: cfg.Dir, Verifier: v, CTLayout: true,
		Visit: func(index uint64, entry []byte, _ [32]byte) error {
			leaf := takeApart(entry)
			for _, f := range leaf.chain {
				if _, ok := issuers[f]; !ok {
					issuers[f] = index
				}
			}
			if err := leaf.check(); err != nil {
				unlike = append(unlike, tilelog.Finding{Where: fmt.Sprintf("entry %d", index), Problem: err.Error()})
			}
			return nil
		}}.Run(ctx)
	if err != nil {
		return nil, fmt.Errorf("CT log %s: %w", cfg.Dir, err)
	}
	rep.Findings = append(rep.Findings, unlike...)
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

// tileLeaf is the parts of a TileLeaf that Fsck looks at.
type tileLeaf struct {
	tbs     []byte     // what is in the tree
	precert []byte     // DER of what tbs was made of; nil for a final certificate
	chain   [][32]byte // fingerprints of the issuers
}

// takeApart reads a TileLeaf whose structure has been checked.
func takeApart(entry []byte) tileLeaf {
	s := cryptobyte.String(entry)
	var entryType uint16
	var tbs, extensions, precert, chain cryptobyte.String
	if !s.Skip(8) || !s.ReadUint16(&entryType) {
		return tileLeaf{}
	}
	isPrecert := entryType == 1
	if isPrecert && !s.Skip(sha256.Size) ||
		!s.ReadUint24LengthPrefixed(&tbs) || !s.ReadUint16LengthPrefixed(&extensions) ||
		isPrecert && !s.ReadUint24LengthPrefixed(&precert) || !s.ReadUint16LengthPrefixed(&chain) {
		return tileLeaf{}
	}
	leaf := tileLeaf{tbs: tbs, precert: precert}
	for len(chain) >= sha256.Size {
		leaf.chain = append(leaf.chain, [32]byte(chain[:sha256.Size]))
		chain = chain[sha256.Size:]
	}
	return leaf
}

// check holds the stored pre-certificate, which is not in the tree, against
// what is.
func (l tileLeaf) check() error {
	if l.precert == nil {
		return nil
	}
	tbs, err := certext.PrecertTBS(l.precert)
	if err == nil && !bytes.Equal(tbs, l.tbs) {
		err = errors.New("another certificate than the logged one")
	}
	if err != nil {
		return fmt.Errorf("the stored pre-certificate is damaged: %w", err)
	}
	return nil
}
