// SPDX-License-Identifier: Apache-2.0

package peers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"syscall"
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

	Wall   time.Duration
	CPU    time.Duration // user and system time
	MaxRSS int64         // bytes, see [Client.Run]
}

// Run runs a command line whose first word names one of the programs. A
// command that fails is a Result with its exit code; an error means that it
// could not be run or was killed.
//
// MaxRSS is Linux's figure, which starts at the size of the process that
// started the child: it means something only while the caller is the smaller.
func (c Client) Run(ctx context.Context, argv ...string) (Result, error) {
	cmd := c.Programs.command(ctx, c.Home, argv...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	start := time.Now()
	err := cmd.Run()
	wall := time.Since(start)
	var exit *exec.ExitError
	if err != nil && !(errors.As(err, &exit) && exit.Exited()) {
		return Result{}, fmt.Errorf("%s: %w\n%s", argv[0], err, errOut.String())
	}
	r := Result{Code: cmd.ProcessState.ExitCode(), Out: out.String(), Err: errOut.String(), Wall: wall}
	r.CPU = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		r.MaxRSS = int64(usage.Maxrss) << 10 // Linux counts in KiB
	}
	return r, nil
}

// Must is Run for a command that has to succeed.
func (c Client) Must(ctx context.Context, argv ...string) (Result, error) {
	r, err := c.Run(ctx, argv...)
	if err == nil && r.Code != 0 {
		err = fmt.Errorf("%s %s: exit code %d\n%s%s", argv[0], argv[1], r.Code, r.Out, r.Err)
	}
	return r, err
}

// command prepares a program with an environment that knows only home.
func (p Programs) command(ctx context.Context, home string, argv ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, p.Path(argv[0]), argv[1:]...)
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
