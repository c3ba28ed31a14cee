// SPDX-License-Identifier: Apache-2.0

package oidc

// githubProvider is the name Fulcio gives GitHub Actions in
// ci-issuer-metadata; githubAlias is the short one accepted beside it.
const (
	githubProvider = "github-workflow"
	githubAlias    = "github"
)

// githubMetadata is what Fulcio ships for GitHub Actions:
// https://github.com/sigstore/fulcio/blob/main/config/identity/config.yaml
// The claims are described at
// https://docs.github.com/en/actions/reference/security/oidc
func githubMetadata() CIMetadata {
	return CIMetadata{
		DefaultTemplateValues: map[string]string{
			"url":         "https://github.com",
			"environment": "", // only deployments have one
		},
		ExtensionTemplates: ExtensionTemplates{
			GithubWorkflowTrigger:               "event_name",
			GithubWorkflowSHA:                   "sha",
			GithubWorkflowName:                  "workflow",
			GithubWorkflowRepository:            "repository",
			GithubWorkflowRef:                   "ref",
			BuildSignerURI:                      "{{ .url }}/{{ .job_workflow_ref }}",
			BuildSignerDigest:                   "job_workflow_sha",
			RunnerEnvironment:                   "runner_environment",
			SourceRepositoryURI:                 "{{ .url }}/{{ .repository }}",
			SourceRepositoryDigest:              "sha",
			SourceRepositoryRef:                 "ref",
			SourceRepositoryIdentifier:          "repository_id",
			SourceRepositoryOwnerURI:            "{{ .url }}/{{ .repository_owner }}",
			SourceRepositoryOwnerIdentifier:     "repository_owner_id",
			BuildConfigURI:                      "{{ .url }}/{{ .workflow_ref }}",
			BuildConfigDigest:                   "workflow_sha",
			BuildTrigger:                        "event_name",
			RunInvocationURI:                    "{{ .url }}/{{ .repository }}/actions/runs/{{ .run_id }}/attempts/{{ .run_attempt }}",
			SourceRepositoryVisibilityAtSigning: "repository_visibility",
			DeploymentEnvironment:               "environment",
		},
		SubjectAlternativeNameTemplate: "{{ .url }}/{{ .job_workflow_ref }}",
	}
}

// githubRequired are the claims Fulcio's github-workflow type wants present
// and not empty.
var githubRequired = []string{
	"job_workflow_ref", "sha", "event_name", "repository", "workflow", "ref", "job_workflow_sha",
	"runner_environment", "repository_id", "repository_owner", "repository_owner_id", "workflow_ref",
	"workflow_sha", "run_id", "run_attempt", "repository_visibility",
}
