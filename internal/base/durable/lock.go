// SPDX-License-Identifier: Apache-2.0

package durable

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// ErrLocked says that another process (or another [FileLock] of this one)
// holds the lock. Try again later, or name another folder.
var ErrLocked = errors.New("locked by another process")

// FileLock is an advisory lock (flock(2)) on a file. The kernel drops it when
// the process ends, however it ends, so a stale lock cannot exist.
type FileLock struct{ f *os.File }

// TryLock takes the lock at path, which is created when absent with mode 0600.
// It returns an error that wraps [ErrLocked] at once when somebody holds it.
func TryLock(path string) (*FileLock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s: %w", path, ErrLocked)
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return &FileLock{f}, nil
}

// Lock waits for the lock at path until ctx ends. The wait is by polling with
// a short sleep, so many waiters are served in no particular order.
func Lock(ctx context.Context, path string) (*FileLock, error) {
	for {
		l, err := TryLock(path)
		if err == nil || !errors.Is(err, ErrLocked) {
			return l, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: gave up waiting: %w", err, context.Cause(ctx))
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// Unlock gives the lock back. The file stays: removing it would let two
// processes lock two different files of the same name.
func (l *FileLock) Unlock() error { return l.f.Close() }
