// SPDX-License-Identifier: Apache-2.0

package oidc

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hallmark/internal/format/certext"
)

const fulcioYAML = `
define:
  - &forge-type "forge"
oidc-issuers:
  https://accounts.example.com:
    issuer-url: https://accounts.example.com
    client-id: sigstore
    type: email
    contact: tac@example.com
    description: "Example accounts"
  https://forge.example:
    issuer-url: https://forge.example
    client-id: sigstore
    type: ci-provider
    ci-provider: *forge-type
  https://token.actions.githubusercontent.com:
    issuer-url: https://token.actions.githubusercontent.com
    type: ci-provider
    ci-provider: github-workflow
ci-issuer-metadata:
  *forge-type :
    default-template-values:
      url: "https://forge.example"
    extension-templates:
      build-signer-uri: "https://{{ .ci_config_ref_uri }}"
      source-repository-visibility-at-signing: "project_visibility"
    subject-alternative-name-template: "https://{{ .ci_config_ref_uri }}"
`

const fulcioJSON = `{
  "OIDCIssuers": {
    "https://accounts.example.com": {"IssuerURL": "https://accounts.example.com", "ClientID": "sigstore", "Type": "email", "Contact": "tac@example.com", "Description": "Example accounts"},
    "https://forge.example": {"IssuerURL": "https://forge.example", "ClientID": "sigstore", "Type": "ci-provider", "CIProvider": "forge"},
    "https://token.actions.githubusercontent.com": {"IssuerURL": "https://token.actions.githubusercontent.com", "ClientID": "", "Type": "ci-provider", "CIProvider": "github-workflow"}
  },
  "CIIssuerMetadata": {"forge": {
    "DefaultTemplateValues": {"url": "https://forge.example"},
    "ExtensionTemplates": {"BuildSignerURI": "https://{{ .ci_config_ref_uri }}", "SourceRepositoryVisibilityAtSigning": "project_visibility"},
    "SubjectAlternativeNameTemplate": "https://{{ .ci_config_ref_uri }}"}}
}`

