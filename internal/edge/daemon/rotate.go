// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"hallmark/internal/base/durable"
	"hallmark/internal/format/trustroot"
	"hallmark/internal/service/tufrepo"
)

// The kinds of rotation.
const (
	RotateCA    = "ca"
	RotateTSA   = "tsa"
	RotateCT    = "ct"
	RotateShard = "shard"
	RotateTUF   = "tuf"
)

// Defaults of a [Rotation].
const (
	// DefaultLead is a day: clients that refresh their trust root daily know
	// the new key before anything is signed with it.
	DefaultLead = 24 * time.Hour
	// DefaultOverlap leaves time for what was begun under the old key to be
	// finished: a certificate lives ten minutes.
	DefaultOverlap = time.Hour

	minOverlapCA = 10 * time.Minute // what a certificate may live
	maxLead      = 10 * 365 * 24 * time.Hour
)

// Rotation says what to replace in a data folder that no process serves.
//
// A new key is published in the trust root at once and signs nothing until Lead
// has passed; then the daemon turns to it by itself. Until then, and Overlap
// longer, the old key is trusted. What it signed stays valid for ever.
type Rotation struct {
	Kind string
	Data string

	// OfflineKeys are the folders to look for offline keys in. New ones are
	// written to the first.
	OfflineKeys []string

	Lead    time.Duration // 0 is now: not for [RotateTUF], which takes effect at once
	Overlap time.Duration // 0 distrusts the old key from the moment the new one signs

	// NewRoot also makes a new root certificate and offline key: for
	// [RotateCA] and [RotateTSA].
	NewRoot bool

	TUF TUFRotation // for [RotateTUF]

	// DryRun tries everything on a copy, which it removes again.
	DryRun bool
}

// Rotated is what a rotation did, or would do.
type Rotated struct {
	Kind     string    `json:"kind"`
	Name     string    `json:"name"`               // what is new, for people
	KeyID    string    `json:"keyID,omitempty"`    // SHA-256 of the new key's SPKI, hexadecimal
	From     time.Time `json:"from"`               // when the new key signs
	OldUntil time.Time `json:"oldUntil,omitzero"`  // when the old key's trust ends
	BaseURL  string    `json:"baseURL,omitempty"`  // of a new log
	Made     []string  `json:"made,omitempty"`     // new files among the offline keys
	TUFRoot  int64     `json:"tufRoot,omitempty"`  // version of a new root.json
	Signed   []string  `json:"signed,omitempty"`   // key files that signed it
	Replaced []string  `json:"replaced,omitempty"` // TUF roles with new keys

	// Finished says that an earlier rotation of this kind, which had been cut
	// off, was brought to its end, and no other was begun.
	Finished bool `json:"-"`
}

// Check refuses what makes no sense before anything is touched.
func (r *Rotation) Check() error {
	if !slices.Contains([]string{RotateCA, RotateTSA, RotateCT, RotateShard, RotateTUF}, r.Kind) {
		return fmt.Errorf("rotate %q: expected ca, tsa, ct, shard or tuf", r.Kind)
	}
	if r.Data == "" {
		return errors.New("no data folder: give --data DIR")
	}
	if len(r.OfflineKeys) == 0 {
		return errors.New("no offline keys: give --offline-keys DIR, the folder that the first start made as DATA/offline")
	}
	if r.Lead < 0 || r.Lead > maxLead {
		return fmt.Errorf("--lead %s: expected 0 or more", r.Lead)
	}
	if r.Overlap < 0 || r.Overlap > maxLead {
		return fmt.Errorf("--overlap %s: expected 0 or more", r.Overlap)
	}
	if r.Kind == RotateCA && r.Lead > 0 && r.Overlap < minOverlapCA {
		return fmt.Errorf("--overlap %s: the old CA would stop issuing before the new one begins, because a certificate has to end while its CA is trusted: expected at least %s, or --lead 0", r.Overlap, minOverlapCA)
	}
	return nil
}

// rotation is one under way. Everything happens in a copy of the instance
// folder, which then replaces it: see finishRotation.
type rotation struct {
	Rotation
	live, stage layout
	files       instanceFiles // of the copy
	manifest    *manifest
	root        *trustroot.Root
	offline     *offlineKeys
	now         time.Time
	done        *Rotated
}

// Rotate replaces a key of the instance in a data folder. It may be cut off at
// any instant: the next start, or the same command again, then finishes it, or
// finds that nothing was begun.
func Rotate(ctx context.Context, r Rotation, now func() time.Time) (*Rotated, error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	l := layout{r.Data}
	lock, err := lockFolder(l)
	switch {
	case errors.Is(err, durable.ErrLocked):
		return nil, fmt.Errorf("data folder %s is in use by a running hallmarkd: stop it first", r.Data)
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s does not exist: expected the data folder of hallmarkd serve", r.Data)
	case err != nil:
		return nil, err
	}
	defer lock.Unlock()
	if cut, err := exists(filepath.Join(l.rotation(), completeMark)); err != nil {
		return nil, err
	} else if cut && r.DryRun {
		return nil, fmt.Errorf("a rotation in data folder %s was cut off: start hallmarkd or run the command without --dry-run to finish it", r.Data)
	}
	finished, err := finishRotation(l)
	if err != nil {
		return nil, err
	}
	if finished != nil && finished.Kind == r.Kind {
		finished.Finished = true
		return finished, nil
	}
	w := &rotation{Rotation: r, live: l, stage: layout{l.rotation()}, now: now(), done: &Rotated{Kind: r.Kind}}
	if err := w.run(ctx); err != nil {
		return nil, errors.Join(err, os.RemoveAll(l.rotation()))
	}
	if r.DryRun {
		return w.done, os.RemoveAll(l.rotation())
	}
	if _, err := finishRotation(l); err != nil {
		return nil, err
	}
	return w.done, nil
}

