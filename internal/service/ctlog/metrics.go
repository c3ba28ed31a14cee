// SPDX-License-Identifier: Apache-2.0

package ctlog

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
)

type stats struct {
	failed    prometheus.Counter
	sequenced prometheus.Histogram // its count is the number of entries added
	mends     prometheus.CounterFunc
	size      prometheus.GaugeFunc
}

func newStats(l *Log) stats {
	return stats{
		failed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "hallmark_ctlog_failed_total", Help: "Precertificates for which no SCT could be given."}),
		sequenced: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "hallmark_ctlog_sequence_seconds", Help: "Time until an entry was durably in the tree.",
			Buckets: []float64{.002, .005, .01, .02, .05, .1, .25, .5, 1, 2.5, 10}}),
		mends: prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "hallmark_ctlog_clock_mends_total", Help: "Times the checkpoint's time lay in the future and was set back."},
			func() float64 { return float64(l.tiles.Mends()) }),
		size: prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "hallmark_ctlog_tree_size", Help: "Entries durably in the tree."},
			func() float64 {
				n, err := l.tiles.IntegratedSize(context.Background())
				if err != nil {
					return -1
				}
				return float64(n)
			}),
	}
}

func (s stats) collectors() []prometheus.Collector {
	return []prometheus.Collector{s.failed, s.sequenced, s.mends, s.size}
}
