// SPDX-License-Identifier: Apache-2.0

package oidc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"go.yaml.in/yaml/v3"
)

// MaxConfig is the most bytes [ParseConfig] reads.
const MaxConfig = 1 << 20

// IssuerType says how the claims of an issuer's tokens become an identity.
type IssuerType string

// The types this version maps.
const (
	TypeEmail          IssuerType = "email"
	TypeGitHubWorkflow IssuerType = "github-workflow"
	TypeCIProvider     IssuerType = "ci-provider"
	TypeURI            IssuerType = "uri"
	TypeKubernetes     IssuerType = "kubernetes"
	TypeSPIFFE         IssuerType = "spiffe"
)

// Config is Fulcio's identity configuration, with its YAML and JSON names:
// https://github.com/sigstore/fulcio/blob/main/pkg/config/config.go
// The zero Config configures no issuer. What this version does not carry out
// is refused by [New], never ignored.
type Config struct {
	// Define holds YAML anchors for the rest of the file, as Fulcio's own file
	// does, and means nothing by itself.
	Define []string `yaml:"define,omitempty" json:"-"`

	// Issuers are the issuers whose tokens are accepted, by URL.
	Issuers map[string]IssuerConfig `yaml:"oidc-issuers,omitempty" json:"OIDCIssuers,omitempty"`

	// MetaIssuers are issuer URLs with wildcards. Not supported by this version.
	MetaIssuers map[string]IssuerConfig `yaml:"meta-issuers,omitempty" json:"MetaIssuers,omitempty"`

	// CIMetadata says how the claims of each ci-provider become an identity.
	// "github-workflow" (also called "github") is built in and can be replaced.
	CIMetadata map[string]CIMetadata `yaml:"ci-issuer-metadata,omitempty" json:"CIIssuerMetadata,omitempty"`
}

// IssuerConfig is one issuer.
type IssuerConfig struct {
	// IssuerURL is the issuer's URL, equal to the key it stands under and,
	// byte for byte, to iss in its tokens and issuer in its discovery document.
	// HTTPS, or plain HTTP to a loopback host. Empty is the key.
	IssuerURL string `yaml:"issuer-url,omitempty" json:"IssuerURL,omitempty"`

	// ClientID is the audience its tokens must have. Empty is this instance's own.
	ClientID string `yaml:"client-id,omitempty" json:"ClientID"`

	// Type says which claims make the identity.
	Type IssuerType `yaml:"type,omitempty" json:"Type"`

	// CIProvider names the entry of CIMetadata; for type ci-provider, required.
	CIProvider string `yaml:"ci-provider,omitempty" json:"CIProvider,omitempty"`

	// SubjectDomain is the scheme and host every sub must have; for type uri, required.
	SubjectDomain string `yaml:"subject-domain,omitempty" json:"SubjectDomain,omitempty"`

	// SPIFFETrustDomain is the trust domain of every sub; for type spiffe, required.
	SPIFFETrustDomain string `yaml:"spiffe-trust-domain,omitempty" json:"SPIFFETrustDomain,omitempty"`

	// SkipEmailVerification accepts tokens without email_verified; for type email.
	SkipEmailVerification bool `yaml:"skip-email-verification,omitempty" json:"SkipEmailVerification,omitempty"`

	// Description and Contact are for people; nothing acts on them.
	Description string `yaml:"description,omitempty" json:"Description,omitempty"`
	Contact     string `yaml:"contact,omitempty" json:"Contact,omitempty"`

	// Fields of Fulcio's schema that this version refuses.
	IssuerClaim    string `yaml:"issuer-claim,omitempty" json:"IssuerClaim,omitempty"`
	ChallengeClaim string `yaml:"challenge-claim,omitempty" json:"ChallengeClaim,omitempty"`
	CACert         string `yaml:"ca-cert,omitempty" json:"CACert,omitempty"`
	Environment    string `yaml:"environment,omitempty" json:"Environment,omitempty"`
}

// CIMetadata maps the claims of a CI system's tokens. A template with "{{" is
// Go's text/template over the claims, as strings, and the defaults, which
// claims override; an absent claim is an error. One without "{{" is the name of
// the claim whose value it stands for.
type CIMetadata struct {
	DefaultTemplateValues          map[string]string  `yaml:"default-template-values,omitempty" json:"DefaultTemplateValues,omitempty"`
	ExtensionTemplates             ExtensionTemplates `yaml:"extension-templates,omitempty" json:"ExtensionTemplates"`
	SubjectAlternativeNameTemplate string             `yaml:"subject-alternative-name-template,omitempty" json:"SubjectAlternativeNameTemplate,omitempty"`
}

