// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// ballast fills a file system until free bytes are left, and can be dropped.
type ballast struct {
	t    *testing.T
	path string
}

// leave writes until free bytes are left. Others may be writing meanwhile, so a
// full disk is one that was found full several times.
func (b ballast) leave(free int64) {
	b.t.Helper()
	f, err := os.OpenFile(b.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		b.t.Fatal(err)
	}
	defer f.Close()
	chunk := make([]byte, 1<<20)
	for full := 0; full < 5; {
		var fs unix.Statfs_t
		if err := unix.Statfs(b.path, &fs); err != nil {
			b.t.Fatal(err)
		}
		more := int64(fs.Bavail)*fs.Bsize - free
		if more <= 0 && free > 0 {
			return
		}
		_, err := f.Write(chunk[:min(int64(len(chunk)), max(more, 1))])
		switch {
		case errors.Is(err, syscall.ENOSPC):
			full++
			time.Sleep(2 * time.Millisecond)
		case err != nil:
			b.t.Fatal(err)
		}
	}
}

func (b ballast) drop() {
	b.t.Helper()
	if err := os.Remove(b.path); err != nil {
		b.t.Fatal(err)
	}
}

// refused submits until the log answers 503, and gives its reason. One answer may
// take long, if the entry could be stored and its checkpoint could not.
func refused(t *testing.T, s *server) string {
	t.Helper()
	answers := make(chan string, 100)
	for range cap(answers) {
		sub := newSigner(t).sign(t)
		go func() {
			status, body, err := s.post(entriesPath, sub.request)
			switch {
			case err != nil:
				answers <- "error: " + err.Error()
			case status == http.StatusServiceUnavailable:
				answers <- refusal(body)
			case status == http.StatusCreated:
				answers <- ""
			default:
				answers <- fmt.Sprintf("error: %d %s", status, refusal(body))
			}
		}()
		select {
		case reason := <-answers:
			if strings.HasPrefix(reason, "error: ") {
				t.Fatalf("a submission to a full disk: %s", reason)
			} else if reason != "" {
				return reason
			}
		case <-time.After(100 * time.Millisecond):
		}
	}
	t.Fatal("submissions are still accepted")
	return ""
}

// readOnly checks what a log below its watermark says and still does.
func readOnly(t *testing.T, s *server, l *ledger, known submission) {
	t.Helper()
	want(t, refused(t, s), "read-only", "MiB must stay free", "make room")
	status, body, err := s.get("/readyz")
	if err != nil || status != http.StatusServiceUnavailable {
		t.Errorf("/readyz: %d %v", status, err)
	}
	want(t, refusal(body), "read-only", "MiB must stay free")
	if status, _, err := s.get("/healthz"); err != nil || status != http.StatusOK {
		t.Errorf("/healthz: %d %v", status, err)
	}
	l.kept()
	e, err := s.submit(known)
	if err != nil {
		t.Errorf("an entry that is in the log already: %v", err)
	} else if err := l.acknowledged(e, known.leaf); err != nil {
		t.Error(err)
	}
	for _, path := range []string{"/tuf/timestamp.json", "/.well-known/hallmark.json", "/hallmark/v1/log/entries/0"} {
		s.fetched(path)
	}
}

// accepts wants submissions to work again within the time that a look at the
// disk is remembered.
func accepts(t *testing.T, s *server, l *ledger) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		sub := newSigner(t).sign(t)
		e, failed := s.submit(sub)
		if err = failed; err == nil {
			if err := l.acknowledged(e, sub.leaf); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("submissions still fail after there is room again: %v", err)
}

func seeded(t *testing.T, s *server) (*ledger, submission) {
	t.Helper()
	l := newLedger(s)
	var first submission
	for i := range 5 {
		sub := newSigner(t).sign(t)
		if i == 0 {
			first = sub
		}
		e, err := s.submit(sub)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.acknowledged(e, sub.leaf); err != nil {
			t.Fatal(err)
		}
	}
	return l, first
}

// A disk that fills up makes the log read-only while there is room to finish
// what was accepted.
func TestDiskNearlyFull(t *testing.T) {
	inside, allowed := inNamespace(t)
	if allowed && !inside {
		return
	}
	s := newServer(t, "--log-accept", "any", "--dev-issuer")
	var fill, room func()
	if inside {
		disk := mountDisk(t, "128m")
		s.data = filepath.Join(disk, "data")
		s.start()
		b := ballast{t, filepath.Join(disk, "ballast")}
		fill, room = func() { b.leave(60 << 20) }, b.drop
	} else { // the watermark is raised above what is free
		s.start()
		config := s.args
		fill = func() {
			s.stop()
			s.writeConfig("log: {min-free-bytes: 1152921504606846976}\n")
			s.start()
		}
		room = func() { s.stop(); s.args = config; s.start() }
	}
	l, known := seeded(t, s)
	if _, err := s.signBlob("while there is room"); err != nil {
		t.Fatal(err)
	}
	fill()
	readOnly(t, s, l, known)
	if inside { // the CT log's watermark is not configurable
		time.Sleep(300 * time.Millisecond) // one look at the disk lasts 250 ms
		_, err := s.signBlob("without room")
		if err == nil {
			t.Fatal("a certificate was issued on a nearly full disk")
		}
		t.Logf("signing says: %v", err)
		want(t, err.Error(), "certificate", "503")
	}
	room()
	accepts(t, s, l)
	_, err := s.signBlob("with room again")
	for deadline := time.Now().Add(5 * time.Second); err != nil && time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		_, err = s.signBlob("with room again")
	}
	if err != nil {
		t.Error(err)
	}
	l.kept()
	s.stop()
	s.fsck()
}

