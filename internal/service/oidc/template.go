// SPDX-License-Identifier: Apache-2.0

package oidc

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"strconv"
	"strings"
	"text/template"
	"text/template/parse"

	"hallmark/internal/format/certext"
	"hallmark/internal/format/strictjson"
)

// maxValue is how long the result of a template may be.
const maxValue = 2048

// extensionField binds a template of the configuration to the extension it fills.
type extensionField struct {
	name string // as in the configuration
	from func(*ExtensionTemplates) string
	to   func(*certext.Extensions) *string
}

var extensionFields = []extensionField{
	{"github-workflow-trigger", func(t *ExtensionTemplates) string { return t.GithubWorkflowTrigger }, func(e *certext.Extensions) *string { return &e.GitHubTrigger }},
	{"github-workflow-sha", func(t *ExtensionTemplates) string { return t.GithubWorkflowSHA }, func(e *certext.Extensions) *string { return &e.GitHubSHA }},
	{"github-workflow-name", func(t *ExtensionTemplates) string { return t.GithubWorkflowName }, func(e *certext.Extensions) *string { return &e.GitHubWorkflowName }},
	{"github-workflow-repository", func(t *ExtensionTemplates) string { return t.GithubWorkflowRepository }, func(e *certext.Extensions) *string { return &e.GitHubRepository }},
	{"github-workflow-ref", func(t *ExtensionTemplates) string { return t.GithubWorkflowRef }, func(e *certext.Extensions) *string { return &e.GitHubRef }},
	{"build-signer-uri", func(t *ExtensionTemplates) string { return t.BuildSignerURI }, func(e *certext.Extensions) *string { return &e.BuildSignerURI }},
	{"build-signer-digest", func(t *ExtensionTemplates) string { return t.BuildSignerDigest }, func(e *certext.Extensions) *string { return &e.BuildSignerDigest }},
	{"runner-environment", func(t *ExtensionTemplates) string { return t.RunnerEnvironment }, func(e *certext.Extensions) *string { return &e.RunnerEnvironment }},
	{"source-repository-uri", func(t *ExtensionTemplates) string { return t.SourceRepositoryURI }, func(e *certext.Extensions) *string { return &e.SourceRepositoryURI }},
	{"source-repository-digest", func(t *ExtensionTemplates) string { return t.SourceRepositoryDigest }, func(e *certext.Extensions) *string { return &e.SourceRepositoryDigest }},
	{"source-repository-ref", func(t *ExtensionTemplates) string { return t.SourceRepositoryRef }, func(e *certext.Extensions) *string { return &e.SourceRepositoryRef }},
	{"source-repository-identifier", func(t *ExtensionTemplates) string { return t.SourceRepositoryIdentifier }, func(e *certext.Extensions) *string { return &e.SourceRepositoryIdentifier }},
	{"source-repository-owner-uri", func(t *ExtensionTemplates) string { return t.SourceRepositoryOwnerURI }, func(e *certext.Extensions) *string { return &e.SourceRepositoryOwnerURI }},
	{"source-repository-owner-identifier", func(t *ExtensionTemplates) string { return t.SourceRepositoryOwnerIdentifier }, func(e *certext.Extensions) *string { return &e.SourceRepositoryOwnerIdentifier }},
	{"build-config-uri", func(t *ExtensionTemplates) string { return t.BuildConfigURI }, func(e *certext.Extensions) *string { return &e.BuildConfigURI }},
	{"build-config-digest", func(t *ExtensionTemplates) string { return t.BuildConfigDigest }, func(e *certext.Extensions) *string { return &e.BuildConfigDigest }},
	{"build-trigger", func(t *ExtensionTemplates) string { return t.BuildTrigger }, func(e *certext.Extensions) *string { return &e.BuildTrigger }},
	{"run-invocation-uri", func(t *ExtensionTemplates) string { return t.RunInvocationURI }, func(e *certext.Extensions) *string { return &e.RunInvocationURI }},
	{"source-repository-visibility-at-signing", func(t *ExtensionTemplates) string { return t.SourceRepositoryVisibilityAtSigning }, func(e *certext.Extensions) *string { return &e.SourceRepositoryVisibility }},
	{"deployment-environment", func(t *ExtensionTemplates) string { return t.DeploymentEnvironment }, func(e *certext.Extensions) *string { return &e.DeploymentEnvironment }},
}

// ciMapping is compiled CIMetadata. It is never written after compileCI.
type ciMapping struct {
	defaults   map[string]string
	san        ciTemplate
	extensions []ciExtension
}

type ciExtension struct {
	name     string
	template ciTemplate
	to       func(*certext.Extensions) *string
}

// ciTemplate is a text/template, or the name of a claim.
type ciTemplate struct {
	claim string
	text  *template.Template // nil: claim
}

// compileMetadata compiles every entry, and the built-in ones that the
// configuration does not replace.
func compileMetadata(configured map[string]CIMetadata) (map[string]*ciMapping, []error) {
	all := map[string]CIMetadata{githubProvider: githubMetadata(), githubAlias: githubMetadata()}
	maps.Copy(all, configured)
	out := map[string]*ciMapping{}
	var faults []error
	for name, md := range all {
		m, err := compileCI(md)
		if err != nil {
			faults = append(faults, fmt.Errorf("ci-issuer-metadata: %s: %w", name, err))
			continue
		}
		out[name] = m
	}
	return out, faults
}

