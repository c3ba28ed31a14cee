// SPDX-License-Identifier: Apache-2.0

package devissuer

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"hallmark/internal/base/localsock"
	"hallmark/internal/service/oidc"
)

func newIssuer(t testing.TB) *Issuer {
	t.Helper()
	i, err := New(Config{Issuer: "http://127.0.0.1:1/dev-issuer", Key: testKey(), Audiences: []string{ownAudience}})
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func TestMintEmail(t *testing.T) {
	i := newIssuer(t)
	m, err := i.Mint(Request{Email: "dev@example.com", TTLSeconds: 60})
	if err != nil {
		t.Fatal(err)
	}
	// How cosign tells a token from a file name.
	if _, err := jwt.ParseSigned(m.IDToken, []jose.SignatureAlgorithm{"RS256"}); err != nil {
		t.Error(err)
	}
	claims := claimsOf(t, m.IDToken)
	if claims["iss"] != i.URL() || claims["aud"] != ownAudience || claims["email"] != "dev@example.com" || claims["email_verified"] != true {
		t.Errorf("claims %v", claims)
	}
	if life := claims["exp"].(float64) - claims["iat"].(float64); life != 60 || m.ExpiresAt.Unix() != int64(claims["exp"].(float64)) {
		t.Errorf("life %v s, answer says %v", life, m.ExpiresAt)
	}
	if m.Audience != ownAudience || m.Issuer != i.URL() {
		t.Errorf("answer %+v", m)
	}
}

func TestMintGitHub(t *testing.T) {
	i := newIssuer(t)
	m, err := i.Mint(Request{GitHub: "octo-org/octo-repo@main", Audience: "sigstore"})
	if err != nil {
		t.Fatal(err)
	}
	claims := claimsOf(t, m.IDToken)
	for name, want := range map[string]string{
		"sub": "repo:octo-org/octo-repo:ref:refs/heads/main", "repository": "octo-org/octo-repo", "repository_owner": "octo-org",
		"ref": "refs/heads/main", "ref_type": "branch", "event_name": "push", "workflow": "release", "aud": "sigstore",
		"job_workflow_ref": "octo-org/octo-repo/.github/workflows/release.yml@refs/heads/main", "run_attempt": "1",
		"runner_environment": "github-hosted", "repository_visibility": "public", KindClaim: KindGitHub,
	} {
		if claims[name] != want {
			t.Errorf("claim %s is %v, expected %s", name, claims[name], want)
		}
	}
	m, err = i.Mint(Request{
		GitHub: "octo-org/octo-repo@refs/tags/v1.2.3", Workflow: "ci/build.yaml", WorkflowName: "Build it", SHA: strings.Repeat("ab", 20),
		Trigger: "workflow_dispatch", Environment: "production", Visibility: "private",
	})
	if err != nil {
		t.Fatal(err)
	}
	claims = claimsOf(t, m.IDToken)
	for name, want := range map[string]string{
		"sub": "repo:octo-org/octo-repo:environment:production", "ref": "refs/tags/v1.2.3", "ref_type": "tag", "workflow": "Build it",
		"sha": strings.Repeat("ab", 20), "job_workflow_sha": strings.Repeat("ab", 20), "event_name": "workflow_dispatch",
		"environment": "production", "repository_visibility": "private",
		"workflow_ref": "octo-org/octo-repo/ci/build.yaml@refs/tags/v1.2.3",
	} {
		if claims[name] != want {
			t.Errorf("claim %s is %v, expected %s", name, claims[name], want)
		}
	}
}

func TestMintRefuses(t *testing.T) {
	i := newIssuer(t)
	for name, tt := range map[string]struct {
		req  Request
		text string
	}{
		"nobody":            {Request{}, "exactly one"},
		"two identities":    {Request{Email: "a@example.com", GitHub: "a/b@c"}, "exactly one"},
		"bad email":         {Request{Email: "root"}, "email"},
		"email, two lines":  {Request{Email: "a@example.com\n"}, "email"},
		"other audience":    {Request{Email: "a@example.com", Audience: "other"}, "audience"},
		"login audience":    {Request{Email: "a@example.com", Audience: "sigstore", Login: true}, "audience"},
		"negative life":     {Request{Email: "a@example.com", TTLSeconds: -1}, "ttl_seconds"},
		"long life":         {Request{Email: "a@example.com", TTLSeconds: 3601}, "ttl_seconds"},
		"overflowing life":  {Request{Email: "a@example.com", TTLSeconds: 1 << 62}, "ttl_seconds"},
		"no ref":            {Request{GitHub: "a/b"}, "OWNER/REPO@REF"},
		"empty ref":         {Request{GitHub: "a/b@"}, "ref"},
		"no owner":          {Request{GitHub: "b@main"}, "OWNER/REPO@REF"},
		"URL":               {Request{GitHub: "https://github.com/a/b@main"}, "OWNER/REPO@REF"},
		"ref with dots":     {Request{GitHub: "a/b@x..y"}, "ref"},
		"ref with space":    {Request{GitHub: "a/b@x y"}, "ref"},
		"bad sha":           {Request{GitHub: "a/b@main", SHA: "abc"}, "sha"},
		"bad workflow":      {Request{GitHub: "a/b@main", Workflow: "../x.yml"}, "workflow"},
		"workflow no YAML":  {Request{GitHub: "a/b@main", Workflow: "x"}, "workflow"},
		"bad visibility":    {Request{GitHub: "a/b@main", Visibility: "secret"}, "visibility"},
		"sha without repo":  {Request{Email: "a@example.com", SHA: strings.Repeat("ab", 20)}, "belong to github"},
		"raw iss":           {Request{Claims: map[string]any{"sub": "s", "iss": "https://token.actions.githubusercontent.com"}}, "iss"},
		"raw exp":           {Request{Claims: map[string]any{"sub": "s", "exp": 1}}, "exp"},
		"raw aud":           {Request{Claims: map[string]any{"sub": "s", "aud": "x"}}, "aud"},
		"raw without sub":   {Request{Claims: map[string]any{}}, "sub"},
		"raw sub not text":  {Request{Claims: map[string]any{"sub": 7}}, "sub"},
		"raw not encodable": {Request{Claims: map[string]any{"sub": "s", "f": func() {}}}, "claims"},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := i.Mint(tt.req)
			if err == nil || !strings.Contains(err.Error(), tt.text) || m != (Minted{}) {
				t.Errorf("got %+v, %v; expected an error with %q", m, err, tt.text)
			}
		})
	}
}

