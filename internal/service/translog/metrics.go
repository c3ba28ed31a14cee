// SPDX-License-Identifier: Apache-2.0

package translog

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
)

type stats struct {
	entries     prometheus.Counter
	duplicates  prometheus.Counter
	bundles     prometheus.Counter
	indexFaults prometheus.Counter
	rejected    *prometheus.CounterVec // reason
	wait        prometheus.Histogram
	live        []prometheus.Collector
}

func newStats(l *Log) *stats {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "hallmark_translog_" + name, Help: help})
	}
	return &stats{
		entries:     counter("entries_total", "Entries added."),
		duplicates:  counter("duplicates_total", "Submissions answered with an entry that was there already."),
		bundles:     counter("bundles_total", "Bundles stored."),
		indexFaults: counter("index_faults_total", "Times the index disagreed with the tiles; run fsck."),
		rejected: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "hallmark_translog_rejected_total", Help: "Requests refused, by reason."}, []string{"reason"}),
		wait: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "hallmark_translog_publication_wait_seconds", Help: "Time from an entry's being durable to a published checkpoint over it.",
			Buckets: []float64{.005, .01, .02, .05, .1, .15, .2, .3, .5, 1, 2.5, 10}}),
		live: []prometheus.Collector{
			prometheus.NewCounterFunc(prometheus.CounterOpts{
				Name: "hallmark_translog_clock_mends_total", Help: "Times the checkpoint's time lay in the future and was set back."},
				func() float64 { return float64(l.tiles.Mends()) }),
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{
				Name: "hallmark_translog_tree_size", Help: "Entries durably in the tree."},
				func() float64 {
					n, err := l.tiles.IntegratedSize(context.Background())
					if err != nil {
						return -1
					}
					return float64(n)
				}),
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{
				Name: "hallmark_translog_pending", Help: "Entries under way or not yet in the index."},
				func() float64 {
					l.mu.Lock()
					defer l.mu.Unlock()
					return float64(len(l.flights))
				}),
		},
	}
}

func (s *stats) collectors() []prometheus.Collector {
	return append([]prometheus.Collector{s.entries, s.duplicates, s.bundles, s.indexFaults, s.rejected, s.wait}, s.live...)
}
