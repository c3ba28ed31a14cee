// SPDX-License-Identifier: Apache-2.0

package tilelog

import (
	"context"
	"log/slog"

	"k8s.io/klog/v2"
)

// RouteTessera sends what Tessera logs through klog to log, its informational lines at debug
// level. klog has one logger per process, so the program's assembly calls this once, before any
// log is opened; without it Tessera writes to standard error.
func RouteTessera(log *slog.Logger) {
	klog.SetSlogLogger(slog.New(demoter{log.Handler()}))
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
