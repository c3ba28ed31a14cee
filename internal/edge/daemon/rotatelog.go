// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"crypto"
	"fmt"
	"net"
	"net/url"
	"time"

	"hallmark/internal/base/durable"
	"hallmark/internal/base/keyring"
	"hallmark/internal/format/pubkey"
	"hallmark/internal/format/trustroot"
	"hallmark/internal/service/ctlog"
	"hallmark/internal/service/translog"
)

// replaceCT makes a new, empty CT log with a key of its own: a CT log's key is
// its identity, so it cannot change. That it is empty is signed at once.
func (w *rotation) replaceCT(ctx context.Context) error {
	prev, next, err := w.succeed(keyCT)
	if err != nil {
		return err
	}
	next.Origin, next.BaseURL = w.manifest.ctNames(len(w.manifest.generations(keyCT)) + 1)
	key, err := keyring.GenerateP256()
	if err != nil {
		return err
	}
	if err := w.write(next, nil, key); err != nil {
		return err
	}
	w.done.Name, w.done.BaseURL = "CT log "+next.Origin, next.BaseURL
	if err := w.newFolder(w.stage.ct(next.Name), w.live.ct(next.Name)); err != nil {
		return err
	}
	log, err := ctlog.New(ctx, ctlog.Config{Dir: w.stage.ct(next.Name), Origin: next.Origin}, ctlog.Deps{Key: key, Now: func() time.Time { return w.now }})
	if err != nil {
		return err
	}
	if err := log.Close(ctx); err != nil {
		return err
	}
	w.add(keyCT, next)
	w.root.CTLogs, err = w.succession(keyCT, w.root.CTLogs, prev, next, key.Public(), trustroot.Window{Start: next.From})
	return err
}

// replaceShard makes a new, empty transparency log with a key, an origin and a
// base URL of its own. That it is empty is signed at once.
func (w *rotation) replaceShard(ctx context.Context) error {
	prev, next, err := w.succeed(keyLog)
	if err != nil {
		return err
	}
	if next.Origin, next.BaseURL, err = w.shardNames(); err != nil {
		return err
	}
	key, err := keyring.GenerateEd25519()
	if err != nil {
		return err
	}
	if err := w.write(next, nil, key); err != nil {
		return err
	}
	w.done.Name, w.done.BaseURL = "log shard "+next.Origin, next.BaseURL
	if err := w.newFolder(w.stage.log(next.Origin), w.live.log(next.Origin)); err != nil {
		return err
	}
	log, err := translog.New(ctx, translog.Config{Dir: w.stage.log(next.Origin), Origin: next.Origin, Accept: translog.Any}, translog.Deps{Key: key})
	if err != nil {
		return err
	}
	if err := log.Close(ctx); err != nil {
		return err
	}
	w.add(keyLog, next)
	// An entry of a v2 log has no time but the timestamp's, which is from a
	// moment before: one that is stamped just before the turn is logged after it.
	start := next.From.Add(-w.Overlap)
	if start.Before(prev.From) {
		start = prev.From
	}
	w.root.Logs, err = w.succession(keyLog, w.root.Logs, prev, next, key.Public(), trustroot.Window{Start: start})
	return err
}

// shardNames is the origin and base URL of the next shard: logN.HOST.
func (w *rotation) shardNames() (origin, baseURL string, err error) {
	external, err := url.Parse(w.manifest.ExternalURL)
	if err != nil {
		return "", "", err
	}
	all := w.manifest.generations(keyLog)
	taken := map[string]bool{}
	for _, g := range all {
		taken[g.Origin] = true
	}
	n := len(all) + 1
	for origin = ""; origin == "" || taken[origin]; n++ {
		origin = fmt.Sprintf("log%d.%s", n, defaultOrigin(external))
	}
	base := *external
	base.Host = origin
	if port := external.Port(); port != "" {
		base.Host = net.JoinHostPort(origin, port)
	}
	return origin, base.String(), nil
}

// newFolder makes the folder of a new log, where none may be yet.
func (w *rotation) newFolder(staged, live string) error {
	if there, err := exists(live); err != nil {
		return err
	} else if there {
		return fmt.Errorf("%s exists already, though no log of this instance has that name: move it away", live)
	}
	return durable.MkdirAll(staged, 0o700)
}

// succession ends the trust in one log and adds another.
func (w *rotation) succession(role string, logs []trustroot.Log, prev, next generation, key crypto.PublicKey, valid trustroot.Window) ([]trustroot.Log, error) {
	id, err := logID(role, next.Origin, key)
	if err != nil {
		return nil, err
	}
	details := pubkey.ECDSAP256SHA256
	if role == keyLog {
		details = pubkey.Ed25519
	}
	for i := range logs {
		if logs[i].BaseURL == prev.BaseURL {
			logs[i].Valid.End = w.done.OldUntil
			return append(logs, trustroot.Log{BaseURL: next.BaseURL, Key: key, Details: details, ID: id, Valid: valid}), nil
		}
	}
	return nil, fmt.Errorf("trusted_root.json names no log at %s: run hallmarkd fsck, and restore the data folder from a backup", prev.BaseURL)
}
