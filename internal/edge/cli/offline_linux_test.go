// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"hallmark/internal/edge/cli"
	"hallmark/internal/edge/daemon"
	"hallmark/internal/lab"
	"hallmark/internal/service/devissuer"
)

// The environment that makes this test binary a hallmark process whose every
// attempt to reach the network is written down by the kernel's word, not ours.
const (
	watchArgs  = "CLI_TEST_WATCH_ARGS"  // the command line, with newlines between arguments
	watchLog   = "CLI_TEST_WATCH_LOG"   // file that attempts are written to, one a line
	watchAllow = "CLI_TEST_WATCH_ALLOW" // host:port that may be reached; all else is refused
)

// TestWatchedProcess is no test: it is that process.
func TestWatchedProcess(t *testing.T) {
	args, ok := os.LookupEnv(watchArgs)
	if !ok {
		return
	}
	log, err := os.OpenFile(os.Getenv(watchLog), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := watchConnects()
	if err != nil {
		fmt.Fprintf(log, "cannot watch: %v\n", err)
		os.Exit(99)
	}
	go answerConnects(listener, log, os.Getenv(watchAllow))
	os.Exit(cli.Main(context.Background(), strings.Split(args, "\n"), cli.World{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Getenv: os.Getenv}))
}

// watchConnects has the kernel ask about every connect of this process from now
// on, and returns where it asks (seccomp(2), user notification).
func watchConnects() (listener int, err error) {
	arch := map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64}[runtime.GOARCH]
	if arch == 0 {
		return 0, fmt.Errorf("no filter for %s", runtime.GOARCH)
	}
	const load, equal, ret = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, unix.BPF_RET | unix.BPF_K
	filter := []unix.SockFilter{
		{Code: load, K: 4}, // seccomp_data.arch
		{Code: equal, K: arch, Jt: 1},
		{Code: ret, K: unix.SECCOMP_RET_KILL_PROCESS},
		{Code: load, K: 0}, // seccomp_data.nr
		{Code: equal, K: unix.SYS_CONNECT, Jf: 1},
		{Code: ret, K: unix.SECCOMP_RET_USER_NOTIF},
		{Code: ret, K: unix.SECCOMP_RET_ALLOW},
	}
	runtime.LockOSThread() // the flag is the thread's, and the filter spreads both
	defer runtime.UnlockOSThread()
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return 0, fmt.Errorf("no_new_privs: %w", err)
	}
	const flags = unix.SECCOMP_FILTER_FLAG_TSYNC | unix.SECCOMP_FILTER_FLAG_TSYNC_ESRCH | unix.SECCOMP_FILTER_FLAG_NEW_LISTENER
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return 0, fmt.Errorf("seccomp: %w", errno)
	}
	return int(fd), nil
}

// notification and answer are struct seccomp_notif and seccomp_notif_resp.
type notification struct {
	ID        uint64
	PID       uint32
	Flags     uint32
	Nr        int32
	Arch      uint32
	IP        uint64
	Arguments [6]uint64
}

type answer struct {
	ID    uint64
	Val   int64
	Error int32
	Flags uint32
}

// answerConnects writes each attempt down, and lets through those to allow and
// to Unix sockets.
func answerConnects(listener int, log *os.File, allow string) {
	for {
		var n notification
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(listener), unix.SECCOMP_IOCTL_NOTIF_RECV, uintptr(unsafe.Pointer(&n))); errno != 0 {
			if errors.Is(errno, unix.EINTR) || errors.Is(errno, unix.ENOENT) {
				continue
			}
			fmt.Fprintf(log, "watching ended: %v\n", errno)
			os.Exit(98)
		}
		to := address(n.Arguments[1], n.Arguments[2])
		a := answer{ID: n.ID, Error: -int32(unix.ENETUNREACH)}
		if to == allow || to == "unix" {
			a = answer{ID: n.ID, Flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
		}
		if to != "unix" {
			fmt.Fprintln(log, to)
		}
		unix.Syscall(unix.SYS_IOCTL, uintptr(listener), unix.SECCOMP_IOCTL_NOTIF_SEND, uintptr(unsafe.Pointer(&a)))
	}
}

// address reads a struct sockaddr of this process.
func address(at, size uint64) string {
	raw := make([]byte, min(size, 128))
	mem, err := os.Open("/proc/self/mem")
	if err != nil {
		return err.Error()
	}
	defer mem.Close()
	if _, err := mem.ReadAt(raw, int64(at)); err != nil || len(raw) < 8 {
		return fmt.Sprintf("unreadable: %v", err)
	}
	port := binary.BigEndian.Uint16(raw[2:])
	switch family := binary.NativeEndian.Uint16(raw); {
	case family == unix.AF_INET:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(raw[4:8])), port).String()
	case family == unix.AF_INET6 && len(raw) >= 24:
		return netip.AddrPortFrom(netip.AddrFrom16([16]byte(raw[8:24])).Unmap(), port).String()
	case family == unix.AF_UNIX:
		return "unix"
	default:
		return fmt.Sprintf("family %d", family)
	}
}