// run makes the copy and, unless it is a dry run, marks it complete.
func (w *rotation) run(ctx context.Context) (err error) {
	if made, err := exists(w.live.instance()); err != nil || !made {
		if err == nil {
			err = fmt.Errorf("%s holds no instance: expected the data folder of hallmarkd serve", w.Data)
		}
		return err
	}
	if w.offline, err = loadOffline(w.OfflineKeys); err != nil {
		return err
	}
	if err := durable.MkdirAll(w.stage.root, 0o700); err != nil {
		return err
	}
	if err := copyTree(w.live.instance(), w.stage.instance()); err != nil {
		return err
	}
	w.files = instanceFiles{w.stage.instance()}
	if w.manifest, err = readManifest(w.files.manifest()); err != nil {
		return err
	}
	if w.root, err = readTrustedRoot(w.files.trustedRoot()); err != nil {
		return err
	}
	if err := w.replace(ctx); err != nil {
		return err
	}
	if err := w.examine(); err != nil {
		return err
	}
	if w.DryRun {
		return nil
	}
	if err := w.offline.save(); err != nil {
		return err
	}
	mark, err := json.Marshal(w.done)
	if err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(w.stage.root, completeMark), mark, 0o600)
}

func (w *rotation) replace(ctx context.Context) error {
	if w.Kind == RotateTUF {
		return w.replaceTUF()
	}
	replace := map[string]func(context.Context) error{
		RotateCA: w.replaceCA, RotateTSA: w.replaceTSA, RotateCT: w.replaceCT, RotateShard: w.replaceShard,
	}[w.Kind]
	if err := replace(ctx); err != nil {
		return err
	}
	w.done.Made = w.offline.made()
	if err := w.manifest.checkGenerations(); err != nil {
		return err
	}
	if err := w.manifest.write(w.files.manifest()); err != nil {
		return err
	}
	return w.publish()
}

// succeed gives the latest generation of a role and the one to follow it.
func (w *rotation) succeed(role string) (prev, next generation, err error) {
	all := w.manifest.generations(role)
	prev = all[len(all)-1]
	if len(all) > 1 && w.now.Before(prev.From) {
		return prev, next, fmt.Errorf("%s is not in use before %s: wait until then with the next rotation, so that clients do not lose track", prev.Name, stamp(prev.From))
	}
	next = generation{Name: nameOf(role, len(all)+1), From: w.now.Add(w.Lead).UTC().Truncate(time.Second)}
	if !next.From.After(prev.From) {
		next.From = prev.From.Add(time.Second)
	}
	w.done.From, w.done.OldUntil = next.From, next.From.Add(w.Overlap)
	return prev, next, nil
}

// add appends a generation to the manifest.
func (w *rotation) add(role string, g generation) {
	if w.manifest.Rotated == nil {
		w.manifest.Rotated = map[string][]generation{}
	}
	w.manifest.Rotated[role] = append(w.manifest.Rotated[role], g)
}

// publish writes the trusted root and signs it into the TUF repository.
func (w *rotation) publish() error {
	rootJSON, err := w.root.Marshal()
	if err != nil {
		return err
	}
	if err := durable.WriteFile(w.files.trustedRoot(), rootJSON, 0o644); err != nil {
		return err
	}
	signingJSON, err := os.ReadFile(w.files.signingConfig())
	if err != nil {
		return err
	}
	online, err := loadKeys(w.files, keyTUFSnapshot, keyTUFTimestamp)
	if err != nil {
		return err
	}
	repo, err := tufrepo.Open(w.files.tuf(), tufrepo.Online{Snapshot: online[keyTUFSnapshot], Timestamp: online[keyTUFTimestamp]}, tufrepo.Config{})
	if err != nil {
		return err
	}
	named, _, err := repo.Signers("targets")
	if err != nil {
		return err
	}
	key, err := w.offline.find("TUF's targets role", keyTUFTargets, named...)
	if err != nil {
		return err
	}
	return repo.Publish(key, map[string][]byte{"trusted_root.json": rootJSON, "signing_config.v0.2.json": signingJSON}, w.now)
}

// examine is the last look before anything counts: what fsck would say of the
// keys, certificates and trust root.
func (w *rotation) examine() error {
	c := &examination{layout: w.stage, files: w.files, manifest: w.manifest, root: w.root}
	c.keys()
	c.tuf()
	if len(c.problems) > 0 {
		return fmt.Errorf("the rotated instance would not fit together, so nothing was changed:\n  %s", strings.Join(c.problems, "\n  "))
	}
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }
