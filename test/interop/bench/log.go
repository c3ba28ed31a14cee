// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"hallmark/test/interop/internal/entry"
	"hallmark/test/interop/internal/peers"
)

// anyKey has our log take entries under keys that it does not know, as
// Rekor's does. Nothing else of it is changed.
var anyKey = []string{"--log-accept", "any"}

// aSecond is the setting under which Rekor's log is the fastest that its
// polling allows.
var aSecond = []string{"--checkpoint-interval", "1s"}

// the two ways of submitting entries one by one
var submissions = []struct {
	how    string
	gap    time.Duration
	target time.Duration
}{
	{"spaced ≥ 250 ms", 250 * time.Millisecond, 30 * time.Millisecond},
	{"back to back", 0, 120 * time.Millisecond},
}

func signedEntries(n int) ([][]byte, error) {
	return prepare(n, func() ([]byte, error) {
		r, err := entry.New()
		if err != nil {
			return nil, err
		}
		return r.JSON()
	})
}

// logLatency is how long one entry takes, until the log's answer is in.
func (b *bench) logLatency(ctx context.Context) error {
	atDefaults, err := b.rekorLatency(ctx, b.rekorEntries, nil)
	if err != nil {
		return err
	}
	atASecond, err := b.rekorLatency(ctx, b.rekorSecond, aSecond)
	if err != nil {
		return err
	}
	return b.with(ctx, "log-latency", anyKey, func(authority *peers.Authority) error {
		for i, s := range submissions {
			say("one log entry, %s", s.how)
			n := b.backToBack
			if s.gap > 0 {
				n = b.spaced
			}
			bodies, err := signedEntries(n)
			if err != nil {
				return err
			}
			took, err := oneByOne(ctx, authority.URL, entry.Path, bodies, s.gap)
			if err != nil {
				return err
			}
			theirs := "rekor " + ms(atASecond[i]) + " at 1 s"
			if b.rekorEntries > 0 {
				theirs = "rekor " + ms(atDefaults[i]) + "; " + ms(atASecond[i]) + " at 1 s"
			}
			b.table.add(row{"one log entry, " + s.how + ", p50", theirs, ms(median(took)), "≤ " + ms(s.target), median(took) <= s.target})
		}
		return nil
	})
}

// rekorLatency measures both ways of submitting at once, each with a server of
// its own: all they do is wait. The first answer is left out.
func (b *bench) rekorLatency(ctx context.Context, n int, args []string) ([2]time.Duration, error) {
	var p50 [2]time.Duration
	if n == 0 {
		return p50, nil
	}
	say("one log entry, Rekor %v", args)
	var failed [2]error
	var wg sync.WaitGroup
	for i, s := range submissions {
		wg.Go(func() {
			took, err := b.rekorEntryTimes(ctx, fmt.Sprintf("rekor-%d-%v", i, args != nil), args, n+1, s.gap)
			if err != nil {
				failed[i] = err
				return
			}
			p50[i] = median(took[1:])
		})
	}
	wg.Wait()
	return p50, errors.Join(failed[:]...)
}

func (b *bench) rekorEntryTimes(ctx context.Context, name string, args []string, n int, gap time.Duration) ([]time.Duration, error) {
	bodies, err := signedEntries(n)
	if err != nil {
		return nil, err
	}
	rekor, err := b.programs.StartRekor(ctx, b.path(name), args...)
	if err != nil {
		return nil, err
	}
	took, err := oneByOne(ctx, rekor.URL, entry.Path, bodies, gap)
	return took, errors.Join(err, rekor.Stop())
}

// logClients is how many submit at once.
const logClients = 1024

// logLoad is how many entries per second a log takes.
func (b *bench) logLoad(ctx context.Context) error {
	say("signing %d log entries", b.entries)
	bodies, err := signedEntries(b.entries)
	if err != nil {
		return err
	}
	say("log entries per second, Rekor at 1 s")
	rekor, err := b.programs.StartRekor(ctx, b.path("rekor-load"), aSecond...)
	if err != nil {
		return err
	}
	theirs, err := underLoad(ctx, rekor.URL, entry.Path, bodies, logClients, b.warmUp+2*time.Second, b.load)
	if err := errors.Join(err, rekor.Stop()); err != nil {
		return err
	}
	theirs.stopped(rekor.CPU())

	say("log entries per second, hallmarkd")
	authority, err := b.programs.StartAuthority(ctx, b.path("log-load"), anyKey...)
	if err != nil {
		return err
	}
	ours, err := underLoad(ctx, authority.URL, entry.Path, bodies, logClients, b.warmUp, b.load)
	if err := errors.Join(err, authority.Stop()); err != nil {
		return err
	}
	ours.stopped(authority.CPU())
	b.table.add(row{"log entries, 1,024 clients", "rekor " + theirs.String() + " (at 1 s)", ours.String(), "≥ 3000/s", ours.perSecond >= 3000})
	return nil
}
