// SPDX-License-Identifier: Apache-2.0

package daemon_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hallmark/internal/edge/daemon"
	"hallmark/internal/judge/verify"
	"hallmark/internal/lab"
)

// rotations is every rotation that makes new evidence, and how a client that
// does not know of it yet refuses that evidence.
var rotations = []struct {
	name  string
	r     daemon.Rotation
	stale verify.Code
}{
	{"ca", daemon.Rotation{Kind: daemon.RotateCA}, verify.CodeCertificateChain},
	{"ca and its root", daemon.Rotation{Kind: daemon.RotateCA, NewRoot: true}, verify.CodeCertificateChain},
	{"tsa", daemon.Rotation{Kind: daemon.RotateTSA}, verify.CodeTimestampThreshold},
	{"ct", daemon.Rotation{Kind: daemon.RotateCT}, verify.CodeSCTThreshold},
	{"shard", daemon.Rotation{Kind: daemon.RotateShard}, verify.CodeLogThreshold},
	{"tsa and its root", daemon.Rotation{Kind: daemon.RotateTSA, NewRoot: true}, verify.CodeTimestampThreshold},
}

const signerEmail = "ada@example.com"

// The whole life of a rotation: published early, in force from its time on,
// the old one trusted for what it signed.
func TestRotation(t *testing.T) {
	for _, tc := range rotations {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			l := lab.New(t, nil)
			stale, fresh := l.Client(), l.Client()
			sign := func(what string) func(c *lab.Client) error {
				b := l.SignBlob(fresh.Active(), signerEmail, []byte(what)).Bundle
				return func(c *lab.Client) error { _, err := c.Verify(b, []byte(what)); return err }
			}
			before := sign("before")
			tc.r.Lead, tc.r.Overlap = 24*time.Hour, time.Hour
			done := l.Rotate(tc.r)
			fresh.Refresh()
			waiting := sign("published, not in force")
			for name, check := range map[string]func(*lab.Client) error{"before": before, "waiting": waiting} {
				for who, c := range map[string]*lab.Client{"stale": stale, "fresh": fresh} {
					if err := check(c); err != nil {
						t.Errorf("signed %s, %s client: %v", name, who, err)
					}
				}
			}
			// The daemon turns to the new key by itself.
			l.Clock.Move(done.From.Sub(l.Clock.Now()) + time.Second)
			after := sign("after")
			if err := after(fresh); err != nil {
				t.Errorf("signed after, fresh client: %v", err)
			}
			var refused *verify.Error
			if err := after(stale); !errors.As(err, &refused) || refused.Code != tc.stale {
				t.Errorf("signed after, stale client: %v, want %s", err, tc.stale)
			}
			// Past the overlap, across a restart.
			l.Clock.Move(2 * time.Hour)
			l.Stop()
			l.Fsck()
			l.Start()
			fresh.Refresh()
			late := sign("late")
			stale.Refresh()
			for name, check := range map[string]func(*lab.Client) error{"before": before, "waiting": waiting, "after": after, "late": late} {
				if err := check(stale); err != nil {
					t.Errorf("signed %s, refreshed client: %v", name, err)
				}
			}
			if err := before(l.Client()); err != nil {
				t.Errorf("a client that comes later: %v", err)
			}
		})
	}
}

// Rotating again and again goes on from where the last rotation led.
func TestRotatingManyTimes(t *testing.T) {
	t.Parallel()
	l := lab.New(t, nil)
	c := l.Client()
	var checks []func() error
	for i := range 2 {
		what := []byte{byte(i)}
		b := l.SignBlob(c.Active(), signerEmail, what).Bundle
		checks = append(checks, func() error { _, err := c.Verify(b, what); return err })
		for _, tc := range rotations {
			l.Clock.Move(2 * time.Second)
			l.Rotate(tc.r) // at once, without overlap
		}
		l.Clock.Move(2 * time.Second)
		c.Refresh()
		for i, check := range checks {
			if err := check(); err != nil {
				t.Errorf("signed in round %d: %v", i, err)
			}
		}
	}
	l.SignBlob(c.Active(), signerEmail, []byte("last"))
	l.Stop()
	l.Fsck()
}