// ExtensionTemplates has one template for each certificate extension; a blank
// one, or one that results in an empty string, leaves the extension out.
// Issuer (.1, .8) and token subject (.24) are always the token's iss and sub.
type ExtensionTemplates struct {
	GithubWorkflowTrigger               string `yaml:"github-workflow-trigger,omitempty" json:"GithubWorkflowTrigger,omitempty"`                               // .2
	GithubWorkflowSHA                   string `yaml:"github-workflow-sha,omitempty" json:"GithubWorkflowSHA,omitempty"`                                       // .3
	GithubWorkflowName                  string `yaml:"github-workflow-name,omitempty" json:"GithubWorkflowName,omitempty"`                                     // .4
	GithubWorkflowRepository            string `yaml:"github-workflow-repository,omitempty" json:"GithubWorkflowRepository,omitempty"`                         // .5
	GithubWorkflowRef                   string `yaml:"github-workflow-ref,omitempty" json:"GithubWorkflowRef,omitempty"`                                       // .6
	BuildSignerURI                      string `yaml:"build-signer-uri,omitempty" json:"BuildSignerURI,omitempty"`                                             // .9
	BuildSignerDigest                   string `yaml:"build-signer-digest,omitempty" json:"BuildSignerDigest,omitempty"`                                       // .10
	RunnerEnvironment                   string `yaml:"runner-environment,omitempty" json:"RunnerEnvironment,omitempty"`                                        // .11
	SourceRepositoryURI                 string `yaml:"source-repository-uri,omitempty" json:"SourceRepositoryURI,omitempty"`                                   // .12
	SourceRepositoryDigest              string `yaml:"source-repository-digest,omitempty" json:"SourceRepositoryDigest,omitempty"`                             // .13
	SourceRepositoryRef                 string `yaml:"source-repository-ref,omitempty" json:"SourceRepositoryRef,omitempty"`                                   // .14
	SourceRepositoryIdentifier          string `yaml:"source-repository-identifier,omitempty" json:"SourceRepositoryIdentifier,omitempty"`                     // .15
	SourceRepositoryOwnerURI            string `yaml:"source-repository-owner-uri,omitempty" json:"SourceRepositoryOwnerURI,omitempty"`                        // .16
	SourceRepositoryOwnerIdentifier     string `yaml:"source-repository-owner-identifier,omitempty" json:"SourceRepositoryOwnerIdentifier,omitempty"`          // .17
	BuildConfigURI                      string `yaml:"build-config-uri,omitempty" json:"BuildConfigURI,omitempty"`                                             // .18
	BuildConfigDigest                   string `yaml:"build-config-digest,omitempty" json:"BuildConfigDigest,omitempty"`                                       // .19
	BuildTrigger                        string `yaml:"build-trigger,omitempty" json:"BuildTrigger,omitempty"`                                                  // .20
	RunInvocationURI                    string `yaml:"run-invocation-uri,omitempty" json:"RunInvocationURI,omitempty"`                                         // .21
	SourceRepositoryVisibilityAtSigning string `yaml:"source-repository-visibility-at-signing,omitempty" json:"SourceRepositoryVisibilityAtSigning,omitempty"` // .22
	DeploymentEnvironment               string `yaml:"deployment-environment,omitempty" json:"DeploymentEnvironment,omitempty"`                                // .23
}

// ParseConfig reads a Config from YAML with Fulcio's YAML names or, when data
// starts with "{", from JSON with Fulcio's JSON names. Unknown fields, repeated
// keys and data after the first document are errors.
func ParseConfig(data []byte) (Config, error) {
	var cfg Config
	if len(data) > MaxConfig {
		return cfg, fmt.Errorf("identity configuration: %d bytes, at most %d are read", len(data), MaxConfig)
	}
	if bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("{")) && json.Valid(data) {
		return parseJSON(data)
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(&cfg); err != nil && !errors.Is(err, io.EOF) {
		return Config{}, fmt.Errorf("identity configuration: %w", err)
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return Config{}, errors.New("identity configuration: expected one YAML document")
	}
	return cfg, nil
}

func parseJSON(data []byte) (Config, error) {
	var cfg Config
	var repeated any // YAML contains JSON and refuses repeated keys, which encoding/json does not
	if err := yaml.Unmarshal(data, &repeated); err != nil {
		return cfg, fmt.Errorf("identity configuration: %w", err)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&cfg); err != nil {
		return Config{}, fmt.Errorf("identity configuration: %w", err)
	}
	return cfg, nil
}
