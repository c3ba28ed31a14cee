// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"hallmark/internal/service/sign"
)

const (
	submitters = 64 // that send entries signed in advance
	keyless    = 8  // that sign with certificates beside them, and store bundles
	kills      = 10
	// mostPerRound bounds the log, and so the time the checks take.
	mostPerRound = 24 * submitters
)

// crowd is many clients that submit at once.
type crowd struct {
	l        *ledger
	signers  [submitters]*signer
	failed   atomic.Pointer[error] // the first answer that should not have been
	tolerant bool                  // answers other than 201 are expected, and counted in refused
	refused  atomic.Int64
	dups     atomic.Int64

	mu    sync.Mutex
	loose []submission // sent without an answer: in the log or not
}

func newCrowd(t testing.TB, l *ledger) *crowd {
	c := &crowd{l: l}
	for i := range c.signers {
		c.signers[i] = newSigner(t)
	}
	return c
}

// run submits until stop is closed or the server is gone. Submitters first
// repeat what they got no answer to, as a client would.
func (c *crowd) run(stop <-chan struct{}) {
	c.mu.Lock()
	again := c.loose
	c.loose = nil
	c.mu.Unlock()
	prepared := c.prepare(again)
	var all sync.WaitGroup
	for i := range submitters {
		all.Go(func() {
			for _, sub := range prepared[i] {
				select {
				case <-stop:
					return
				default:
				}
				if !c.submit(sub) {
					return
				}
			}
		})
	}
	all.Wait()
}

// prepare signs what each submitter will send. About one in ten is what another
// one sends too, at about the same time.
func (c *crowd) prepare(again []submission) [submitters][]submission {
	var out [submitters][]submission
	for i, sub := range again {
		out[i%submitters] = append(out[i%submitters], sub)
	}
	var signing sync.WaitGroup
	for i, s := range c.signers {
		signing.Go(func() {
			for range mostPerRound / submitters {
				out[i] = append(out[i], s.sign(c.l.s.t))
			}
		})
	}
	signing.Wait()
	for i := range out {
		for n := range out[i] {
			if other := out[rand.IntN(submitters)]; rand.IntN(10) == 0 && n < len(other) {
				out[i][n] = other[n]
				c.dups.Add(1)
			}
		}
	}
	return out
}

// submit reports whether the submitter should go on.
func (c *crowd) submit(sub submission) bool {
	e, err := c.l.s.submit(sub)
	if err == nil {
		err = c.l.acknowledged(e, sub.leaf)
		if err == nil {
			return true
		}
	} else {
		c.mu.Lock()
		c.loose = append(c.loose, sub)
		c.mu.Unlock()
		if c.tolerant && errors.Is(err, errNot201) {
			c.refused.Add(1)
			return true
		}
		if !errors.Is(err, errNot201) {
			return false // no answer: the server is gone
		}
	}
	c.failed.CompareAndSwap(nil, &err)
	return false
}

// sign makes keyless signatures and stores their bundles until the server is gone.
func (c *crowd) sign(round int) {
	signer, tok, err := c.l.s.keyless()
	if err != nil {
		c.failed.CompareAndSwap(nil, &err)
		return
	}
	var all sync.WaitGroup
	for i := range keyless {
		all.Go(func() {
			for n := 0; ; n++ {
				err := c.l.signAndStore(signer, tok, fmt.Sprintf("signed in round %d by %d, number %d", round, i, n))
				if answered := new(sign.Error); errors.Is(err, errNot201) || errors.As(err, &answered) && strings.Contains(err.Error(), "it answered") {
					c.failed.CompareAndSwap(nil, &err)
				}
				if err != nil {
					return
				}
			}
		})
	}
	all.Wait()
}

// watch collects every checkpoint the log shows, as monitors do.
func (c *crowd) watch(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-time.After(5 * time.Millisecond):
		}
		if status, body, err := c.l.s.get("/api/v2/checkpoint"); err == nil && status == 200 {
			if _, err := c.l.checkpoint(string(body)); err != nil {
				c.failed.CompareAndSwap(nil, &err)
			}
		}
	}
}

func (c *crowd) check() {
	c.l.s.t.Helper()
	if err := c.failed.Load(); err != nil {
		c.l.s.t.Fatal(*err)
	}
}

// However often hallmarkd is killed, what it acknowledged is in the log, every
// checkpoint it showed is of one tree, and no hand is needed.
func TestKilledUnderLoadKeepsEveryAcknowledgedEntry(t *testing.T) {
	began := time.Now()
	s := newServer(t, "--log-accept", "any", "--dev-issuer")
	s.start()
	l := newLedger(s)
	c := newCrowd(t, l)
	var slowest time.Duration
	var under int // way at a kill
	for round := range kills {
		before := l.count()
		stop := make(chan struct{})
		var busy sync.WaitGroup
		busy.Go(func() { c.run(stop) })
		busy.Go(func() { c.watch(stop) })
		busy.Go(func() { c.sign(round) })
		for deadline := time.Now().Add(startLimit); l.count() < before+submitters; time.Sleep(time.Millisecond) {
			if c.check(); time.Now().After(deadline) {
				t.Fatalf("round %d: %d entries acknowledged in %v", round, l.count()-before, startLimit)
			}
		}
		time.Sleep(time.Duration(rand.IntN(400)) * time.Millisecond)
		s.kill()
		close(stop)
		busy.Wait()
		c.check()
		if len(c.loose) == 0 {
			t.Errorf("round %d: nothing was under way at the kill", round)
		}
		under += len(c.loose)
		s.fsck()
		restart := time.Now()
		s.start()
		slowest = max(slowest, time.Since(restart))
		l.kept()
		if err := l.keptSigned(); err != nil {
			t.Fatal(err)
		}
	}
	// What was under way at the last kill is answered like anything else.
	c.run(make(chan struct{}))
	c.check()
	if len(c.loose) > 0 {
		t.Errorf("%d submissions without an answer, though nothing was killed", len(c.loose))
	}
	l.kept()
	s.stop()
	s.fsck()
	t.Logf("%d kills with %d submissions under way: %d acknowledged entries, %d certificates in the CT log, %d bundles and %d checkpoints kept; "+
		"%d submissions were sent twice; slowest start %v; %v in all",
		kills, under, l.count(), len(l.certified), len(l.stored), len(l.roots), c.dups.Load(), slowest.Round(time.Millisecond), time.Since(began).Round(time.Second))
}
