// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"strconv"

	"hallmark/internal/base/keyring"
	"hallmark/internal/format/pubkey"
	"hallmark/internal/format/trustroot"
	"hallmark/internal/service/ca"
	"hallmark/internal/service/tsa"
)

// replaceCA makes a new intermediate, and a new root above it if asked.
func (w *rotation) replaceCA(context.Context) error {
	prev, next, err := w.succeed(keyCA)
	if err != nil {
		return err
	}
	at, root, err := w.trusted(prev, func(i int) []*x509.Certificate { return w.root.CAs[i].Chain }, len(w.root.CAs))
	if err != nil {
		return err
	}
	n := len(w.manifest.generations(keyCA)) + 1
	cfg := ca.ChainConfig{
		Organization: w.manifest.Organization, CommonName: fmt.Sprintf("%s CA %d", w.manifest.Organization, n),
		IntermediateName: fmt.Sprintf("%s CA intermediate %d", w.manifest.Organization, n),
	}
	var made *ca.NewAuthority
	if w.NewRoot {
		if cfg.RootKey, err = w.offline.make(keyCARoot, n); err == nil {
			made, err = ca.NewChain(cfg, next.From)
		}
	} else {
		if cfg.RootKey, err = w.offline.find(fmt.Sprintf("the CA root %q", root.Subject.CommonName), keyCARoot, root.PublicKey); err == nil {
			made, err = ca.NewIntermediate(cfg, root, next.From)
		}
	}
	if err != nil {
		return err
	}
	if err := w.write(next, made.Chain, made.Key); err != nil {
		return err
	}
	w.add(keyCA, next)
	old := &w.root.CAs[at]
	old.Valid.End = w.done.OldUntil
	w.root.CAs = append(w.root.CAs, trustroot.CertificateAuthority{
		Subject: subjectOf(made.Chain), URI: old.URI, Chain: made.Chain, Valid: trustroot.Window{Start: next.From},
	})
	return nil
}

// replaceTSA makes a new signing certificate, and a new root above it if asked.
func (w *rotation) replaceTSA(context.Context) error {
	prev, next, err := w.succeed(keyTSA)
	if err != nil {
		return err
	}
	at, root, err := w.trusted(prev, func(i int) []*x509.Certificate { return w.root.TSAs[i].Chain }, len(w.root.TSAs))
	if err != nil {
		return err
	}
	n := len(w.manifest.generations(keyTSA)) + 1
	params := tsa.ChainParams{Organization: w.manifest.Organization, Suffix: " " + strconv.Itoa(n), Now: next.From}
	var made *tsa.Chain
	if w.NewRoot {
		if params.RootKey, err = w.offline.make(keyTSARoot, n); err == nil {
			made, err = tsa.NewChain(params)
		}
	} else {
		if params.RootKey, err = w.offline.find(fmt.Sprintf("the TSA root %q", root.Subject.CommonName), keyTSARoot, root.PublicKey); err == nil {
			made, err = tsa.NewLeaf(params, root)
		}
	}
	if err != nil {
		return err
	}
	if err := w.write(next, made.Certificates, made.LeafKey); err != nil {
		return err
	}
	w.add(keyTSA, next)
	old := &w.root.TSAs[at]
	old.Valid.End = w.done.OldUntil
	w.root.TSAs = append(w.root.TSAs, trustroot.TimestampAuthority{
		Subject: subjectOf(made.Certificates), URI: old.URI, Chain: made.Certificates, Valid: trustroot.Window{Start: next.From},
	})
	return nil
}

// trusted finds a generation's chain among those of the trusted root, and its
// root certificate.
func (w *rotation) trusted(g generation, chain func(int) []*x509.Certificate, n int) (at int, root *x509.Certificate, err error) {
	have, err := readChain(w.files.certs(g.Name))
	if err != nil {
		return 0, nil, err
	}
	for i := range n {
		if sameChain(chain(i), have) {
			return i, have[len(have)-1], nil
		}
	}
	return 0, nil, fmt.Errorf("%s is in no entry of trusted_root.json: run hallmarkd fsck, and restore the data folder from a backup", w.files.certs(g.Name))
}

// write adds a generation's key, and its chain unless it has none.
func (w *rotation) write(g generation, chain []*x509.Certificate, key crypto.Signer) error {
	id, err := pubkey.KeyID(key.Public())
	if err != nil {
		return err
	}
	w.done.KeyID = hex.EncodeToString(id[:])
	if len(chain) > 0 {
		w.done.Name = fmt.Sprintf("certificate %q", chain[0].Subject.CommonName)
		if err := writeChain(w.files.certs(g.Name), chain); err != nil {
			return err
		}
	}
	return keyring.Save(w.files.key(g.Name), key)
}

func subjectOf(chain []*x509.Certificate) trustroot.Subject {
	s := chain[len(chain)-1].Subject
	subject := trustroot.Subject{CommonName: s.CommonName}
	if len(s.Organization) > 0 {
		subject.Organization = s.Organization[0]
	}
	return subject
}
