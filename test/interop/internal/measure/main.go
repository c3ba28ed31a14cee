// SPDX-License-Identifier: Apache-2.0

// Command measure runs another command and writes what it took, as JSON, to
// file descriptor 3.
//
// It exists because of how Linux counts the memory of a process: from that of
// the process that started it. So the one that starts what is measured has to
// be smaller than it, which this is and a benchmark is not.
package main

import (
	"fmt"
	"os"
	"syscall"
	"time"
)

// usage is the form of what it writes; the times are in nanoseconds and
// MaxRSS is in bytes.
const usage = `{"Code":%d,"Wall":%d,"CPU":%d,"MaxRSS":%d}`

func main() {
	if err := run(os.Args[1], os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "measure:", err)
		os.Exit(1)
	}
}

func run(path string, argv []string) error {
	files := []*os.File{os.Stdin, os.Stdout, os.Stderr}
	start := time.Now()
	process, err := os.StartProcess(path, argv, &os.ProcAttr{Env: os.Environ(), Files: files})
	if err != nil {
		return err
	}
	state, err := process.Wait()
	if err != nil {
		return err
	}
	wall := time.Since(start)
	measured := state.SysUsage().(*syscall.Rusage).Maxrss
	var self syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &self); err != nil {
		return err
	}
	if measured <= self.Maxrss {
		return fmt.Errorf("%s is smaller than this program, which has %d KiB", path, self.Maxrss)
	}
	cpu := state.UserTime() + state.SystemTime()
	_, err = fmt.Fprintf(os.NewFile(3, "usage"), usage, state.ExitCode(), wall, cpu, measured<<10)
	return err
}
