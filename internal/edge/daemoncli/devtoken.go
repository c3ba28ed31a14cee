// SPDX-License-Identifier: Apache-2.0

package daemoncli

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"hallmark/internal/edge/daemon"
	"hallmark/internal/service/devissuer"
)

func devTokenCommand(s Streams) *cobra.Command {
	var data string
	var ttl time.Duration
	var req devissuer.Request
	cmd := &cobra.Command{
		Use:   "dev-token --data DIR (--email E | --github REPO@REF)",
		Short: "Mint an identity token at the development issuer of a running hallmarkd",
		Long: `Mint an identity token at the development issuer of a running "hallmarkd serve
--dev-issuer". It goes through a Unix socket in the data folder that only the
user who runs hallmarkd can open, and prints the token alone.`,
		Example: `  hallmark sign-blob FILE --bundle FILE.sigstore.json --identity-token "$(hallmarkd dev-token --data ./data --email you@example.com)"
  cosign sign --identity-token "$(hallmarkd dev-token --data ./data --github acme/app@refs/heads/main)" IMAGE`,
		Args: noArgs,
	}
	f := cmd.Flags()
	f.StringVar(&data, "data", "", "`DIR` of the running hallmarkd")
	f.StringVar(&req.Email, "email", "", "be the person with this `ADDRESS`")
	f.StringVar(&req.GitHub, "github", "", "be a GitHub workflow of `OWNER/REPO@REF`")
	f.StringVar(&req.Workflow, "workflow", "", "with --github: the workflow's `FILE` (default release.yml)")
	f.StringVar(&req.SHA, "sha", "", "with --github: the `COMMIT` (default: derived from the repository and ref)")
	f.StringVar(&req.Trigger, "trigger", "", "with --github: the `EVENT` (default push)")
	f.StringVar(&req.Audience, "audience", "", "whom the token is for (default: the instance itself; also: sigstore)")
	f.DurationVar(&ttl, "ttl", devissuer.DefaultTTL, "how long it lives, at most an hour")
	f.BoolVar(&req.Login, "login", false, "print a one-time code for the browser login instead of a token")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if data == "" {
			return usageError{errors.New("no data folder: give --data DIR")}
		}
		if (req.Email == "") == (req.GitHub == "") {
			return usageError{errors.New("give either --email or --github")}
		}
		if ttl < time.Second {
			return usageError{fmt.Errorf("--ttl %s: expected at least a second", ttl)}
		}
		req.TTLSeconds = int(ttl / time.Second)
		minted, err := devissuer.DialMint(cmd.Context(), daemon.DevSocketIn(filepath.Clean(data)), req)
		if err != nil {
			return err
		}
		out := minted.IDToken
		if req.Login {
			out = minted.LoginCode
		}
		_, err = fmt.Fprintln(s.Out, out)
		return err
	}
	return cmd
}
