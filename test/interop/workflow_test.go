// SPDX-License-Identifier: Apache-2.0

package interop

import (
	"strings"
	"testing"
)

// A workflow's token, and what the certificate flags call it.
const (
	workflowIdentity = "https://github.com/acme/app/.github/workflows/release.yml@refs/heads/main"
	workflowSHA      = "6d2f9998d7420e2d00fc46810f3368c2eee480a6"
)

// workflowFlags are the flags for what GitHub says of a workflow.
var workflowFlags = []struct{ flag, value, other string }{
	{"--certificate-github-workflow-name", "release", "build"},
	{"--certificate-github-workflow-ref", "refs/heads/main", "refs/heads/feature"},
	{"--certificate-github-workflow-repository", "acme/app", "mallory/app"},
	{"--certificate-github-workflow-sha", workflowSHA, strings.Repeat("0", 40)},
	{"--certificate-github-workflow-trigger", "workflow_dispatch", "pull_request"},
}

// TestWorkflow signs files and images as a GitHub workflow. Each client finds
// each fact of the workflow in the other's work, and refuses another value of
// any one of them.
func TestWorkflow(t *testing.T) {
	lab := newLab(t)
	token := lab.token(t, "--github", "acme/app@refs/heads/main", "--sha", workflowSHA, "--trigger", "workflow_dispatch")
	host := newRegistry(t, true)
	blob := lab.file(t, "blob", []byte("built by a workflow\n"))
	for _, signs := range clients {
		image := push(t, newImage(t), host+"/"+signs+":v1").String()
		bundle := lab.dir + "/" + signs + ".json"
		lab.run(t, signs, "sign", "--yes", "--identity-token", token, image)
		lab.run(t, signs, "sign-blob", "--yes", "--identity-token", token, "--bundle", bundle, blob)
		for _, verifies := range clients {
			t.Run(signs+" signs, "+verifies+" verifies", func(t *testing.T) {
				verify := [][]string{
					words([]string{verifies, "verify", image}, signer(workflowIdentity, lab.Issuer())),
					words([]string{verifies, "verify-blob", "--bundle", bundle, blob}, signer(workflowIdentity, lab.Issuer())),
				}
				for _, command := range verify {
					lab.run(t, words(command, workflow(""))...)
					for _, f := range workflowFlags {
						r, err := lab.user.Run(t.Context(), words(command, workflow(f.flag))...)
						if err != nil {
							t.Fatal(err)
						}
						printed := r.Out + r.Err
						if r.Code == 0 || !strings.Contains(printed, f.value) || !strings.Contains(printed, f.other) {
							t.Errorf("%s %s %s: exit code %d, want a refusal that names %q and %q; it printed\n%s",
								command[1], f.flag, f.other, r.Code, f.value, f.other, printed)
						}
					}
				}
			})
		}
	}
}

// workflow is the flags for every fact of the workflow, with another value for
// the one named.
func workflow(wrong string) []string {
	var flags []string
	for _, f := range workflowFlags {
		value := f.value
		if f.flag == wrong {
			value = f.other
		}
		flags = append(flags, f.flag, value)
	}
	return flags
}
