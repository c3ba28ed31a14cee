// SPDX-License-Identifier: Apache-2.0

package oidc

import (
	"maps"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"hallmark/internal/format/certext"
)

// githubToken are the claims GitHub documents, with its example's values.
func githubToken() map[string]any {
	return map[string]any{
		"sub": "repo:octo-org/octo-repo:ref:refs/heads/main", "email": nil, "email_verified": nil,
		"repository": "octo-org/octo-repo", "repository_id": "74", "repository_owner": "octo-org", "repository_owner_id": "65",
		"repository_visibility": "public", "ref": "refs/heads/main", "ref_type": "branch",
		"sha": "4bf1b5a2e1a3e9d7f0c1b2a3948576a0b1c2d3e4", "workflow": "Release", "event_name": "push",
		"workflow_ref": "octo-org/octo-repo/.github/workflows/release.yml@refs/heads/main", "workflow_sha": "1111111111111111111111111111111111111111",
		"job_workflow_ref": "octo-org/octo-automation/.github/workflows/oidc.yml@refs/heads/main", "job_workflow_sha": "2222222222222222222222222222222222222222",
		"run_id": "1234567890123", "run_attempt": "2", "run_number": "10", "runner_environment": "github-hosted", "actor": "octocat",
	}
}

func TestGitHub(t *testing.T) {
	c := newClock()
	ti := newTestIssuer(t)
	want := certext.Principal{
		Challenge: "repo:octo-org/octo-repo:ref:refs/heads/main",
		SAN:       certext.SAN{Kind: certext.URI, Value: "https://github.com/octo-org/octo-automation/.github/workflows/oidc.yml@refs/heads/main"},
		Extensions: certext.Extensions{
			Issuer: ti.url, GitHubTrigger: "push", GitHubSHA: "4bf1b5a2e1a3e9d7f0c1b2a3948576a0b1c2d3e4", GitHubWorkflowName: "Release",
			GitHubRepository: "octo-org/octo-repo", GitHubRef: "refs/heads/main", IssuerV2: ti.url,
			BuildSignerURI:    "https://github.com/octo-org/octo-automation/.github/workflows/oidc.yml@refs/heads/main",
			BuildSignerDigest: "2222222222222222222222222222222222222222", RunnerEnvironment: "github-hosted",
			SourceRepositoryURI: "https://github.com/octo-org/octo-repo", SourceRepositoryDigest: "4bf1b5a2e1a3e9d7f0c1b2a3948576a0b1c2d3e4",
			SourceRepositoryRef: "refs/heads/main", SourceRepositoryIdentifier: "74",
			SourceRepositoryOwnerURI: "https://github.com/octo-org", SourceRepositoryOwnerIdentifier: "65",
			BuildConfigURI:    "https://github.com/octo-org/octo-repo/.github/workflows/release.yml@refs/heads/main",
			BuildConfigDigest: "1111111111111111111111111111111111111111", BuildTrigger: "push",
			RunInvocationURI:           "https://github.com/octo-org/octo-repo/actions/runs/1234567890123/attempts/2",
			SourceRepositoryVisibility: "public", TokenSubject: "repo:octo-org/octo-repo:ref:refs/heads/main",
		},
	}
	for name, ic := range map[string]IssuerConfig{
		"github-workflow":             {Type: TypeGitHubWorkflow},
		"ci-provider github-workflow": {Type: TypeCIProvider, CIProvider: "github-workflow"},
		"ci-provider github":          {Type: TypeCIProvider, CIProvider: "github"},
	} {
		t.Run(name, func(t *testing.T) {
			a := authenticator(t, ti.config(ic), c)
			if got := mustAccept(t, a, ti.token(t, c, githubToken())); got != want {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
			deploy := githubToken()
			deploy["environment"] = "production"
			if got := mustAccept(t, a, ti.token(t, c, deploy)); got.Extensions.DeploymentEnvironment != "production" {
				t.Errorf("environment %q", got.Extensions.DeploymentEnvironment)
			}
			for _, name := range githubRequired {
				lacking := githubToken()
				lacking[name] = nil
				err := mustRefuse(t, a, ti.token(t, c, lacking), CodeClaimMissing)
				if !strings.Contains(err.Error(), name) {
					t.Errorf("%q does not name %s", err, name)
				}
			}
			empty := githubToken()
			empty["job_workflow_ref"] = ""
			mustRefuse(t, a, ti.token(t, c, empty), CodeClaimMissing)
		})
	}
}

func TestCIProviderTemplates(t *testing.T) {
	c := newClock()
	ti := newTestIssuer(t)
	cfg := ti.config(IssuerConfig{Type: TypeCIProvider, CIProvider: "forge"})
	cfg.CIMetadata = map[string]CIMetadata{"forge": {
		DefaultTemplateValues: map[string]string{"url": "https://forge.example", "environment": "", "default_ref": "none"},
		ExtensionTemplates: ExtensionTemplates{
			BuildSignerURI:             "{{ .url }}/{{ .job }}",
			BuildSignerDigest:          "digest",
			SourceRepositoryIdentifier: "repo_id",
			SourceRepositoryRef:        `refs/{{if eq .ref_type "branch"}}heads/{{ else }}tags/{{end}}{{ .ref }}`,
			RunInvocationURI:           `{{ .url }}/run/{{ index . "forge/run" }}`,
			BuildTrigger:               "default_ref",
			RunnerEnvironment:          "hosted",
			DeploymentEnvironment:      "environment",
			BuildConfigURI:             "   ", // blank: left out
		},
		SubjectAlternativeNameTemplate: "{{ .url }}/{{ .job }}",
	}}
	a := authenticator(t, cfg, c)
	job := map[string]any{
		"job": "a&b/c+d", "digest": "abc", "repo_id": int64(9007199254740993), "ref_type": "branch", "ref": "main",
		"forge/run": 1e3, "hosted": true, "email": nil,
	}
	got := mustAccept(t, a, ti.token(t, c, job))
	want := certext.Extensions{
		Issuer: ti.url, IssuerV2: ti.url, TokenSubject: "subject-1",
		BuildSignerURI:             "https://forge.example/a&b/c+d", // text/template: nothing is escaped
		BuildSignerDigest:          "abc",
		SourceRepositoryIdentifier: "9007199254740993", // exact, though past 2^53
		SourceRepositoryRef:        "refs/heads/main",
		RunInvocationURI:           "https://forge.example/run/1000",
		BuildTrigger:               "none", // from the defaults
		RunnerEnvironment:          "true",
	}
	if got.Extensions != want {
		t.Errorf("got  %+v\nwant %+v", got.Extensions, want)
	}
	if got.SAN.Value != "https://forge.example/a&b/c+d" || got.Challenge != "subject-1" {
		t.Errorf("SAN %q, challenge %q", got.SAN, got.Challenge)
	}

	t.Run("claims override defaults", func(t *testing.T) {
		own := maps.Clone(job)
		own["url"] = "https://own.example"
		if got := mustAccept(t, a, ti.token(t, c, own)); got.SAN.Value != "https://own.example/a&b/c+d" {
			t.Errorf("SAN %q", got.SAN)
		}
	})
	for name, tt := range map[string]struct {
		claim string
		value any
		code  Code
	}{
		"absent in a template":     {"ref", nil, CodeClaimMissing},
		"absent as a name":         {"digest", nil, CodeClaimMissing},
		"list as a name":           {"digest", []string{"a"}, CodeClaimMissing},
		"object as a name":         {"digest", map[string]string{"a": "b"}, CodeClaimMissing},
		"empty in the SAN":         {"job", "", CodeClaimMissing},
		"relative SAN":             {"url", "forge", CodeClaimInvalid},
		"SAN without host":         {"url", "mailto:", CodeClaimInvalid},
		"result too long":          {"digest", strings.Repeat("d", maxValue+1), CodeClaimMissing},
		"template result too long": {"ref", strings.Repeat("d", maxValue+1), CodeClaimMissing},
	} {
		t.Run(name, func(t *testing.T) {
			bad := maps.Clone(job)
			bad[tt.claim] = tt.value
			mustRefuse(t, a, ti.token(t, c, bad), tt.code)
		})
	}
}

func TestURI(t *testing.T) {
	c := newClock()
	ti := newTestIssuer(t)
	a := authenticator(t, ti.config(IssuerConfig{Type: TypeURI, SubjectDomain: "http://127.0.0.1"}), c)
	const sub = "http://127.0.0.1/users/1?a=b"
	if got := mustAccept(t, a, ti.token(t, c, map[string]any{"sub": sub})); got.SAN != (certext.SAN{Kind: certext.URI, Value: sub}) || got.Challenge != sub {
		t.Errorf("got %+v", got)
	}
	for _, sub := range []string{
		"https://127.0.0.1/users/1", "http://127.0.0.2/users/1", "http://127.0.0.1:81/x", "http://a@127.0.0.1/x",
		"someone@127.0.0.1", "127.0.0.1/users", "http://127.0.0.1.evil.example/", "http://127.0.0.1\x00/", ":",
	} {
		mustRefuse(t, a, ti.token(t, c, map[string]any{"sub": sub}), CodeClaimInvalid)
	}
}

func TestSPIFFE(t *testing.T) {
	c := newClock()
	ti := newTestIssuer(t)
	a := authenticator(t, ti.config(IssuerConfig{Type: TypeSPIFFE, SPIFFETrustDomain: "example.org"}), c)
	const sub = "spiffe://example.org/ns/prod/sa/builder"
	if got := mustAccept(t, a, ti.token(t, c, map[string]any{"sub": sub})); got.SAN != (certext.SAN{Kind: certext.URI, Value: sub}) || got.Challenge != sub {
		t.Errorf("got %+v", got)
	}
	for _, sub := range []string{
		"spiffe://other.org/x", "spiffe://example.org.evil.org/x", "spiffe://evil.org/example.org/x", "spiffe://EXAMPLE.org/x", "spiffe://example.org",
		"spiffe://example.org/", "spiffe://example.org/a//b", "spiffe://example.org/../x", "spiffe://example.org/a/.", "spiffe://example.org/a?b",
		"spiffe://example.org/a#b", "spiffe://user@example.org/a", "spiffe://example.org:443/a", "https://example.org/a", "SPIFFE://example.org/a",
		"spiffe://example.org/%61", "spiffe://example.org/" + strings.Repeat("a", 2048),
	} {
		mustRefuse(t, a, ti.token(t, c, map[string]any{"sub": sub}), CodeClaimInvalid)
	}
}

func TestKubernetes(t *testing.T) {
	c := newClock()
	ti := newTestIssuer(t)
	a := authenticator(t, ti.config(IssuerConfig{Type: TypeKubernetes}), c)
	token := func(ns, sa any) string {
		return ti.token(t, c, map[string]any{
			"sub": "system:serviceaccount:default:builder",
			"kubernetes.io": map[string]any{
				"namespace": ns, "pod": map[string]any{"name": "p", "uid": "u"}, "serviceaccount": map[string]any{"name": sa, "uid": "u"},
			},
		})
	}
	got := mustAccept(t, a, token("default", "builder"))
	if got.SAN != (certext.SAN{Kind: certext.URI, Value: "https://kubernetes.io/namespaces/default/serviceaccounts/builder"}) ||
		got.Challenge != "system:serviceaccount:default:builder" || got.Extensions.TokenSubject != got.Challenge {
		t.Errorf("got %+v", got)
	}
	for name, tt := range map[string]struct {
		token string
		code  Code
	}{
		"no claim":          {ti.token(t, c, nil), CodeClaimMissing},
		"claim is text":     {ti.token(t, c, map[string]any{"kubernetes.io": "x"}), CodeClaimInvalid},
		"no serviceaccount": {ti.token(t, c, map[string]any{"kubernetes.io": map[string]any{"namespace": "default"}}), CodeClaimMissing},
		"no namespace":      {token(nil, "builder"), CodeClaimMissing},
		"no name":           {token("default", nil), CodeClaimMissing},
		"empty name":        {token("default", ""), CodeClaimInvalid},
		"slash":             {token("default/serviceaccounts/admin", "x"), CodeClaimInvalid},
		"dots":              {token("default", ".."), CodeClaimInvalid},
		"number":            {token("default", 7), CodeClaimInvalid},
	} {
		t.Run(name, func(t *testing.T) { mustRefuse(t, a, tt.token, tt.code) })
	}
}

func TestSkipEmailVerification(t *testing.T) {
	c := newClock()
	ti := newTestIssuer(t)
	a := authenticator(t, ti.config(IssuerConfig{Type: TypeEmail, SkipEmailVerification: true}), c)
	mustAccept(t, a, ti.token(t, c, map[string]any{"email_verified": nil}))
}

func TestClientID(t *testing.T) {
	c := newClock()
	ti := newTestIssuer(t)
	a := authenticator(t, ti.config(IssuerConfig{Type: TypeEmail, ClientID: "sigstore"}), c)
	mustAccept(t, a, ti.token(t, c, map[string]any{"aud": "sigstore"}))
	mustRefuse(t, a, ti.token(t, c, nil), CodeWrongAudience)
}

type fixedKeys []jose.JSONWebKey

func (f fixedKeys) Keys() []jose.JSONWebKey { return f }

func TestStaticIssuer(t *testing.T) {
	c := newClock()
	const url = "http://127.0.0.1:1/dev-issuer" // nobody listens: nothing may be fetched
	ti := &testIssuer{url: url}
	st := StaticIssuer{
		Keys: fixedKeys{jwk("main", testKeys().p256)}, Audiences: []string{ownAudience, "sigstore"},
		KindClaim: "kind", Kinds: map[string]IssuerType{"e": TypeEmail, "g": TypeGitHubWorkflow},
	}
	a, err := New(Config{}, Deps{Now: c.now, Static: map[string]StaticIssuer{url: st}})
	if err != nil {
		t.Fatal(err)
	}
	mail := mustAccept(t, a, ti.token(t, c, map[string]any{"kind": "e"}))
	if mail.SAN.Kind != certext.Email || mail.Extensions.IssuerV2 != url {
		t.Errorf("email: %+v", mail)
	}
	mustAccept(t, a, ti.token(t, c, map[string]any{"kind": "e", "aud": "sigstore"}))
	job := githubToken()
	job["kind"] = "g"
	if got := mustAccept(t, a, ti.token(t, c, job)); got.SAN.Kind != certext.URI || got.Extensions.IssuerV2 != url {
		t.Errorf("github: %+v", got)
	}
	mustRefuse(t, a, ti.token(t, c, map[string]any{"kind": "e", "aud": "other"}), CodeWrongAudience)
	mustRefuse(t, a, ti.token(t, c, map[string]any{"kind": "x"}), CodeClaimInvalid)
	mustRefuse(t, a, ti.token(t, c, nil), CodeClaimInvalid)
	mustRefuse(t, a, sign(t, jose.ES256, testKeys().other, nil, ti.claims(c, map[string]any{"kind": "e"})), CodeBadSignature)
	if infos := a.Issuers(); len(infos) != 1 || infos[0].IssuerURL != url || infos[0].Audience != ownAudience {
		t.Errorf("issuers %+v", infos)
	}
}
