// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"

	"github.com/spf13/cobra"

	"hallmark/internal/format/trustroot"
	"hallmark/internal/judge/trustreview"
)

// createFlags are the services of a trust root to be made.
type createFlags struct {
	fulcio, rekor, ctfe, tsa, oidc []string
	out, signing                   string
}

func trustCreate(a *app) *cobra.Command {
	var flags createFlags
	cmd := &cobra.Command{
		Use:   "create --fulcio SPEC --rekor SPEC --ctfe SPEC --tsa SPEC [--out FILE]",
		Short: "Make a trusted_root.json from certificate chains and keys",
		Long: `Make a trusted_root.json that Hallmark, cosign and other Sigstore clients take. Each
flag can be repeated, and its SPEC is a list of key=value pairs with commas between them:

  --fulcio  url=,certificate-chain=FILE   the issuing CA first, the trust anchor last
  --rekor   url=,public-key=FILE          the host of url is the log's origin
  --ctfe    url=,public-key=FILE
  --tsa     url=,certificate-chain=FILE   the timestamping certificate first

and in any of them start-time= and end-time=, such as 2026-01-31T00:00:00Z: without a
start a chain is trusted from when its last certificate is valid, a key for all of the
past. A log with an Ed25519 key is taken for Rekor v2, whose identifier depends on its
origin; api-version=1 says otherwise. origin= is checked against url.

--signing-config FILE also writes where to sign, from the same services; for it, SPECs
may have operator=, --rekor also write-url= where entries are not sent to url, and
--oidc-provider url= names the identity provider.`,
		Example: `  hallmark trust create --fulcio url=https://fulcio.example.com,certificate-chain=fulcio.pem \
      --rekor url=https://log2026-1.example.com,public-key=rekor.pub,start-time=2026-01-01T00:00:00Z \
      --ctfe url=https://ctfe.example.com,public-key=ctfe.pub,start-time=2026-01-01T00:00:00Z \
      --tsa url=https://tsa.example.com/api/v1/timestamp,certificate-chain=tsa.pem --out trusted_root.json`,
		Args: exactArgs(),
	}
	f := cmd.Flags()
	f.StringArrayVar(&flags.fulcio, "fulcio", nil, "`SPEC` of a certificate authority")
	f.StringArrayVar(&flags.rekor, "rekor", nil, "`SPEC` of a transparency log")
	f.StringArrayVar(&flags.ctfe, "ctfe", nil, "`SPEC` of a certificate transparency log")
	f.StringArrayVar(&flags.tsa, "tsa", nil, "`SPEC` of a timestamp authority")
	f.StringArrayVar(&flags.oidc, "oidc-provider", nil, "`SPEC` of an identity provider, for --signing-config")
	f.StringVar(&flags.out, "out", "", "`FILE` to write (default: standard output)")
	f.StringVar(&flags.signing, "signing-config", "", "`FILE` to write a signing config to")
	cmd.RunE = func(*cobra.Command, []string) error { return flags.run(a) }
	return cmd
}

func (c *createFlags) run(a *app) error {
	if len(c.fulcio)+len(c.rekor)+len(c.ctfe)+len(c.tsa) == 0 {
		return usageError{errors.New("whom to trust? Give --fulcio, --rekor, --ctfe or --tsa")}
	}
	if len(c.oidc) > 0 && c.signing == "" {
		return usageError{errors.New("--oidc-provider is for --signing-config FILE, which is not given")}
	}
	root, config, err := c.build()
	if err != nil {
		return err
	}
	data, err := root.Marshal()
	if err != nil {
		return err
	}
	if root, err = trustroot.Parse(data); err != nil {
		return err
	}
	configData, err := config.Marshal()
	if err != nil {
		return err
	}
	for _, f := range trustreview.Review(root, nil, a.Now()) {
		a.note("hallmark: %s: %s: %s", findingOf(f).Severity, f.Field, printable(f.Message))
	}
	if c.out == "" {
		if _, err := a.Out.Write(data); err != nil {
			return err
		}
	} else if err := writeData(c.out, data); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	if c.signing != "" {
		if err := writeData(c.signing, configData); err != nil {
			return fmt.Errorf("--signing-config: %w", err)
		}
	}
	return nil
}

func writeData(path string, data []byte) error {
	return writeNew(path, 0o644, func(f *os.File) error {
		_, err := f.Write(data)
		return err
	})
}

// build makes both files from the specs.
func (c *createFlags) build() (*trustroot.Root, *trustroot.SigningConfig, error) {
	root, config := &trustroot.Root{}, &trustroot.SigningConfig{}
	for _, list := range []struct {
		flag  string
		specs []string
		add   func(text string) error
	}{
		{"fulcio", c.fulcio, func(text string) error { return addCA(root, config, text) }},
		{"rekor", c.rekor, func(text string) error { return addLog(root, config, text) }},
		{"ctfe", c.ctfe, func(text string) error { return addCTLog(root, text) }},
		{"tsa", c.tsa, func(text string) error { return addTSA(root, config, text) }},
		{"oidc-provider", c.oidc, func(text string) error { return addOIDC(config, text) }},
	} {
		for i, text := range list.specs {
			if err := list.add(text); err != nil {
				nth := ""
				if len(list.specs) > 1 {
					nth = fmt.Sprintf(" (number %d)", i+1)
				}
				return nil, nil, fmt.Errorf("--%s%s: %w", list.flag, nth, err)
			}
		}
	}
	if len(config.Logs) > 0 {
		config.LogSelector.Mode = trustroot.Any
	}
	if len(config.TSAs) > 0 {
		config.TSASelector.Mode = trustroot.Any
	}
	return root, config, nil
}

