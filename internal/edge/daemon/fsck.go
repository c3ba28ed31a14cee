// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"

	"hallmark/internal/base/durable"
	"hallmark/internal/base/keyring"
	"hallmark/internal/base/tilelog"
	"hallmark/internal/format/checkpoint"
	"hallmark/internal/format/pubkey"
	"hallmark/internal/format/trustroot"
	"hallmark/internal/service/ctlog"
	"hallmark/internal/service/translog"
	"hallmark/internal/service/tufrepo"
)

// Fsck examines a data folder that no process serves, whole and without
// changing anything: both trees against their tiles and checkpoints, the index
// against the tree, the keys and certificates against trusted_root.json, and
// the TUF repository. It returns one line for each thing wrong; the error is
// for what kept it from looking.
func Fsck(ctx context.Context, data string) (problems []string, err error) {
	l := layout{data}
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

// keys compares every online key with what the trusted root says of it.
func (c *examination) keys() {
	c.certificate(keyCA, "ca", c.root.CAs[0].Chain)
	c.certificate(keyTSA, "tsa", c.root.TSAs[0].Chain)
	for name, trusted := range map[string]trustroot.Log{keyLog: c.root.Logs[0], keyCT: c.root.CTLogs[0]} {
		key, err := keyring.Load(c.files.key(name))
		if err != nil {
			c.report("%v", err)
			continue
		}
		if !sameKey(key.Public(), trusted.Key) {
			c.report("%s: the key is not the one in trusted_root.json", c.files.key(name))
		}
	}
	if id, err := checkpoint.LogID(c.manifest.LogOrigin, c.root.Logs[0].Key); err != nil || string(id[:]) != string(c.root.Logs[0].ID) {
		c.report("trusted_root.json: the log's id does not belong to its origin %s and key", c.manifest.LogOrigin)
	}
}

// certificate compares a chain on disk with the trusted root's, and its key.
func (c *examination) certificate(key, certs string, trusted []*x509.Certificate) {
	chain, err := readChain(c.files.certs(certs))
	if err != nil {
		c.report("%v", err)
		return
	}
	same := len(chain) == len(trusted)
	for i := 0; same && i < len(chain); i++ {
		same = chain[i].Equal(trusted[i])
	}
	if !same {
		c.report("%s: the chain is not the one in trusted_root.json", c.files.certs(certs))
	}
	signer, err := keyring.Load(c.files.key(key))
	if err != nil {
		c.report("%v", err)
		return
	}
	if !sameKey(signer.Public(), chain[0].PublicKey) {
		c.report("%s: the key does not belong to %s", c.files.key(key), c.files.certs(certs))
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
	found, err := translog.Fsck(ctx, translog.Config{Dir: c.layout.log(c.manifest.LogOrigin), Origin: c.manifest.LogOrigin}, c.root.Logs[0].Key)
	if err != nil {
		return err
	}
	c.findings("transparency log", found)
	external, err := url.Parse(c.manifest.ExternalURL)
	if err != nil {
		return err
	}
	if found, err = ctlog.Fsck(ctx, ctlog.Config{Dir: c.layout.ct(), Origin: external.Host + "/ct"}, c.root.CTLogs[0].Key); err != nil {
		return err
	}
	c.findings("CT log", found)
	return nil
}

func (c *examination) findings(log string, found []tilelog.Finding) {
	for _, f := range found {
		c.report("%s: %s", log, f)
	}
}
