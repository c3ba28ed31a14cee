// SPDX-License-Identifier: Apache-2.0

// Package obs is how a daemon is observed: structured logs (log/slog) and
// Prometheus metrics (https://prometheus.io/docs/instrumenting/exposition_formats/).
//
// Invariants: an access log line carries method, route, status, size, time
// taken and client address; never a header, a query or a body. Metric labels
// come from closed sets, so a client cannot make new series.
package obs

import (
	"fmt"
	"io"
	"log/slog"
)

// Logger writes lines in the given format, "text" or "json", at level and above.
func Logger(w io.Writer, format string, level slog.Level) (*slog.Logger, error) {
	opts := &slog.HandlerOptions{Level: level}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, opts)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, opts)), nil
	}
	return nil, fmt.Errorf("log format %q: expected text or json", format)
}
