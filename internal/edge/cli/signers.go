// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"encoding/csv"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"hallmark/internal/edge/config"
	"hallmark/internal/judge/verify"
)

// demand is what a verifying command asks for: what each signature has to be,
// and who has to have signed together.
type demand struct {
	policy verify.Policy
	quorum verify.Quorum
}

// signersFlags say who has to have signed: one identity in cosign's words, any
// of several, several together, or a key.
type signersFlags struct {
	identityFlags
	more   []string // --identity
	signed int      // --min-signatures
	file   string   // --policy-file
}

func (s *signersFlags) bind(f *pflag.FlagSet) {
	s.identityFlags.bind(f)
	s.bindKey(f)
	f.StringArrayVar(&s.more, "identity", nil, "another accepted signer, as `san=…,issuer=…` (also san-regexp, issuer-regexp, github-workflow-…); may be repeated, any of them will do")
	s.signed = 1
}

func (s *signersFlags) bindQuorum(f *pflag.FlagSet) {
	f.IntVar(&s.signed, "min-signatures", 1, "how many distinct accepted signers are needed; two signatures by one count once")
	f.StringVar(&s.file, "policy-file", "", "YAML `FILE` that says who has to have signed, instead of the other flags")
}

// demand compiles the flags.
func (s *signersFlags) demand() (demand, error) {
	if s.file != "" {
		if s.key != "" || s.want != (verify.Identity{}) || len(s.more) > 0 || s.signed != 1 {
			return demand{}, usageError{errors.New("--policy-file excludes --key, --identity, --min-signatures and the --certificate flags: say it in the file")}
		}
		return readPolicy(s.file)
	}
	if s.signed < 1 {
		return demand{}, usageError{fmt.Errorf("--min-signatures %d: expected at least 1", s.signed)}
	}
	if s.key != "" && (len(s.more) > 0 || s.signed > 1) {
		return demand{}, usageError{errors.New("--key excludes --identity and --min-signatures: one key is one signer")}
	}
	d := demand{quorum: verify.Quorum{Signers: s.signed}}
	if len(s.more) == 0 || s.want != (verify.Identity{}) || s.key != "" {
		p, err := s.policy()
		if err != nil {
			return demand{}, err
		}
		d.policy = p
	} else {
		d.policy = verify.DefaultPolicy()
	}
	for _, text := range s.more {
		id, err := parseIdentity(text)
		if err != nil {
			return demand{}, usageError{fmt.Errorf("--identity %q: %w", text, err)}
		}
		d.policy.Identities = append(d.policy.Identities, id)
	}
	return d, nil
}

// identityText is an identity as people write it: in a policy file, and with
// the same names after --identity.
type identityText struct {
	SAN                string `yaml:"san"`
	SANRegexp          string `yaml:"san-regexp"`
	Issuer             string `yaml:"issuer"`
	IssuerRegexp       string `yaml:"issuer-regexp"`
	WorkflowTrigger    string `yaml:"github-workflow-trigger"`
	WorkflowSHA        string `yaml:"github-workflow-sha"`
	WorkflowName       string `yaml:"github-workflow-name"`
	WorkflowRepository string `yaml:"github-workflow-repository"`
	WorkflowRef        string `yaml:"github-workflow-ref"`
}

// compile checks the identity.
func (t identityText) compile() (verify.Identity, error) {
	id, err := verify.NewIdentity(verify.Identity{
		SAN: t.SAN, SANRegexp: t.SANRegexp, Issuer: t.Issuer, IssuerRegexp: t.IssuerRegexp,
		GitHubWorkflowTrigger: t.WorkflowTrigger, GitHubWorkflowSHA: t.WorkflowSHA, GitHubWorkflowName: t.WorkflowName,
		GitHubWorkflowRepository: t.WorkflowRepository, GitHubWorkflowRef: t.WorkflowRef,
	})
	var e *verify.Error
	if errors.As(err, &e) {
		err = e.Err
	}
	return id, err
}

// identityNames are the names in [identityText], in its order.
func identityNames() []string {
	return []string{"san", "san-regexp", "issuer", "issuer-regexp", "github-workflow-trigger", "github-workflow-sha",
		"github-workflow-name", "github-workflow-repository", "github-workflow-ref"}
}

