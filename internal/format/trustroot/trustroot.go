// SPDX-License-Identifier: Apache-2.0

// Package trustroot reads and writes the two files that make up a Sigstore
// instance for its clients: trusted_root.json, the keys and certificates that
// evidence is checked with, and signing_config.json, the services that make it.
//
// Specification:
// https://github.com/sigstore/protobuf-specs/blob/main/protos/sigstore_trustroot.proto
//
// Invariants of a Root, whether read or about to be written:
//
//   - every log has a key that fits its key details, an identifier no other log
//     of its list has, and a validity window with a start;
//   - every authority has a chain of at least one certificate in which each is
//     issued (by name) by the next; the last is the trust anchor;
//   - validity windows are inclusive at both ends and never end before they start.
//
// Signatures between the certificates of a chain are not checked here: that is
// part of verifying with them.
package trustroot

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"time"

	"hallmark/internal/format/pubkey"
)

// Media types.
const (
	// MediaType is the trusted root that this package writes.
	MediaType = "application/vnd.dev.sigstore.trustedroot+json;version=0.1"
	// MediaTypeV02 is also read.
	MediaTypeV02 = "application/vnd.dev.sigstore.trustedroot.v0.2+json"
	// SigningConfigMediaType is the signing config that this package reads and writes.
	SigningConfigMediaType = "application/vnd.dev.sigstore.signingconfig.v0.2+json"
	// ClientTrustConfigMediaType is the file that holds both.
	ClientTrustConfigMediaType = "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json"
)

// Caps.
const (
	// MaxSize caps each of the files, in bytes.
	MaxSize = 4 << 20
	// MaxInstances caps each list of logs, authorities or services.
	MaxInstances = 1000
	// MaxChain caps the certificates of one chain.
	MaxChain = 16
)

// Window is a period of validity.
type Window struct {
	Start time.Time // zero: open
	End   time.Time // zero: open
}

// Contains reports whether t lies within the window; both ends belong to it.
func (w Window) Contains(t time.Time) bool {
	if !w.Start.IsZero() && t.Before(w.Start) {
		return false
	}
	return w.End.IsZero() || !t.After(w.End)
}

// check refuses a window that ends before it starts.
func (w Window) check() error {
	if !w.Start.IsZero() && !w.End.IsZero() && w.End.Before(w.Start) {
		return fmt.Errorf("validFor: ends %s, before it starts %s", w.End.Format(time.RFC3339), w.Start.Format(time.RFC3339))
	}
	return nil
}

// Log is a transparency log or a CT log.
type Log struct {
	// BaseURL names the log. For a Rekor v2 log its host name is the origin of
	// the checkpoints; it need not be an address anybody answers at.
	BaseURL string
	Key     crypto.PublicKey
	Details pubkey.Details
	// ID is the log's identifier as evidence carries it, as given: SHA-256 of
	// the DER SubjectPublicKeyInfo for CT logs and Rekor v1, the full note key
	// hash (checkpoint.LogID) for Rekor v2. 32 bytes for CT logs.
	ID []byte
	// CheckpointKeyID is the note key hash where a v0.2 file has one, full or
	// cut to four bytes; else nil. It is not written.
	CheckpointKeyID []byte
	// Operator is who runs the log where a v0.2 file says so; not written.
	Operator string
	Valid    Window
}

