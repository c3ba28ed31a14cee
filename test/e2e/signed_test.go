// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"hallmark/internal/format/certext"
	"hallmark/internal/format/digest"
	"hallmark/internal/service/sign"
	"hallmark/internal/service/token"
)

// signAndStore signs content, and hands the bundle in.
func (l *ledger) signAndStore(signer *sign.Signer, tok token.Token, content string) error {
	d := digest.Of(digest.SHA256, []byte(content))
	result, err := signer.SignBlob(l.s.t.Context(), tok, d)
	if err != nil {
		return err
	}
	// From here on the certificate and the entry have been acknowledged.
	e := result.Bundle.Entries[0]
	index, leaf, err := l.precertLeaf(result.Bundle.Certificates[0])
	if err != nil {
		return err
	}
	l.mu.Lock()
	l.certified[index] = leaf
	l.mu.Unlock()
	if err := l.acknowledged(e, leafHash(e.Body)); err != nil {
		return err
	}
	status, body, err := l.s.post("/hallmark/v1/bundles", result.JSON)
	if err != nil {
		return err
	}
	if status != 201 {
		return fmt.Errorf("%w: %d %s", errNot201, status, refusal(body))
	}
	l.mu.Lock()
	l.stored = append(l.stored, d)
	l.mu.Unlock()
	return nil
}

// leafHash is RFC 6962's.
func leafHash(leaf []byte) [32]byte { return sha256.Sum256(append([]byte{0}, leaf...)) }

// precertLeaf gives the place in the CT log that a certificate's SCT names
// (https://c2sp.org/static-ct-api#sct-extension), and the hash of the leaf that
// must be there.
func (l *ledger) precertLeaf(der []byte) (index uint64, leaf [32]byte, err error) {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return 0, leaf, err
	}
	scts, err := certext.SCTs(cert)
	if err != nil || len(scts) != 1 {
		return 0, leaf, fmt.Errorf("%d SCTs, %v", len(scts), err)
	}
	tbs, err := certext.PrecertTBS(der)
	if err != nil {
		return 0, leaf, err
	}
	ext := scts[0].Extensions
	if len(ext) != 8 || ext[0] != 0 {
		return 0, leaf, fmt.Errorf("SCT extensions %x: no leaf index", ext)
	}
	issuer := l.root.CAs[0].Chain[0]
	// What the SCT signs and the leaf begin alike: version 1, and 0 for either's type.
	data := certext.SCTSignedData(scts[0].Timestamp, ext, sha256.Sum256(issuer.RawSubjectPublicKeyInfo), tbs)
	return binary.BigEndian.Uint64(ext) & (1<<40 - 1), leafHash(data), nil
}

// keptSigned checks that every precertificate with an SCT is in the CT log at
// its place, and that every bundle that was taken in is found.
func (l *ledger) keptSigned() error {
	if len(l.certified) == 0 {
		return errors.New("no certificate was issued: the test proves nothing about them")
	}
	var last uint64
	for index := range l.certified {
		last = max(last, index)
	}
	size, err := l.ctSize(last + 1)
	if err != nil {
		return err
	}
	hashes := map[uint64][]byte{}
	for index, leaf := range l.certified {
		n := index / 256
		if hashes[n] == nil {
			path := fmt.Sprintf("/ct/tile/0/%03d", n)
			if width := min(256, size-n*256); width < 256 {
				path += fmt.Sprintf(".p/%d", width)
			}
			hashes[n] = l.s.fetched(path)
		}
		at := index % 256 * 32
		if tile := hashes[n]; uint64(len(tile)) < at+32 || [32]byte(tile[at:at+32]) != leaf {
			return fmt.Errorf("the CT log gave an SCT for its entry %d, but has another one there, if any", index)
		}
	}
	for _, d := range l.stored {
		var found struct {
			Bundles []json.RawMessage
		}
		if err := json.Unmarshal(l.s.fetched("/hallmark/v1/log/search?digest="+d.String()), &found); err != nil {
			return err
		}
		if len(found.Bundles) != 1 {
			return fmt.Errorf("a bundle over %s was taken in, but %d are found", d, len(found.Bundles))
		}
	}
	return nil
}

// ctSize waits until the CT log publishes at least a number of entries, which may
// take it a moment after a start.
func (l *ledger) ctSize(least uint64) (uint64, error) {
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		lines := strings.Split(string(l.s.fetched("/ct/checkpoint")), "\n")
		if len(lines) < 3 {
			return 0, fmt.Errorf("CT checkpoint %q", lines)
		}
		size, err := strconv.ParseUint(lines[1], 10, 63)
		if err != nil || size >= least {
			return size, err
		}
		if time.Now().After(deadline) {
			return 0, fmt.Errorf("the CT log publishes %d entries, but has given an SCT for entry %d", size, least-1)
		}
	}
}
