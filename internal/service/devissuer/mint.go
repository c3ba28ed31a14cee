// SPDX-License-Identifier: Apache-2.0

package devissuer

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Request asks for a token or a login code. Exactly one of Email, GitHub and
// Claims is set.
type Request struct {
	// Email makes an email identity.
	Email string `json:"email,omitempty"`

	// GitHub makes the claims of a GitHub Actions token: "OWNER/REPO@REF". A REF
	// that does not start with "refs/" is a branch.
	GitHub string `json:"github,omitempty"`

	// Workflow is the file of the workflow; "" is release.yml. Under
	// .github/workflows/ unless it has a directory.
	Workflow string `json:"workflow,omitempty"`
	// WorkflowName is its display name; "" is the file's name without extension.
	WorkflowName string `json:"workflow_name,omitempty"`
	// SHA is the commit; "" is made up from the repository and ref.
	SHA string `json:"sha,omitempty"`
	// Trigger is the event; "" is push.
	Trigger string `json:"trigger,omitempty"`
	// Environment is the deployment environment; "" is none.
	Environment string `json:"environment,omitempty"`
	// Visibility is the repository's: public (also ""), private or internal.
	Visibility string `json:"visibility,omitempty"`

	// Claims are the claims as they are, but for those the issuer sets itself
	// (iss, aud, exp, iat, nbf, jti, nonce, at_hash).
	Claims map[string]any `json:"claims,omitempty"`

	// Audience is one of the issuer's; "" is its default. Not with Login, where
	// it is the client's id.
	Audience string `json:"audience,omitempty"`
	// TTLSeconds is how long the token lives: at most an hour, 0 is DefaultTTL.
	TTLSeconds int `json:"ttl_seconds,omitempty"`
	// Login asks for a login code for the /authorize page in place of a token.
	Login bool `json:"login,omitempty"`
}

// Minted is the answer to a [Request]: IDToken or LoginCode.
type Minted struct {
	Issuer    string    `json:"issuer"`
	IDToken   string    `json:"id_token,omitempty"`
	Audience  string    `json:"audience,omitempty"`
	LoginCode string    `json:"login_code,omitempty"`
	ExpiresAt time.Time `json:"expires_at"`
}

// identity is who a token will be for.
type identity struct {
	claims map[string]any // without those the issuer sets; never written
	ttl    time.Duration
}

// reserved are the claims the issuer sets.
var reserved = []string{"iss", "aud", "exp", "iat", "nbf", "jti", "nonce", "at_hash"}

// Mint makes a token, or a login code, for anybody. Whoever can call it can be
// anybody.
func (i *Issuer) Mint(req Request) (Minted, error) {
	id, err := req.identity()
	if err != nil {
		return Minted{}, err
	}
	if req.Login {
		if req.Audience != "" {
			return Minted{}, errors.New("field audience: has no place beside login; the audience is the client's id")
		}
		code := secret()
		expires, err := i.logins.put(code, id)
		if err != nil {
			return Minted{}, err
		}
		return Minted{Issuer: i.url, LoginCode: grouped(code), ExpiresAt: expires.UTC().Truncate(time.Second)}, nil
	}
	aud := req.Audience
	if aud == "" {
		aud = i.audiences[0]
	}
	if !slices.Contains(i.audiences, aud) {
		return Minted{}, fmt.Errorf("field audience: %q is not one of %q", aud, i.audiences)
	}
	token, expires, err := i.sign(id, aud, nil)
	if err != nil {
		return Minted{}, err
	}
	return Minted{Issuer: i.url, IDToken: token, Audience: aud, ExpiresAt: expires}, nil
}

// grouped shows a login code in groups of four.
func grouped(secret string) string {
	return strings.Join(slices.Collect(func(yield func(string) bool) {
		for chunk := range slices.Chunk([]byte(secret), 4) {
			if !yield(string(chunk)) {
				return
			}
		}
	}), "-")
}

