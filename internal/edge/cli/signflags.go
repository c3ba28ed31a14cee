// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/pflag"

	"hallmark/internal/base/fetch"
	"hallmark/internal/format/trustroot"
	"hallmark/internal/judge/verify"
	"hallmark/internal/service/logclient"
	"hallmark/internal/service/sign"
	"hallmark/internal/service/token"
	"hallmark/internal/service/trust"
)

// defaultClientID is what this client calls itself at issuers that do not say.
const defaultClientID = "sigstore"

// signFlags say as whom to sign, and where.
type signFlags struct {
	trust         trustFlags
	expect        identityFlags
	token         token.Options
	signingConfig string
	yes, noIndex  bool
	timeout       time.Duration
}

func (s *signFlags) bind(f *pflag.FlagSet) {
	s.trust.bind(f)
	s.expect.bind(f)
	f.StringVar(&s.token.Explicit, "identity-token", "", "identity `TOKEN`, or a file with one (default: $SIGSTORE_ID_TOKEN, the CI system's, or a browser login)")
	f.BoolVar(&s.token.DisableAmbient, "oidc-disable-ambient-providers", false, "do not ask the environment or the CI system for a token")
	f.StringVar(&s.token.Provider, "oidc-provider", "", "the one `PROVIDER` to ask: env, github-actions, gitlab-ci or file")
	f.StringVar(&s.token.Issuer, "oidc-issuer", "", "`URL` of the issuer to log in at with a browser (default: the instance's)")
	f.StringVar(&s.token.ClientID, "oidc-client-id", "", "client `ID` at that issuer")
	f.StringVar(&s.token.RedirectURL, "oidc-redirect-url", "", "loopback `URL` that the browser returns to (default: a free port)")
	f.StringVar(&s.signingConfig, "signing-config", "", "`FILE` with a signing config to use instead of the trust root's")
	f.BoolVar(&s.noIndex, "no-index", false, "do not hand the bundle in to the instance: log search then does not find it by the image's digest")
	f.BoolVarP(&s.yes, "yes", "y", false, "do not ask before the identity is logged")
	f.DurationVar(&s.timeout, "timeout", 3*time.Minute, "how long all of it may take")
}

// session is what a signing command works with.
type session struct {
	active *trust.Active
	signer *sign.Signer
	token  token.Token
}

// start readies the signer and then gets the token: what cannot work fails
// before anybody has to log in.
func (s *signFlags) start(ctx context.Context, a *app) (*session, error) {
	active, err := s.trust.load(a)
	if err != nil {
		return nil, err
	}
	services := active.SigningConfig
	if s.signingConfig != "" {
		if services, err = loadSigningConfig(s.signingConfig); err != nil {
			return nil, err
		}
	}
	if services == nil {
		return nil, fmt.Errorf("trust root %s says where to verify, not where to sign: give --signing-config FILE, or use one made by hallmark trust init", active.Name)
	}
	expected, err := s.expected()
	if err != nil {
		return nil, err
	}
	signer, err := sign.New(sign.Config{
		Services: services, Root: active.Root, Identities: expected, HTTP: fetch.Config{UserAgent: userAgent()}, Progress: a.progress(), Now: a.Now,
	})
	if err != nil {
		return nil, err
	}
	tok, err := s.getToken(ctx, a, active, services, signer)
	if err != nil {
		return nil, err
	}
	return &session{active: active, signer: signer, token: tok}, nil
}

func loadSigningConfig(path string) (*trustroot.SigningConfig, error) {
	data, err := readFile(path, maxTrustFile)
	if err != nil {
		return nil, fmt.Errorf("--signing-config: %w", err)
	}
	sc, err := trustroot.ParseSigningConfig(data)
	if err != nil {
		return nil, fmt.Errorf("--signing-config %s: %w", path, err)
	}
	return sc, nil
}

