// SPDX-License-Identifier: Apache-2.0

package tsa

import (
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// clock hands out the times that go into tokens: whole seconds of UTC that
// never decrease within one process.
type clock struct {
	now       func() time.Time
	tolerance time.Duration
	log       *slog.Logger
	refused   prometheus.Counter

	mu     sync.Mutex
	last   time.Time // the latest time handed out; under mu
	behind bool      // the step back was logged; under mu
}

// errBehind says that the clock shows an earlier time than one already issued.
type errBehind struct{ now, last time.Time }

func (e *errBehind) Error() string {
	return fmt.Sprintf("the clock shows %s, but %s was already issued: waiting for it to catch up (restart if the clock is right now)",
		e.now.Format(time.RFC3339), e.last.Format(time.RFC3339))
}

// take is the time for the next token, if usable says that it can be one. A
// time that is not used does not count as issued.
func (c *clock) take(usable func(time.Time) error) (time.Time, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t, err := c.read()
	if err != nil {
		c.refused.Inc()
		if !c.behind {
			c.behind = true
			c.log.Error("clock stepped back: no time stamps until it catches up", "error", err)
		}
		return t, err
	}
	if c.behind {
		c.behind = false
		c.log.Info("clock caught up: time stamps are issued again")
	}
	if err := usable(t); err != nil {
		return t, err
	}
	c.last = t
	return t, nil
}

// peek is what take would return, without consequences.
func (c *clock) peek() (time.Time, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.read()
}

// read needs mu.
func (c *clock) read() (time.Time, error) {
	// GeneralizedTime without a fraction, as RFC 3161 section 2.4.2 allows;
	// cut off, never rounded up, so that no token is ahead of the clock.
	t := c.now().UTC().Truncate(time.Second)
	if !t.Before(c.last) {
		return t, nil
	}
	if c.last.Sub(t) <= c.tolerance {
		return c.last, nil
	}
	return time.Time{}, &errBehind{now: t, last: c.last}
}
