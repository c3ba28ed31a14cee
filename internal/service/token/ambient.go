// SPDX-License-Identifier: Apache-2.0

package token

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
)

// Ambient sources, in the order they are looked at.
const (
	providerEnv    = "env"
	providerGitHub = "github-actions"
	providerGitLab = "gitlab-ci"
	providerFile   = "file"
)

// gitlabVariables are the names that pipelines commonly give to an entry of
// GitLab's id_tokens besides SIGSTORE_ID_TOKEN,
// https://docs.gitlab.com/ci/secrets/id_token_authentication/.
const (
	gitlabVariable = "GITLAB_OIDC_TOKEN"
	gitlabShort    = "ID_TOKEN"
)

// ambient is the source that this machine's surroundings offer, or nil with
// hints about what is missing.
func ambient(o Options) (src Source, hints []string, err error) {
	wanted := func(provider string) bool { return o.Provider == "" || o.Provider == provider }
	if wanted(providerEnv) {
		if v := o.Getenv("SIGSTORE_ID_TOKEN"); v != "" {
			return envSource{"SIGSTORE_ID_TOKEN", v}, nil, nil
		}
	}
	if wanted(providerGitHub) {
		at, bearer := o.Getenv("ACTIONS_ID_TOKEN_REQUEST_URL"), o.Getenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN")
		if at != "" && bearer != "" {
			return &githubSource{opts: o, url: at, bearer: bearer}, nil, nil
		}
		if o.Getenv("GITHUB_ACTIONS") == "true" {
			hints = append(hints, "this GitHub Actions job may not ask for one: add `permissions: {id-token: write}` to it")
		}
	}
	if wanted(providerGitLab) && o.Getenv("GITLAB_CI") == "true" {
		for _, name := range []string{gitlabVariable, gitlabShort} {
			if v := o.Getenv(name); v != "" && looksLikeToken(v) {
				return envSource{name, v}, nil, nil
			}
		}
		hints = append(hints, "this GitLab job has none: add `id_tokens: {SIGSTORE_ID_TOKEN: {aud: AUDIENCE}}` to it")
	}
	if wanted(providerFile) {
		_, err := os.Stat(o.File)
		if err == nil {
			return fileSource{o.File}, nil, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, nil, fmt.Errorf("identity token file: %w", err)
		}
	}
	switch o.Provider {
	case "":
	case providerEnv, providerGitHub, providerGitLab, providerFile:
		hints = append(hints, "the provider "+o.Provider+" is not available here")
	default:
		return nil, nil, fmt.Errorf("identity token provider %q: expected %s, %s, %s or %s", o.Provider, providerEnv, providerGitHub, providerGitLab, providerFile)
	}
	return nil, hints, nil
}

// envSource is a variable of the environment.
type envSource struct{ name, value string }

func (s envSource) Name() string { return "the variable " + s.name }

func (s envSource) Issuer() string { return issuerOf(s) }

func (s envSource) Token(context.Context, string) (Token, error) { return New(s.value) }

// fileSource is a file that something keeps fresh.
type fileSource struct{ path string }

func (s fileSource) Name() string { return "the file " + s.path }

func (s fileSource) Issuer() string { return issuerOf(s) }

func (s fileSource) Token(context.Context, string) (Token, error) { return readFile(s.path) }

// githubSource asks the runner for a token,
// https://docs.github.com/actions/reference/security/oidc#methods-for-requesting-the-oidc-token.
type githubSource struct {
	opts   Options
	url    string
	bearer string
}

func (*githubSource) Name() string { return "GitHub Actions" }

// Issuer is not known: enterprises can have one of their own.
func (*githubSource) Issuer() string { return "" }

func (s *githubSource) Token(ctx context.Context, audience string) (Token, error) {
	u, err := url.Parse(s.url)
	if err != nil {
		return Token{}, errors.New("ACTIONS_ID_TOKEN_REQUEST_URL is not a URL")
	}
	if audience != "" {
		q := u.Query()
		q.Set("audience", audience)
		u.RawQuery = q.Encode()
	}
	resp, err := s.opts.client(3).Do(ctx, http.MethodGet, u.String(), http.Header{"Authorization": {"Bearer " + s.bearer}}, nil)
	if err != nil {
		return Token{}, err
	}
	if resp.Status != http.StatusOK {
		return Token{}, fmt.Errorf("the runner's token service answered status %d: the job may not ask for one, or the audience %q is not accepted", resp.Status, audience)
	}
	var answer struct {
		Value string `json:"value"`
	}
	if err := json.Unmarshal(resp.Body, &answer); err != nil || answer.Value == "" {
		return Token{}, errors.New(`the runner's token service answered without a token: expected {"value":"…"}`)
	}
	return New(answer.Value)
}