func (t *identityText) fields() []*string {
	return []*string{&t.SAN, &t.SANRegexp, &t.Issuer, &t.IssuerRegexp, &t.WorkflowTrigger, &t.WorkflowSHA,
		&t.WorkflowName, &t.WorkflowRepository, &t.WorkflowRef}
}

// parseIdentity reads NAME=VALUE pairs between commas. A pair with a comma in
// it is put in double quotes, as in CSV.
func parseIdentity(text string) (verify.Identity, error) {
	r := csv.NewReader(strings.NewReader(text))
	pairs, err := r.Read()
	if err != nil {
		return verify.Identity{}, fmt.Errorf("expected NAME=VALUE pairs between commas: %w", err)
	}
	if _, err := r.Read(); err == nil {
		return verify.Identity{}, errors.New("expected one line of NAME=VALUE pairs")
	}
	var t identityText
	fields, names := t.fields(), identityNames()
	for _, pair := range pairs {
		name, value, ok := strings.Cut(pair, "=")
		if !ok {
			return verify.Identity{}, fmt.Errorf("%q is no NAME=VALUE pair; put a pair with a comma in it in double quotes", pair)
		}
		i := slices.Index(names, name)
		switch {
		case i < 0:
			return verify.Identity{}, fmt.Errorf("unknown name %q: expected %s", name, strings.Join(names, ", "))
		case value == "":
			return verify.Identity{}, fmt.Errorf("%s is empty", name)
		case *fields[i] != "":
			return verify.Identity{}, fmt.Errorf("%s is given twice", name)
		}
		*fields[i] = value
	}
	return t.compile()
}

// policyFile is the content of --policy-file.
type policyFile struct {
	// All are identities each of which has to have signed.
	All []identityText `yaml:"all"`
	// Any are identities one of which has to have signed.
	Any []identityText `yaml:"any"`
	// MinSignatures is how many distinct signers of either list are needed.
	MinSignatures *int `yaml:"min-signatures"`
	// Thresholds are how many authorities have to vouch for each signature.
	Thresholds struct {
		SCTs       *int `yaml:"scts"`
		LogEntries *int `yaml:"log-entries"`
		Timestamps *int `yaml:"timestamps"`
	} `yaml:"thresholds"`
}

func readPolicy(path string) (demand, error) {
	var file policyFile
	if err := config.ReadFile(path, &file); err != nil {
		return demand{}, fmt.Errorf("--policy-file: %w", err)
	}
	d, err := file.demand()
	if err != nil {
		return demand{}, fmt.Errorf("--policy-file %s: %w", path, err)
	}
	return d, nil
}

func (f *policyFile) demand() (demand, error) {
	d := demand{policy: verify.DefaultPolicy(), quorum: verify.Quorum{Signers: 1}}
	for _, l := range []struct {
		name string
		from []identityText
		to   *[]verify.Identity
	}{{"all", f.All, &d.quorum.All}, {"any", f.Any, &d.quorum.Any}} {
		for i, text := range l.from {
			id, err := text.compile()
			if err != nil {
				return demand{}, fmt.Errorf("%s[%d]: %w", l.name, i, err)
			}
			*l.to = append(*l.to, id)
		}
	}
	d.policy.Identities = d.quorum.Identities()
	if len(d.policy.Identities) == 0 {
		return demand{}, errors.New("nobody is accepted: expected identities under all or any")
	}
	for _, n := range []struct {
		name  string
		given *int
		least int
		to    *int
	}{
		{"min-signatures", f.MinSignatures, 1, &d.quorum.Signers},
		{"thresholds.scts", f.Thresholds.SCTs, 0, &d.policy.SCTs},
		{"thresholds.log-entries", f.Thresholds.LogEntries, 0, &d.policy.LogEntries},
		{"thresholds.timestamps", f.Thresholds.Timestamps, 1, &d.policy.Timestamps},
	} {
		if n.given == nil {
			continue
		}
		if *n.given < n.least {
			return demand{}, fmt.Errorf("%s is %d: expected at least %d", n.name, *n.given, n.least)
		}
		*n.to = *n.given
	}
	return d, nil
}
