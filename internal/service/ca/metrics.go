// SPDX-License-Identifier: Apache-2.0

package ca

import (
	"github.com/prometheus/client_golang/prometheus"

	"hallmark/internal/format/pubkey"
)

type metrics struct {
	issued  *prometheus.CounterVec
	refused *prometheus.CounterVec
}

func newMetrics() *metrics {
	m := &metrics{
		issued: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "hallmark_ca_certificates_issued_total", Help: "Certificates issued, by the kind of their key.",
		}, []string{"key"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "hallmark_ca_certificates_refused_total", Help: "Certificates refused, by reason.",
		}, []string{"reason"}),
	}
	m.issued.WithLabelValues(string(pubkey.ECDSAP256SHA256))
	for _, c := range categories {
		m.refused.WithLabelValues(string(c))
	}
	return m
}

// Metrics are the service's counters, for the caller to register.
func (c *CA) Metrics() []prometheus.Collector {
	return []prometheus.Collector{c.metrics.issued, c.metrics.refused}
}
