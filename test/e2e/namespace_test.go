// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// inNamespace runs the calling test again in a process with a mount namespace of
// its own, where it may mount and what it mounts goes away with it. It reports
// whether the caller is that process; if not, the test has been run and its
// outcome taken over, or, with allowed false, the system does not permit it.
func inNamespace(t *testing.T) (inside, allowed bool) {
	t.Helper()
	if os.Getenv(insideVar) != "" && os.Getenv("HALLMARK_E2E_NAMESPACE") == t.Name() {
		return true, true
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	try := func(args ...string) *exec.Cmd {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
		if os.Geteuid() != 0 { // a user namespace permits mounting where the system permits user namespaces
			cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
			cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
			cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
		}
		return cmd
	}
	if out, err := try("mount", "-t", "tmpfs", "tmpfs", t.TempDir()).CombinedOutput(); err != nil {
		t.Logf("mounting is not permitted here: %v %s", err, out)
		return false, false
	}
	cmd := try(self, "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=120s")
	cmd.Env = append(os.Environ(), insideVar+"="+programs, "HALLMARK_E2E_NAMESPACE="+t.Name())
	out, err := cmd.CombinedOutput()
	t.Logf("in a namespace of its own:\n%s", strings.TrimSpace(string(out)))
	if err != nil {
		t.Fatal(err)
	}
	return false, true
}

// mountDisk mounts an empty file system of the given size, in the namespace that
// the process has to itself, and gives its folder.
func mountDisk(t *testing.T, size string) string {
	t.Helper()
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "disk")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}
