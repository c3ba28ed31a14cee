// SPDX-License-Identifier: Apache-2.0

package tufrepo

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// rotate makes a rotated copy of the repository in dir.
func rotate(t *testing.T, dir string, c Change, online Online, signers ...crypto.Signer) (string, error) {
	t.Helper()
	to := filepath.Join(t.TempDir(), "tuf")
	return to, Rotate(dir, to, c, online, signers, Config{}, start.Add(time.Hour))
}

func publics(keys ...crypto.Signer) (pubs []crypto.PublicKey) {
	for _, k := range keys {
		pubs = append(pubs, k.Public())
	}
	return pubs
}

// A client that pinned the very first root follows every rotation, online keys,
// targets and a ceremony with a threshold, as go-tuf's updater judges it.
func TestClientsFollowTheChainOfRoots(t *testing.T) {
	keys := newKeys(t)
	dir := filepath.Join(t.TempDir(), "tuf")
	if err := Create(dir, keys, someTargets, Config{}, start); err != nil {
		t.Fatal(err)
	}
	first, err := os.ReadFile(filepath.Join(dir, "1.root.json"))
	if err != nil {
		t.Fatal(err)
	}
	online := Online{keys.Snapshot, keys.Timestamp}
	a, b, c, d, e := p256(t), p256(t), p256(t), p256(t), p256(t)
	next := Change{Targets: p256(t), Snapshot: p256(t), Timestamp: p256(t)}
	for i, step := range []struct {
		change  Change
		signers []crypto.Signer
	}{
		{next, []crypto.Signer{keys.Root}},
		{Change{Root: publics(a, b, c), Threshold: 2}, []crypto.Signer{keys.Root, a, c}},
		{Change{Root: publics(b, d, e), Threshold: 2}, []crypto.Signer{a, b, e}}, // b for both sides
		{Change{Root: publics(b, d, e), Threshold: 2}, []crypto.Signer{e, d}},    // the same again, for its expiry
		{Change{Root: publics(keys.Root), Threshold: 1}, []crypto.Signer{keys.Root, b, d, e, b}},
	} {
		to, err := rotate(t, dir, step.change, online, step.signers...)
		if err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		if step.change.Snapshot != nil {
			online = Online{step.change.Snapshot, step.change.Timestamp}
		}
		dir = to
		if err := Verify(dir, someTargets); err != nil {
			t.Errorf("step %d: %v", i, err)
		}
		r, err := Open(dir, online, Config{})
		if err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		if root, _, _, _ := r.Versions(); root != int64(i+2) {
			t.Errorf("step %d: root version %d", i, root)
		}
		srv := httptest.NewServer(r.Handler())
		up, err := client(t, srv.URL, first, start.Add(2*time.Hour))
		srv.Close()
		if err != nil {
			t.Fatalf("step %d: a client with the first root: %v", i, err)
		}
		if got := up.GetTrustedMetadataSet().Root.Signed.Version; got != int64(i+2) {
			t.Errorf("step %d: the client is at root %d", i, got)
		}
		// What comes after goes on with the new keys.
		if changed, err := r.Refresh(start.Add(48 * time.Hour)); err != nil || !changed {
			t.Errorf("step %d: refresh: %v, %v", i, changed, err)
		}
		if err := r.Publish(next.Targets, someTargets, start.Add(48*time.Hour)); err != nil {
			t.Errorf("step %d: publish: %v", i, err)
		}
	}
}

func TestRotateRefuses(t *testing.T) {
	keys := newKeys(t)
	dir := filepath.Join(t.TempDir(), "tuf")
	if err := Create(dir, keys, someTargets, Config{}, start); err != nil {
		t.Fatal(err)
	}
	online := Online{keys.Snapshot, keys.Timestamp}
	a, b := p256(t), p256(t)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name    string
		change  Change
		online  Online
		signers []crypto.Signer
		want    string
	}{
		{"nobody signs", Change{Snapshot: a}, online, nil, "0 of the 1 keys that root version 1 names"},
		{"strangers sign", Change{Snapshot: a}, online, []crypto.Signer{b}, "0 of the 1 keys"},
		{"too few of the new", Change{Root: publics(a, b), Threshold: 2}, online, []crypto.Signer{keys.Root, a}, "1 of the 2 new root keys"},
		{"one of the new twice", Change{Root: publics(a, b), Threshold: 2}, online, []crypto.Signer{keys.Root, a, a}, "1 of the 2 new root keys"},
		{"one key named twice", Change{Root: publics(a, a), Threshold: 2}, online, []crypto.Signer{keys.Root, a}, "given twice"},
		{"a threshold of 0", Change{Root: publics(a)}, online, []crypto.Signer{keys.Root, a}, "threshold of 0"},
		{"a threshold beyond", Change{Root: publics(a), Threshold: 2}, online, []crypto.Signer{keys.Root, a}, "threshold of 2"},
		{"root is targets", Change{Targets: keys.Root}, online, []crypto.Signer{keys.Root}, "are the same"},
		{"targets is online", Change{Targets: keys.Snapshot}, online, []crypto.Signer{keys.Root}, "are the same"},
		{"another curve", Change{Root: publics(p384), Threshold: 1}, online, []crypto.Signer{keys.Root}, "expected P-256"},
		{"wrong online keys", Change{Snapshot: a}, Online{a, b}, []crypto.Signer{keys.Root}, "do not belong together"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			to, err := rotate(t, dir, tc.change, tc.online, tc.signers...)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("error %v, want %q", err, tc.want)
			}
			if _, err := os.Stat(to); !errors.Is(err, os.ErrNotExist) {
				t.Error("something was written")
			}
		})
	}
	if err := Rotate(dir, dir, Change{}, online, []crypto.Signer{keys.Root}, Config{}, start); !errors.Is(err, ErrExists) {
		t.Errorf("in place: %v", err)
	}
}

// An old version's files are served on, and the source is left alone.
func TestRotateKeepsWhatWasPublished(t *testing.T) {
	keys := newKeys(t)
	dir := filepath.Join(t.TempDir(), "tuf")
	if err := Create(dir, keys, someTargets, Config{}, start); err != nil {
		t.Fatal(err)
	}
	before, err := load(dir)
	if err != nil {
		t.Fatal(err)
	}
	to, err := rotate(t, dir, Change{Targets: p256(t)}, Online{keys.Snapshot, keys.Timestamp}, keys.Root)
	if err != nil {
		t.Fatal(err)
	}
	after, err := load(to)
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range before.files {
		if name != "timestamp.json" && !bytes.Equal(after.files[name].data, f.data) {
			t.Errorf("%s is gone or changed", name)
		}
	}
	again, err := load(dir)
	if err != nil || !maps.EqualFunc(before.files, again.files, func(a, b file) bool { return a.etag == b.etag }) {
		t.Errorf("the source changed: %v", err)
	}
}
