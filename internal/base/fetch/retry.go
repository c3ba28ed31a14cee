// SPDX-License-Identifier: Apache-2.0

package fetch

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

const (
	firstDelay = 200 * time.Millisecond
	maxDelay   = 20 * time.Second
)

func worthRetrying(resp *Response, err error) bool {
	if err != nil {
		return !errors.Is(err, context.Canceled) && !final(err)
	}
	return resp.Status == http.StatusTooManyRequests || resp.Status >= 500 && resp.Status != http.StatusNotImplemented
}

// retryDelay is what the server asks for, or exponential with jitter so that
// many clients do not come back together.
func retryDelay(try int, resp *Response) time.Duration {
	if resp != nil {
		if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s >= 0 {
			return min(time.Duration(s)*time.Second, maxDelay)
		}
	}
	d := min(firstDelay<<try, maxDelay)
	return d/2 + rand.N(d)
}

// sleep waits for d and says whether it could before ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