func TestADryRunChangesNothing(t *testing.T) {
	t.Parallel()
	l := lab.New(t, nil)
	l.Stop()
	before := tree(t, l.Data)
	for _, tc := range rotations {
		r := tc.r
		r.DryRun, r.Lead, r.Overlap = true, time.Hour, time.Hour
		done, err := l.TryRotate(r)
		if err != nil {
			t.Fatalf("%s: %v", tc.name, err)
		}
		if done.From.IsZero() || done.Name == "" {
			t.Errorf("%s: %+v", tc.name, done)
		}
		if after := tree(t, l.Data); after != before {
			t.Fatalf("%s: before\n%s\nafter\n%s", tc.name, before, after)
		}
	}
}

// tree lists a folder's files with their content.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var out strings.Builder
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			out.WriteString(path + "/\n")
			return err
		}
		data, err := os.ReadFile(path)
		out.WriteString(path + " " + string(data) + "\n")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestRotationRefuses(t *testing.T) {
	l, other := lab.New(t, nil), lab.New(t, nil)
	l.Stop()
	empty := t.TempDir()
	without := func(names ...string) []string {
		dir := t.TempDir()
		entries, err := os.ReadDir(l.OfflineKeys())
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			data, err := os.ReadFile(filepath.Join(l.OfflineKeys(), e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(strings.Join(names, " "), e.Name()) {
				continue
			}
			if err := os.WriteFile(filepath.Join(dir, e.Name()), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return []string{dir}
	}
	readable := without()
	if err := os.Chmod(filepath.Join(readable[0], "ca-root.pem"), 0o644); err != nil {
		t.Fatal(err)
	}
	before := tree(t, l.Data)
	ca := daemon.Rotation{Kind: daemon.RotateCA, Lead: time.Hour, Overlap: time.Hour}
	for _, tc := range []struct {
		name   string
		change func(*daemon.Rotation)
		want   string
	}{
		{"no kind", func(r *daemon.Rotation) { r.Kind = "cat" }, "expected ca, tsa, ct, shard or tuf"},
		{"no keys named", func(r *daemon.Rotation) { r.OfflineKeys = []string{} }, "--offline-keys DIR"},
		{"a folder that is not there", func(r *daemon.Rotation) { r.OfflineKeys = []string{empty + "/none"} }, "no such file"},
		{"an empty folder", func(r *daemon.Rotation) { r.OfflineKeys = []string{empty} }, "ca-root.pem"},
		{"no CA root", func(r *daemon.Rotation) { r.OfflineKeys = without("ca-root.pem") }, "ca-root.pem"},
		{"a key others can read", func(r *daemon.Rotation) { r.OfflineKeys = readable }, "chmod 600"},
		{"no TUF targets", func(r *daemon.Rotation) { r.OfflineKeys = without("tuf-targets.pem") }, "tuf-targets.pem"},
		{"no TSA root", func(r *daemon.Rotation) { r.Kind, r.OfflineKeys = daemon.RotateTSA, without("tsa-root.pem") }, "tsa-root.pem"},
		{"another instance's keys", func(r *daemon.Rotation) { r.OfflineKeys = []string{other.OfflineKeys()} }, "another instance"},
		{"another instance's TUF key", func(r *daemon.Rotation) {
			r.OfflineKeys, r.NewRoot = []string{other.OfflineKeys()}, true
		}, "another instance"},
		{"a negative lead", func(r *daemon.Rotation) { r.Lead = -1 }, "--lead"},
		{"a negative overlap", func(r *daemon.Rotation) { r.Overlap = -1 }, "--overlap"},
		{"an overlap that stops issuing", func(r *daemon.Rotation) { r.Overlap = time.Minute }, "10m"},
		{"no data folder", func(r *daemon.Rotation) { r.Data = empty + "/none" }, "does not exist"},
		{"not a data folder", func(r *daemon.Rotation) { r.Data = private(t) }, "no instance"},
		{"a running authority", func(r *daemon.Rotation) { r.Data = other.Data }, "running hallmarkd"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := ca
			tc.change(&r)
			if _, err := l.TryRotate(r); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("error %v, want %q", err, tc.want)
			}
			if after := tree(t, l.Data); after != before {
				t.Fatal("something was changed")
			}
		})
	}
	// One that is on its way has to arrive first.
	if _, err := l.TryRotate(ca); err != nil {
		t.Fatal(err)
	}
	if _, err := l.TryRotate(ca); err == nil || !strings.Contains(err.Error(), "not in use before") {
		t.Fatalf("a second rotation: %v", err)
	}
	l.Start()
}

func private(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}
