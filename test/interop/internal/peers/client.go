// SPDX-License-Identifier: Apache-2.0

package peers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// Client is a user of the client programs: a home folder that holds whom they
// trust, and no other configuration or credentials.
type Client struct {
	Programs Programs
	Home     string
}

// Result is a finished process.
type Result struct {
	Code     int // the exit code
	Out, Err string
}

// Run runs a command line whose first word names one of the programs. A
// command that fails is a Result with its exit code; an error means that it
// could not be run or was killed.
func (c Client) Run(ctx context.Context, argv ...string) (Result, error) {
	cmd := c.Programs.command(ctx, c.Home, argv...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !(errors.As(err, &exit) && exit.Exited()) {
		return Result{}, fmt.Errorf("%s: %w\n%s", argv[0], err, errOut.String())
	}
	return Result{Code: cmd.ProcessState.ExitCode(), Out: out.String(), Err: errOut.String()}, nil
}

// Must is Run for a command that has to succeed.
func (c Client) Must(ctx context.Context, argv ...string) (Result, error) {
	r, err := c.Run(ctx, argv...)
	if err == nil && r.Code != 0 {
		err = fmt.Errorf("%s %s: exit code %d\n%s%s", argv[0], argv[1], r.Code, r.Out, r.Err)
	}
	return r, err
}

// Usage is what a process took.
type Usage struct {
	Code   int // the exit code
	Wall   time.Duration
	CPU    time.Duration // user and system time
	MaxRSS int64         // the most memory it had at once, in bytes
}

// Measure runs a command that has to succeed, and says what it took.
func (c Client) Measure(ctx context.Context, argv ...string) (Usage, error) {
	cmd := c.Programs.command(ctx, c.Home, append([]string{measure, c.Programs.path(argv[0])}, argv[1:]...)...)
	r, w, err := os.Pipe()
	if err != nil {
		return Usage{}, err
	}
	defer r.Close()
	cmd.ExtraFiles = []*os.File{w}
	out, err := cmd.CombinedOutput()
	w.Close()
	if err != nil {
		return Usage{}, fmt.Errorf("%s: %w\n%s", argv[0], err, out)
	}
	var u Usage
	if err := json.NewDecoder(r).Decode(&u); err != nil {
		return Usage{}, fmt.Errorf("%s: what measure found out: %w", argv[0], err)
	}
	if u.Code != 0 {
		return u, fmt.Errorf("%s %s: exit code %d\n%s", argv[0], argv[1], u.Code, out)
	}
	return u, nil
}

// command prepares a program with an environment that knows only home.
func (p Programs) command(ctx context.Context, home string, argv ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, p.path(argv[0]), argv[1:]...)
	cmd.Dir = home
	cmd.Env = []string{
		"HOME=" + home,
		"TUF_ROOT=" + filepath.Join(home, "tuf"),
		"HALLMARK_HOME=" + filepath.Join(home, "hallmark"),
		"DOCKER_CONFIG=" + filepath.Join(home, "docker"),
		"COSIGN_PASSWORD=",
	}
	return cmd
}
