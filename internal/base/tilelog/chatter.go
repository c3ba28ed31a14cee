// SPDX-License-Identifier: Apache-2.0

package tilelog

import (
	"context"
	"log/slog"
	"sync"

	"k8s.io/klog/v2"
)

// routed guards klog's one logger per process, which must not change once a log is open.
var routed sync.Once

// RouteTessera sends what Tessera logs through klog to log, its informational lines at debug
// level. It has to be called before a log is opened, and only a process's first call counts:
// later logs' lines go there too. Without it Tessera writes to standard error.
func RouteTessera(log *slog.Logger) {
	routed.Do(func() { klog.SetSlogLogger(slog.New(demoter{log.Handler()})) })
}

// demoter lowers informational records to debug.
type demoter struct{ slog.Handler }

// Enabled implements [slog.Handler].
func (d demoter) Enabled(ctx context.Context, level slog.Level) bool {
	return d.Handler.Enabled(ctx, demoted(level))
}

// Handle implements [slog.Handler].
func (d demoter) Handle(ctx context.Context, r slog.Record) error {
	r.Level = demoted(r.Level)
	return d.Handler.Handle(ctx, r)
}

// WithAttrs implements [slog.Handler].
func (d demoter) WithAttrs(attrs []slog.Attr) slog.Handler {
	return demoter{d.Handler.WithAttrs(attrs)}
}

// WithGroup implements [slog.Handler].
func (d demoter) WithGroup(name string) slog.Handler { return demoter{d.Handler.WithGroup(name)} }

func demoted(level slog.Level) slog.Level {
	if level == slog.LevelInfo {
		return slog.LevelDebug
	}
	return level
}