// ungrouped is what was meant by a code that somebody typed.
func ungrouped(typed string) string {
	return strings.Map(func(r rune) rune {
		if r == '-' || r == ' ' || r == '\t' || r == '\n' || r == '\r' {
			return -1
		}
		return r
	}, strings.ToUpper(typed))
}

// emailPattern is what certificate authorities take as an address.
var emailPattern = regexp.MustCompile(`^[!-;=?A-~]+@[!-;=?A-~]+\.[!-;=?A-~]+$`)

func (r Request) identity() (identity, error) {
	id := identity{ttl: DefaultTTL}
	if r.TTLSeconds != 0 {
		id.ttl = time.Duration(r.TTLSeconds) * time.Second
		if r.TTLSeconds < 0 || id.ttl <= 0 || id.ttl > MaxTTL {
			return id, fmt.Errorf("field ttl_seconds: %d; expected 1 to %d", r.TTLSeconds, int(MaxTTL.Seconds()))
		}
	}
	if n := count(r.Email != "", r.GitHub != "", r.Claims != nil); n != 1 {
		return id, fmt.Errorf("expected exactly one of the fields email, github and claims, found %d", n)
	}
	if r.GitHub == "" && r.Workflow+r.WorkflowName+r.SHA+r.Trigger+r.Environment+r.Visibility != "" {
		return id, errors.New("fields workflow, workflow_name, sha, trigger, environment and visibility belong to github")
	}
	switch {
	case r.Email != "":
		if !emailPattern.MatchString(r.Email) || len(r.Email) > 254 {
			return id, fmt.Errorf("field email: %q is not an address of the form name@host.domain in ASCII", r.Email)
		}
		sum := sha256.Sum256([]byte(r.Email))
		id.claims = map[string]any{
			"sub": "dev:" + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:15])), "email": r.Email, "email_verified": true, KindClaim: KindEmail,
		}
		return id, nil
	case r.GitHub != "":
		var err error
		id.claims, err = r.githubClaims()
		return id, err
	}
	return id, id.take(r.Claims)
}

func count(set ...bool) (n int) {
	for _, s := range set {
		if s {
			n++
		}
	}
	return n
}

// take uses claims as they are, with the kind they look like.
func (id *identity) take(claims map[string]any) error {
	for _, name := range reserved {
		if _, ok := claims[name]; ok {
			return fmt.Errorf("field claims: %q is set by the issuer; use audience and ttl_seconds", name)
		}
	}
	if sub, _ := claims["sub"].(string); sub == "" {
		return errors.New("field claims: sub is required, a string")
	}
	id.claims = maps.Clone(claims)
	if _, ok := claims[KindClaim]; !ok {
		if _, ok := claims["email"]; ok {
			id.claims[KindClaim] = KindEmail
		} else if _, ok := claims["job_workflow_ref"]; ok {
			id.claims[KindClaim] = KindGitHub
		}
	}
	return nil
}

// sign makes the token of id for aud, with further claims of a login.
func (i *Issuer) sign(id identity, aud string, login map[string]any) (token string, expires time.Time, err error) {
	now := i.now().Truncate(time.Second)
	expires = now.Add(id.ttl).UTC()
	claims := maps.Clone(id.claims)
	maps.Copy(claims, login)
	claims["iss"], claims["aud"], claims["jti"] = i.url, aud, rand.Text()
	claims["iat"], claims["nbf"], claims["exp"] = now.Unix(), now.Unix(), expires.Unix()
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", expires, fmt.Errorf("field claims: cannot be encoded: %w", err)
	}
	jws, err := i.signer.Sign(payload)
	if err != nil {
		return "", expires, fmt.Errorf("sign development token: %w", err)
	}
	token, err = jws.CompactSerialize()
	i.log.Info("minted a DEV token", "kind", claims[KindClaim], "sub", claims["sub"], "audience", aud, "expires", expires)
	return token, expires, err
}

// leftHalf is at_hash: Core §3.1.3.6, for RS256.
func leftHalf(accessToken string) string {
	sum := sha256.Sum256([]byte(accessToken))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}
