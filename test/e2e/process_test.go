// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bufio"
	"net"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Only one process serves a data folder, or checks it.
func TestTwoProcessesOnOneFolder(t *testing.T) {
	s := newServer(t, "--log-accept", "any")
	s.start()
	code, out := hallmarkd(t, "serve", "--data", s.data, "--listen", "127.0.0.1:0")
	if code != 1 {
		t.Errorf("a second process: exit code %d", code)
	}
	want(t, out, "data folder "+s.data+" is in use by another hallmarkd", "--data")
	code, out = hallmarkd(t, "fsck", "--data", s.data)
	if code != 1 {
		t.Errorf("fsck beside it: exit code %d", code)
	}
	want(t, out, "is in use by a running hallmarkd", "stop it first")
	// The first one has not noticed anything.
	l, _ := seeded(t, s)
	l.kept()
	// A lock does not outlive its process.
	s.kill()
	s.start()
	l.kept()
	s.stop()
	s.fsck()
}

// SIGTERM lets the requests under way finish, takes no new ones, and ends with 0.
func TestTerminateFinishesWhatIsUnderWay(t *testing.T) {
	const clients = 32
	s := newServer(t, "--log-accept", "any")
	s.start()
	l, _ := seeded(t, s)
	subs := make([]submission, clients)
	conns := make([]net.Conn, clients)
	for i := range conns {
		subs[i] = newSigner(t).sign(t)
		conn, err := s.halfSent(subs[i])
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(startLimit))
		conns[i] = conn
	}
	s.awaitRead(conns)
	began := time.Now()
	if err := s.process().Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		conn, err := net.Dial("tcp", s.address())
		if err != nil {
			break // nobody listens any more
		}
		conn.Close()
		if time.Now().After(deadline) {
			t.Fatal("new connections are still accepted")
		}
	}
	var all sync.WaitGroup
	for i, conn := range conns {
		all.Go(func() {
			if _, err := conn.Write(subs[i].request[len(subs[i].request)-1:]); err != nil {
				t.Errorf("client %d: %v", i, err)
				return
			}
			status, body, err := answer(http.ReadResponse(bufio.NewReader(conn), nil))
			if err != nil {
				t.Errorf("client %d: %v", i, err)
				return
			}
			e, err := parseCreated(status, body)
			if err == nil {
				err = l.acknowledged(e, subs[i].leaf)
			}
			if err != nil {
				t.Errorf("client %d: %v", i, err)
			}
		})
	}
	all.Wait()
	if code := s.exitCode(startLimit); code != 0 {
		t.Errorf("exit code %d\n%s", code, s.printed())
	}
	took := time.Since(began)
	s.fsck()
	s.start()
	l.kept()
	s.stop()
	t.Logf("%d submissions under way at SIGTERM: all got their 201, exit code 0 after %v", clients, took.Round(time.Millisecond))
}

// awaitRead waits until the server has taken everything that was sent on the
// connections, so that their requests are under way.
func (s *server) awaitRead(conns []net.Conn) {
	s.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		unread, err := s.unread(conns)
		if err != nil {
			s.t.Fatal(err)
		}
		if unread == 0 {
			return
		}
	}
	s.t.Fatal("hallmarkd does not read what clients send")
}
