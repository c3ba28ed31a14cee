// SPDX-License-Identifier: Apache-2.0

package sign

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
)

// DefaultAudience is what tokens are for at instances that do not say.
const DefaultAudience = "sigstore"

const maxIssuers = 4096

// Issuer is an OIDC issuer that the certificate authority accepts.
type Issuer struct {
	URL      string // with Wildcard, "*" stands for a part of the name
	Wildcard bool
	Audience string // what its tokens have to be for
}

// Issuers asks the certificate authority which identity tokens it accepts. It
// is nil, without error, where the authority does not say.
func (s *Signer) Issuers(ctx context.Context) ([]Issuer, error) {
	resp, err := s.http.Do(ctx, http.MethodGet, join(s.ca.URL, "/api/v2/configuration"), nil, nil)
	if err != nil {
		return nil, unreachable(StepCertificate, s.ca.URL, err)
	}
	switch resp.Status {
	case http.StatusOK:
	case http.StatusNotFound, http.StatusNotImplemented:
		return nil, nil
	default:
		return nil, &Error{Step: StepCertificate, URL: s.ca.URL, Hint: laterIf(resp.Status), Err: status(resp)}
	}
	out, err := parseIssuers(resp.Body)
	if err != nil {
		return nil, &Error{Step: StepCertificate, URL: s.ca.URL, Err: err}
	}
	return out, nil
}

func parseIssuers(body []byte) ([]Issuer, error) {
	var answer struct {
		Issuers []struct {
			IssuerURL         string `json:"issuerUrl"`
			WildcardIssuerURL string `json:"wildcardIssuerUrl"`
			Audience          string `json:"audience"`
		} `json:"issuers"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("its configuration is malformed JSON: %v", err)
	}
	if len(answer.Issuers) > maxIssuers {
		return nil, fmt.Errorf("its configuration lists %d issuers: at most %d are read", len(answer.Issuers), maxIssuers)
	}
	out := make([]Issuer, 0, len(answer.Issuers))
	for _, i := range answer.Issuers {
		switch {
		case i.IssuerURL != "":
			out = append(out, Issuer{URL: i.IssuerURL, Audience: i.Audience})
		case i.WildcardIssuerURL != "":
			out = append(out, Issuer{URL: i.WildcardIssuerURL, Wildcard: true, Audience: i.Audience})
		default:
			return nil, errors.New("its configuration lists an issuer without a URL")
		}
	}
	return out, nil
}

// AudienceFor is what a token of the issuer at url has to be for. With "" the
// issuer is not known yet, and the answer is the audience that all have in
// common. It is [DefaultAudience] where nothing is said, and an error where
// the issuer is not accepted or the audiences differ.
func AudienceFor(issuers []Issuer, url string) (string, error) {
	if len(issuers) == 0 {
		return DefaultAudience, nil
	}
	if url == "" {
		for _, i := range issuers[1:] {
			if i.Audience != issuers[0].Audience {
				return "", errors.New("the certificate authority expects different audiences from different issuers: name the issuer")
			}
		}
		return orDefault(issuers[0].Audience), nil
	}
	var known []string
	for _, i := range issuers {
		if i.matches(url) {
			return orDefault(i.Audience), nil
		}
		known = append(known, i.URL)
	}
	return "", fmt.Errorf("the certificate authority does not accept identity tokens of %s: it accepts %s", printable(url, 200), printable(strings.Join(known, ", "), 500))
}

func orDefault(audience string) string {
	if audience == "" {
		return DefaultAudience
	}
	return audience
}

// matches compares as Fulcio does: a wildcard stands for one or more letters,
// digits, "-" and "_", and the whole URL has to match.
func (i Issuer) matches(url string) bool {
	if !i.Wildcard {
		return i.URL == url
	}
	parts := strings.Split(i.URL, "*")
	for n, p := range parts {
		parts[n] = regexp.QuoteMeta(p)
	}
	re, err := regexp.Compile("^" + strings.Join(parts, "[-_a-zA-Z0-9]+") + "$")
	return err == nil && re.MatchString(url)
}
