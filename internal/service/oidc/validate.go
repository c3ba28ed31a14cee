// SPDX-License-Identifier: Apache-2.0

package oidc

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"hallmark/internal/base/fetch"
	"hallmark/internal/format/certext"
)

func unsupported(section, issuer, field, why string) error {
	if field != "" {
		field = ": field " + field
	}
	return fmt.Errorf("%s: %s%s: not supported by this version: %s", section, issuer, field, why)
}

// compileIssuer checks one entry of oidc-issuers. The result lacks its keys.
func compileIssuer(key string, ic IssuerConfig, metadata map[string]*ciMapping, audience string) (*issuer, error) {
	const section = "oidc-issuers"
	fault := func(field, format string, args ...any) error {
		return fmt.Errorf("%s: %s: field %s: %s", section, key, field, fmt.Sprintf(format, args...))
	}
	for _, f := range []struct{ field, value, why string }{
		{"issuer-claim", ic.IssuerClaim, "the issuer in a certificate is always iss"},
		{"challenge-claim", ic.ChallengeClaim, "the proof of possession signs email for type email, else sub"},
		{"ca-cert", ic.CACert, "add the certificate to the system's trust store"},
		{"environment", ic.Environment, "remove the issuer here if it belongs to another environment"},
	} {
		if f.value != "" {
			return nil, unsupported(section, key, f.field, f.why)
		}
	}
	if ic.IssuerURL != "" && ic.IssuerURL != key {
		return nil, fault("issuer-url", "is %q; expected the key it stands under", ic.IssuerURL)
	}
	if err := checkIssuerURL(key); err != nil {
		return nil, fmt.Errorf("%s: %s: %w", section, short(key), err)
	}
	iss := &issuer{url: key, audiences: []string{ic.ClientID}}
	if ic.ClientID == "" {
		iss.audiences = []string{audience}
	}
	if iss.audiences[0] == "" {
		return nil, fault("client-id", "is empty and this instance has no audience of its own")
	}
	for _, f := range []struct {
		field string
		set   bool
		typ   IssuerType
	}{
		{"ci-provider", ic.CIProvider != "", TypeCIProvider},
		{"subject-domain", ic.SubjectDomain != "", TypeURI},
		{"spiffe-trust-domain", ic.SPIFFETrustDomain != "", TypeSPIFFE},
		{"skip-email-verification", ic.SkipEmailVerification, TypeEmail},
	} {
		if f.set && ic.Type != f.typ {
			return nil, fault(f.field, "means nothing for type %q; it belongs to type %q", ic.Type, f.typ)
		}
	}
	var err error
	if iss.principal, err = compileType(key, ic, metadata, fault); err != nil {
		return nil, err
	}
	iss.info = certext.IssuerInfo{
		IssuerURL:             key,
		Audience:              iss.audiences[0],
		ChallengeClaim:        challengeClaim(ic.Type),
		SPIFFETrustDomain:     ic.SPIFFETrustDomain,
		IssuerType:            string(ic.Type),
		SubjectDomain:         ic.SubjectDomain,
		SkipEmailVerification: ic.SkipEmailVerification,
	}
	return iss, nil
}

func challengeClaim(t IssuerType) string {
	if t == TypeEmail {
		return "email"
	}
	return "sub"
}

func compileType(key string, ic IssuerConfig, metadata map[string]*ciMapping, fault func(string, string, ...any) error) (mapping, error) {
	switch ic.Type {
	case TypeEmail:
		return emailMapping(ic.SkipEmailVerification), nil
	case TypeGitHubWorkflow:
		return compileGitHub()
	case TypeCIProvider:
		m, ok := metadata[ic.CIProvider]
		if !ok {
			return nil, fault("ci-provider", "%q has no entry in ci-issuer-metadata, or a faulty one; built in is %q", ic.CIProvider, githubProvider)
		}
		return m.principal, nil
	case TypeURI:
		domain, err := checkSubjectDomain(ic.SubjectDomain, key)
		if err != nil {
			return nil, fault("subject-domain", "%v", err)
		}
		return uriMapping(domain), nil
	case TypeKubernetes:
		return kubernetesMapping, nil
	case TypeSPIFFE:
		domain := strings.TrimPrefix(ic.SPIFFETrustDomain, "spiffe://")
		if !spiffeDomain.MatchString(domain) {
			return nil, fault("spiffe-trust-domain", "is %q; expected a trust domain such as example.org", ic.SPIFFETrustDomain)
		}
		return spiffeMapping(domain), nil
	case "":
		return nil, fault("type", "is empty; expected email, github-workflow, ci-provider, uri, kubernetes or spiffe")
	}
	return nil, unsupported("oidc-issuers", key, "type", fmt.Sprintf("type %q; supported are email, github-workflow, ci-provider, uri, kubernetes and spiffe", ic.Type))
}

