// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// cutOff is a data folder in which a rotation was complete, but none of its
// renames made yet.
func cutOff(t *testing.T, r Rotation) (layout, *Config, Rotation) {
	t.Helper()
	l, cfg := stage(t)
	if _, err := ensureInstance(l, cfg, testAddr(), time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(l.root, 0o700); err != nil {
		t.Fatal(err)
	}
	r.Data, r.OfflineKeys, r.Lead, r.Overlap = l.root, []string{l.offline()}, time.Hour, time.Hour
	w := &rotation{Rotation: r, live: l, stage: layout{l.rotation()}, now: time.Now(), done: &Rotated{Kind: r.Kind}}
	if err := w.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	return l, cfg, r
}

// what is in force: the number of generations, and the TUF repository's root.
func inForce(t *testing.T, l layout, r Rotation) (rotated bool) {
	t.Helper()
	files := instanceFiles{l.instance()}
	m, err := readManifest(files.manifest())
	if err != nil {
		t.Fatal(err)
	}
	if r.Kind == RotateTUF {
		rotated, err = exists(filepath.Join(files.tuf(), "2.root.json"))
		if err != nil {
			t.Fatal(err)
		}
	} else {
		rotated = len(m.Rotated) == 1
	}
	if err := requireLogs(l, m); err != nil {
		t.Error(err)
	}
	if there, err := exists(l.rotation()); err != nil || there {
		t.Errorf("the staging folder is still there: %v", err)
	}
	root, err := readTrustedRoot(files.trustedRoot())
	if err != nil {
		t.Fatal(err)
	}
	c := &examination{layout: l, files: files, manifest: m, root: root}
	c.keys()
	c.tuf()
	for _, p := range c.problems {
		t.Error(p)
	}
	return rotated
}

// A rotation that is cut off at any of its steps is finished, or has not
// happened, after the next start and after the same command.
func TestARotationCutOffIsRecovered(t *testing.T) {
	t.Parallel()
	for _, r := range []Rotation{
		{Kind: RotateCA, NewRoot: true}, {Kind: RotateTSA}, {Kind: RotateCT}, {Kind: RotateShard}, {Kind: RotateTUF},
	} {
		t.Run(r.Kind, func(t *testing.T) {
			for cut := -1; ; cut++ { // renames made; -1: not even the mark
				l, cfg, r := cutOff(t, r)
				moves, err := rotationMoves(l)
				if err != nil {
					t.Fatal(err)
				}
				if cut > len(moves) {
					return
				}
				if cut < 0 {
					if err := os.Remove(filepath.Join(l.rotation(), completeMark)); err != nil {
						t.Fatal(err)
					}
					if err := os.RemoveAll(filepath.Join(l.rotation(), "instance", "keys")); err != nil {
						t.Fatal(err)
					}
				}
				for _, m := range moves[:max(0, cut)] {
					if err := os.Rename(m.from, m.to); err != nil {
						t.Fatal(err)
					}
				}
				if cut >= 0 {
					if _, err := Fsck(t.Context(), l.root); err == nil || !strings.Contains(err.Error(), "cut off") {
						t.Errorf("cut after %d: fsck: %v", cut, err)
					}
					dry := r
					dry.DryRun = true
					if _, err := Rotate(t.Context(), dry, time.Now); err == nil || !strings.Contains(err.Error(), "cut off") {
						t.Errorf("cut after %d: dry run: %v", cut, err)
					}
				}
				if cut%2 == 0 { // by the next start…
					if _, err := ensureInstance(l, cfg, testAddr(), time.Now()); err != nil {
						t.Fatalf("cut after %d: %v", cut, err)
					}
					if got := inForce(t, l, r); got != (cut >= 0) {
						t.Errorf("cut after %d, started: in force: %v", cut, got)
					}
					continue
				}
				done, err := Rotate(t.Context(), r, time.Now) // …or by the command again
				if err != nil {
					t.Fatalf("cut after %d: %v", cut, err)
				}
				if done.Finished != (cut >= 0) || done.Name == "" || done.From.IsZero() {
					t.Errorf("cut after %d, repeated: %+v", cut, done)
				}
				if !inForce(t, l, r) {
					t.Errorf("cut after %d, repeated: not in force", cut)
				}
			}
		})
	}
}

// Another kind of rotation finishes the one that was cut off, and then begins.
func TestAnotherRotationAfterOneThatWasCutOff(t *testing.T) {
	l, _, r := cutOff(t, Rotation{Kind: RotateShard})
	r.Kind = RotateCA
	if done, err := Rotate(t.Context(), r, time.Now); err != nil || done.Finished {
		t.Fatalf("%+v, %v", done, err)
	}
	m, err := readManifest(instanceFiles{l.instance()}.manifest())
	if err != nil || len(m.Rotated) != 2 {
		t.Fatalf("%+v, %v", m, err)
	}
}

// A new offline key that a rotation wrote before it was cut off is used by the
// next, rather than left beside another.
func TestAPreparedOfflineKeyIsTaken(t *testing.T) {
	l, _, r := cutOff(t, Rotation{Kind: RotateCA, NewRoot: true})
	path := filepath.Join(l.offline(), "ca-root-2.pem")
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(l.rotation(), completeMark)); err != nil {
		t.Fatal(err)
	}
	done, err := Rotate(t.Context(), r, time.Now)
	if err != nil || len(done.Made) != 0 {
		t.Fatalf("%+v, %v", done, err)
	}
	if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
		t.Fatalf("the key was replaced: %v", err)
	}
	inForce(t, l, r)
}

