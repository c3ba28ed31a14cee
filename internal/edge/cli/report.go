// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"hallmark/internal/format/bundle"
	"hallmark/internal/format/certext"
	"hallmark/internal/judge/verify"
	"hallmark/internal/service/trust"
)

// reportSchema names the JSON form below. Fields are only ever added to it.
const reportSchema = "hallmark/verify/v1"

// report is what was found out about one artifact: an element of "artifacts"
// in the JSON output.
type report struct {
	Reference  string    `json:"reference"`          // as it was asked for
	Digest     string    `json:"digest"`             // what was looked up or hashed
	Resolved   string    `json:"resolved,omitempty"` // images: repository@digest
	WasTag     bool      `json:"wasTag,omitempty"`   // images: the reference could move
	Verified   bool      `json:"verified"`
	Candidates []verdict `json:"candidates"`
}

// verdict is what came of one signature.
type verdict struct {
	Digest    string     `json:"digest,omitempty"` // of the referring manifest
	File      string     `json:"file,omitempty"`
	Accepted  bool       `json:"accepted"`
	Code      string     `json:"code,omitempty"`   // why not: see docs/verification.md
	Reason    string     `json:"reason,omitempty"` // the same for people
	Signature *signature `json:"signature,omitempty"`

	noCertificate bool
}

// signer is who signed: an identity, or a key that the user named.
type signer struct {
	Identity   string `json:"identity,omitempty"`
	Issuer     string `json:"issuer,omitempty"`
	Repository string `json:"repository,omitempty"`
	Workflow   string `json:"workflow,omitempty"`
	Ref        string `json:"ref,omitempty"`
	Commit     string `json:"commit,omitempty"`
	RunURL     string `json:"runURL,omitempty"`
	ManagedKey bool   `json:"managedKey,omitempty"`
}

func signerOf(by verify.Signer) signer {
	if by.Certificate == nil {
		return signer{ManagedKey: true}
	}
	s := signer{Identity: by.SAN.Value, Issuer: by.Extensions.IssuerURL(), RunURL: by.Extensions.RunInvocationURI}
	if who, err := certext.WhoOf(by.Certificate); err == nil {
		s.Repository, s.Workflow, s.Ref, s.Commit = who.Repository, who.Workflow, who.Ref, who.SHA
	}
	return s
}

// signature is who signed, when, and where that is recorded.
type signature struct {
	signer
	Times         []timestamp `json:"times"`
	Log           []logged    `json:"log"`
	PredicateType string      `json:"predicateType,omitempty"`
}

type timestamp struct {
	Time   time.Time `json:"time"`
	Source string    `json:"source"`
	URI    string    `json:"uri"`
}

type logged struct {
	Origin string `json:"origin"`
	Index  int64  `json:"index"`
}

// accept records what was proven.
func (v verdict) accept(verified *verify.Verified) verdict {
	v.Accepted, v.Signature = true, signatureOf(verified)
	return v
}

func signatureOf(verified *verify.Verified) *signature {
	s := &signature{signer: signerOf(verified.Signer()), Times: []timestamp{}, Log: []logged{}}
	for _, t := range verified.Times() {
		s.Times = append(s.Times, timestamp{t.Time.UTC(), t.Source, t.URI})
	}
	for _, e := range verified.Entries() {
		s.Log = append(s.Log, logged{e.Origin, e.LogIndex})
	}
	if st := verified.Statement(); st != nil {
		s.PredicateType = st.PredicateType
	}
	return s
}

// judge records a refusal by the one verification path.
func (v verdict) judge(err error, b *bundle.Bundle) verdict {
	v.noCertificate = len(b.Certificates) == 0
	var e *verify.Error
	if errors.As(err, &e) {
		return v.refuse(string(e.Code), e.Err)
	}
	return v.refuse("error", err)
}

func (v verdict) refuse(code string, err error) verdict {
	v.Code, v.Reason = code, strings.ReplaceAll(err.Error(), "\n", "; ") // joined errors
	return v
}

// settle decides for the artifact: one accepted signature is enough.
func (r *report) settle() {
	for _, v := range r.Candidates {
		r.Verified = r.Verified || v.Accepted
	}
}

// failure is the error of a report that is not verified. The reasons are with
// the candidates, which have been printed.
func (r *report) failure() error {
	if len(r.Candidates) == 0 {
		return exitError{ExitNoSignatures, fmt.Errorf("%s: no signatures found for %s", r.Reference, r.Digest)}
	}
	without := 0
	for _, v := range r.Candidates {
		if v.noCertificate {
			without++
		}
	}
	if without == len(r.Candidates) {
		return exitError{ExitNoCertificate, fmt.Errorf("%s: none of %s carries a certificate: verify with --key", r.Reference, count(without, "signature"))}
	}
	if len(r.Candidates) == 1 {
		return exitError{ExitNoMatch, fmt.Errorf("%s: the one signature found is not accepted: %s", r.Reference, r.Candidates[0].Code)}
	}
	return exitError{ExitNoMatch, fmt.Errorf("%s: none of %s is accepted", r.Reference, count(len(r.Candidates), "signature"))}
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// outputFlags choose between people and programs.
type outputFlags struct{ format string }

func (o *outputFlags) bind(f *pflag.FlagSet) {
	f.StringVarP(&o.format, "output", "o", "text", "print `text|json`")
}

func (o *outputFlags) check() error {
	if o.format != "text" && o.format != "json" {
		return usageError{fmt.Errorf("--output %q: expected text or json", o.format)}
	}
	return nil
}

// trustNote says under which trust root the verdicts hold.
type trustNote struct {
	Name        string     `json:"name"`
	Kind        trust.Kind `json:"kind,omitempty"`
	Development bool       `json:"development,omitempty"`
	Refreshed   *time.Time `json:"refreshed,omitempty"`
}

func noteOf(t *trust.Active) trustNote {
	n := trustNote{Name: t.Name, Kind: t.Kind, Development: t.Instance != nil && t.Instance.Development}
	if !t.Refreshed.IsZero() {
		at := t.Refreshed.UTC().Truncate(time.Second)
		n.Refreshed = &at
	}
	return n
}

func (o *outputFlags) print(a *app, reports []*report, active *trust.Active) error {
	if o.format == "text" {
		for _, r := range reports {
			r.text(a, active)
		}
		return nil
	}
	if reports == nil {
		reports = []*report{}
	}
	return a.printJSON(struct {
		Schema    string    `json:"schema"`
		Trust     trustNote `json:"trust"`
		Artifacts []*report `json:"artifacts"`
	}{reportSchema, noteOf(active), reports})
}

func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.Out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
