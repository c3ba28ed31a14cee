// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"net/http"
	"sync/atomic"
	"time"
)

// turns holds what serves one role, one for each generation, and knows whose
// turn it is. A turn never goes back while the process runs, so a clock that
// does cannot bring an old key back into use. Safe for concurrent use once
// everything is added.
type turns[T any] struct {
	now  func() time.Time
	list []turn[T] // by from
	at   atomic.Int32
}

type turn[T any] struct {
	generation
	serving T
}

func newTurns[T any](now func() time.Time) *turns[T] { return &turns[T]{now: now} }

// add appends the next generation.
func (t *turns[T]) add(g generation, serving T) { t.list = append(t.list, turn[T]{g, serving}) }

// index is whose turn it is now.
func (t *turns[T]) index() int {
	at := int(t.at.Load())
	if at == len(t.list)-1 {
		return at
	}
	now := t.now()
	next := at
	for next+1 < len(t.list) && !now.Before(t.list[next+1].From) {
		next++
	}
	if next == at || t.at.CompareAndSwap(int32(at), int32(next)) {
		return next
	}
	return int(t.at.Load()) // another goroutine turned it
}

func (t *turns[T]) current() turn[T] { return t.list[t.index()] }

// handler passes each request on to the handler of whose turn it is.
func (t *turns[T]) handler(of func(T) http.Handler) http.Handler {
	handlers := make([]http.Handler, len(t.list))
	for i, one := range t.list {
		handlers[i] = of(one.serving)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handlers[t.index()].ServeHTTP(w, r) })
}