// fault is a disk that refuses to be written to, for as long as it does.
type fault struct {
	name  string
	begin func()
	end   func()
}

// survives submits from many clients while the disk begins to refuse writes,
// kills hallmarkd, and wants everything that was acknowledged to be there after
// the fault.
func survives(t *testing.T, s *server, f fault) {
	t.Helper()
	l, known := seeded(t, s)
	c := newCrowd(t, l)
	c.tolerant = true
	stop := make(chan struct{})
	var busy sync.WaitGroup
	busy.Go(func() { c.run(stop) })
	for began := l.count(); l.count() < began+submitters; time.Sleep(time.Millisecond) {
		c.check()
	}
	f.begin()
	reason := refused(t, s)
	t.Logf("%s: a submission answers 503: %s", f.name, reason)
	if strings.Contains(reason, "/") || strings.Contains(reason, "0x") {
		t.Errorf("the reason shows the inside of the machine: %s", reason)
	}
	acknowledged := l.count()
	time.Sleep(500 * time.Millisecond)
	if !s.running() {
		t.Fatalf("hallmarkd ended: %v\n%s", s.cmd.ProcessState, tail(s.printed()))
	}
	// Reading goes on. What was under way when the fault began may be there or not.
	l.kept()
	e, err := s.submit(known)
	if err != nil && !errors.Is(err, errNot201) {
		t.Errorf("a known entry: %v", err)
	} else if err == nil && l.acknowledged(e, known.leaf) != nil {
		t.Error("a known entry is answered wrongly")
	}
	during := l.count() - acknowledged
	close(stop)
	f.end()
	accepts(t, s, l) // without a restart
	busy.Wait()
	c.check()
	f.begin()
	refused(t, s)
	s.kill()
	f.end()
	s.fsck()
	s.start()
	l.kept()
	accepts(t, s, l)
	c.tolerant = false
	c.run(make(chan struct{})) // what was refused, again
	c.check()
	l.kept()
	s.stop()
	s.fsck()
	t.Logf("%s: %d entries acknowledged in all, %d while it lasted; %d answers other than 201; every acknowledged entry is there",
		f.name, l.count(), during, c.refused.Load())
}

// A disk without a byte left costs answers, never entries.
func TestDiskFull(t *testing.T) {
	inside, allowed := inNamespace(t)
	if !inside {
		if !allowed {
			t.Log("see TestFilesThatCannotGrow for what a full disk does")
		}
		return
	}
	disk := mountDisk(t, "96m")
	s := newServer(t, "--log-accept", "any", "--dev-issuer")
	s.data = filepath.Join(disk, "data")
	s.writeConfig("log: {min-free-bytes: 1}\n")
	s.start()
	b := ballast{t, filepath.Join(disk, "ballast")}
	survives(t, s, fault{"no space left on device", func() { b.leave(0) }, b.drop})

	// A start on a full disk serves what there is, or says why not. After a kill
	// the databases' logs are there; after a graceful stop they have to be made.
	for _, end := range []func(){s.kill, s.stop} {
		if !s.running() {
			s.start()
		}
		end()
		b.leave(0)
		s.launch()
		if err := s.awaitHealth(); err == nil {
			refused(t, s)
			s.fetched("/api/v2/checkpoint")
			t.Log("a start on a full disk serves what there is")
			s.kill()
		} else if s.running() {
			t.Fatal(err)
		} else {
			if code := s.cmd.ProcessState.ExitCode(); code != 1 {
				t.Errorf("a start on a full disk: exit code %d", code)
			}
			want(t, lastLine(s.printed()), "hallmarkd: ", "full", s.data)
			t.Logf("a start on a full disk: %s", lastLine(s.printed()))
		}
		b.drop()
		s.fsck()
	}
	s.start()
	if _, err := s.signBlob("with room again"); err != nil {
		t.Error(err)
	}
	s.stop()
	s.fsck()
}

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return s[strings.LastIndexByte(s, '\n')+1:]
}

// Writes that fail for another reason than space do the same. This needs no
// privileges: the kernel refuses writes beyond a process's file size limit.
func TestFilesThatCannotGrow(t *testing.T) {
	s := newServer(t, "--log-accept", "any", "--dev-issuer")
	s.start()
	limit := func(bytes uint64) {
		if !s.running() {
			return
		}
		lim := unix.Rlimit{Cur: bytes, Max: unix.RLIM_INFINITY}
		if err := unix.Prlimit(s.process().Pid, unix.RLIMIT_FSIZE, &lim, nil); err != nil {
			t.Fatal(err)
		}
	}
	survives(t, s, fault{"file size limit 0", func() { limit(0) }, func() { limit(unix.RLIM_INFINITY) }})
}

// A first start on a disk that is too small fails clearly and leaves nothing
// that a later start could stumble over.
func TestFirstStartWithoutRoom(t *testing.T) {
	s := newServer(t, "--dev-issuer")
	for _, kib := range []int{0, 1, 2} {
		s.wrap = []string{"sh", "-c", fmt.Sprintf("ulimit -f %d; exec \"$@\"", 2*kib), "sh"} // units of 512 bytes
		s.launch()
		if code := s.exitCode(startLimit); code != 1 {
			t.Fatalf("files of at most %d KiB: exit code %d\n%s", kib, code, s.printed())
		}
	}
	s.wrap = nil
	s.start()
	if _, err := s.signBlob("with room"); err != nil {
		t.Fatal(err)
	}
	s.stop()
	s.fsck()

}