// Origin is the bare host name of BaseURL, which is what a Rekor v2 log's
// checkpoints start with: no scheme, port or path. It is "" where BaseURL has
// no host.
func (l Log) Origin() string {
	u, err := url.Parse(l.BaseURL)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

// Subject is the part of an authority's name that a trusted root spells out.
type Subject struct {
	Organization string
	CommonName   string
}

// CertificateAuthority issues signing certificates.
type CertificateAuthority struct {
	Subject Subject
	URI     string // base URL of its API; may be empty
	// Chain holds the issuing certificate first and the trust anchor last;
	// they may be the same.
	Chain []*x509.Certificate
	Valid Window
	// Operator is who runs it where a v0.2 file says so; not written.
	Operator string
}

// TimestampAuthority issues RFC 3161 timestamps.
type TimestampAuthority struct {
	Subject Subject
	URI     string // where requests are posted; may be empty
	// Chain holds the certificate that signs timestamps first and the trust
	// anchor last. Where the first is a CA, the signing certificate is the one
	// that each timestamp embeds.
	Chain []*x509.Certificate
	Valid Window
	// Operator is who runs it where a v0.2 file says so; not written.
	Operator string
}

// Root is everything a verifier trusts.
type Root struct {
	Logs   []Log // transparency logs (Rekor)
	CTLogs []Log
	CAs    []CertificateAuthority
	TSAs   []TimestampAuthority
}

// LogByID returns the transparency log with the identifier, or nil.
func (r *Root) LogByID(id []byte) *Log { return logByID(r.Logs, id) }

// CTLogByID returns the CT log with the identifier, or nil.
func (r *Root) CTLogByID(id []byte) *Log { return logByID(r.CTLogs, id) }

func logByID(logs []Log, id []byte) *Log {
	for i := range logs {
		if bytes.Equal(logs[i].ID, id) {
			return &logs[i]
		}
	}
	return nil
}

// check enforces the invariants of the package comment.
func (r *Root) check() error {
	if err := checkLogs("tlogs", r.Logs, 4, 64); err != nil {
		return err
	}
	for i, ca := range r.CAs {
		if err := checkAuthority(ca.Chain, ca.Valid, false); err != nil {
			return fmt.Errorf("certificateAuthorities[%d]: %w", i, err)
		}
	}
	if err := checkLogs("ctlogs", r.CTLogs, 32, 32); err != nil {
		return err
	}
	for i, tsa := range r.TSAs {
		if err := checkAuthority(tsa.Chain, tsa.Valid, true); err != nil {
			return fmt.Errorf("timestampAuthorities[%d]: %w", i, err)
		}
	}
	return nil
}

// checkLogs checks one list of logs, whose identifiers have minID to maxID bytes.
func checkLogs(list string, logs []Log, minID, maxID int) error {
	seen := map[string]int{}
	for i, l := range logs {
		if err := checkLog(l, minID, maxID); err != nil {
			return fmt.Errorf("%s[%d]: %w", list, i, err)
		}
		if j, ok := seen[string(l.ID)]; ok {
			return fmt.Errorf("%s[%d]: logId.keyId is that of %s[%d] too; every log needs one of its own", list, i, list, j)
		}
		seen[string(l.ID)] = i
	}
	return nil
}

func checkLog(l Log, minID, maxID int) error {
	if _, err := url.Parse(l.BaseURL); err != nil {
		return fmt.Errorf("baseUrl: %w", err)
	}
	switch l.Details {
	case pubkey.ECDSAP256SHA256, pubkey.ECDSAP384SHA384, pubkey.ECDSAP521SHA512, pubkey.Ed25519,
		pubkey.RSAPKCS1v15_2048_SHA256, pubkey.RSAPKCS1v15_3072_SHA256, pubkey.RSAPKCS1v15_4096_SHA256,
		pubkey.LegacyPKCS1RSAPKCS1v15:
	default:
		return fmt.Errorf("publicKey.keyDetails: logs do not sign with %q; expected ECDSA, RSA PKCS #1 v1.5 or Ed25519", l.Details)
	}
	if err := l.Details.Check(l.Key); err != nil {
		return fmt.Errorf("publicKey: %w", err)
	}
	if len(l.ID) < minID || len(l.ID) > maxID {
		return fmt.Errorf("logId.keyId has %d bytes; expected %d", len(l.ID), 32)
	}
	if n := len(l.CheckpointKeyID); n != 0 && (n < 4 || n > 64) {
		return fmt.Errorf("checkpointKeyId.keyId has %d bytes; expected 4", n)
	}
	if l.Valid.Start.IsZero() {
		return errors.New("publicKey.validFor.start is missing; a log's key needs one")
	}
	return l.Valid.check()
}

// checkAuthority checks a chain and its window. Only the first certificate of a
// timestamp authority may be no CA.
func checkAuthority(chain []*x509.Certificate, valid Window, tsa bool) error {
	if len(chain) == 0 {
		return errors.New("certChain is empty; expected at least the trust anchor")
	}
	if len(chain) > MaxChain {
		return fmt.Errorf("certChain has %d certificates, at most %d are allowed", len(chain), MaxChain)
	}
	for i, cert := range chain {
		isCA := cert.BasicConstraintsValid && cert.IsCA
		if !isCA && !(tsa && i == 0) {
			want := "the issuing CA first and the trust anchor last"
			if tsa {
				want = "the timestamping certificate first and the trust anchor last"
			}
			return fmt.Errorf("certChain.certificates[%d] (%s) is not a CA; expected %s", i, cert.Subject, want)
		}
		if i+1 < len(chain) && !bytes.Equal(cert.RawIssuer, chain[i+1].RawSubject) {
			return fmt.Errorf("certChain.certificates[%d] is issued by %q, but the next one is %q; expected each to be issued by the next", i, cert.Issuer, chain[i+1].Subject)
		}
	}
	return valid.check()
}
