// SPDX-License-Identifier: Apache-2.0

// Package trustreview reads a trust root the way a careful person would: it
// says who is trusted for what and when, what about it looks wrong, and how two
// trust roots differ. The format is that of
// https://github.com/sigstore/protobuf-specs/blob/main/protos/sigstore_trustroot.proto
//
// Invariants: it decides nothing about signatures, and no verifier asks it; its
// answers depend on the arguments alone, and come in the order of the file;
// [Code] values are stable.
package trustreview

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"strings"

	"hallmark/internal/format/pubkey"
	"hallmark/internal/format/trustroot"
)

// Role is what somebody is trusted for.
type Role string

// The roles.
const (
	CA    Role = "ca"     // issues signing certificates
	Log   Role = "log"    // records signatures
	CTLog Role = "ct-log" // records certificates
	TSA   Role = "tsa"    // says when
)

// Entry is one authority or log of a trust root.
type Entry struct {
	Role    Role
	Field   string // where it stands in the file, such as tlogs[0]
	URL     string
	Origin  string              // logs: what checkpoints of a Rekor v2 log begin with
	Subject trustroot.Subject   // authorities
	Chain   []*x509.Certificate // authorities
	ID      []byte              // logs
	Details pubkey.Details      // logs
	Key     string              // SHA-256 of the key (of the first certificate's), hexadecimal
	Valid   trustroot.Window
}

// Name is what to call the entry in a sentence.
func (e Entry) Name() string {
	switch {
	case e.URL != "":
		return e.URL
	case len(e.Chain) > 0:
		return e.Chain[0].Subject.String()
	}
	return hex.EncodeToString(e.ID)
}

// identity is what makes two entries the same one: the evidence they stand for.
func (e Entry) identity() string {
	h := sha256.New()
	fmt.Fprintf(h, "%s %x %s", e.Role, e.ID, e.Key)
	for _, c := range e.Chain {
		h.Write(c.Raw)
	}
	return string(h.Sum(nil))
}

// Entries lists everybody in r: CAs, logs, CT logs and timestamp authorities.
func Entries(r *trustroot.Root) []Entry {
	var out []Entry
	for i, ca := range r.CAs {
		out = append(out, Entry{Role: CA, Field: field("certificateAuthorities", i), URL: ca.URI, Subject: ca.Subject, Chain: ca.Chain, Key: certKey(ca.Chain), Valid: ca.Valid})
	}
	for _, list := range []struct {
		role Role
		name string
		logs []trustroot.Log
	}{{Log, "tlogs", r.Logs}, {CTLog, "ctlogs", r.CTLogs}} {
		for i, l := range list.logs {
			e := Entry{Role: list.role, Field: field(list.name, i), URL: l.BaseURL, ID: l.ID, Details: l.Details, Valid: l.Valid}
			if list.role == Log {
				e.Origin = l.Origin()
			}
			if id, err := pubkey.KeyID(l.Key); err == nil {
				e.Key = hex.EncodeToString(id[:])
			}
			out = append(out, e)
		}
	}
	for i, tsa := range r.TSAs {
		out = append(out, Entry{Role: TSA, Field: field("timestampAuthorities", i), URL: tsa.URI, Subject: tsa.Subject, Chain: tsa.Chain, Key: certKey(tsa.Chain), Valid: tsa.Valid})
	}
	return out
}

func field(list string, i int) string { return fmt.Sprintf("%s[%d]", list, i) }

func certKey(chain []*x509.Certificate) string {
	if len(chain) == 0 {
		return ""
	}
	sum := sha256.Sum256(chain[0].RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:])
}

// title names a certificate.
func title(c *x509.Certificate) string {
	if s := c.Subject.String(); s != "" {
		return s
	}
	return "serial number " + strings.ToLower(c.SerialNumber.Text(16))
}
