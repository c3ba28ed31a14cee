// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// childRefresh makes this test binary a process that refreshes the trust root
// "lab" in childDir a few times and loads it.
const (
	childRefresh = "TRUST_TEST_REFRESH"
	childBegan   = "TRUST_TEST_BEGAN" // when the clock they share began
)

const rounds = 8 // refreshes of one process

// refreshing is what such a process does.
func refreshing(ctx context.Context, s *Store) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for range rounds {
		if _, err := s.Refresh(ctx, "lab"); err != nil {
			return err
		}
		a, err := s.Load("lab")
		if err != nil {
			return err
		}
		if a.Root == nil || a.SigningConfig == nil || a.Instance == nil {
			return errors.New("loaded a torn trust root")
		}
		time.Sleep(20 * time.Millisecond)
	}
	return nil
}

// TestFiftyProcesses: fifty processes refresh one trust root at once, over and
// over, while the repository rotates its root and publishes, and while every
// tenth of them is killed at any moment. Whoever lives succeeds, what is stored
// is whole at every moment, the end is the latest state, and most take what
// another fetched instead of asking the server again.
func TestFiftyProcesses(t *testing.T) {
	const processes = 50
	srv := newServer(t)
	dir := t.TempDir()
	began := time.Now().UnixNano()
	s := New(dir, Deps{Now: ticking(began)})
	initLab(t, s, srv)
	root2 := nextRoot(t, srv.repo.Root(), func(r *metadata.RootType) { r.Expires = r.Expires.Add(time.Hour) }, srv.keys.Root)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var killed atomic.Int64
	var wg sync.WaitGroup
	before := srv.requests.Load()
	for i := range processes {
		wg.Go(func() {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			cmd := exec.CommandContext(ctx, exe) // cancelling it is SIGKILL
			cmd.Env = append(os.Environ(), childDir+"="+dir, childRefresh+"=1", childBegan+"="+strconv.FormatInt(began, 10))
			if i%10 == 0 {
				time.AfterFunc(time.Duration(50+i*10)*time.Millisecond, cancel)
			}
			out, err := cmd.CombinedOutput()
			switch {
			case ctx.Err() != nil:
				killed.Add(1)
			case err != nil:
				t.Errorf("process %d: %v: %s", i, err, out)
			}
		})
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for n := 1; ; n++ {
			select {
			case <-stop:
				return
			case <-time.After(50 * time.Millisecond):
			}
			srv.publish(n, start)
			if n == 2 {
				srv.set("/tuf/2.root.json", root2)
			}
			if _, err := s.Load("lab"); err != nil {
				t.Errorf("a reader meanwhile: %v", err)
			}
		}
	}()
	wg.Wait()
	close(stop)
	<-done
	srv.set("/tuf/2.root.json", root2)
	requests := srv.requests.Load() - before
	if requests >= processes*rounds { // each refresh alone makes at least three
		t.Errorf("%d requests: the processes did not share", requests)
	}
	if _, err := s.Refresh(t.Context(), "lab"); err != nil {
		t.Fatal(err)
	}
	r, files, err := s.read("lab")
	if err != nil || r.TUF.Root != 2 || !bytes.Equal(files[tufTimestamp], srv.get("/tuf/timestamp.json")) {
		t.Errorf("not the latest state: %+v, %v", r, err)
	}
	entries, err := os.ReadDir(filepath.Join(dir, "trust", "lab"))
	if err != nil || len(entries) > 3 { // trust.json, this generation, the one before
		t.Errorf("left behind: %v, %v", entries, err)
	}
	t.Logf("%d of %d processes were killed; %d requests", killed.Load(), processes, requests)
}

// TestFiftyProcessesRefuseARollback: none of fifty takes older metadata, or
// newer that has expired, and what was there stays.
func TestFiftyProcessesRefuseARollback(t *testing.T) {
	srv := newServer(t)
	srv.first = srv.get("/tuf/timestamp.json")
	srv.publish(1, start)
	dir := t.TempDir()
	s := New(dir, Deps{Now: func() time.Time { return start.Add(time.Hour) }})
	initLab(t, s, srv)
	srv.set("/tuf/timestamp.json", srv.first)
	before := listing(t, dir)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			cmd := exec.CommandContext(t.Context(), exe)
			cmd.Env = append(os.Environ(), childDir+"="+dir, childRefresh+"=1")
			if out, err := cmd.CombinedOutput(); err == nil || !bytes.Contains(out, []byte(ErrRollback.Error())) {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	wg.Wait()
	if !sameFiles(before, listing(t, dir)) {
		t.Error("the store has changed")
	}
}

// ticking is a clock that began with the process's start in Unix nanoseconds.
func ticking(began int64) func() time.Time {
	return func() time.Time { return start.Add(time.Hour + time.Since(time.Unix(0, began))) }
}

func runChild(dir string) int {
	began, err := strconv.ParseInt(os.Getenv(childBegan), 10, 64)
	if err != nil {
		began = time.Now().UnixNano()
	}
	s := New(dir, Deps{Now: ticking(began)})
	if os.Getenv(childRefresh) != "" {
		err = refreshing(context.Background(), s)
	} else {
		err = use(context.Background(), s, os.Getenv(childURL), os.Getenv(childSum))
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}
