// SPDX-License-Identifier: Apache-2.0

package tsa

import "github.com/prometheus/client_golang/prometheus"

// metrics counts answers. Labels come from the closed sets below.
type metrics struct {
	responses    *prometheus.CounterVec
	clockRefused prometheus.Counter
}

// The values of the result label.
const (
	resultGranted   = "granted"   // a token was issued
	resultRejected  = "rejected"  // a TSP rejection was sent
	resultMalformed = "malformed" // not a request at all
	resultError     = "error"     // our fault
)

func newMetrics() *metrics {
	m := &metrics{
		responses: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "hallmark_tsa_responses_total", Help: "Time-stamp requests answered, by result.",
		}, []string{"result"}),
		clockRefused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "hallmark_tsa_clock_refused_total", Help: "Requests rejected because the clock is behind a time already issued.",
		}),
	}
	for _, r := range []string{resultGranted, resultRejected, resultMalformed, resultError} {
		m.responses.WithLabelValues(r)
	}
	return m
}

func (m *metrics) count(result string) { m.responses.WithLabelValues(result).Inc() }

func (m *metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.responses, m.clockRefused}
}
