// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// startLimit is how long a start may take on a busy machine before it counts as
// hanging.
const startLimit = 30 * time.Second

// server is hallmarkd with one data folder, over as many starts as a test needs.
type server struct {
	t    testing.TB
	data string
	logs string // folder for what starts print
	port int
	args []string // after the ones that every start has
	wrap []string // a command line that hallmarkd's is appended to
	tls  *http.Client

	cmd    *exec.Cmd
	output string        // file with what this start printed
	ended  chan struct{} // closed when this start's process is gone
	starts int
}

// newServer prepares a server with a data folder and a port of its own.
func newServer(t testing.TB, args ...string) *server {
	t.Helper()
	s := &server{t: t, data: filepath.Join(t.TempDir(), "data"), logs: t.TempDir(), port: freePort(t), args: args}
	t.Cleanup(func() {
		if s.running() {
			s.kill()
		}
		if t.Failed() && s.output != "" {
			t.Logf("hallmarkd's last output:\n%s", s.printed())
		}
	})
	return s
}

// freePort gives a port below the range that the kernel picks client ports
// from, so that nobody takes it between two starts.
func freePort(t testing.TB) int {
	t.Helper()
	for range 100 {
		port := 20000 + rand.IntN(12000)
		if l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port)); err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}

func (s *server) address() string { return "127.0.0.1:" + strconv.Itoa(s.port) }

func (s *server) url() string {
	if s.tls != nil {
		return "https://" + s.address()
	}
	return "http://" + s.address()
}

// path names a file of the data folder.
func (s *server) path(elem ...string) string {
	return filepath.Join(append([]string{s.data}, elem...)...)
}

// tree names a file of the transparency log's tree.
func (s *server) tree(elem ...string) string {
	return s.path(append([]string{"log", "localhost", "tree"}, elem...)...)
}

func (s *server) command() []string {
	line := append([]string(nil), s.wrap...)
	line = append(line, program("hallmarkd"), "serve", "--data", s.data, "--listen", s.address(), "--log-format", "json")
	return append(line, s.args...)
}

// launch starts the process and waits for nothing.
func (s *server) launch() {
	s.t.Helper()
	s.starts++
	s.output = filepath.Join(s.logs, fmt.Sprintf("start-%d.log", s.starts))
	out, err := os.Create(s.output)
	if err != nil {
		s.t.Fatal(err)
	}
	defer out.Close()
	line := s.command()
	s.cmd = exec.Command(line[0], line[1:]...)
	s.cmd.Stdout, s.cmd.Stderr = out, out
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	cmd, ended := s.cmd, make(chan struct{})
	s.ended = ended
	go func() {
		cmd.Wait()
		close(ended)
	}()
}

// start launches the process and waits until it answers.
func (s *server) start() {
	s.t.Helper()
	s.launch()
	if err := s.awaitHealth(); err != nil {
		s.t.Fatalf("start %d: %v\n%s", s.starts, err, s.printed())
	}
}

func (s *server) awaitHealth() error {
	deadline := time.Now().Add(startLimit)
	for time.Now().Before(deadline) {
		if status, _, err := s.get("/healthz"); err == nil && status == http.StatusOK {
			return nil
		}
		select {
		case <-s.ended:
			return fmt.Errorf("hallmarkd ended: %v", s.cmd.ProcessState)
		case <-time.After(5 * time.Millisecond):
		}
	}
	return fmt.Errorf("hallmarkd does not answer after %v", startLimit)
}

func (s *server) running() bool {
	if s.ended == nil {
		return false
	}
	select {
	case <-s.ended:
		return false
	default:
		return true
	}
}

// printed is what the last start wrote to its outputs.
func (s *server) printed() string {
	data, err := os.ReadFile(s.output)
	if err != nil {
		return err.Error()
	}
	return string(data)
}

// process is hallmarkd itself: under a wrapper, the wrapper's child.
func (s *server) process() *os.Process {
	s.t.Helper()
	if len(s.wrap) == 0 {
		return s.cmd.Process
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%[1]d/task/%[1]d/children", s.cmd.Process.Pid))
	if err != nil {
		s.t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(children)))
	if err != nil {
		s.t.Fatalf("the wrapper's children: %q", children)
	}
	p, err := os.FindProcess(pid)
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

// kill ends the process as a crash would.
func (s *server) kill() {
	s.t.Helper()
	if err := s.process().Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		s.t.Fatal(err)
	}
	<-s.ended
}

// terminate asks the process to stop and gives its exit code.
func (s *server) terminate() int {
	s.t.Helper()
	if err := s.process().Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	return s.exitCode(startLimit)
}

func (s *server) exitCode(limit time.Duration) int {
	s.t.Helper()
	select {
	case <-s.ended:
		return s.cmd.ProcessState.ExitCode()
	case <-time.After(limit):
		s.t.Fatalf("hallmarkd still runs after %v\n%s", limit, s.printed())
		return -1
	}
}

// stop wants a graceful end.
func (s *server) stop() {
	s.t.Helper()
	if code := s.terminate(); code != 0 {
		s.t.Fatalf("exit code %d after SIGTERM\n%s", code, s.printed())
	}
}

// hallmarkd runs another of its commands to its end.
func hallmarkd(t testing.TB, args ...string) (code int, output string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*startLimit)
	defer cancel()
	out, err := exec.CommandContext(ctx, program("hallmarkd"), args...).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if exit != nil {
		return exit.ExitCode(), string(out)
	}
	return 0, string(out)
}

// fsck wants the data folder to be in order.
func (s *server) fsck() {
	s.t.Helper()
	if code, out := hallmarkd(s.t, "fsck", "--data", s.data); code != 0 || out != s.data+" is in order.\n" {
		s.t.Fatalf("fsck: exit code %d\n%s\nhallmarkd printed:\n%s", code, out, tail(s.printed()))
	}
}

func tail(s string) string {
	const most = 8000
	if len(s) > most {
		return "…" + s[len(s)-most:]
	}
	return s
}

// writeConfig makes a configuration file and has later starts use it.
func (s *server) writeConfig(yaml string) {
	s.t.Helper()
	file := filepath.Join(s.logs, "hallmarkd.yaml")
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.args = append(s.args, "--config", file)
}

// want fails the test unless all of the parts are in text.
func want(t testing.TB, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%q is missing in:\n%s", p, bytes.TrimSpace([]byte(text)))
		}
	}
}