// expected is the identity the certificate must have, if the user named one.
func (s *signFlags) expected() ([]verify.Identity, error) {
	if s.expect.empty() {
		return nil, nil
	}
	policy, err := s.expect.policy()
	return policy.Identities, err
}

func (s *signFlags) getToken(ctx context.Context, a *app, active *trust.Active, services *trustroot.SigningConfig, signer *sign.Signer) (token.Token, error) {
	opts := s.token
	opts.Getenv, opts.Open, opts.Out, opts.Now, opts.UserAgent = a.Getenv, a.Open, a.Err, a.Now, userAgent()
	s.chooseIssuer(&opts, active, services)
	given := opts.Explicit != "" || !opts.DisableAmbient && a.Getenv("SIGSTORE_ID_TOKEN") != ""
	audience := ""
	if !given { // otherwise it is what it is, and the CA judges it
		var err error
		if audience, err = wantedAudience(ctx, active, signer); err != nil {
			return token.Token{}, err
		}
	}
	tok, _, err := token.Get(ctx, opts, audience)
	return tok, err
}

// chooseIssuer picks where a person logs in, unless a flag says so.
func (s *signFlags) chooseIssuer(opts *token.Options, active *trust.Active, services *trustroot.SigningConfig) {
	if opts.Issuer == "" && active.Instance != nil {
		for _, i := range active.Instance.Issuers {
			if i.Type == "email" || i.Development {
				opts.Issuer = i.URL
				if opts.ClientID == "" {
					opts.ClientID = i.ClientID
				}
				break
			}
		}
	}
	if opts.Issuer == "" && len(services.OIDCs) > 0 {
		opts.Issuer = services.OIDCs[0].URL
	}
	if opts.ClientID == "" {
		opts.ClientID = defaultClientID
	}
}

// wantedAudience is whom a token is to be made out to.
func wantedAudience(ctx context.Context, active *trust.Active, signer *sign.Signer) (string, error) {
	if active.Instance != nil && active.Instance.Audience != "" {
		return active.Instance.Audience, nil
	}
	issuers, err := signer.Issuers(ctx)
	if err != nil {
		return "", err
	}
	return sign.AudienceFor(issuers, "")
}

// confirm asks before an identity is made public for ever, where somebody is
// there to answer.
func (s *signFlags) confirm(a *app, active *trust.Active) error {
	if s.yes || !a.interactive() {
		return nil
	}
	fmt.Fprintf(a.Err, "Your identity will be in the certificate and in the log of %s for everybody to read, and cannot be removed.\nContinue? [y/N] ", active.Name)
	var answer string
	fmt.Fscanln(a.In, &answer)
	if answer != "y" && answer != "Y" && answer != "yes" {
		return errors.New("not confirmed, nothing was signed; --yes does without the question")
	}
	return nil
}

// handInTimeout bounds what nobody should have to wait for.
const handInTimeout = 10 * time.Second

// handIn gives the bundle of an envelope to the instance, so that its log's
// search finds the signature by what it is about. The signature is good without.
func (s *signFlags) handIn(ctx context.Context, a *app, active *trust.Active, result *sign.Result) {
	in := active.Instance
	if s.noIndex || in == nil || in.Log.Search == "" || in.ExternalURL == "" || result.Bundle.Envelope == nil {
		return
	}
	ours := func(e verify.LoggedEntry) bool {
		return e.Origin == in.Log.Origin || slices.ContainsFunc(in.Log.Shards, func(s trust.InstanceShard) bool { return s.Origin == e.Origin })
	}
	if !slices.ContainsFunc(result.Verified.Entries(), ours) {
		return // logged elsewhere, by a signing config of the user's own
	}
	ctx, cancel := context.WithTimeout(ctx, handInTimeout)
	defer cancel()
	if err := logclient.HandIn(ctx, fetch.Config{UserAgent: userAgent()}, in.ExternalURL, result.JSON); err != nil {
		a.note("hallmark: note: it is signed, but log search will not find it by its digest: %v", err)
	}
}
