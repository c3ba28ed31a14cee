// SPDX-License-Identifier: Apache-2.0

// Package localsock listens on and dials Unix sockets that only their owner can
// use (unix(7), https://man7.org/linux/man-pages/man7/unix.7.html).
//
// Invariants: a socket is never reachable by others, not even between bind and
// chmod; a socket that a dead process left is replaced, a living one never is;
// a path longer than the kernel's limit works where /proc is mounted.
package localsock

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// maxPath is what fits into sockaddr_un on every Unix.
const maxPath = 100

// Listen makes a socket at path with mode 0600. The caller must hold a lock
// that keeps other processes from doing so at once.
func Listen(path string) (net.Listener, error) {
	if conn, err := Dial(context.Background(), path); err == nil {
		conn.Close()
		return nil, fmt.Errorf("socket %s: another process answers on it", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	short, done, err := shorten(path)
	if err != nil {
		return nil, err
	}
	defer done()
	// The folder of a Hallmark socket is private (0700); the mode is the second
	// fence, since some systems ignore a folder's.
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: short, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	l.SetUnlinkOnClose(false) // the short name may not exist by then
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, err
	}
	return &listener{l, path}, nil
}

type listener struct {
	*net.UnixListener
	path string
}

func (l *listener) Close() error {
	return errors.Join(l.UnixListener.Close(), ignoreMissing(os.Remove(l.path)))
}

// HTTPClient sends every request to the socket at path, whatever the URL's
// host.
func HTTPClient(path string) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, err := Dial(ctx, path)
			switch {
			case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
				return nil, fmt.Errorf("nobody listens on %s: is hallmarkd running with this data folder?", path)
			case errors.Is(err, fs.ErrPermission):
				return nil, fmt.Errorf("socket %s belongs to another user", path)
			}
			return conn, err
		},
	}}
}

// Dial connects to the socket at path. Errors match fs.ErrNotExist,
// syscall.ECONNREFUSED and fs.ErrPermission as the kernel's do.
func Dial(ctx context.Context, path string) (net.Conn, error) {
	short, done, err := shorten(path)
	if err != nil {
		return nil, err
	}
	defer done()
	return new(net.Dialer).DialContext(ctx, "unix", short)
}

// shorten gives a name for path that fits the kernel's limit, valid until done.
func shorten(path string) (short string, done func(), err error) {
	if len(path) <= maxPath {
		return path, func() {}, nil
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return "", nil, err
	}
	short = filepath.Join("/proc/self/fd", strconv.Itoa(int(dir.Fd())), filepath.Base(path))
	if _, err := os.Stat(filepath.Dir(short)); err != nil {
		dir.Close()
		return "", nil, fmt.Errorf("socket path %s is longer than %d bytes: use a shorter data folder", path, maxPath)
	}
	return short, func() { dir.Close() }, nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