// TestAuthorityAccepts: the authority maps the issuer's tokens in process.
func TestAuthorityAccepts(t *testing.T) {
	i := newIssuer(t)
	a, err := oidc.New(oidc.Config{}, oidc.Deps{Audience: ownAudience, Static: map[string]oidc.StaticIssuer{i.URL(): {
		Keys: i, Audiences: i.Audiences(), KindClaim: KindClaim,
		Kinds: map[string]oidc.IssuerType{KindEmail: oidc.TypeEmail, KindGitHub: oidc.TypeGitHubWorkflow},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		req            Request
		san, challenge string
	}{
		"email":  {Request{Email: "dev@example.com"}, "dev@example.com", "dev@example.com"},
		"github": {Request{GitHub: "a/b@main", Audience: "sigstore"}, "https://github.com/a/b/.github/workflows/release.yml@refs/heads/main", "repo:a/b:ref:refs/heads/main"},
		"raw": {Request{Claims: map[string]any{"sub": "s", "email": "raw@example.com", "email_verified": true}},
			"raw@example.com", "raw@example.com"},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := i.Mint(tt.req)
			if err != nil {
				t.Fatal(err)
			}
			p, err := a.Authenticate(t.Context(), m.IDToken)
			if err != nil || p.SAN.Value != tt.san || p.Challenge != tt.challenge || p.Extensions.IssuerURL() != i.URL() {
				t.Errorf("got %+v, %v", p, err)
			}
		})
	}
	m, err := i.Mint(Request{Claims: map[string]any{"sub": "s", "email": "raw@example.com"}})
	if err != nil {
		t.Fatal(err)
	}
	var refused *oidc.Error
	if _, err := a.Authenticate(t.Context(), m.IDToken); !errors.As(err, &refused) || refused.Code != oidc.CodeEmailNotVerified {
		t.Errorf("an unverified email: %v", err)
	}
}

// serveSocket serves h on a Unix socket and returns its path.
func serveSocket(t *testing.T, h http.Handler) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: time.Second}
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	return path
}

func TestSocket(t *testing.T) {
	i := newIssuer(t)
	path := serveSocket(t, i.SocketHandler())
	m, err := DialMint(t.Context(), path, Request{GitHub: "a/b@main", TTLSeconds: 30})
	if err != nil || claimsOf(t, m.IDToken)["repository"] != "a/b" {
		t.Fatalf("got %+v, %v", m, err)
	}
	m, err = DialMint(t.Context(), path, Request{Claims: map[string]any{"sub": "s", "big": json.Number("9007199254740993")}})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(m.IDToken, ".") || !containsClaim(t, m.IDToken, `"big":9007199254740993`) {
		t.Errorf("a large number changed on its way")
	}
	m, err = DialMint(t.Context(), path, Request{Email: "dev@example.com", Login: true})
	if err != nil || m.IDToken != "" || len(ungrouped(m.LoginCode)) != 32 {
		t.Fatalf("got %+v, %v", m, err)
	}
	if _, err = DialMint(t.Context(), path, Request{Email: "root"}); err == nil || !strings.Contains(err.Error(), "field email") {
		t.Errorf("got %v", err)
	}
}

