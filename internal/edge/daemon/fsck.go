// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"hallmark/internal/base/durable"
	"hallmark/internal/base/keyring"
	"hallmark/internal/base/tilelog"
	"hallmark/internal/format/pubkey"
	"hallmark/internal/format/trustroot"
	"hallmark/internal/service/ctlog"
	"hallmark/internal/service/translog"
	"hallmark/internal/service/tufrepo"
)

// Fsck examines a data folder that no process serves, whole and without
// changing anything: both trees against their tiles and checkpoints, the index
// against the tree, the keys and certificates against trusted_root.json, and
// the TUF repository, through all their generations. It returns one line for each thing wrong; the error is
// for what kept it from looking.
func Fsck(ctx context.Context, data string) (problems []string, err error) {
	l := layout{data}
	if cut, err := exists(filepath.Join(l.rotation(), completeMark)); err != nil {
		return nil, err
	} else if cut {
		return nil, fmt.Errorf("a rotation in data folder %s was cut off: start hallmarkd or repeat the command to finish it, then check", data)
	}
	if made, err := exists(l.instance()); err != nil || !made {
		if err == nil {
			err = fmt.Errorf("%s holds no instance: expected the data folder of hallmarkd serve", data)
		}
		return nil, err
	}
	lock, err := durable.TryLock(l.lock())
	if errors.Is(err, durable.ErrLocked) {
		return nil, fmt.Errorf("data folder %s is in use by a running hallmarkd: stop it first", data)
	}
	if err != nil {
		return nil, err
	}
	defer lock.Unlock()
	m, err := readManifest(instanceFiles{l.instance()}.manifest())
	if err != nil {
		return nil, err
	}
	files := instanceFiles{l.instance()}
	root, err := readTrustedRoot(files.trustedRoot())
	if err != nil {
		return nil, err
	}
	c := &examination{layout: l, files: files, manifest: m, root: root}
	c.keys()
	c.tuf()
	if err := c.logs(ctx); err != nil {
		return nil, err
	}
	return c.problems, nil
}

type examination struct {
	layout   layout
	files    instanceFiles
	manifest *manifest
	root     *trustroot.Root
	problems []string
}

func (c *examination) report(format string, args ...any) {
	c.problems = append(c.problems, fmt.Sprintf(format, args...))
}

// keys compares every generation's key and certificates with what the trusted
// root says of them, and every entry of the trusted root with the generations.
func (c *examination) keys() {
	var cas, tsas []authority
	for _, a := range c.root.CAs {
		cas = append(cas, authority{a.Chain, a.Valid})
	}
	for _, a := range c.root.TSAs {
		tsas = append(tsas, authority{a.Chain, a.Valid})
	}
	c.authorities(keyCA, cas)
	c.authorities(keyTSA, tsas)
	c.logKeys(keyCT, c.root.CTLogs)
	c.logKeys(keyLog, c.root.Logs)
}

// authority is a CA or TSA of the trusted root.
type authority struct {
	chain []*x509.Certificate
	valid trustroot.Window
}

func (c *examination) authorities(role string, trusted []authority) {
	all := c.manifest.generations(role)
	if len(trusted) != len(all) {
		c.report("trusted_root.json has %d entries for %s: expected %d, one for each generation", len(trusted), role, len(all))
	}
	for i, g := range all {
		chain, err := readChain(c.files.certs(g.Name))
		if err != nil {
			c.report("%v", err)
			continue
		}
		c.key(all, i, chain[0].PublicKey, c.files.certs(g.Name))
		at := slices.IndexFunc(trusted, func(a authority) bool { return sameChain(a.chain, chain) })
		if at < 0 {
			c.report("%s: the chain is not in trusted_root.json", c.files.certs(g.Name))
			continue
		}
		c.window(all, i, trusted[at].valid)
	}
}

