// SPDX-License-Identifier: Apache-2.0

package translog

import (
	"errors"
	"fmt"

	"hallmark/internal/base/httpapi"
)

// Refusal is why the log did not do what it was asked.
type Refusal struct {
	// Reason is from a closed set, for metrics: malformed, algorithm, key,
	// signature, policy, quota, busy, read_only, closed, cancelled, unpublished, storage,
	// unknown_entry, mismatch, full, internal. Bodies that were too large or could not be
	// read count as body.
	Reason string
	Code   httpapi.Code
	Err    error // for the client's eyes
}

// Error implements error.
func (r *Refusal) Error() string { return r.Err.Error() }

// Unwrap implements errors.Unwrap.
func (r *Refusal) Unwrap() error { return r.Err }

func refusal(reason string, code httpapi.Code, err error) *Refusal {
	return &Refusal{reason, code, err}
}

func refusalf(reason string, code httpapi.Code, format string, args ...any) *Refusal {
	return &Refusal{reason, code, fmt.Errorf(format, args...)}
}

// asRefusal wraps an error that is not a refusal yet, without showing its text.
func asRefusal(err error) *Refusal {
	var r *Refusal
	if errors.As(err, &r) {
		return r
	}
	return refusalf("internal", httpapi.Internal, "the log failed to look the entry up")
}

// refuse counts a refusal and passes it on.
func (l *Log) refuse(r *Refusal) *Refusal {
	l.stats.rejected.WithLabelValues(r.Reason).Inc()
	return r
}