// compileGitHub is the github-workflow type, which, as in Fulcio,
// ci-issuer-metadata does not change.
func compileGitHub() (mapping, error) {
	m, err := compileCI(githubMetadata())
	if err != nil {
		return nil, err
	}
	return githubMapping(m), nil
}

func compileStatic(key string, st StaticIssuer) (*issuer, error) {
	if err := checkIssuerURL(key); err != nil {
		return nil, fmt.Errorf("built-in issuer %s: %w", short(key), err)
	}
	if st.Keys == nil || len(st.Audiences) == 0 || st.KindClaim == "" || len(st.Kinds) == 0 {
		return nil, fmt.Errorf("built-in issuer %s: keys, audiences, kind claim and kinds are required", key)
	}
	kinds := map[string]mapping{}
	for kind, typ := range st.Kinds {
		switch typ {
		case TypeEmail:
			kinds[kind] = emailMapping(false)
		case TypeGitHubWorkflow:
			m, err := compileGitHub()
			if err != nil {
				return nil, err
			}
			kinds[kind] = m
		default:
			return nil, fmt.Errorf("built-in issuer %s: kind %q cannot have type %q", key, kind, typ)
		}
	}
	return &issuer{
		url:       key,
		audiences: st.Audiences,
		keys:      staticKeys{st.Keys},
		principal: kindMapping(st.KindClaim, kinds),
		info:      certext.IssuerInfo{IssuerURL: key, Audience: st.Audiences[0], ChallengeClaim: "email", IssuerType: string(TypeEmail)},
	}, nil
}

// checkIssuerURL: an https URL without query or fragment (Discovery §3), or
// plain http to this machine.
func checkIssuerURL(raw string) error {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return errors.New("expected the issuer's absolute URL as the key")
	}
	if u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.Contains(raw, "#") {
		return errors.New("an issuer URL has no user, query or fragment")
	}
	if strings.Contains(raw, "*") {
		return errors.New("wildcards are not supported by this version; list each issuer")
	}
	if u.Scheme != "https" && !(u.Scheme == "http" && fetch.IsLoopback(u.Hostname())) {
		return errors.New("expected https (plain http only to a loopback host)")
	}
	return nil
}

// checkSubjectDomain holds Fulcio's rule for uri issuers: the scheme of the
// issuer, and its host but for the labels before the last two. It cannot know
// public suffixes such as co.uk: listing the issuer is the operator's word
// that it may speak for the domain.
func checkSubjectDomain(raw, issuer string) (*url.URL, error) {
	domain, err := url.Parse(raw)
	if err != nil || domain.Scheme == "" || domain.Host == "" || domain.User != nil ||
		domain.Path != "" && domain.Path != "/" || domain.RawQuery != "" || domain.Fragment != "" {
		return nil, fmt.Errorf("is %q; expected a scheme and host such as https://example.com", raw)
	}
	iss, err := url.Parse(issuer)
	if err != nil {
		return nil, err
	}
	if domain.Scheme != iss.Scheme {
		return nil, fmt.Errorf("has scheme %q; expected the issuer's, %q", domain.Scheme, iss.Scheme)
	}
	if domain.Hostname() == iss.Hostname() {
		return domain, nil
	}
	if _, err := netip.ParseAddr(iss.Hostname()); err == nil {
		return nil, fmt.Errorf("has host %q; expected the issuer's, %q", domain.Hostname(), iss.Hostname())
	}
	d, i := strings.Split(domain.Hostname(), "."), strings.Split(iss.Hostname(), ".")
	if len(d) < 2 || len(i) < 2 || d[len(d)-1] != i[len(i)-1] || d[len(d)-2] != i[len(i)-2] {
		return nil, fmt.Errorf("has host %q; its last two labels must be those of the issuer's host %q", domain.Hostname(), iss.Hostname())
	}
	return domain, nil
}
