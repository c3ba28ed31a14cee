// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"strings"
	"testing"

	"hallmark/internal/format/certext"
	"hallmark/internal/format/digest"
	"hallmark/internal/judge/verify"
)

// by is a signature on the artifact of the usual recipe by somebody else.
func by(in *instance, san, issuer string) *verify.Verified {
	in.tb.Helper()
	s := newSetup(in)
	s.recipe.san = certext.SAN{Kind: certext.Email, Value: san}
	s.recipe.claims.Issuer, s.recipe.claims.IssuerV2 = issuer, issuer
	s.policy.AnyIdentityUnsafe = true
	v, err := s.check()
	in.ok(err)
	return v
}

func TestQuorum(t *testing.T) {
	in := newInstance(t)
	const issuer, other = "https://issuer.example.test", "https://other.example.test"
	identity := func(want verify.Identity) verify.Identity {
		id, err := verify.NewIdentity(want)
		in.ok(err)
		return id
	}
	is := func(san string) verify.Identity { return identity(verify.Identity{SAN: san, Issuer: issuer}) }
	ids := func(ids ...verify.Identity) []verify.Identity { return ids }
	alice, again, bob := by(in, "alice@example.test", issuer), by(in, "alice@example.test", issuer), by(in, "bob@example.test", issuer)
	shout, elsewhere := by(in, "ALICE@example.test", issuer), by(in, "alice@example.test", other)
	keyed := newSetup(in)
	keyed.managed()
	key, err := keyed.check()
	in.ok(err)
	artifact := digest.Of(digest.SHA256, in.recipe().artifact)
	anybody := identity(verify.Identity{SANRegexp: "@example.test$", Issuer: issuer})

	for _, tt := range []struct {
		name       string
		quorum     verify.Quorum
		signatures []*verify.Verified
		missing    string // "" if it is met
	}{
		{"one is enough", verify.Quorum{}, []*verify.Verified{alice}, ""},
		{"a key is a signer", verify.Quorum{}, []*verify.Verified{key}, ""},
		{"nobody", verify.Quorum{}, nil, "0 distinct signers"},
		{"nothing proven", verify.Quorum{}, []*verify.Verified{nil, {}}, "0 distinct signers"},
		{"two signers", verify.Quorum{Signers: 2}, []*verify.Verified{alice, bob}, ""},
		{"one signer twice", verify.Quorum{Signers: 2}, []*verify.Verified{alice, again}, "1 distinct signers, expected at least 2"},
		{"the very same signature twice", verify.Quorum{Signers: 2}, []*verify.Verified{alice, alice}, "1 distinct signers"},
		{"one signer in capitals", verify.Quorum{Signers: 2}, []*verify.Verified{alice, shout}, "1 distinct signers"},
		{"one name, two issuers", verify.Quorum{Signers: 2}, []*verify.Verified{alice, elsewhere}, ""},
		{"one key twice", verify.Quorum{Signers: 2}, []*verify.Verified{key, key}, "1 distinct signers"},
		{"all", verify.Quorum{All: ids(is("alice@example.test"), is("bob@example.test"))}, []*verify.Verified{bob, alice}, ""},
		{"not all", verify.Quorum{All: ids(is("alice@example.test"), is("bob@example.test"))}, []*verify.Verified{alice, again}, `"bob@example.test"`},
		{"all, by another issuer", verify.Quorum{All: ids(is("alice@example.test"))}, []*verify.Verified{elsewhere}, `"alice@example.test"`},
		{"one for two entries", verify.Quorum{All: ids(anybody, is("alice@example.test"))}, []*verify.Verified{alice}, ""},
		{"one for two entries, but two wanted", verify.Quorum{All: ids(anybody, is("alice@example.test")), Signers: 2}, []*verify.Verified{alice}, "1 distinct signers"},
		{"any", verify.Quorum{Any: ids(is("alice@example.test"), is("bob@example.test"))}, []*verify.Verified{bob}, ""},
		{"none of any", verify.Quorum{Any: ids(is("alice@example.test"), is("bob@example.test"))}, []*verify.Verified{elsewhere}, "by any of"},
		{"all and any", verify.Quorum{All: ids(is("alice@example.test")), Any: ids(is("bob@example.test"))}, []*verify.Verified{alice, bob}, ""},
		{"all without any", verify.Quorum{All: ids(is("alice@example.test")), Any: ids(is("bob@example.test"))}, []*verify.Verified{alice}, "by any of"},
		{"any without all", verify.Quorum{All: ids(is("alice@example.test")), Any: ids(is("bob@example.test"))}, []*verify.Verified{bob}, `by "alice@example.test"`},
		{"a key is no identity", verify.Quorum{Any: ids(identity(verify.Identity{SANRegexp: "", SAN: "x", IssuerRegexp: "."}))}, []*verify.Verified{key}, "by any of"},
		{"negative", verify.Quorum{Signers: -1}, []*verify.Verified{alice}, "negative"},
		{"not compiled", verify.Quorum{All: ids(verify.Identity{SAN: "alice@example.test", Issuer: issuer})}, []*verify.Verified{alice}, "NewIdentity"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.quorum.Met(artifact, tt.signatures)
			if (err == nil) != (tt.missing == "") || err != nil && !strings.Contains(err.Error(), tt.missing) {
				t.Errorf("error %v, want one with %q", err, tt.missing)
			}
		})
	}
	if err := (verify.Quorum{}).Met(digest.Of(digest.SHA256, []byte("another")), []*verify.Verified{alice}); err == nil {
		t.Error("a signature on another artifact counts")
	}
	if err := (verify.Quorum{}).Met(digest.Digest{}, []*verify.Verified{alice}); err == nil {
		t.Error("a signature counts for no artifact")
	}
	if both := (verify.Quorum{All: ids(anybody), Any: ids(is("x"))}).Identities(); len(both) != 2 {
		t.Errorf("identities %v", both)
	}
	text := verify.Identity{SAN: "a", IssuerRegexp: "b", GitHubWorkflowRef: "c"}.String()
	if text != `"a" of issuer a match of "b", GitHub workflow ref "c"` {
		t.Errorf("described as %s", text)
	}
}
