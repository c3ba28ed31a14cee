// SPDX-License-Identifier: Apache-2.0

package daemon_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hallmark/internal/base/keyring"
	"hallmark/internal/edge/daemon"
	"hallmark/internal/format/pubkey"
	"hallmark/internal/lab"
)

// newKeyFile writes a new key for a ceremony; public leaves the private half out.
func newKeyFile(t *testing.T, public bool) string {
	t.Helper()
	key, err := keyring.GenerateP256()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "root.pem")
	if !public {
		if err := keyring.Save(path, key); err != nil {
			t.Fatal(err)
		}
		return path
	}
	data, err := pubkey.MarshalPEM(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// A root ceremony: three keys on three media, two of which have to sign, one
// of which is only known by its public half. Clients follow from the first root.
func TestTUFCeremony(t *testing.T) {
	t.Parallel()
	l := lab.New(t, nil)
	first := l.Client()
	b := l.SignBlob(first.Active(), signerEmail, []byte("x")).Bundle
	one, two, absent := newKeyFile(t, false), newKeyFile(t, false), newKeyFile(t, true)
	l.Clock.Move(time.Hour)
	done := l.Rotate(daemon.Rotation{Kind: daemon.RotateTUF, TUF: daemon.TUFRotation{RootKeys: []string{one, two, absent}, Threshold: 2}})
	if done.TUFRoot != 2 || len(done.Signed) != 3 || len(done.Replaced) != 1 {
		t.Errorf("%+v", done)
	}
	first.Refresh()
	if _, err := first.Verify(b, []byte("x")); err != nil {
		t.Error(err)
	}

	// From now on two of the three have to be there, wherever they are.
	l.Stop()
	online := daemon.Rotation{Kind: daemon.RotateTUF}
	if _, err := l.TryRotate(online); err == nil || !strings.Contains(err.Error(), "0 of the 3 keys that root version 2 names were given, and 2 have to sign") {
		t.Fatalf("with the old root key: %v", err)
	}
	online.OfflineKeys = []string{l.OfflineKeys(), filepath.Dir(one)}
	if _, err := l.TryRotate(online); err == nil || !strings.Contains(err.Error(), "1 of the 3") {
		t.Fatalf("with one of the new keys: %v", err)
	}
	online.OfflineKeys = append(online.OfflineKeys, filepath.Dir(two))
	l.Clock.Move(24 * time.Hour)
	if done, err := l.TryRotate(online); err != nil || done.TUFRoot != 3 || strings.Join(done.Replaced, " ") != "snapshot timestamp targets" {
		t.Fatalf("with two of the new keys: %+v, %v", done, err)
	}
	if _, err := keyring.Load(filepath.Join(l.OfflineKeys(), "tuf-targets-3.pem")); err != nil {
		t.Error(err)
	}
	l.Start()
	first.Refresh()
	l.Client() // pins the latest root

	// The new targets key publishes the next rotation.
	l.Clock.Move(24 * time.Hour)
	l.Rotate(daemon.Rotation{Kind: daemon.RotateCA})
	l.Clock.Move(2 * time.Second)
	first.Refresh()
	b = l.SignBlob(first.Active(), signerEmail, []byte("y")).Bundle
	if _, err := first.Verify(b, []byte("y")); err != nil {
		t.Error(err)
	}
	l.Stop()
	l.Fsck()
}

func TestTUFRotationRefuses(t *testing.T) {
	l := lab.New(t, nil)
	l.Stop()
	before := tree(t, l.Data)
	private, public := newKeyFile(t, false), newKeyFile(t, true)
	text := filepath.Join(t.TempDir(), "root.pem")
	if err := os.WriteFile(text, []byte("a key, honestly"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		tuf  daemon.TUFRotation
		want string
	}{
		{"an unknown role", daemon.TUFRotation{Roles: []string{"mirrors"}}, "--roles mirrors"},
		{"root as a role", daemon.TUFRotation{Roles: []string{"root"}}, "--root-keys"},
		{"a role twice", daemon.TUFRotation{Roles: []string{"snapshot", "snapshot"}}, "given twice"},
		{"a threshold without keys", daemon.TUFRotation{Threshold: 2}, "--threshold goes with"},
		{"keys without a threshold", daemon.TUFRotation{RootKeys: []string{private, public}}, "say with --threshold"},
		{"a threshold that is too high", daemon.TUFRotation{RootKeys: []string{private}, Threshold: 2}, "expected 1 to 1"},
		{"a threshold below 0", daemon.TUFRotation{RootKeys: []string{private}, Threshold: -1}, "expected 1 to 1"},
		{"a missing file", daemon.TUFRotation{RootKeys: []string{private + "x"}}, "no such file"},
		{"only the public half", daemon.TUFRotation{RootKeys: []string{public}}, "0 of the 1 new root keys"},
		{"not a key", daemon.TUFRotation{RootKeys: []string{text}}, "PRIVATE KEY"},
		{"the targets key", daemon.TUFRotation{RootKeys: []string{filepath.Join(l.OfflineKeys(), "tuf-targets.pem")}}, "are the same"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := l.TryRotate(daemon.Rotation{Kind: daemon.RotateTUF, TUF: tc.tuf}); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("error %v, want %q", err, tc.want)
			}
			if after := tree(t, l.Data); after != before {
				t.Fatal("something was changed")
			}
		})
	}
	l.Start()
}
