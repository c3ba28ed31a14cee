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
	"hallmark/internal/format/digest"
	"hallmark/internal/judge/verify"
	"hallmark/internal/service/trust"
)

// reportSchema names the JSON form below. Fields are only ever added to it.
const reportSchema = "hallmark/verify/v1" // verify, verify-blob

// report is what was found out about one artifact: an element of "artifacts"
// in the JSON output.
type report struct {
	Reference  string    `json:"reference"`          // as it was asked for
	Digest     string    `json:"digest"`             // what was looked up or hashed
	Resolved   string    `json:"resolved,omitempty"` // images: repository@digest
	WasTag     bool      `json:"wasTag,omitempty"`   // images: the reference could move
	Platform   string    `json:"platform,omitempty"` // of an index's manifest
	Verified   bool      `json:"verified"`           // this and all platforms
	Code       string    `json:"code,omitempty"`     // why not, where that is not the candidates'
	Reason     string    `json:"reason,omitempty"`   // the same for people
	Candidates []verdict `json:"candidates"`
	Platforms  []*report `json:"platforms,omitempty"` // with --recursive
}

// verdict is what came of one signature.
type verdict struct {
	Digest    string     `json:"digest,omitempty"` // of the manifest that holds it
	Layer     *int       `json:"layer,omitempty"`  // of that manifest, for legacy evidence
	Source    string     `json:"source,omitempty"` // where the registry lists it
	File      string     `json:"file,omitempty"`
	Format    string     `json:"format,omitempty"` // "bundle" or "legacy"; absent if it could not be read
	Accepted  bool       `json:"accepted"`
	Code      string     `json:"code,omitempty"`   // why not: see docs/verification.md
	Reason    string     `json:"reason,omitempty"` // the same for people
	Signature *signature `json:"signature,omitempty"`

	proven        *verify.Verified // nil unless accepted
	noCertificate bool
	failedSource  bool // not a signature, but a place to look that could not be read
}

// signer is who signed: an identity, or a key that the user named.
type signer struct {
	Identity   string `json:"identity,omitempty"`   // e-mail address or URI, of the certificate
	Issuer     string `json:"issuer,omitempty"`     // who vouched for it
	Repository string `json:"repository,omitempty"` // this and the rest of a CI job
	Workflow   string `json:"workflow,omitempty"`
	Ref        string `json:"ref,omitempty"`
	Commit     string `json:"commit,omitempty"`
	RunURL     string `json:"runURL,omitempty"`
	ManagedKey bool   `json:"managedKey,omitempty"` // a key, without identity
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
	Times         []timestamp    `json:"times"` // by the word of trusted authorities
	Log           []logged       `json:"log"`   // where it is proven to be logged
	PredicateType string         `json:"predicateType,omitempty"`
	Annotations   map[string]any `json:"annotations,omitempty"` // what the signer said besides
	// What the signer of a legacy signature called the image, which says nothing
	// about where the image came from.
	DockerReference string `json:"dockerReference,omitempty"`
}

type timestamp struct {
	Time   time.Time `json:"time"`
	Source string    `json:"source"` // tsa or log
	URI    string    `json:"uri"`
}

type logged struct {
	Origin string `json:"origin"`
	Index  int64  `json:"index"`
}

// accept records what was proven.
func (v verdict) accept(verified *verify.Verified) verdict {
	v.Accepted, v.Signature, v.proven = true, signatureOf(verified), verified
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
	if p := verified.SimpleSigning(); p != nil {
		s.DockerReference = p.Reference
	}
	if sets := annotationsOf(verified, verified.Subject()); len(sets) == 1 {
		s.Annotations = sets[0]
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

func (r *report) refuse(code string, err error) {
	r.Code, r.Reason = code, strings.ReplaceAll(err.Error(), "\n", "; ")
}

// settle decides for the artifact, by all accepted signatures together.
func (r *report) settle(subject digest.Digest, quorum verify.Quorum) {
	var proven []*verify.Verified
	for _, v := range r.Candidates {
		if v.Accepted {
			proven = append(proven, v.proven)
		}
	}
	err := quorum.Met(subject, proven)
	r.Verified = err == nil
	if err != nil && len(proven) > 0 {
		r.refuse(codeQuorum, err)
	}
}

// failure is the error of a report that is not verified. The reasons are with
// the candidates, which have been printed.
func (r *report) failure() error {
	var all []error
	if err := r.ownFailure(); err != nil {
		all = append(all, err)
	}
	for _, p := range r.Platforms {
		if err := p.ownFailure(); err != nil {
			all = append(all, err)
		}
	}
	return worst(all)
}

// ownFailure is nil if nothing but a platform is to blame.
func (r *report) ownFailure() error {
	name := r.Reference
	if r.Platform != "" {
		name = fmt.Sprintf("%s (%s, %s)", r.Reference, r.Platform, short(r.Digest))
	}
	var signatures []verdict
	without, accepted := 0, 0
	var unread []string
	for _, v := range r.Candidates {
		switch {
		case v.failedSource:
			unread = append(unread, v.Source)
			continue
		case v.Accepted:
			accepted++
		case v.noCertificate:
			without++
		}
		signatures = append(signatures, v)
	}
	switch n := len(signatures); {
	case r.Verified, r.Code == codePlatform:
		return nil
	case r.Code == codeUnreadable:
		return fmt.Errorf("%s: %s", name, r.Reason)
	case len(unread) > 0: // there may be more than was found
		return fmt.Errorf("%s: %d of %s accepted, but not all places could be read (%s)", name, accepted, count(n, "signature"), strings.Join(unread, ", "))
	case n == 0:
		return exitError{ExitNoSignatures, fmt.Errorf("%s: no signatures found for %s", name, r.Digest)}
	case without == n:
		return exitError{ExitNoCertificate, fmt.Errorf("%s: none of %s carries a certificate: verify with --key", name, count(without, "signature"))}
	case r.Code == codeQuorum:
		return exitError{ExitNoMatch, fmt.Errorf("%s: not enough of %s accepted: %s", name, count(n, "signature"), r.Reason)}
	case n == 1:
		return exitError{ExitNoMatch, fmt.Errorf("%s: the one signature found is not accepted: %s", name, signatures[0].Code)}
	default:
		return exitError{ExitNoMatch, fmt.Errorf("%s: none of %s is accepted", name, count(n, "signature"))}
	}
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
	Name        string     `json:"name"`                  // of the trust root, or its file
	Kind        trust.Kind `json:"kind,omitempty"`        // tuf, static or builtin
	Development bool       `json:"development,omitempty"` // proves nothing to anybody else
	Refreshed   *time.Time `json:"refreshed,omitempty"`   // when the copy was last known to be current
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
	defer a.hintStale(reports, active)
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
