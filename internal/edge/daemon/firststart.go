// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"crypto"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"hallmark/internal/base/durable"
	"hallmark/internal/base/keyring"
	"hallmark/internal/format/checkpoint"
	"hallmark/internal/format/pubkey"
	"hallmark/internal/format/trustroot"
	"hallmark/internal/service/ca"
	"hallmark/internal/service/tsa"
	"hallmark/internal/service/tufrepo"
)

// The first start makes everything in first-start.tmp, marks it complete with
// a durable file, and then moves it into place in renames that can each be
// repeated. So whenever it is cut off, the next start either finishes the
// renames or begins anew; there is no third state, and nothing was served
// before the last rename.
const completeMark = "complete"

// ensureInstance gives the instance in the data folder, which it makes if
// there is none yet.
func ensureInstance(l layout, cfg *Config, bound net.Addr, now time.Time) (*manifest, error) {
	if err := finishFirstStart(l); err != nil {
		return nil, err
	}
	if _, err := finishRotation(l); err != nil {
		return nil, err
	}
	made, err := exists(l.instance())
	if err != nil {
		return nil, err
	}
	if !made {
		if err := refuseForeign(l); err != nil {
			return nil, err
		}
		if err := stageInstance(l, cfg, bound, now); err != nil {
			return nil, fmt.Errorf("first start in %s: %w", l.root, err)
		}
		if err := finishFirstStart(l); err != nil {
			return nil, err
		}
	}
	m, err := readManifest(instanceFiles{l.instance()}.manifest())
	if err != nil {
		return nil, err
	}
	return m, m.agree(cfg)
}

// refuseForeign keeps the first start out of a folder that holds other things.
func refuseForeign(l layout) error {
	entries, err := os.ReadDir(l.root)
	if err != nil {
		return err
	}
	for _, e := range entries {
		switch filepath.Join(l.root, e.Name()) {
		case l.lock(), l.staging():
		default:
			return fmt.Errorf("data folder %s has no instance but holds %q: name an empty or new folder, or restore this one whole from a backup", l.root, e.Name())
		}
	}
	return nil
}

// finishFirstStart completes or discards what a first start left behind.
func finishFirstStart(l layout) error {
	complete, err := exists(filepath.Join(l.staging(), completeMark))
	if err != nil {
		return err
	}
	if complete {
		for _, move := range []struct{ from, to string }{
			{filepath.Join(l.staging(), "offline"), l.offline()},
			{filepath.Join(l.staging(), "log"), l.logs()},
			{filepath.Join(l.staging(), "ct"), l.ct(keyCT)},
			{filepath.Join(l.staging(), "instance"), l.instance()}, // the point of no return
		} {
			if left, err := exists(move.from); err != nil {
				return err
			} else if left {
				if err := durable.Rename(move.from, move.to); err != nil {
					return err
				}
			}
		}
	}
	if err := os.RemoveAll(l.staging()); err != nil {
		return err
	}
	return durable.SyncDir(l.root)
}

// stageInstance makes a whole instance in the staging folder.
func stageInstance(l layout, cfg *Config, bound net.Addr, now time.Time) error {
	m, err := newManifest(cfg, bound, now)
	if err != nil {
		return err
	}
	stage := layout{l.staging()}
	files := instanceFiles{stage.instance()}
	for _, dir := range []string{stage.offline(), stage.log(m.LogOrigin), stage.ct(keyCT), filepath.Dir(files.key("x")), filepath.Dir(files.certs("x"))} {
		if err := durable.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	made, err := newSecrets(m)
	if err != nil {
		return err
	}
	for name, key := range made.online {
		if err := keyring.Save(files.key(name), key); err != nil {
			return err
		}
	}
	for name, key := range made.offline {
		if err := keyring.Save(filepath.Join(stage.offline(), name+".pem"), key); err != nil {
			return err
		}
	}
	if err := writeChain(files.certs("ca"), made.ca.Chain); err != nil {
		return err
	}
	if err := writeChain(files.certs("tsa"), made.tsa.Certificates); err != nil {
		return err
	}
	if err := publishTrust(files, m, made); err != nil {
		return err
	}
	if err := m.write(files.manifest()); err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(stage.root, completeMark), nil, 0o600)
}