// The daemon listens in data folders of any depth, so the client must dial there.
func TestSocketInADeepFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("deep", 40))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "dev-issuer.sock")
	l, err := localsock.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: newIssuer(t).SocketHandler(), ReadHeaderTimeout: time.Second}
	go srv.Serve(l)
	defer srv.Close()
	if m, err := DialMint(t.Context(), path, Request{Email: "dev@example.com"}); err != nil || m.IDToken == "" {
		t.Fatalf("%v", err)
	}
}

func containsClaim(t *testing.T, token, text string) bool {
	t.Helper()
	jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(jws.UnsafePayloadWithoutVerification()), text)
}

func TestSocketRefuses(t *testing.T) {
	path := serveSocket(t, newIssuer(t).SocketHandler())
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}}
	for name, tt := range map[string]struct {
		body   string
		status int
	}{
		"not JSON":      {"hello", http.StatusBadRequest},
		"unknown field": {`{"email":"a@example.com","admin":true}`, http.StatusBadRequest},
		"two objects":   {`{"email":"a@example.com"}{}`, http.StatusBadRequest},
		"empty":         {``, http.StatusBadRequest},
		"too large":     {`{"email":"` + strings.Repeat("a", maxRequest) + `"}`, http.StatusRequestEntityTooLarge},
		"good":          {`{"email":"a@example.com"}`, http.StatusOK},
	} {
		t.Run(name, func(t *testing.T) {
			resp, err := client.Post("http://x"+SocketPath, "application/json", strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if body, _ := io.ReadAll(resp.Body); resp.StatusCode != tt.status {
				t.Errorf("status %d (%s), expected %d", resp.StatusCode, body, tt.status)
			}
		})
	}
}

func TestDialMintErrors(t *testing.T) {
	gone := filepath.Join(t.TempDir(), "s")
	if _, err := DialMint(t.Context(), gone, Request{}); err == nil || !strings.Contains(err.Error(), "does not exist; start hallmarkd serve --dev-issuer") {
		t.Errorf("no socket: %v", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: gone, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	if _, err := DialMint(t.Context(), gone, Request{}); err == nil || !strings.Contains(err.Error(), "nobody serves") {
		t.Errorf("dead socket: %v", err)
	}
	for name, tt := range map[string]struct {
		h    http.HandlerFunc
		text string
	}{
		"no such issuer": {http.NotFound, "--dev-issuer"},
		"not hallmarkd":  {func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "{}") }, "is this hallmarkd's socket"},
		"broken":         {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "x", 500) }, "Internal Server Error"},
	} {
		if _, err := DialMint(t.Context(), serveSocket(t, tt.h), Request{}); err == nil || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestVaultIsBounded(t *testing.T) {
	c := &clock{}
	v := newVault[int](time.Minute, c.now)
	for n := range vaultSize {
		if _, err := v.put(secret(), n); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := v.put(secret(), 0); err == nil {
		t.Fatal("grew past its size")
	}
	c.add(time.Minute)
	if _, err := v.put(secret(), 0); err != nil {
		t.Fatalf("after the others expired: %v", err)
	}
}

// FuzzMint: no request panics; what is minted is for the issuer's own claims.
func FuzzMint(f *testing.F) {
	for _, seed := range []string{`{"email":"a@example.com"}`, `{"github":"a/b@main","workflow":"x.yml"}`, `{"claims":{"sub":"s","a":[{}]},"ttl_seconds":60}`, `{"login":true,"email":"a@b.c"}`, `[]`} {
		f.Add([]byte(seed))
	}
	i := newIssuer(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		req, err := parseRequest(data)
		if err != nil {
			return
		}
		req.Login = false
		m, err := i.Mint(req)
		if err != nil {
			return
		}
		if claims := claimsOf(t, m.IDToken); claims["iss"] != i.URL() || claims["aud"] != m.Audience {
			t.Fatalf("claims %v of %q", claims, data)
		}
	})
}

// FuzzAuthorize: no authentication request panics, and none is accepted with a
// redirect off this machine.
func FuzzAuthorize(f *testing.F) {
	f.Add("sigstore", "http://localhost:1/cb", "code", "openid", strings.Repeat("A", 43))
	f.Add("sigstore", "http://localhost:1@evil.example/cb", "code", "openid", "")
	i := newIssuer(f)
	f.Fuzz(func(t *testing.T, client, redirect, typ, scope, challenge string) {
		req, err := i.parseAuth(map[string][]string{
			"client_id": {client}, "redirect_uri": {redirect}, "response_type": {typ}, "scope": {scope},
			"code_challenge": {challenge}, "code_challenge_method": {"S256"},
		})
		var back *authError
		if err != nil && !errors.As(err, &back) {
			return
		}
		hreq, err := http.NewRequest(http.MethodGet, req.RedirectURI, nil)
		if err != nil {
			t.Fatalf("redirect %q: %v", req.RedirectURI, err)
		}
		if h := hreq.URL.Hostname(); h != "localhost" && h != "127.0.0.1" && h != "::1" {
			t.Fatalf("redirect to %q", h)
		}
	})
}