func addCA(root *trustroot.Root, config *trustroot.SigningConfig, text string) error {
	s, err := parseSpec(text, []string{"url", "certificate-chain"}, []string{"start-time", "end-time", "api-version", "operator"})
	if err != nil {
		return err
	}
	chain, err := s.chain()
	if err != nil {
		return err
	}
	valid, err := s.window(chain[len(chain)-1].NotBefore)
	if err != nil {
		return err
	}
	ca, err := trustroot.NewCertificateAuthority(s["url"], chain, valid)
	if err != nil {
		return fmt.Errorf("certificate-chain: %s: %w", s["certificate-chain"], err)
	}
	root.CAs = append(root.CAs, ca)
	return s.service(&config.CAs, 1, valid)
}

func addTSA(root *trustroot.Root, config *trustroot.SigningConfig, text string) error {
	s, err := parseSpec(text, []string{"url", "certificate-chain"}, []string{"start-time", "end-time", "api-version", "operator"})
	if err != nil {
		return err
	}
	chain, err := s.chain()
	if err != nil {
		return err
	}
	valid, err := s.window(chain[len(chain)-1].NotBefore)
	if err != nil {
		return err
	}
	tsa, err := trustroot.NewTimestampAuthority(s["url"], chain, valid)
	if err != nil {
		return fmt.Errorf("certificate-chain: %s: %w", s["certificate-chain"], err)
	}
	root.TSAs = append(root.TSAs, tsa)
	return s.service(&config.TSAs, 1, valid)
}

func addLog(root *trustroot.Root, config *trustroot.SigningConfig, text string) error {
	s, err := parseSpec(text, []string{"url", "public-key"}, []string{"start-time", "end-time", "origin", "api-version", "operator", "write-url"})
	if err != nil {
		return err
	}
	key, err := s.key()
	if err != nil {
		return err
	}
	valid, err := s.window(time.Unix(0, 0).UTC())
	if err != nil {
		return err
	}
	fallback := uint32(1)
	if _, ok := key.(ed25519.PublicKey); ok || s["origin"] != "" { // as cosign takes an origin
		fallback = 2
	}
	version, err := s.apiVersion(fallback)
	if err != nil {
		return err
	}
	log, err := trustroot.NewLog(s["url"], s["origin"], version == 1, key, valid)
	if err != nil {
		return err
	}
	if root.LogByID(log.ID) != nil {
		return fmt.Errorf("public-key: %s: a log with this key is there already", s["public-key"])
	}
	root.Logs = append(root.Logs, log)
	s["url"] = cmp.Or(s["write-url"], s["url"])
	return s.service(&config.Logs, version, valid)
}

func addCTLog(root *trustroot.Root, text string) error {
	// cosign takes an origin for static CT logs; the identifier in SCTs does
	// not depend on it.
	s, err := parseSpec(text, []string{"url", "public-key"}, []string{"start-time", "end-time", "origin"})
	if err != nil {
		return err
	}
	key, err := s.key()
	if err != nil {
		return err
	}
	valid, err := s.window(time.Unix(0, 0).UTC())
	if err != nil {
		return err
	}
	log, err := trustroot.NewCTLog(s["url"], key, valid)
	if err != nil {
		return err
	}
	if root.CTLogByID(log.ID) != nil {
		return fmt.Errorf("public-key: %s: a CT log with this key is there already", s["public-key"])
	}
	root.CTLogs = append(root.CTLogs, log)
	return nil
}

func addOIDC(config *trustroot.SigningConfig, text string) error {
	s, err := parseSpec(text, []string{"url"}, []string{"start-time", "end-time", "api-version", "operator"})
	if err != nil {
		return err
	}
	valid, err := s.window(time.Unix(0, 0).UTC())
	if err != nil {
		return err
	}
	return s.service(&config.OIDCs, 1, valid)
}

// service adds the spec's service to a list of a signing config. The operator
// is the URL's host unless the spec names one.
func (s spec) service(list *[]trustroot.Service, version uint32, valid trustroot.Window) error {
	version, err := s.apiVersion(version)
	if err != nil {
		return err
	}
	u, err := url.Parse(s["url"])
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" {
		return fmt.Errorf("url is %.200q: expected one that begins with https://", s["url"])
	}
	*list = append(*list, trustroot.Service{URL: s["url"], APIVersion: version, Valid: valid, Operator: cmp.Or(s["operator"], u.Hostname())})
	return nil
}
