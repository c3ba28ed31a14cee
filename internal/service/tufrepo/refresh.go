// SPDX-License-Identifier: Apache-2.0

package tufrepo

import (
	"crypto"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"hallmark/internal/base/durable"
)

// Refresh signs a new timestamp, and a new snapshot below it, where the
// current one has less than the configured lifetime left, and says whether it
// did. Call it at start and, say, hourly. After an error the old state is
// still served and the next call tries again.
//
// Metadata that was signed while the clock was ahead, so that it outlives what
// a fresh signature would, is signed anew as well.
func (r *Repo) Refresh(now time.Time) (changed bool, err error) {
	r.write.Lock()
	defer r.write.Unlock()
	st := r.state.Load()
	e := st.expiry()
	snapshot := due(now, e.Snapshot, r.cfg.SnapshotRenewBelow, r.cfg.SnapshotValidity)
	if !snapshot && !due(now, e.Timestamp, r.cfg.TimestampRenewBelow, r.cfg.TimestampValidity) {
		return false, nil
	}
	files := map[string][]byte{}
	if err := r.sign(st, files, snapshot, now); err != nil {
		return false, err
	}
	return true, r.publish(st, files)
}

// due is whether something that expires at the given time is to be re-signed.
func due(now, at time.Time, below, validity time.Duration) bool {
	left := at.Sub(now)
	return left < below || left > validity+24*time.Hour
}

// Publish signs a new targets role with exactly these target files, with the
// offline targets key, and everything above it. Call it with the keys that the
// current root names.
func (r *Repo) Publish(key crypto.Signer, targets map[string][]byte, now time.Time) error {
	r.write.Lock()
	defer r.write.Unlock()
	st := r.state.Load()
	if key == nil {
		return errors.New("tuf: no targets key: publishing new targets needs the offline keys")
	}
	if err := st.checkSigner("targets", key); err != nil {
		return fmt.Errorf("tuf: %w", err)
	}
	files, err := targetsFiles(st.set.Targets["targets"].Signed.Version+1, key, targets, r.cfg, now)
	if err != nil {
		return fmt.Errorf("tuf: %w", err)
	}
	if err := r.sign(st, files, true, now); err != nil {
		return err
	}
	return r.publish(st, files)
}

// sign adds to files a timestamp, and a snapshot if asked, that cover files
// and otherwise what st has.
func (r *Repo) sign(st *state, files map[string][]byte, snapshot bool, now time.Time) error {
	version := st.set.Snapshot.Signed.Version
	data := st.files[versioned(version, "snapshot")].data
	if snapshot {
		version++
		targetsVersion := st.set.Targets["targets"].Signed.Version
		targets, ok := files[versioned(targetsVersion+1, "targets")]
		if ok {
			targetsVersion++
		} else {
			targets = st.files[versioned(targetsVersion, "targets")].data
		}
		var err error
		data, err = snapshotFile(version, r.online.Snapshot, targetsVersion, targets, r.cfg, now)
		if err != nil {
			return fmt.Errorf("tuf: %w", err)
		}
		files[versioned(version, "snapshot")] = data
	}
	timestamp, err := timestampFile(st.set.Timestamp.Signed.Version+1, r.online.Timestamp, version, data, r.cfg, now)
	if err != nil {
		return fmt.Errorf("tuf: %w", err)
	}
	files["timestamp.json"] = timestamp
	return nil
}

// publish makes files durable, timestamp.json last and only when all of them
// verify, and then serves them.
func (r *Repo) publish(st *state, files map[string][]byte) error {
	next, err := st.with(files)
	if err != nil {
		return fmt.Errorf("tuf: new metadata would not verify: %w", err)
	}
	for name, data := range files {
		if name == "timestamp.json" {
			continue
		}
		if err := r.write1(name, data); err != nil {
			return err
		}
	}
	if err := r.write1("timestamp.json", files["timestamp.json"]); err != nil {
		return err
	}
	r.state.Store(next)
	return nil
}

func (r *Repo) write1(name string, data []byte) error {
	if err := durable.WriteFile(filepath.Join(r.dir, filepath.FromSlash(name)), data, 0o644); err != nil {
		return fmt.Errorf("tuf: publish %s: %w", name, err)
	}
	return nil
}