func newManifest(cfg *Config, bound net.Addr, now time.Time) (*manifest, error) {
	external := cfg.ExternalURL
	if external == "" {
		external = cfg.defaultExternalURL(bound)
	}
	u, err := parseExternalURL(external)
	if err != nil {
		return nil, err
	}
	m := &manifest{
		Version: manifestVersion, Created: now.UTC().Truncate(time.Second), ExternalURL: u.String(),
		LogOrigin: cfg.LogOrigin, Organization: cfg.Organization, Development: cfg.DevIssuer,
	}
	if m.LogOrigin == "" {
		m.LogOrigin = defaultOrigin(u)
	}
	if m.Organization == "" {
		m.Organization = u.Hostname()
		if m.Development {
			m.Organization = "DEV " + m.Organization
		}
	}
	m.LogBaseURL = logBaseURL(u, m.LogOrigin)
	return m, nil
}

// logBaseURL is a URL whose host is the origin, since that is how verifiers
// find the origin. Where the origin is not this host it need not resolve.
func logBaseURL(external *url.URL, origin string) string {
	base := *external
	if external.Hostname() != origin {
		base.Host = origin
		if port := external.Port(); port != "" && origin == "localhost" {
			base.Host = net.JoinHostPort(origin, port)
		}
	}
	return base.String()
}

// secrets is every key a first start makes, and the chains over them.
type secrets struct {
	online, offline map[string]crypto.Signer
	ca              *ca.NewAuthority
	tsa             *tsa.Chain
}

func newSecrets(m *manifest) (*secrets, error) {
	authority, err := ca.NewChain(ca.ChainConfig{Organization: m.Organization, CommonName: m.Organization + " CA"}, m.Created)
	if err != nil {
		return nil, err
	}
	stamps, err := tsa.NewChain(tsa.ChainParams{Organization: m.Organization, Now: m.Created})
	if err != nil {
		return nil, err
	}
	s := &secrets{
		online:  map[string]crypto.Signer{keyCA: authority.Key, keyTSA: stamps.LeafKey},
		offline: map[string]crypto.Signer{keyCARoot: authority.RootKey, keyTSARoot: stamps.RootKey},
		ca:      authority, tsa: stamps,
	}
	for _, k := range []struct {
		into     map[string]crypto.Signer
		name     string
		generate func() (crypto.Signer, error)
	}{
		{s.online, keyCT, keyring.GenerateP256},
		{s.online, keyLog, keyring.GenerateEd25519},
		{s.online, keyTUFSnapshot, keyring.GenerateP256},
		{s.online, keyTUFTimestamp, keyring.GenerateP256},
		{s.offline, keyTUFRoot, keyring.GenerateP256},
		{s.offline, keyTUFTargets, keyring.GenerateP256},
		{s.online, keyDevIssuer, func() (crypto.Signer, error) { return keyring.GenerateRSA(2048) }},
	} {
		if k.name == keyDevIssuer && !m.Development {
			continue
		}
		if k.into[k.name], err = k.generate(); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// publishTrust writes what clients must know to verify and to sign, plain and
// as a TUF repository.
func publishTrust(files instanceFiles, m *manifest, made *secrets) error {
	root, err := newTrustedRoot(m, made)
	if err != nil {
		return err
	}
	rootJSON, err := root.Marshal()
	if err != nil {
		return err
	}
	signingJSON, err := newSigningConfig(m).Marshal()
	if err != nil {
		return err
	}
	if err := durable.WriteFile(files.trustedRoot(), rootJSON, 0o644); err != nil {
		return err
	}
	if err := durable.WriteFile(files.signingConfig(), signingJSON, 0o644); err != nil {
		return err
	}
	return tufrepo.Create(files.tuf(), tufrepo.Keys{
		Root: made.offline[keyTUFRoot], Targets: made.offline[keyTUFTargets],
		Snapshot: made.online[keyTUFSnapshot], Timestamp: made.online[keyTUFTimestamp],
	}, map[string][]byte{"trusted_root.json": rootJSON, "signing_config.v0.2.json": signingJSON}, tufrepo.Config{}, m.Created)
}

func newTrustedRoot(m *manifest, made *secrets) (*trustroot.Root, error) {
	valid := trustroot.Window{Start: m.Created}
	logKey, ctKey := made.online[keyLog].Public(), made.online[keyCT].Public()
	rekorID, err := logID(keyLog, m.LogOrigin, logKey)
	if err != nil {
		return nil, err
	}
	ctID, err := logID(keyCT, "", ctKey)
	if err != nil {
		return nil, err
	}
	caRoot, tsaRoot := made.ca.Chain[len(made.ca.Chain)-1], made.tsa.Certificates[len(made.tsa.Certificates)-1]
	return &trustroot.Root{
		Logs:   []trustroot.Log{{BaseURL: m.LogBaseURL, Key: logKey, Details: pubkey.Ed25519, ID: rekorID, Valid: valid}},
		CTLogs: []trustroot.Log{{BaseURL: m.ExternalURL + "/ct", Key: ctKey, Details: pubkey.ECDSAP256SHA256, ID: ctID, Valid: valid}},
		CAs: []trustroot.CertificateAuthority{{
			Subject: trustroot.Subject{Organization: m.Organization, CommonName: caRoot.Subject.CommonName},
			URI:     m.ExternalURL, Chain: made.ca.Chain, Valid: valid,
		}},
		TSAs: []trustroot.TimestampAuthority{{
			Subject: trustroot.Subject{Organization: m.Organization, CommonName: tsaRoot.Subject.CommonName},
			URI:     m.ExternalURL + "/api/v1/timestamp", Chain: made.tsa.Certificates, Valid: valid,
		}},
	}, nil
}

// logID is how entries (keyLog) or SCTs (keyCT) name their log.
func logID(role, origin string, key crypto.PublicKey) ([]byte, error) {
	if role == keyCT {
		id, err := pubkey.KeyID(key)
		return id[:], err
	}
	id, err := checkpoint.LogID(origin, key)
	return id[:], err
}

func newSigningConfig(m *manifest) *trustroot.SigningConfig {
	service := func(url string, version uint32) []trustroot.Service {
		return []trustroot.Service{{URL: url, APIVersion: version, Valid: trustroot.Window{Start: m.Created}, Operator: m.Organization}}
	}
	sc := &trustroot.SigningConfig{
		CAs:         service(m.ExternalURL, 1),
		Logs:        service(m.ExternalURL, 2),
		TSAs:        service(m.ExternalURL+"/api/v1/timestamp", 1),
		LogSelector: trustroot.Selector{Mode: trustroot.Any},
		TSASelector: trustroot.Selector{Mode: trustroot.Any},
	}
	if m.Development {
		sc.OIDCs = service(devIssuerURL(m.ExternalURL), 1)
	}
	return sc
}

// requireLogs refuses to serve when a log's folder is gone: an empty log under
// the old key would contradict everything the key has signed.
func requireLogs(l layout, m *manifest) error {
	var dirs []string
	for _, g := range m.generations(keyLog) {
		dirs = append(dirs, l.log(g.Origin))
	}
	for _, g := range m.generations(keyCT) {
		dirs = append(dirs, l.ct(g.Name))
	}
	for _, dir := range dirs {
		ok, err := exists(dir)
		if err == nil && !ok {
			err = errors.New("the folder is gone: restore it from a backup, an empty log must not be signed with the old log's key")
		}
		if err != nil {
			return fmt.Errorf("log folder %s: %w", dir, err)
		}
	}
	return nil
}
