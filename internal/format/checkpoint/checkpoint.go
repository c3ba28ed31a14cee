// SPDX-License-Identifier: Apache-2.0

// Package checkpoint reads, checks and writes the signed tree heads of
// transparency logs: notes whose text is an origin, a tree size and a root
// hash.
//
// Specifications:
//
//   - text: https://c2sp.org/tlog-checkpoint
//   - envelope: https://c2sp.org/signed-note
//   - Rekor's key hashes: https://github.com/sigstore/rekor-tiles/blob/main/CLIENTS.md
//
// Invariants:
//
//   - what is signed is Checkpoint.Text, byte for byte as it was read;
//   - signature lines come in any number (up to MaxSignatures) and any order,
//     and those of unknown keys, such as witnesses' cosignatures, are ignored;
//   - a Checkpoint from Parse is not verified: only VerifiedBy says so.
package checkpoint

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// MaxSize caps an envelope, in bytes.
	MaxSize = 1 << 20
	// MaxSignatures caps the signature lines of an envelope.
	MaxSignatures = 100
	// maxExtensions caps the extension lines of a checkpoint.
	maxExtensions = 100
)

// Checkpoint is a log's statement of its size and root hash.
type Checkpoint struct {
	// Origin is the first line: the log's name, or for Rekor v1
	// "<host name> - <tree ID>".
	Origin string
	// Size is the number of leaves.
	Size uint64
	// Root is the Merkle root hash of the tree of that size.
	Root [32]byte
	// Extensions are the lines after the root hash, without line feeds; they
	// are covered by the signatures but mean nothing here.
	Extensions []string
	// Signatures are the signature lines, unverified, in their order.
	Signatures []Signature
	// Text is the signed part, with its last line feed and without the empty
	// line that follows.
	Text string
}

// Signature is one signature line of a note.
type Signature struct {
	Name    string // the signer's name
	KeyHash uint32 // the first four bytes of the signer's key hash, big-endian
	Sig     []byte // the signature without the key hash
}

// Parse reads a signed checkpoint. It refuses anything but exactly the format:
// an envelope over MaxSize or with more than MaxSignatures signature lines or
// none, control characters, a size with leading zeros, a root hash that is not
// 32 bytes of padded standard base64, empty lines inside the text, or a
// malformed signature line.
func Parse(envelope []byte) (*Checkpoint, error) {
	c, err := parse(envelope)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	return c, nil
}

func parse(envelope []byte) (*Checkpoint, error) {
	if len(envelope) > MaxSize {
		return nil, fmt.Errorf("envelope has %d bytes, at most %d are allowed", len(envelope), MaxSize)
	}
	if !utf8.Valid(envelope) {
		return nil, errors.New("envelope is not UTF-8")
	}
	s := string(envelope)
	for i := range len(s) {
		if s[i] < 0x20 && s[i] != '\n' {
			return nil, fmt.Errorf("control character 0x%02x at byte %d", s[i], i)
		}
	}
	split := strings.LastIndex(s, "\n\n")
	if split < 0 {
		return nil, errors.New("no empty line between the text and the signatures")
	}
	c := &Checkpoint{Text: s[:split+1]}
	if err := c.parseText(); err != nil {
		return nil, err
	}
	if err := c.parseSignatures(s[split+2:]); err != nil {
		return nil, err
	}
	return c, nil
}

// parseText reads origin, size, root hash and extension lines from c.Text.
func (c *Checkpoint) parseText() error {
	lines := strings.SplitN(strings.TrimSuffix(c.Text, "\n"), "\n", maxExtensions+4)
	if len(lines) < 3 {
		return fmt.Errorf("text has %d lines; expected at least origin, size and root hash", len(lines))
	}
	if len(lines) > maxExtensions+3 {
		return fmt.Errorf("text has more than %d extension lines", maxExtensions)
	}
	if lines[0] == "" {
		return errors.New("origin (line 1) is empty")
	}
	size, err := strconv.ParseUint(lines[1], 10, 64)
	if err != nil || strconv.FormatUint(size, 10) != lines[1] {
		return fmt.Errorf("tree size (line 2) is %q; expected a decimal number without leading zeros", lines[1])
	}
	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(root) != len(c.Root) {
		return fmt.Errorf("root hash (line 3) is %q; expected 32 bytes in base64", lines[2])
	}
	for i, line := range lines[3:] {
		if line == "" {
			return fmt.Errorf("extension line %d is empty", i+4)
		}
	}
	c.Origin, c.Size, c.Root = lines[0], size, [32]byte(root)
	if len(lines) > 3 {
		c.Extensions = lines[3:]
	}
	return nil
}

// parseSignatures reads the signature lines.
func (c *Checkpoint) parseSignatures(block string) error {
	if block == "" {
		return errors.New("no signature")
	}
	if !strings.HasSuffix(block, "\n") {
		return errors.New("last signature line does not end with a line feed")
	}
	for n := 1; block != ""; n++ {
		if n > MaxSignatures {
			return fmt.Errorf("more than %d signature lines", MaxSignatures)
		}
		var line string
		line, block, _ = strings.Cut(block, "\n")
		sig, err := parseSignature(line)
		if err != nil {
			return fmt.Errorf("signature line %d: %w", n, err)
		}
		c.Signatures = append(c.Signatures, sig)
	}
	return nil
}

// parseSignature reads "— <name> <base64 of key hash and signature>".
func parseSignature(line string) (Signature, error) {
	rest, ok := strings.CutPrefix(line, "\u2014 ")
	if !ok {
		return Signature{}, errors.New("does not start with an em dash and a space")
	}
	name, b64, _ := strings.Cut(rest, " ")
	if !validName(name) {
		return Signature{}, fmt.Errorf("%q is not a key name", name)
	}
	sig, err := base64.StdEncoding.Strict().DecodeString(b64)
	if err != nil || len(sig) < 5 {
		return Signature{}, errors.New("not base64 of a 4 byte key hash and a signature")
	}
	return Signature{Name: name, KeyHash: binary.BigEndian.Uint32(sig), Sig: sig[4:]}, nil
}

// validName reports whether name can be a key name: not empty, no spaces, no
// plus (signed-note, "Format").
func validName(name string) bool {
	return name != "" && utf8.ValidString(name) && strings.IndexFunc(name, unicode.IsSpace) < 0 && !strings.Contains(name, "+")
}

// Text returns the text of a checkpoint, ready to be signed by note.Sign. The
// origin must have no line feed.
func Text(origin string, size uint64, root [32]byte) string {
	return origin + "\n" + strconv.FormatUint(size, 10) + "\n" + base64.StdEncoding.EncodeToString(root[:]) + "\n"
}

// TreeID reports whether the origin has the form of a Rekor v1 log,
// "<host name> - <digits>", and splits it.
func (c *Checkpoint) TreeID() (host, id string, ok bool) {
	i := strings.LastIndex(c.Origin, " - ")
	if i < 0 {
		return "", "", false
	}
	host, id = c.Origin[:i], c.Origin[i+3:]
	if id == "" || strings.Trim(id, "0123456789") != "" {
		return "", "", false
	}
	return host, id, true
}
