// SPDX-License-Identifier: Apache-2.0

package oidc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// keySet is the keys of an issuer at one time. It is never written after it is
// made.
type keySet struct {
	keys    []jose.JSONWebKey // public, usable for signatures
	fetched time.Time
	number  int // counts the sets of an issuer, from 1; clocks may step back
}

// keySource gives the keys of one issuer. It is safe for concurrent use.
type keySource interface {
	// current is the keys as they are known, fetched if need be. It blocks
	// during a fetch. Its error is an *[Error] with CodeIssuerUnavailable.
	current(ctx context.Context) (keySet, error)

	// newer is a set fetched after than, if one may be fetched now.
	newer(ctx context.Context, than keySet) (keySet, bool)
}

// staticKeys are keys in this process.
type staticKeys struct{ set KeySet }

func (s staticKeys) current(context.Context) (keySet, error) {
	return keySet{keys: usable(s.set.Keys())}, nil
}

func (s staticKeys) newer(context.Context, keySet) (keySet, bool) { return keySet{}, false }

// staleWait is how long a token waits for a refresh while keys that are past
// FreshFor, but not past StaleFor, are at hand.
const staleWait = 2 * time.Second

// remoteKeys are keys behind the issuer's discovery document. They are fetched
// when first needed.
type remoteKeys struct {
	issuer string
	fetch  *fetcher
	now    func() time.Time
	log    *slog.Logger

	mu        sync.Mutex // held for moments, never during a fetch
	set       keySet     // zero until a fetch succeeded; replaced whole
	attempted time.Time  // start of the last fetch
	lastErr   error      // of the last fetch, nil after a success
	running   *flight    // the fetch under way, nil if none
}

// flight is one fetch that any number of callers wait for.
type flight struct{ done chan struct{} }

func (r *remoteKeys) current(ctx context.Context) (keySet, error) {
	r.mu.Lock()
	set := r.set
	age := r.now().Sub(set.fetched)
	if set.keys != nil && age >= 0 && age < FreshFor {
		r.mu.Unlock()
		return set, nil
	}
	usable := set.keys != nil && age < StaleFor
	f := r.startLocked()
	r.mu.Unlock()

	if f != nil {
		wait := 2*FetchTimeout + time.Second
		if usable {
			wait = staleWait
		}
		f.wait(ctx, wait)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.set.number > set.number || usable {
		return r.set, nil
	}
	return keySet{}, r.unavailableLocked(ctx)
}

func (r *remoteKeys) newer(ctx context.Context, than keySet) (keySet, bool) {
	r.mu.Lock()
	if r.set.number <= than.number {
		f := r.startLocked()
		r.mu.Unlock()
		if f == nil {
			return keySet{}, false
		}
		f.wait(ctx, 2*FetchTimeout+time.Second)
		r.mu.Lock()
	}
	defer r.mu.Unlock()
	return r.set, r.set.number > than.number
}

// startLocked is the fetch under way or a new one; nil if the last one was too
// short a time ago.
func (r *remoteKeys) startLocked() *flight {
	if r.running != nil {
		return r.running
	}
	now := r.now()
	if since := now.Sub(r.attempted); !r.attempted.IsZero() && since >= 0 && since < RefreshInterval {
		return nil
	}
	f := &flight{done: make(chan struct{})}
	r.running, r.attempted = f, now
	go r.refresh(f)
	return f
}

// refresh runs apart from the callers that wait for it: one that goes away
// does not take the keys from the others.
func (r *remoteKeys) refresh(f *flight) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*FetchTimeout)
	defer cancel()
	keys, err := r.fetch.keys(ctx, r.issuer)
	r.mu.Lock()
	r.running, r.lastErr = nil, err
	if err == nil {
		r.set = keySet{keys: keys, fetched: r.now(), number: r.set.number + 1}
	}
	r.mu.Unlock()
	close(f.done)
	if err != nil {
		r.log.Warn("keys of an identity issuer could not be fetched", "issuer", r.issuer, "error", err)
	} else {
		r.log.Info("fetched keys of an identity issuer", "issuer", r.issuer, "keys", len(keys))
	}
}

func (f *flight) wait(ctx context.Context, max time.Duration) {
	timer := time.NewTimer(max)
	defer timer.Stop()
	select {
	case <-f.done:
	case <-ctx.Done():
	case <-timer.C:
	}
}

func (r *remoteKeys) unavailableLocked(ctx context.Context) *Error {
	e := &Error{Code: CodeIssuerUnavailable, cause: ctx.Err()}
	switch {
	case e.cause != nil:
		e.text = "the wait for the issuer's keys was cut short; try again"
	case r.lastErr == nil:
		e.cause = errors.New("no answer yet")
		e.text = "the issuer's keys are still being fetched; try again"
	default:
		e.cause = r.lastErr
		next := max(r.attempted.Add(RefreshInterval).Sub(r.now()), 0).Round(time.Second)
		e.text = fmt.Sprintf("the issuer's keys cannot be fetched: %s; the next attempt is possible in %v", publicText(r.lastErr), next)
	}
	return e
}
