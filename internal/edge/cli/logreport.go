// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"hallmark/internal/format/intoto"
	"hallmark/internal/format/logentry"
	"hallmark/internal/format/pubkey"
	"hallmark/internal/judge/verify"
	"hallmark/internal/service/logclient"
)

// The names of the JSON forms that log commands print. Fields are only ever
// added to them. docs/reference/json.md describes each.
const (
	logEntrySchema  = "hallmark/log-entry/v1"  // log get
	logSearchSchema = "hallmark/log-search/v1" // log search
	logProofSchema  = "hallmark/log-proof/v1"  // log prove
)

// logEntry is an entry that was proven to be in the log.
type logEntry struct {
	Origin     string    `json:"origin"`     // the log's name
	Index      int64     `json:"index"`      // its place, from 0
	LeafHash   string    `json:"leafHash"`   // hexadecimal, as RFC 6962 has it
	Digest     string    `json:"digest"`     // what was signed: an artifact's or an envelope's
	KeyDetails string    `json:"keyDetails"` // how, in Sigstore's name for it
	KeyID      string    `json:"keyID"`      // SHA-256 of the key's SubjectPublicKeyInfo, hexadecimal
	Tree       treeState `json:"tree"`       // in which it was proven to be

	Signer        *logSigner `json:"signer,omitempty"`        // absent if not proven
	SignerProblem string     `json:"signerProblem,omitempty"` // why not

	// Of the bundle that the instance stores for the entry, if any.
	Statement     *statement      `json:"statement,omitempty"`     // of an envelope
	Signature     *signature      `json:"signature,omitempty"`     // what the bundle shows, as verify prints it
	BundleProblem string          `json:"bundleProblem,omitempty"` // why it shows nothing
	Bundle        json.RawMessage `json:"bundle,omitempty"`        // a Sigstore bundle

	Evidence json.RawMessage `json:"transparencyLogEntry"` // Sigstore's form, with the proof
}

// treeState is a state of the log that its key signed.
type treeState struct {
	Size     uint64 `json:"size"`     // how many entries
	RootHash string `json:"rootHash"` // hexadecimal
}

// logSigner is by whom an entry is. When it was signed is not in the log.
type logSigner struct {
	signer
	NotBefore *time.Time `json:"notBefore,omitempty"` // of the certificate
	NotAfter  *time.Time `json:"notAfter,omitempty"`  // likewise
}

// statement is what an attestation or image signature is about.
type statement struct {
	PredicateType string    `json:"predicateType"`
	Subjects      []subject `json:"subjects"` // what it is about
}

type subject struct {
	Name    string            `json:"name,omitempty"`
	Digests map[string]string `json:"digests"` // hexadecimal, by algorithm
}

func treeOf(t *verify.Tree) treeState {
	root := t.Root()
	return treeState{t.Size(), hex.EncodeToString(root[:])}
}

func reportEntry(e *logclient.Entry) (*logEntry, error) {
	raw, err := e.Entry().Marshal()
	if err != nil {
		return nil, err
	}
	leaf := logentry.LeafHash(e.Entry().Body)
	rekord := e.Rekord()
	r := &logEntry{
		Origin: e.Tree().Log().Origin(), Index: e.Entry().LogIndex, LeafHash: hex.EncodeToString(leaf[:]),
		Digest: rekord.Digest.String(), KeyDetails: string(rekord.Details), Tree: treeOf(e.Tree()),
		Bundle: e.BundleJSON, Evidence: raw,
	}
	key, err := rekord.Key()
	if err != nil {
		return nil, err
	}
	id, err := pubkey.KeyID(key)
	if err != nil {
		return nil, err
	}
	r.KeyID = hex.EncodeToString(id[:])
	if e.SignerErr != nil {
		r.SignerProblem = e.SignerErr.Error()
	} else {
		r.Signer = &logSigner{signer: signerOf(e.Signer)}
		if cert := e.Signer.Certificate; cert != nil {
			from, to := cert.NotBefore.UTC(), cert.NotAfter.UTC()
			r.Signer.NotBefore, r.Signer.NotAfter = &from, &to
		}
	}
	if st := e.Statement(); st != nil {
		r.Statement = statementOf(st)
	}
	switch {
	case e.Verified != nil:
		r.Signature = signatureOf(e.Verified)
	case e.BundleErr != nil:
		r.BundleProblem = e.BundleErr.Error()
	}
	return r, nil
}

func statementOf(st *intoto.Statement) *statement {
	s := &statement{PredicateType: st.PredicateType, Subjects: []subject{}}
	for _, sub := range st.Subjects {
		s.Subjects = append(s.Subjects, subject{sub.Name, sub.Digests})
	}
	return s
}

// text prints the entry as lines of facts.
func (r *logEntry) text(a *app, c colours) {
	fmt.Fprintf(a.Out, "%s entry %d\n", printable(r.Origin), r.Index)
	if r.Statement == nil {
		a.row(c, "digest", r.Digest)
	} else {
		a.row(c, "about", r.Statement.text())
		a.row(c, "says", r.Statement.PredicateType)
	}
	switch {
	case r.Signer == nil:
		a.row(c, "signer", "not proven: "+r.SignerProblem)
	case r.Signer.ManagedKey:
		a.row(c, "signer", "a key without certificate")
	default:
		r.Signer.text(a, c)
	}
	a.row(c, "key", fmt.Sprintf("sha256:%s (%s)", r.KeyID, r.KeyDetails))
	switch {
	case r.Signature != nil:
		for _, t := range r.Signature.Times {
			a.row(c, "signed", fmt.Sprintf("%s (%s %s)", clock(t.Time), t.Source, t.URI))
		}
	case r.Signer != nil && r.Signer.NotBefore != nil:
		a.row(c, "valid", fmt.Sprintf("%s to %s (the certificate)", clock(*r.Signer.NotBefore), clock(*r.Signer.NotAfter)))
	}
	if r.BundleProblem != "" {
		a.row(c, "bundle", "stored, but not accepted: "+r.BundleProblem)
	}
	a.row(c, "proven", fmt.Sprintf("in the log of %s with root hash %s", entries(r.Tree.Size), r.Tree.RootHash))
}

// text names the first subject.
func (s *statement) text() string {
	if len(s.Subjects) == 0 {
		return ""
	}
	text := ""
	for _, alg := range []string{"sha256", "sha384", "sha512"} {
		if sum := s.Subjects[0].Digests[alg]; sum != "" {
			text = alg + ":" + sum
			break
		}
	}
	if name := s.Subjects[0].Name; name != "" {
		text = name + " " + text
	}
	if more := len(s.Subjects) - 1; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

func entries(n uint64) string {
	if n == 1 {
		return "1 entry"
	}
	return fmt.Sprintf("%d entries", n)
}
