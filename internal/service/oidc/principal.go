// SPDX-License-Identifier: Apache-2.0

package oidc

import (
	"net/url"
	"regexp"
	"slices"
	"strings"

	"hallmark/internal/format/certext"
	"hallmark/internal/format/strictjson"
)

// emailMapping: rfc822Name = email, proof of possession over email.
func emailMapping(skipVerification bool) mapping {
	return func(c claims) (certext.Principal, error) {
		email, err := c.text("email")
		if err != nil {
			return certext.Principal{}, err
		}
		if email == "" {
			return certext.Principal{}, missing("email", "request the token with scope email")
		}
		if !emailPattern.MatchString(email) || len(email) > 254 {
			return certext.Principal{}, invalid("email", "%s is not an address of the form name@host.domain in ASCII", short(email))
		}
		if !skipVerification && !c.truth("email_verified") {
			return certext.Principal{}, refuse(CodeEmailNotVerified, "the issuer has not verified %s: claim email_verified must be true; verify the address with the issuer", short(email))
		}
		return certext.Principal{Challenge: email, SAN: certext.SAN{Kind: certext.Email, Value: email}}, nil
	}
}

// emailPattern is Fulcio's ^.+@.+\..+$ without what has no place in an
// rfc822Name: white space, control characters, angle brackets, a second "@".
var emailPattern = regexp.MustCompile(`^[!-;=?A-~]+@[!-;=?A-~]+\.[!-;=?A-~]+$`)

// githubMapping is Fulcio's github-workflow type: the claims must be there,
// then they are mapped as ci-provider maps them.
func githubMapping(m *ciMapping) mapping {
	return func(c claims) (certext.Principal, error) {
		for _, name := range githubRequired {
			s, ok := stringified(c[name])
			if !ok || s == "" {
				return certext.Principal{}, missing(name, "a GitHub Actions token has it")
			}
		}
		return m.principal(c)
	}
}

// uriMapping: URI = sub, under the configured scheme and host.
func uriMapping(domain *url.URL) mapping {
	return func(c claims) (certext.Principal, error) {
		sub, err := c.text("sub")
		if err != nil {
			return certext.Principal{}, err
		}
		u, err := url.Parse(sub)
		if err != nil || u.Scheme != domain.Scheme || u.Host != domain.Host || u.User != nil {
			return certext.Principal{}, invalid("sub", "%s is not a URI under %s://%s", short(sub), domain.Scheme, domain.Host)
		}
		return subject(sub), nil
	}
}

// spiffeMapping: URI = sub, a SPIFFE ID of a workload in the configured trust
// domain: https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE-ID.md
func spiffeMapping(trustDomain string) mapping {
	return func(c claims) (certext.Principal, error) {
		sub, err := c.text("sub")
		if err != nil {
			return certext.Principal{}, err
		}
		rest, ok := strings.CutPrefix(sub, "spiffe://")
		domain, path, hasPath := strings.Cut(rest, "/")
		if !ok || !hasPath || len(sub) > 2048 {
			return certext.Principal{}, invalid("sub", "%s is not a SPIFFE ID of the form spiffe://%s/path", short(sub), trustDomain)
		}
		if domain != trustDomain {
			return certext.Principal{}, invalid("sub", "%s is in trust domain %s; expected %s", short(sub), short(domain), trustDomain)
		}
		for segment := range strings.SplitSeq(path, "/") {
			if !spiffeSegment.MatchString(segment) || segment == "." || segment == ".." {
				return certext.Principal{}, invalid("sub", "%s has a path segment that SPIFFE does not allow: letters, digits, '.', '-' and '_', not empty and not dots", short(sub))
			}
		}
		return subject(sub), nil
	}
}

var (
	spiffeSegment = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)
	spiffeDomain  = regexp.MustCompile(`^[a-z0-9._-]{1,255}$`)
)

// kubernetesMapping: URI made of the service account that the claim
// "kubernetes.io" names.
func kubernetesMapping(c claims) (certext.Principal, error) {
	const need = "a Kubernetes service account token has it"
	v, ok := c["kubernetes.io"]
	if !ok || v.Kind() == strictjson.Null {
		return certext.Principal{}, missing("kubernetes.io", need)
	}
	m, err := v.Open("namespace", "serviceaccount")
	if err != nil {
		return certext.Principal{}, invalid("kubernetes.io", "%v", err)
	}
	namespace, err := kubernetesName(m, "namespace")
	if err != nil {
		return certext.Principal{}, err
	}
	account, ok := m.Get("serviceaccount")
	if !ok {
		return certext.Principal{}, missing("kubernetes.io/serviceaccount", need)
	}
	if m, err = account.Open("name"); err != nil {
		return certext.Principal{}, invalid("kubernetes.io/serviceaccount", "%v", err)
	}
	name, err := kubernetesName(m, "name")
	if err != nil {
		return certext.Principal{}, err
	}
	sub, err := c.text("sub")
	return certext.Principal{
		Challenge: sub,
		SAN:       certext.SAN{Kind: certext.URI, Value: "https://kubernetes.io/namespaces/" + namespace + "/serviceaccounts/" + name},
	}, err
}

// kubernetesObject is a DNS subdomain (RFC 1123), what namespaces and service
// accounts are called.
var kubernetesObject = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$`)

func kubernetesName(m strictjson.Members, field string) (string, error) {
	v, ok := m.Get(field)
	if !ok {
		return "", missing("kubernetes.io: "+field, "a Kubernetes service account token has it")
	}
	name, err := v.Text()
	if err != nil || !kubernetesObject.MatchString(name) {
		return "", invalid("kubernetes.io: "+field, "expected a Kubernetes object name")
	}
	return name, nil
}

// kindMapping picks the mapping by the value of a claim.
func kindMapping(claim string, kinds map[string]mapping) mapping {
	var known []string
	for kind := range kinds {
		known = append(known, kind)
	}
	slices.Sort(known)
	return func(c claims) (certext.Principal, error) {
		kind, err := c.text(claim)
		if err != nil {
			return certext.Principal{}, err
		}
		m, ok := kinds[kind]
		if !ok {
			return certext.Principal{}, invalid(claim, "is %s; expected one of %s", short(kind), list(known))
		}
		return m(c)
	}
}

// subject is a principal whose URI is the token's sub.
func subject(sub string) certext.Principal {
	return certext.Principal{Challenge: sub, SAN: certext.SAN{Kind: certext.URI, Value: sub}}
}