// watched runs one command line in a process of its own and returns every
// address it tried to connect to.
func watched(t *testing.T, home, allow string, args ...string) (code int, output string, dialed []string) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(log, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, "-test.run=^TestWatchedProcess$")
	cmd.Env = append(os.Environ(), "HALLMARK_HOME="+home, watchArgs+"="+strings.Join(args, "\n"), watchLog+"="+log, watchAllow+"="+allow,
		"GORACE=atexit_sleep_ms=0", "DOCKER_CONFIG="+t.TempDir(), "HTTP_PROXY=", "HTTPS_PROXY=", "http_proxy=", "https_proxy=")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	if code = cmd.ProcessState.ExitCode(); code == 98 || code == 99 || code < 0 {
		t.Fatalf("%v: %s%s", cmd.ProcessState, data, &out)
	}
	dialed = strings.Fields(string(data))
	slices.Sort(dialed)
	return code, out.String(), slices.Compact(dialed)
}

// TestVerificationDialsNobodyElse: verifying a file opens no connection at all,
// and verifying an image none but to the image's registry, whether it succeeds
// or fails, and with the authority alive: it could answer, and is not asked.
func TestVerificationDialsNobodyElse(t *testing.T) {
	stack := lab.New(t, nil)
	registry := lab.Registry(t, true)
	home, dir := t.TempDir(), t.TempDir()
	image := registry + "/app:v1"
	lab.Push(t, image)
	authority := strings.TrimPrefix(stack.URL(), "http://")
	ok := func(args ...string) {
		t.Helper()
		var out bytes.Buffer
		getenv := func(name string) string { return map[string]string{"HALLMARK_HOME": home}[name] }
		if code := cli.Main(t.Context(), args, cli.World{In: strings.NewReader(""), Out: &out, Err: &out, Getenv: getenv}); code != 0 {
			t.Fatalf("hallmark %s: %s", strings.Join(args, " "), &out)
		}
	}
	file, bundle := filepath.Join(dir, "file"), filepath.Join(dir, "bundle.json")
	if err := os.WriteFile(file, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	exported := filepath.Join(dir, "exported.json")
	ok("trust", "init", stack.URL(), "--name", "lab", "--root-sha256", stack.Daemon.RootSHA256())
	ok("trust", "export", "lab", "--out", exported)
	for _, args := range [][]string{{"sign-blob", "--bundle", bundle, file}, {"sign", image}} {
		minted, err := devissuer.DialMint(t.Context(), daemon.DevSocketIn(stack.Data), devissuer.Request{Email: "dev@example.com"})
		if err != nil {
			t.Fatal(err)
		}
		ok(append([]string{args[0], "--yes", "--identity-token", minted.IDToken}, args[1:]...)...)
	}
	who := []string{"--certificate-identity", "dev@example.com", "--certificate-oidc-issuer-regexp", ".*"}
	wrong := []string{"--certificate-identity", "eve@example.com", "--certificate-oidc-issuer-regexp", ".*"}
	blob := []string{"verify-blob", file, "--bundle", bundle}
	for _, tt := range []struct {
		name   string
		args   []string
		code   int
		dialed []string // exactly these
	}{
		{"the watch itself", []string{"trust", "refresh", "lab"}, 1, []string{authority}},
		{"a file", slices.Concat(blob, who), 0, nil},
		{"a file, refused", slices.Concat(blob, wrong), 1, nil},
		{"a file, JSON", slices.Concat(blob, who, []string{"-o", "json"}), 0, nil},
		{"a file, stale trust", slices.Concat(blob, who, []string{"--trust-max-age", "1ns"}), 0, nil},
		{"a file, trust from a file", slices.Concat(blob, who, []string{"--trusted-root", exported}), 0, nil},
		{"a file, the public instance's trust", slices.Concat(blob, who, []string{"--trust", "public-good"}), 1, nil},
		{"an image", slices.Concat([]string{"verify", image}, who), 0, []string{registry}},
		{"an image, refused", slices.Concat([]string{"verify", image}, wrong), 12, []string{registry}},
		{"an image, the public instance's trust", slices.Concat([]string{"verify", image, "--trust", "public-good"}, who), 12, []string{registry}},
		{"an image that is not there", slices.Concat([]string{"verify", registry + "/none:v1"}, who), 11, []string{registry}},
		{"looking at trust", []string{"trust", "inspect", "lab"}, 0, nil},
		{"comparing trust", []string{"trust", "diff", "lab", "public-good"}, 1, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, out, dialed := watched(t, home, registry, tt.args...)
			if code != tt.code {
				t.Errorf("exit code %d, want %d: %s", code, tt.code, out)
			}
			if !slices.Equal(dialed, tt.dialed) {
				t.Errorf("it tried to reach %v, want %v", dialed, tt.dialed)
			}
		})
	}
	if host, _, err := net.SplitHostPort(registry); err != nil || host != "127.0.0.1" {
		t.Errorf("the registry is at %s", registry)
	}
}
