// SPDX-License-Identifier: Apache-2.0

package translog

import (
	"container/list"
	"math"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxSources bounds the sources a quota remembers; the least recently seen is forgotten first.
const maxSources = 1 << 16

// quota is a token bucket per source. A nil quota allows everything.
type quota struct {
	perSecond rate.Limit
	burst     int
	now       func() time.Time

	mu      sync.Mutex
	sources map[netip.Prefix]*list.Element // of *source
	recent  list.List                      // most recently seen first
}

type source struct {
	prefix netip.Prefix
	bucket *rate.Limiter
}

func newQuota(perSecond float64, burst int, now func() time.Time) *quota {
	if perSecond <= 0 {
		return nil
	}
	if burst <= 0 {
		burst = max(1, int(math.Ceil(perSecond)))
	}
	return &quota{perSecond: rate.Limit(perSecond), burst: burst, now: now, sources: map[netip.Prefix]*list.Element{}}
}

// take uses up one token of a source, or says in how long there will be one.
func (q *quota) take(from netip.Prefix) (wait time.Duration, ok bool) {
	if q == nil {
		return 0, true
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	el, known := q.sources[from]
	if known {
		q.recent.MoveToFront(el)
	} else {
		el = q.recent.PushFront(&source{from, rate.NewLimiter(q.perSecond, q.burst)})
		q.sources[from] = el
		if len(q.sources) > maxSources {
			last := q.recent.Back()
			q.recent.Remove(last)
			delete(q.sources, last.Value.(*source).prefix)
		}
	}
	now := q.now()
	r := el.Value.(*source).bucket.ReserveN(now, 1)
	if wait := r.DelayFrom(now); wait > 0 {
		r.CancelAt(now)
		return wait, false
	}
	return 0, true
}

// sourceOf is the network a request comes from: an IPv4 address or an IPv6 /64. Behind a proxy
// it is the hop that the proxy itself saw, the last of X-Forwarded-For.
func sourceOf(r *http.Request, behindProxy bool) netip.Prefix {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	if hops := r.Header.Values("X-Forwarded-For"); behindProxy && len(hops) > 0 {
		last := hops[len(hops)-1]
		last = strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:])
		if _, err := netip.ParseAddr(last); err == nil {
			host = last
		}
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Prefix{} // a Unix socket: one source
	}
	addr = addr.Unmap().WithZone("")
	bits := 32
	if addr.Is6() {
		bits = 64
	}
	p, _ := addr.Prefix(bits)
	return p
}
