// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"hallmark/internal/base/keyring"
	"hallmark/internal/base/tilelog"
	"hallmark/internal/format/certext"
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

// open starts every service over the instance's files: what signs now, what
// will from its turn on, and the logs that are only read any more.
func (d *Daemon) open(ctx context.Context) error {
	files := instanceFiles{d.layout.instance()}
	if err := requireLogs(d.layout, d.manifest); err != nil {
		return err
	}
	root, err := readTrustedRoot(files.trustedRoot())
	if err != nil {
		return err
	}
	tilelog.RouteTessera(d.deps.Log)
	for _, step := range []func() error{
		func() error { return d.openTUF(files) },
		func() error { return d.openTSA(files) },
		func() error { return d.openIdentity(files) },
		func() error { return d.openCT(ctx, files) },
		func() error { return d.openLogs(ctx, files) },
		func() error { return d.openCA(files, root) },
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

// chains is the certificates of every generation of a role, oldest first.
func (d *Daemon) chains(files instanceFiles, role string) (all [][]*x509.Certificate, err error) {
	for _, g := range d.manifest.generations(role) {
		chain, err := readChain(files.certs(g.Name))
		if err != nil {
			return nil, err
		}
		all = append(all, chain)
	}
	return all, nil
}

// register adds a generation's metrics, told apart by its name.
func (d *Daemon) register(g generation, metrics []prometheus.Collector) {
	prometheus.WrapRegistererWith(prometheus.Labels{"generation": g.Name}, d.metrics.Registry).MustRegister(metrics...)
}

func (d *Daemon) openTUF(files instanceFiles) error {
	keys, err := loadKeys(files, keyTUFSnapshot, keyTUFTimestamp)
	if err != nil {
		return err
	}
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

func (d *Daemon) openTSA(files instanceFiles) error {
	d.tsa = newTurns[*tsa.Authority](d.deps.Now)
	for _, g := range unretired(d.manifest.generations(keyTSA), d.deps.Now()) {
		chain, err := readChain(files.certs(g.Name))
		if err != nil {
			return err
		}
		key, err := keyring.Load(files.key(g.Name))
		if err != nil {
			return err
		}
		authority, err := tsa.New(tsa.Config{}, tsa.Deps{Chain: chain, Key: key, Now: d.deps.Now, Log: d.deps.Log})
		if err != nil {
			return err
		}
		d.tsa.add(g, authority)
		d.register(g, authority.Collectors())
	}
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

func (d *Daemon) openCT(ctx context.Context, files instanceFiles) error {
	chains, err := d.chains(files, keyCA)
	if err != nil {
		return err
	}
	var roots []*x509.Certificate
	for _, chain := range chains {
		if root := chain[len(chain)-1]; !slices.ContainsFunc(roots, root.Equal) {
			roots = append(roots, root)
		}
	}
	d.ct = newTurns[*ctlog.Log](d.deps.Now)
	for _, g := range d.manifest.generations(keyCT) {
		key, err := keyring.Load(files.key(g.Name))
		if err != nil {
			return err
		}
		log, err := ctlog.New(ctx, ctlog.Config{Dir: d.layout.ct(g.Name), Origin: g.Origin, MinFreeBytes: minFreeBytes},
			ctlog.Deps{Key: key, Roots: roots, Now: d.deps.Now, Log: d.deps.Log, FreeBytes: d.deps.FreeBytes})
		if err != nil {
			return err
		}
		d.ct.add(g, log)
		d.register(g, log.Metrics())
	}
	return nil
}

func (d *Daemon) openLogs(ctx context.Context, files instanceFiles) error {
	chains, err := d.chains(files, keyCA)
	if err != nil {
		return err
	}
	external, err := url.Parse(d.manifest.ExternalURL)
	if err != nil {
		return err
	}
	d.logs = newTurns[*translog.Log](d.deps.Now)
	for _, g := range d.manifest.generations(keyLog) {
		key, err := keyring.Load(files.key(g.Name))
		if err != nil {
			return err
		}
		cfg := d.cfg.logLimits(external)
		cfg.Dir, cfg.Origin, cfg.BehindProxy = d.layout.log(g.Origin), g.Origin, d.cfg.BehindProxy
		log, err := translog.New(ctx, cfg, translog.Deps{Key: key, OwnCAs: slices.Concat(chains...), Now: d.deps.Now, Log: d.deps.Log, FreeBytes: d.deps.FreeBytes})
		if err != nil {
			return err
		}
		d.logs.add(g, log)
		d.register(g, log.Metrics())
	}
	return nil
}

// currentCT is the CT log whose turn it is, as the CA sees it.
type currentCT struct{ *turns[*ctlog.Log] }

// AddPrecert implements [ca.CTLog].
func (c currentCT) AddPrecert(ctx context.Context, p certext.Precert) (certext.SCT, error) {
	return c.current().serving.AddPrecert(ctx, p)
}

func (d *Daemon) openCA(files instanceFiles, root *trustroot.Root) error {
	chains, err := d.chains(files, keyCA)
	if err != nil {
		return err
	}
	d.ca = newTurns[*ca.CA](d.deps.Now)
	all := d.manifest.generations(keyCA)
	live := unretired(all, d.deps.Now())
	for i, g := range live {
		chain := chains[len(all)-len(live)+i]
		key, err := keyring.Load(files.key(g.Name))
		if err != nil {
			return err
		}
		window, err := windowOf(root, chain)
		if err != nil {
			return fmt.Errorf("%s: %w", files.certs(g.Name), err)
		}
		authority, err := ca.New(ca.Config{}, ca.Deps{
			Chain: chain, Key: key, Auth: d.oidc, CT: currentCT{d.ct}, Window: window, Trusted: chains, Now: d.deps.Now, Log: d.deps.Log,
		})
		if err != nil {
			return err
		}
		d.ca.add(g, authority)
		d.register(g, authority.Metrics())
	}
	return nil
}

// windowOf is when the trusted root vouches for a CA's chain.
func windowOf(root *trustroot.Root, chain []*x509.Certificate) (trustroot.Window, error) {
	for _, authority := range root.CAs {
		if sameChain(authority.Chain, chain) {
			return authority.Valid, nil
		}
	}
	return trustroot.Window{}, errors.New("the chain is in no entry of trusted_root.json: run hallmarkd fsck, and restore the data folder from a backup")
}

func sameChain(a, b []*x509.Certificate) bool {
	return slices.EqualFunc(a, b, (*x509.Certificate).Equal)
}