// What fsck says of generations that do not fit the trust root.
func TestFsckFindsWhatDoesNotFit(t *testing.T) {
	rename := func(t *testing.T, from, to string) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		name   string
		kind   string
		damage func(t *testing.T, l layout, f instanceFiles)
		want   string
	}{
		{"the new key is gone", RotateCA, func(t *testing.T, _ layout, f instanceFiles) { rename(t, f.key("ca-2"), f.key("x")) }, "no such file"},
		{"the old key is gone too early", RotateCA, func(t *testing.T, _ layout, f instanceFiles) { rename(t, f.key("ca"), f.key("x")) }, "no such file"},
		{"keys swapped", RotateTSA, func(t *testing.T, _ layout, f instanceFiles) {
			rename(t, f.key("tsa"), f.key("x"))
			rename(t, f.key("tsa-2"), f.key("tsa"))
			rename(t, f.key("x"), f.key("tsa-2"))
		}, "does not belong"},
		{"certificates of another role", RotateTSA, func(t *testing.T, _ layout, f instanceFiles) { rename(t, f.certs("ca"), f.certs("tsa-2")) }, "not in trusted_root.json"},
		{"a log's old key is gone", RotateShard, func(t *testing.T, _ layout, f instanceFiles) { rename(t, f.key("log"), f.key("x")) }, "no such file"},
		{"a generation the trust root lacks", RotateShard, func(t *testing.T, _ layout, f instanceFiles) {
			edit(t, f.manifest(), func(m *manifest) { m.Rotated = nil })
		}, "2 entries for log: expected 1"},
		{"a turn before the trust begins", RotateCT, func(t *testing.T, _ layout, f instanceFiles) {
			edit(t, f.manifest(), func(m *manifest) { m.Rotated[keyCT][0].From = m.Created.Add(time.Second) })
		}, "but signs from"},
		{"a turn after the old one's trust ends", RotateCT, func(t *testing.T, _ layout, f instanceFiles) {
			edit(t, f.manifest(), func(m *manifest) {
				m.Rotated[keyCT][0].From = m.Rotated[keyCT][0].From.Add(24 * time.Hour)
			})
		}, "expected an end"},
		{"another base URL", RotateShard, func(t *testing.T, _ layout, f instanceFiles) {
			edit(t, f.manifest(), func(m *manifest) { m.Rotated[keyLog][0].BaseURL = "https://x" })
		}, "names no log at https://x"},
		{"another origin", RotateShard, func(t *testing.T, _ layout, f instanceFiles) {
			edit(t, f.manifest(), func(m *manifest) { m.Rotated[keyLog][0].Origin = "log3.localhost" })
		}, "does not belong to its origin"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l, _, _ := cutOff(t, Rotation{Kind: tc.kind})
			if _, err := finishRotation(l); err != nil {
				t.Fatal(err)
			}
			files := instanceFiles{l.instance()}
			tc.damage(t, l, files)
			m, err := readManifest(files.manifest())
			if err != nil {
				t.Fatal(err)
			}
			root, err := readTrustedRoot(files.trustedRoot())
			if err != nil {
				t.Fatal(err)
			}
			c := &examination{layout: l, files: files, manifest: m, root: root}
			c.keys()
			if all := strings.Join(c.problems, "\n"); !strings.Contains(all, tc.want) {
				t.Errorf("found %q, want %q", all, tc.want)
			}
		})
	}
}

// The key of an authority whose turn is over is not needed, and may be deleted.
func TestARetiredKeyMayBeDeleted(t *testing.T) {
	l := layout{t.TempDir()}
	if err := os.Chmod(l.root, 0o700); err != nil {
		t.Fatal(err)
	}
	now := time.Now().Add(-time.Hour)
	if _, err := ensureInstance(l, &Config{Listen: "127.0.0.1:8484", Data: l.root}, testAddr(), now.Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	if _, err := Rotate(t.Context(), Rotation{Kind: RotateTSA, Data: l.root, OfflineKeys: []string{l.offline()}, NewRoot: true}, func() time.Time { return now }); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(instanceFiles{l.instance()}.key(keyTSA)); err != nil {
		t.Fatal(err)
	}
	d, err := New(t.Context(), Config{Listen: "127.0.0.1:0", Data: l.root}, Deps{})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if problems, err := Fsck(t.Context(), l.root); err != nil || len(problems) != 0 {
		t.Errorf("fsck: %v, %v", problems, err)
	}
}

func edit(t *testing.T, path string, change func(*manifest)) {
	t.Helper()
	m, err := readManifest(path)
	if err != nil {
		t.Fatal(err)
	}
	change(m)
	if err := m.write(path); err != nil {
		t.Fatal(err)
	}
}
