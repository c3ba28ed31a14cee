// SPDX-License-Identifier: Apache-2.0

package interop

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hallmark/test/interop/internal/peers"
)

// clients are the two programs that sign and verify, in both roles.
var clients = []string{peers.Cosign, peers.Hallmark}

// lab is a running authority and a user who trusts it with both clients.
type lab struct {
	*peers.Authority
	user peers.Client
	dir  string // for the user's files
}

// newLab starts an authority, and runs the lines that it prints for clients.
func newLab(t *testing.T, serveArgs ...string) *lab {
	t.Helper()
	authority, err := programs.StartAuthority(t.Context(), t.TempDir(), serveArgs...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := authority.Stop(); err != nil {
			t.Error(err)
		}
	})
	user, err := authority.Client(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return &lab{Authority: authority, user: user, dir: t.TempDir()}
}

// token mints an identity token; args are dev-token's.
func (l *lab) token(t *testing.T, args ...string) string {
	t.Helper()
	token, err := l.Token(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// file writes one of the user's files.
func (l *lab) file(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(l.dir, name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// run runs a command that has to succeed, and returns what it printed.
func (l *lab) run(t *testing.T, argv ...string) string {
	t.Helper()
	r, err := l.user.Must(t.Context(), argv...)
	if err != nil {
		t.Fatal(err)
	}
	return r.Out
}

// refusal is how a command has to fail.
type refusal struct {
	code   int
	reason string // part of what it prints
}

// refused runs a command that has to fail, for the right reason.
func (l *lab) refused(t *testing.T, want refusal, argv ...string) {
	t.Helper()
	r, err := l.user.Run(t.Context(), argv...)
	if err != nil {
		t.Fatal(err)
	}
	if r.Code != want.code || !strings.Contains(r.Out+r.Err, want.reason) {
		t.Errorf("%s %s: exit code %d, want %d with a reason like %q; it printed\n%s%s",
			argv[0], argv[1], r.Code, want.code, want.reason, r.Out, r.Err)
	}
}

// expect runs a verification that has to be refused as want says, or to
// succeed where want is nil.
func (l *lab) expect(t *testing.T, want *refusal, argv ...string) {
	t.Helper()
	if want == nil {
		l.run(t, argv...)
		return
	}
	l.refused(t, *want, argv...)
}

// signer is the flags that ask for a signer.
func signer(identity, issuer string) []string {
	return []string{"--certificate-identity", identity, "--certificate-oidc-issuer", issuer}
}

// words joins the parts of a command line.
func words(parts ...[]string) []string {
	var all []string
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}
