// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// stopwatch tells how much of the machine everybody else has had since it was
// started, without which figures from a shared machine mean little.
type stopwatch struct {
	at        time.Time
	busy, own time.Duration // of all processors; of this process and its finished children
}

func startWatch() (stopwatch, error) {
	busy, err := busyTime()
	if err != nil {
		return stopwatch{}, err
	}
	w := stopwatch{at: time.Now(), busy: busy}
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if err := syscall.Getrusage(who, &u); err != nil {
			return stopwatch{}, err
		}
		w.own += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return w, nil
}

// others is the share of the processors, in percent, that was taken by what
// this process did not start. It is right once all that it started has ended.
func (w stopwatch) others() (int, error) {
	now, err := startWatch()
	if err != nil {
		return 0, err
	}
	theirs := (now.busy - w.busy) - (now.own - w.own)
	whole := now.at.Sub(w.at) * time.Duration(runtime.NumCPU())
	return max(0, int(100*theirs/whole)), nil
}

// busyTime is what the processors have done since the machine started, from
// the first line of /proc/stat: see proc_stat(5).
func busyTime() (time.Duration, error) {
	data, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(data), "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0, fmt.Errorf("/proc/stat: unexpected first line %q", line)
	}
	var busy time.Duration
	for i, f := range fields[1:9] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/stat: %w", err)
		}
		if i != 3 && i != 4 { // idle, iowait
			busy += time.Duration(n) * (time.Second / 100)
		}
	}
	return busy, nil
}
