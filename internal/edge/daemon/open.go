// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"crypto"
	"fmt"
	"net/url"
	"os"

	"hallmark/internal/base/keyring"
	"hallmark/internal/base/tilelog"
	"hallmark/internal/format/trustroot"
	"hallmark/internal/service/ca"
	"hallmark/internal/service/ctlog"
	"hallmark/internal/service/devissuer"
	"hallmark/internal/service/oidc"
	"hallmark/internal/service/translog"
	"hallmark/internal/service/tsa"
	"hallmark/internal/service/tufrepo"
)

const (
	devIssuerPath = "/dev-issuer"
	// minFreeBytes is the disk watermark below which the logs are read-only,
	// unless configured: enough to finish what was accepted, and to log in.
	minFreeBytes = 64 << 20
)

func devIssuerURL(external string) string { return external + devIssuerPath }

// open starts every service over the instance's files.
func (d *Daemon) open(ctx context.Context) error {
	files := instanceFiles{d.layout.instance()}
	if err := requireLogs(d.layout, d.manifest); err != nil {
		return err
	}
	root, err := readTrustedRoot(files.trustedRoot())
	if err != nil {
		return err
	}
	keys, err := loadKeys(files, keyCA, keyCT, keyLog, keyTSA, keyTUFSnapshot, keyTUFTimestamp)
	if err != nil {
		return err
	}
	tilelog.RouteTessera(d.deps.Log)
	for _, step := range []func() error{
		func() error { return d.openTUF(files, keys) },
		func() error { return d.openTSA(files, keys) },
		func() error { return d.openIdentity(files) },
		func() error { return d.openLogs(ctx, files, keys) },
		func() error { return d.openCA(files, keys, root) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func readTrustedRoot(path string) (*trustroot.Root, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	root, err := trustroot.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s is damaged: %w: restore the data folder from a backup", path, err)
	}
	return root, nil
}

func loadKeys(files instanceFiles, names ...string) (map[string]crypto.Signer, error) {
	keys := map[string]crypto.Signer{}
	for _, name := range names {
		key, err := keyring.Load(files.key(name))
		if err != nil {
			return nil, err
		}
		keys[name] = key
	}
	return keys, nil
}

func (d *Daemon) openTUF(files instanceFiles, keys map[string]crypto.Signer) (err error) {
	d.tuf, err = tufrepo.Open(files.tuf(), tufrepo.Online{Snapshot: keys[keyTUFSnapshot], Timestamp: keys[keyTUFTimestamp]}, tufrepo.Config{})
	if err != nil {
		return err
	}
	return d.refreshTUF()
}

func (d *Daemon) refreshTUF() error {
	_, err := d.tuf.Refresh(d.deps.Now())
	return err
}

func (d *Daemon) openTSA(files instanceFiles, keys map[string]crypto.Signer) error {
	chain, err := readChain(files.certs("tsa"))
	if err != nil {
		return err
	}
	d.tsa, err = tsa.New(tsa.Config{}, tsa.Deps{Chain: chain, Key: keys[keyTSA], Now: d.deps.Now, Log: d.deps.Log})
	if err != nil {
		return err
	}
	d.metrics.Registry.MustRegister(d.tsa.Collectors()...)
	return nil
}

// openIdentity readies the issuers. The development issuer's keys are handed
// over in memory, so this process never calls itself.
func (d *Daemon) openIdentity(files instanceFiles) (err error) {
	static := map[string]oidc.StaticIssuer{}
	if d.cfg.DevIssuer {
		keys, err := loadKeys(files, keyDevIssuer)
		if err != nil {
			return err
		}
		d.dev, err = devissuer.New(devissuer.Config{
			Issuer: devIssuerURL(d.manifest.ExternalURL), Key: keys[keyDevIssuer],
			Audiences: []string{d.audience()}, Now: d.deps.Now, Log: d.deps.Log,
		})
		if err != nil {
			return err
		}
		static[d.dev.URL()] = oidc.StaticIssuer{
			Keys: d.dev, Audiences: d.dev.Audiences(), KindClaim: devissuer.KindClaim,
			Kinds: map[string]oidc.IssuerType{"email": oidc.TypeEmail, "github": oidc.TypeGitHubWorkflow},
		}
	}
	d.oidc, err = oidc.New(d.cfg.Identity, oidc.Deps{Audience: d.audience(), Static: static, Now: d.deps.Now, Log: d.deps.Log})
	return err
}

// audience is what identity tokens for this instance are made out to. It is
// the instance's own, so that a token stolen here is worth nothing elsewhere.
func (d *Daemon) audience() string { return d.manifest.ExternalURL }

func (d *Daemon) openLogs(ctx context.Context, files instanceFiles, keys map[string]crypto.Signer) error {
	chain, err := readChain(files.certs("ca"))
	if err != nil {
		return err
	}
	external, err := url.Parse(d.manifest.ExternalURL)
	if err != nil {
		return err
	}
	d.ct, err = ctlog.New(ctx, ctlog.Config{Dir: d.layout.ct(), Origin: external.Host + "/ct", MinFreeBytes: minFreeBytes},
		ctlog.Deps{Key: keys[keyCT], Roots: chain[len(chain)-1:], Now: d.deps.Now, Log: d.deps.Log, FreeBytes: d.deps.FreeBytes})
	if err != nil {
		return err
	}
	d.metrics.Registry.MustRegister(d.ct.Metrics()...)

	cfg := d.cfg.Log
	cfg.Dir, cfg.Origin, cfg.BehindProxy = d.layout.log(d.manifest.LogOrigin), d.manifest.LogOrigin, d.cfg.BehindProxy
	if cfg.MinFreeBytes == 0 {
		cfg.MinFreeBytes = minFreeBytes
	}
	d.log, err = translog.New(ctx, cfg, translog.Deps{Key: keys[keyLog], OwnCAs: chain, Now: d.deps.Now, Log: d.deps.Log, FreeBytes: d.deps.FreeBytes})
	if err != nil {
		return err
	}
	d.metrics.Registry.MustRegister(d.log.Metrics()...)
	return nil
}

func (d *Daemon) openCA(files instanceFiles, keys map[string]crypto.Signer, root *trustroot.Root) error {
	chain, err := readChain(files.certs("ca"))
	if err != nil {
		return err
	}
	d.ca, err = ca.New(ca.Config{}, ca.Deps{
		Chain: chain, Key: keys[keyCA], Auth: d.oidc, CT: d.ct, Window: root.CAs[0].Valid, Now: d.deps.Now, Log: d.deps.Log,
	})
	if err != nil {
		return err
	}
	d.metrics.Registry.MustRegister(d.ca.Metrics()...)
	return nil
}