func TestParseConfig(t *testing.T) {
	fromYAML, err := ParseConfig([]byte(fulcioYAML))
	if err != nil {
		t.Fatal(err)
	}
	fromJSON, err := ParseConfig([]byte(fulcioJSON))
	if err != nil {
		t.Fatal(err)
	}
	fromYAML.Define = nil
	if diff := cmp.Diff(fromYAML, fromJSON); diff != "" {
		t.Errorf("YAML and JSON differ:\n%s", diff)
	}
	a, err := New(fromYAML, Deps{Audience: ownAudience})
	if err != nil {
		t.Fatal(err)
	}
	want := []certext.IssuerInfo{
		{IssuerURL: "https://accounts.example.com", Audience: "sigstore", ChallengeClaim: "email", IssuerType: "email"},
		{IssuerURL: "https://forge.example", Audience: "sigstore", ChallengeClaim: "sub", IssuerType: "ci-provider"},
		{IssuerURL: "https://token.actions.githubusercontent.com", Audience: ownAudience, ChallengeClaim: "sub", IssuerType: "ci-provider"},
	}
	if got := a.Issuers(); !slices.Equal(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	if cfg, err := ParseConfig(nil); err != nil || len(cfg.Issuers) != 0 {
		t.Errorf("empty file: %+v, %v", cfg, err)
	}
}

func TestParseConfigRefuses(t *testing.T) {
	for name, tt := range map[string]struct{ data, text string }{
		"unknown field":       {"oidc-issuer: {}", "oidc-issuer"},
		"unknown in issuer":   {"oidc-issuers:\n  https://a.example:\n    typ: email", "line 3"},
		"unknown extension":   {"ci-issuer-metadata: {x: {extension-templates: {issuer: iss}}}", "issuer"},
		"wrong type":          {"oidc-issuers: [a]", "line 1"},
		"repeated issuer":     {"oidc-issuers:\n  https://a.example: {type: email}\n  https://a.example: {type: uri}", "already defined"},
		"two documents":       {"oidc-issuers: {}\n---\noidc-issuers: {}", "one YAML document"},
		"not YAML":            {"\t- x", "identity configuration"},
		"JSON unknown field":  {`{"OIDCIssuers": {"https://a.example": {"Typ": "email"}}}`, "Typ"},
		"JSON repeated field": {`{"OIDCIssuers": {}, "OIDCIssuers": {}}`, "already defined"},
		"too large":           {strings.Repeat("#", MaxConfig+1), "at most"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseConfig([]byte(tt.data))
			if err == nil || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("got %v, expected an error with %q", err, tt.text)
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	const url = "https://issuer.example.com"
	one := func(ic IssuerConfig) Config { return Config{Issuers: map[string]IssuerConfig{url: ic}} }
	under := func(key string) Config { return Config{Issuers: map[string]IssuerConfig{key: {Type: TypeEmail}}} }
	san := "{{ .sub }}"
	for name, tt := range map[string]struct {
		cfg  Config
		text []string
	}{
		"meta issuer":         {Config{MetaIssuers: map[string]IssuerConfig{"https://*.example.com": {Type: TypeKubernetes}}}, []string{"meta-issuers", "https://*.example.com", "not supported by this version"}},
		"issuer-claim":        {one(IssuerConfig{Type: TypeEmail, IssuerClaim: "$.a"}), []string{url, "issuer-claim", "not supported by this version"}},
		"challenge-claim":     {one(IssuerConfig{Type: TypeEmail, ChallengeClaim: "sub"}), []string{url, "challenge-claim", "not supported by this version"}},
		"ca-cert":             {one(IssuerConfig{Type: TypeEmail, CACert: "x"}), []string{url, "ca-cert", "not supported by this version"}},
		"environment":         {one(IssuerConfig{Type: TypeEmail, Environment: "staging"}), []string{url, "environment", "not supported by this version"}},
		"gitlab-pipeline":     {one(IssuerConfig{Type: "gitlab-pipeline"}), []string{url, "gitlab-pipeline", "not supported by this version"}},
		"username":            {one(IssuerConfig{Type: "username", SubjectDomain: ""}), []string{url, "username", "not supported by this version"}},
		"no type":             {one(IssuerConfig{}), []string{url, "field type", "expected"}},
		"issuer-url differs":  {one(IssuerConfig{IssuerURL: url + "/", Type: TypeEmail}), []string{url, "issuer-url"}},
		"plain http":          {under("http://issuer.example.com"), []string{"expected https"}},
		"not a URL":           {under("issuer"), []string{"absolute URL"}},
		"query":               {under(url + "?a"), []string{"no user, query or fragment"}},
		"fragment":            {under(url + "#a"), []string{"no user, query or fragment"}},
		"user":                {under("https://u@issuer.example.com"), []string{"no user, query or fragment"}},
		"wildcard":            {under("https://*.example.com"), []string{"wildcards"}},
		"unknown ci-provider": {one(IssuerConfig{Type: TypeCIProvider, CIProvider: "forge"}), []string{url, "ci-provider", "forge"}},
		"no ci-provider":      {one(IssuerConfig{Type: TypeCIProvider}), []string{url, "ci-provider"}},
		"ci-provider, email":  {one(IssuerConfig{Type: TypeEmail, CIProvider: "github"}), []string{url, "ci-provider", "means nothing"}},
		"skip, uri":           {one(IssuerConfig{Type: TypeURI, SubjectDomain: url, SkipEmailVerification: true}), []string{url, "skip-email-verification", "means nothing"}},
		"domain, email":       {one(IssuerConfig{Type: TypeEmail, SubjectDomain: url}), []string{url, "subject-domain", "means nothing"}},
		"trust domain, email": {one(IssuerConfig{Type: TypeEmail, SPIFFETrustDomain: "x"}), []string{url, "spiffe-trust-domain", "means nothing"}},
		"no trust domain":     {one(IssuerConfig{Type: TypeSPIFFE}), []string{url, "spiffe-trust-domain"}},
		"bad trust domain":    {one(IssuerConfig{Type: TypeSPIFFE, SPIFFETrustDomain: "Example.org/a"}), []string{url, "spiffe-trust-domain"}},
		"no subject-domain":   {one(IssuerConfig{Type: TypeURI}), []string{url, "subject-domain"}},
		"domain, no scheme":   {one(IssuerConfig{Type: TypeURI, SubjectDomain: "example.com"}), []string{url, "subject-domain"}},
		"domain, http":        {one(IssuerConfig{Type: TypeURI, SubjectDomain: "http://example.com"}), []string{url, "subject-domain", "scheme"}},
		"domain elsewhere":    {one(IssuerConfig{Type: TypeURI, SubjectDomain: "https://example.org"}), []string{url, "subject-domain", "last two labels"}},
		"domain too short":    {one(IssuerConfig{Type: TypeURI, SubjectDomain: "https://com"}), []string{url, "subject-domain"}},
		"domain with path":    {one(IssuerConfig{Type: TypeURI, SubjectDomain: "https://example.com/users"}), []string{url, "subject-domain"}},
		"no SAN template":     {Config{CIMetadata: map[string]CIMetadata{"forge": {}}}, []string{"forge", "subject-alternative-name-template"}},
		"SAN template":        {Config{CIMetadata: map[string]CIMetadata{"forge": {SubjectAlternativeNameTemplate: "{{"}}}, []string{"forge", "subject-alternative-name-template"}},
		"extension template":  {Config{CIMetadata: map[string]CIMetadata{"forge": {SubjectAlternativeNameTemplate: san, ExtensionTemplates: ExtensionTemplates{BuildTrigger: "{{ nofunc }}"}}}}, []string{"forge", "build-trigger"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(tt.cfg, Deps{Audience: ownAudience})
			if err == nil {
				t.Fatal("accepted")
			}
			for _, text := range tt.text {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("%q lacks %q", err, text)
				}
			}
		})
	}
}

func TestNewAccepts(t *testing.T) {
	const url = "https://accounts.example.com"
	for _, domain := range []string{"https://example.com", "https://accounts.example.com", "https://users.example.com", "https://users.example.com/"} {
		cfg := Config{Issuers: map[string]IssuerConfig{url: {Type: TypeURI, SubjectDomain: domain}}}
		if _, err := New(cfg, Deps{Audience: ownAudience}); err != nil {
			t.Errorf("%s: %v", domain, err)
		}
	}
	cfg := Config{Issuers: map[string]IssuerConfig{"http://10.0.0.1": {Type: TypeURI, SubjectDomain: "http://192.168.0.1"}}}
	if _, err := New(cfg, Deps{Audience: ownAudience}); err == nil {
		t.Error("plain http, and addresses that share two octets, accepted")
	}
	cfg = Config{Issuers: map[string]IssuerConfig{"https://10.0.0.1": {Type: TypeURI, SubjectDomain: "https://192.168.0.1"}}}
	if _, err := New(cfg, Deps{Audience: ownAudience}); err == nil {
		t.Error("addresses that share two octets accepted")
	}
}

func TestNewNeedsAudience(t *testing.T) {
	cfg := Config{Issuers: map[string]IssuerConfig{"https://a.example": {Type: TypeEmail}}}
	if _, err := New(cfg, Deps{}); err == nil || !strings.Contains(err.Error(), "client-id") {
		t.Errorf("got %v", err)
	}
}

func TestStaticIssuerRefuses(t *testing.T) {
	good := StaticIssuer{Keys: fixedKeys{}, Audiences: []string{"a"}, KindClaim: "k", Kinds: map[string]IssuerType{"e": TypeEmail}}
	const url = "http://127.0.0.1:1"
	for name, change := range map[string]func(*StaticIssuer, *Config){
		"no keys":      func(s *StaticIssuer, _ *Config) { s.Keys = nil },
		"no audiences": func(s *StaticIssuer, _ *Config) { s.Audiences = nil },
		"no claim":     func(s *StaticIssuer, _ *Config) { s.KindClaim = "" },
		"no kinds":     func(s *StaticIssuer, _ *Config) { s.Kinds = nil },
		"other type":   func(s *StaticIssuer, _ *Config) { s.Kinds = map[string]IssuerType{"u": TypeURI} },
		"configured too": func(_ *StaticIssuer, c *Config) {
			c.Issuers = map[string]IssuerConfig{url: {Type: TypeEmail}}
		},
	} {
		st, cfg := good, Config{}
		change(&st, &cfg)
		if _, err := New(cfg, Deps{Audience: ownAudience, Static: map[string]StaticIssuer{url: st}}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
