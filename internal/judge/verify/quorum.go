// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"hallmark/internal/format/digest"
)

// A Quorum says who has to have signed an artifact together. The zero Quorum
// asks for nothing beyond one accepted signature.
//
// One signature counts for every identity that it matches, so a person who is
// both of two entries of All meets both. Who wants several people asks for
// several Signers.
type Quorum struct {
	All     []Identity // each of them has to have signed
	Any     []Identity // if there are any, one of them has to have signed
	Signers int        // how many distinct signers are needed at least; 0 means 1
}

// Identities are those whose signatures can count: what [Policy.Identities] has
// to hold for each signature.
func (q Quorum) Identities() []Identity { return slices.Concat(q.All, q.Any) }

// Validate checks that the quorum can be met. The error is an [*Error] with
// [CodePolicy].
func (q Quorum) Validate() error {
	if q.Signers < 0 {
		return fail(CodePolicy, "negative threshold: %d signers", q.Signers)
	}
	for i, id := range q.Identities() {
		if !id.ready() {
			return fail(CodePolicy, "identity %d was not made by NewIdentity, or was changed since", i)
		}
	}
	return nil
}

// Met decides whether signatures, each of which [Check] has proven, meet the
// quorum for the artifact with the given digest. The error says everything that
// is missing. Signatures that prove nothing or are about something else do not
// count, and two by the same signer count as one.
//
// A signer is a certificate's name with the issuer that vouched for it (letter
// case apart, since many issuers ignore it), or a managed key. So the runs of
// one workflow on one branch are one signer.
func (q Quorum) Met(subject digest.Digest, signatures []*Verified) error {
	if err := q.Validate(); err != nil {
		return err
	}
	var counted []*Verified
	signers := map[string]bool{}
	for _, v := range signatures {
		if v.Proven() && !subject.IsZero() && v.subject == subject {
			counted = append(counted, v)
			signers[v.signer.who()] = true
		}
	}
	by := func(id Identity) bool {
		return slices.ContainsFunc(counted, func(v *Verified) bool { return v.Is(id) })
	}
	var missing []error
	for _, id := range q.All {
		if !by(id) {
			missing = append(missing, fmt.Errorf("no accepted signature by %s", id))
		}
	}
	if len(q.Any) > 0 && !slices.ContainsFunc(q.Any, by) {
		missing = append(missing, fmt.Errorf("no accepted signature by any of %s", list(q.Any)))
	}
	if want := max(q.Signers, 1); len(signers) < want {
		missing = append(missing, fmt.Errorf("accepted signatures by %d distinct signers, expected at least %d", len(signers), want))
	}
	return errors.Join(missing...)
}

// Is reports whether the proven signer is id. A managed key is no identity.
func (v *Verified) Is(id Identity) bool {
	return v.Proven() && v.signer.Certificate != nil && id.ready() && id.mismatch(v.signer.SAN, v.signer.Extensions) == ""
}

// who is the same text for the same signer.
func (s Signer) who() string {
	if s.Certificate == nil {
		return "a managed key" // a policy has one
	}
	return fmt.Sprintf("%d\x00%s\x00%s", s.SAN.Kind, strings.ToLower(s.SAN.Value), s.Extensions.IssuerURL())
}

// String describes the identity in one line.
func (id Identity) String() string {
	text := fmt.Sprintf("%s of issuer %s", describe(id.SAN, id.SANRegexp), describe(id.Issuer, id.IssuerRegexp))
	for _, f := range []struct{ name, want string }{
		{"trigger", id.GitHubWorkflowTrigger}, {"SHA", id.GitHubWorkflowSHA}, {"name", id.GitHubWorkflowName},
		{"repository", id.GitHubWorkflowRepository}, {"ref", id.GitHubWorkflowRef},
	} {
		if f.want != "" {
			text += fmt.Sprintf(", GitHub workflow %s %q", f.name, f.want)
		}
	}
	return text
}

func list(ids []Identity) string {
	all := make([]string, len(ids))
	for i, id := range ids {
		all[i] = id.String()
	}
	return strings.Join(all, " or ")
}