func compileCI(md CIMetadata) (*ciMapping, error) {
	m := &ciMapping{defaults: maps.Clone(md.DefaultTemplateValues)}
	const sanField = "subject-alternative-name-template"
	if strings.TrimSpace(md.SubjectAlternativeNameTemplate) == "" {
		return nil, fmt.Errorf("field %s is empty; expected a template that makes a URI", sanField)
	}
	var err error
	if m.san, err = compileTemplate(sanField, md.SubjectAlternativeNameTemplate); err != nil {
		return nil, err
	}
	for _, f := range extensionFields {
		source := f.from(&md.ExtensionTemplates)
		if strings.TrimSpace(source) == "" {
			continue
		}
		t, err := compileTemplate("extension-templates: "+f.name, source)
		if err != nil {
			return nil, err
		}
		m.extensions = append(m.extensions, ciExtension{name: f.name, template: t, to: f.to})
	}
	return m, nil
}

func compileTemplate(field, source string) (ciTemplate, error) {
	if !strings.Contains(source, "{{") {
		return ciTemplate{claim: source}, nil
	}
	t, err := template.New(field).Option("missingkey=error").Parse(source)
	if err != nil {
		return ciTemplate{}, fmt.Errorf("field %s: not a Go text/template: %w", field, err)
	}
	return ciTemplate{claim: source, text: t}, nil
}

// principal applies the templates to c.
func (m *ciMapping) principal(c claims) (certext.Principal, error) {
	values := maps.Clone(m.defaults)
	if values == nil {
		values = map[string]string{}
	}
	for name, v := range c {
		if s, ok := stringified(v); ok {
			values[name] = s
		}
	}
	var p certext.Principal
	for _, name := range m.san.claims() {
		if s, ok := values[name]; ok && s == "" {
			return p, missing(name, "the name of the certificate is made of it")
		}
	}
	san, err := m.san.apply(values)
	if err != nil {
		return p, refuse(CodeClaimMissing, "the name of the certificate cannot be made: %v", err)
	}
	u, err := url.Parse(san)
	if err != nil || u.Scheme == "" || u.Host == "" {
		return p, refuse(CodeClaimInvalid, "its claims make the name %s, which is not an absolute URI", short(san))
	}
	p.SAN = certext.SAN{Kind: certext.URI, Value: u.String()}
	for _, ext := range m.extensions {
		value, err := ext.template.apply(values)
		if err != nil {
			return p, refuse(CodeClaimMissing, "extension %s cannot be made: %v", ext.name, err)
		}
		*ext.to(&p.Extensions) = value
	}
	p.Challenge, err = c.text("sub")
	return p, err
}

// stringified is a claim as templates see it. Strings, numbers and booleans
// have a value; null, arrays and objects count as absent. Integers keep their
// digits, where Fulcio goes through float64.
func stringified(v strictjson.Value) (string, bool) {
	switch v.Kind() {
	case strictjson.String:
		s, err := v.Text()
		return s, err == nil
	case strictjson.Bool:
		return string(v.Raw()), true
	case strictjson.Number:
		raw := string(v.Raw())
		if !strings.ContainsAny(raw, ".eE") {
			return raw, true
		}
		f, err := strconv.ParseFloat(raw, 64)
		return strconv.FormatFloat(f, 'f', -1, 64), err == nil
	}
	return "", false
}

// apply fails when a claim is absent or the result is too long.
func (t ciTemplate) apply(values map[string]string) (string, error) {
	if t.text == nil {
		v, ok := values[t.claim]
		if !ok {
			return "", fmt.Errorf("claim %s is absent, or not a string, number or boolean", short(t.claim))
		}
		if len(v) > maxValue {
			return "", errTooLong
		}
		return v, nil
	}
	var out limited
	if err := t.text.Execute(&out, values); err != nil {
		if errors.Is(err, errTooLong) {
			return "", errTooLong
		}
		var exec template.ExecError
		if errors.As(err, &exec) {
			err = exec.Err
		}
		return "", err
	}
	return out.String(), nil
}

// claims are the claims that always show in t's result, as far as its text
// shows them plainly: {{ .name }} outside of conditions and functions.
func (t ciTemplate) claims() []string {
	if t.text == nil {
		return []string{t.claim}
	}
	var names []string
	for _, node := range t.text.Root.Nodes {
		action, ok := node.(*parse.ActionNode)
		if !ok || len(action.Pipe.Decl) > 0 || len(action.Pipe.Cmds) != 1 || len(action.Pipe.Cmds[0].Args) != 1 {
			continue
		}
		if field, ok := action.Pipe.Cmds[0].Args[0].(*parse.FieldNode); ok && len(field.Ident) == 1 {
			names = append(names, field.Ident[0])
		}
	}
	return names
}

var errTooLong = fmt.Errorf("the result is longer than %d bytes", maxValue)

// limited is a strings.Builder that refuses to grow past maxValue.
type limited struct{ strings.Builder }

func (l *limited) Write(p []byte) (int, error) {
	if l.Len()+len(p) > maxValue {
		return 0, errTooLong
	}
	return l.Builder.Write(p)
}
