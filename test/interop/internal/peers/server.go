// SPDX-License-Identifier: Apache-2.0

package peers

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// server is a running daemon whose output goes to a file.
type server struct {
	cmd    *exec.Cmd
	output string        // the file's name
	exited chan struct{} // closed when it has ended
}

// start runs cmd with its output in a file and waits until ready says so of
// what it has printed so far.
func start(ctx context.Context, cmd *exec.Cmd, output string, ready func(printed string) bool) (*server, error) {
	file, err := os.Create(output)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	cmd.Stdout, cmd.Stderr = file, file
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &server{cmd: cmd, output: output, exited: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // the exit code of a stopped server says nothing
		close(s.exited)
	}()
	limit := time.NewTimer(30 * time.Second)
	defer limit.Stop()
	for !ready(s.printed()) {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-s.exited:
			return nil, fmt.Errorf("%s ended while starting:\n%s", cmd.Path, s.printed())
		case <-limit.C:
			_ = s.stop()
			return nil, fmt.Errorf("%s was not ready after 30 s:\n%s", cmd.Path, s.printed())
		case <-ctx.Done():
			_ = s.stop()
			return nil, ctx.Err()
		}
	}
	return s, nil
}

// printed is the server's output so far.
func (s *server) printed() string {
	text, err := os.ReadFile(s.output)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// stop ends the server as an operator would, and kills it after ten seconds.
func (s *server) stop() error {
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-s.exited:
		return nil
	case <-time.After(10 * time.Second):
		_ = s.cmd.Process.Kill()
		<-s.exited
		return fmt.Errorf("%s did not end within 10 s of SIGTERM:\n%s", s.cmd.Path, s.printed())
	}
}

// cpu is the processor time that the server took from start to end, once it is
// stopped.
func (s *server) cpu() time.Duration {
	state := s.cmd.ProcessState
	return state.UserTime() + state.SystemTime()
}

// commandLine is the words of the first whole printed line that starts with
// prefix, and nil where there is none.
func commandLine(printed, prefix string) []string {
	for line := range strings.Lines(printed) {
		if strings.HasPrefix(strings.TrimSpace(line), prefix) && strings.HasSuffix(line, "\n") {
			return strings.Fields(line)
		}
	}
	return nil
}
