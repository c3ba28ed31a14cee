// SPDX-License-Identifier: Apache-2.0

package devissuer

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"
)

var (
	repoPattern = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9-]{0,38})/([A-Za-z0-9._-]{1,100})$`)
	refPattern  = regexp.MustCompile(`^refs/(heads|tags|pull)/[A-Za-z0-9._/@+=-]+$`) // a part of what git-check-ref-format allows
	shaPattern  = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)
	filePattern = regexp.MustCompile(`^[A-Za-z0-9._/-]+\.ya?ml$`)
)

// githubClaims are the claims of a GitHub Actions token:
// https://docs.github.com/en/actions/reference/security/oidc. As there, all of
// them are strings.
func (r Request) githubClaims() (map[string]any, error) {
	repo, ref, ok := strings.Cut(r.GitHub, "@")
	name := repoPattern.FindStringSubmatch(repo)
	if !ok || name == nil {
		return nil, fmt.Errorf("field github: %q; expected OWNER/REPO@REF, e.g. octo/app@refs/heads/main", r.GitHub)
	}
	if !strings.HasPrefix(ref, "refs/") {
		ref = "refs/heads/" + ref
	}
	if !refPattern.MatchString(ref) || strings.Contains(ref, "..") || strings.HasSuffix(ref, "/") {
		return nil, fmt.Errorf("field github: ref %q is not a branch, tag or pull request of git", ref)
	}
	file, err := r.workflowFile()
	if err != nil {
		return nil, err
	}
	sha := r.SHA
	if sha == "" {
		sum := sha256.Sum256([]byte("commit " + r.GitHub))
		sha = hex.EncodeToString(sum[:20])
	}
	if !shaPattern.MatchString(sha) {
		return nil, fmt.Errorf("field sha: %q; expected 40 or 64 lower-case hexadecimal digits", sha)
	}
	visibility := orDefault(r.Visibility, "public")
	if visibility != "public" && visibility != "private" && visibility != "internal" {
		return nil, fmt.Errorf("field visibility: %q; expected public, private or internal", visibility)
	}
	event := orDefault(r.Trigger, "push")
	workflowRef := repo + "/" + file + "@" + ref
	claims := map[string]any{
		KindClaim:             KindGitHub,
		"sub":                 githubSubject(repo, ref, event, r.Environment),
		"repository":          repo,
		"repository_id":       number(repo),
		"repository_owner":    name[1],
		"repository_owner_id": number(name[1]), "repository_visibility": visibility,
		"ref":                ref,
		"ref_type":           refType(ref),
		"ref_protected":      "false",
		"sha":                sha,
		"workflow":           orDefault(r.WorkflowName, strings.TrimSuffix(path.Base(file), path.Ext(file))),
		"workflow_ref":       workflowRef,
		"workflow_sha":       sha,
		"job_workflow_ref":   workflowRef,
		"job_workflow_sha":   sha,
		"event_name":         event,
		"run_id":             number(rand.Text()),
		"run_number":         "1",
		"run_attempt":        "1",
		"runner_environment": "github-hosted",
		"actor":              name[1],
		"actor_id":           number(name[1]),
		"head_ref":           "",
		"base_ref":           "",
	}
	if r.Environment != "" {
		claims["environment"] = r.Environment
	}
	return claims, nil
}

func (r Request) workflowFile() (string, error) {
	file := orDefault(r.Workflow, "release.yml")
	if !strings.Contains(file, "/") {
		file = ".github/workflows/" + file
	}
	if !filePattern.MatchString(file) || path.Clean(file) != file || strings.HasPrefix(file, "/") || strings.HasPrefix(file, "..") {
		return "", fmt.Errorf("field workflow: %q; expected a .yml or .yaml file, e.g. release.yml", r.Workflow)
	}
	return file, nil
}

func githubSubject(repo, ref, event, environment string) string {
	switch {
	case environment != "":
		return "repo:" + repo + ":environment:" + environment
	case event == "pull_request":
		return "repo:" + repo + ":pull_request"
	}
	return "repo:" + repo + ":ref:" + ref
}

func refType(ref string) string {
	if strings.HasPrefix(ref, "refs/tags/") {
		return "tag"
	}
	return "branch"
}

// number is an id made up from name.
func number(name string) string {
	sum := sha256.Sum256([]byte("id " + name))
	return strconv.FormatUint(1+binary.BigEndian.Uint64(sum[:8])%999_999_999, 10)
}

func orDefault(s, def string) string {
	if s == "" {
		return def
	}
	return s
}