func (c *examination) logKeys(role string, trusted []trustroot.Log) {
	all := c.manifest.generations(role)
	if len(trusted) != len(all) {
		c.report("trusted_root.json has %d entries for %s: expected %d, one for each generation", len(trusted), role, len(all))
	}
	for i, g := range all {
		at := slices.IndexFunc(trusted, func(l trustroot.Log) bool { return l.BaseURL == g.BaseURL })
		if at < 0 {
			c.report("trusted_root.json names no log at %s, which is %s", g.BaseURL, g.Name)
			continue
		}
		log := trusted[at]
		c.key(all, i, log.Key, "trusted_root.json")
		c.window(all, i, log.Valid)
		id, err := logID(role, g.Origin, log.Key)
		if err != nil || !bytes.Equal(id, log.ID) {
			c.report("trusted_root.json: the id of the log at %s does not belong to its origin %s and key", log.BaseURL, g.Origin)
		}
	}
}

// key compares the key on disk of generation i with the one that something
// says it is. A key whose turn is over may be gone, unless a log needs it.
func (c *examination) key(all []generation, i int, want crypto.PublicKey, where string) {
	path := c.files.key(all[i].Name)
	key, err := keyring.Load(path)
	retired := i+1 < len(all) && !time.Now().Before(all[i+1].From) && all[i].Origin == ""
	switch {
	case errors.Is(err, fs.ErrNotExist) && retired:
	case err != nil:
		c.report("%v", err)
	case !sameKey(key.Public(), want):
		c.report("%s: the key does not belong to %s", path, where)
	}
}

// window checks that generation i is trusted for as long as it signs, and its
// end only where another follows.
func (c *examination) window(all []generation, i int, valid trustroot.Window) {
	name := all[i].Name
	if valid.Start.After(all[i].From) {
		c.report("trusted_root.json: %s is trusted from %s, but signs from %s", name, valid.Start, all[i].From)
	}
	switch {
	case i+1 == len(all) && !valid.End.IsZero():
		c.report("trusted_root.json: %s is trusted until %s, but nothing follows it", name, valid.End)
	case i+1 < len(all) && (valid.End.IsZero() || valid.End.Before(all[i+1].From)):
		c.report("trusted_root.json: %s is trusted until %s: expected an end, not before %s follows it at %s", name, valid.End, all[i+1].Name, all[i+1].From)
	}
}

func sameKey(a, b any) bool {
	x, errX := pubkey.KeyID(a)
	y, errY := pubkey.KeyID(b)
	return errX == nil && errY == nil && x == y
}

// tuf checks that clients get what the instance works with.
func (c *examination) tuf() {
	want := map[string][]byte{}
	for name, path := range map[string]string{"trusted_root.json": c.files.trustedRoot(), "signing_config.v0.2.json": c.files.signingConfig()} {
		data, err := os.ReadFile(path)
		if err != nil {
			c.report("%v", err)
			continue
		}
		want[name] = data
	}
	if err := tufrepo.Verify(c.files.tuf(), want); err != nil {
		c.report("TUF repository: %v", err)
	}
}

func (c *examination) logs(ctx context.Context) error {
	if err := requireLogs(c.layout, c.manifest); err != nil {
		c.report("%v", err)
		return nil
	}
	for _, g := range c.manifest.generations(keyLog) {
		key := c.logKey(c.root.Logs, g)
		if key == nil {
			continue // reported with the keys
		}
		found, err := translog.Fsck(ctx, translog.Config{Dir: c.layout.log(g.Origin), Origin: g.Origin}, key)
		if err != nil {
			return err
		}
		c.findings("transparency log "+g.Origin, found)
	}
	for _, g := range c.manifest.generations(keyCT) {
		key := c.logKey(c.root.CTLogs, g)
		if key == nil {
			continue
		}
		found, err := ctlog.Fsck(ctx, ctlog.Config{Dir: c.layout.ct(g.Name), Origin: g.Origin}, key)
		if err != nil {
			return err
		}
		c.findings("CT log "+g.Name, found)
	}
	return nil
}

// logKey is the key that the trusted root has for a log, nil if none.
func (c *examination) logKey(trusted []trustroot.Log, g generation) crypto.PublicKey {
	for _, l := range trusted {
		if l.BaseURL == g.BaseURL {
			return l.Key
		}
	}
	return nil
}

func (c *examination) findings(log string, found []tilelog.Finding) {
	for _, f := range found {
		c.report("%s: %s", log, f)
	}
}
