// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// trap is the command line that kills a process when it enters one of the system
// calls on path; what it asks for is not done.
func trap(t testing.TB, calls, path string) []string {
	t.Helper()
	line := straceLine(t, "/dev/null")
	return []string{line[0], "-f", "-o", "/dev/null", "-P", path, "-e", "trace=" + calls, "-e", "inject=" + calls + ":signal=SIGKILL"}
}

// set attaches a trap to the running process.
func (s *server) set(calls, path string) {
	s.t.Helper()
	pid := s.process().Pid
	line := append(trap(s.t, calls, path), "-p", fmt.Sprint(pid))
	cmd := exec.Command(line[0], line[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if tracedWhole(pid) {
			return
		}
	}
	s.t.Fatalf("strace did not attach to process %d", pid)
}

// tracedWhole reports whether every thread of a process is traced.
func tracedWhole(pid int) bool {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(threads) == 0 {
		return false
	}
	for _, path := range threads {
		status, err := os.ReadFile(path)
		if err != nil || strings.Contains(string(status), "TracerPid:\t0\n") {
			return false
		}
	}
	return true
}

// A process that is killed between giving a file its name and syncing the folder
// leaves a name that the next process finds, but that a power failure would take
// away. The next process must not build on it before it has synced the folder.
func TestNothingRestsOnWhatAKilledProcessDidNotSync(t *testing.T) {
	for _, folder := range []string{".", "tile", "tile/entries", "tile/entries/000.p", "tile/0", "tile/0/000.p", ".state"} {
		t.Run(strings.ReplaceAll(folder, "/", " "), func(t *testing.T) {
			t.Parallel()
			s := newServer(t, "--log-accept", "any")
			s.start()
			folder := s.tree(folder)
			s.set("fsync", folder)
			sub := newSigner(t).sign(t)
			if e, err := s.submit(sub); err == nil {
				t.Fatalf("entry %d was acknowledged without syncing %s", e.LogIndex, folder)
			}
			if code := s.exitCode(startLimit); code != -1 {
				t.Fatalf("exit code %d", code)
			}
			before := newDisk()
			left, err := os.ReadDir(folder)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range left {
				if !isLock(e.Name()) {
					before.named(filepath.Join(folder, e.Name()))
				}
			}
			if len(before.names) == 0 {
				t.Fatal("the killed process left nothing: the test proves nothing")
			}

			trace := filepath.Join(t.TempDir(), "trace")
			s.wrap = straceLine(t, trace)
			s.start()
			l := newLedger(s)
			client, status, body := s.exchange(entriesPath, "", sub.request)
			e, err := parseCreated(status, body)
			if err == nil {
				err = l.acknowledged(e, sub.leaf)
			}
			if err != nil {
				t.Fatal(err)
			}
			l.kept()
			s.stop()
			text, err := os.ReadFile(trace)
			if err != nil {
				t.Fatal(err)
			}
			calls, err := parseTrace(string(text))
			if err != nil {
				t.Fatal(err)
			}
			if err := before.replay(calls, func(c call) bool { return c.sends(client, "HTTP/1.1 201") }); err != nil {
				t.Fatal(err)
			}
			for _, lost := range before.lost(s.data, s.tree(), isLock) {
				t.Errorf("the 201 left before this was on the disk: %s", lost)
			}
			s.wrap = nil
			s.fsck()
		})
	}
}

// isLock tells files whose content and survival mean nothing.
func isLock(path string) bool { return strings.HasSuffix(path, ".lock") }

// A first start that is killed right before each of the steps that make the
// instance visible is finished by the next.
func TestFirstStartKilledAtEachStep(t *testing.T) {
	for _, step := range []string{"complete", "offline", "log", "ct", "instance"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, "--dev-issuer")
			s.wrap = trap(t, "renameat", s.path("first-start.tmp", step))
			s.launch()
			if code := s.exitCode(startLimit); code != -1 && code != 128+int(syscall.SIGKILL) {
				t.Fatalf("exit code %d: it was not killed\n%s", code, s.printed())
			}
			s.wrap = nil
			_, err := os.Stat(s.path("first-start.tmp", "complete"))
			if complete := err == nil; complete != (step != "complete") {
				t.Fatalf("killed elsewhere: the mark of a complete first start: %v", err)
			}
			if _, err := os.Stat(s.path("instance")); err == nil {
				t.Fatal("killed elsewhere: the instance is there")
			}
			s.start()
			if _, err := s.signBlob("after a cut"); err != nil {
				t.Fatal(err)
			}
			s.stop()
			s.fsck()
		})
	}
}
