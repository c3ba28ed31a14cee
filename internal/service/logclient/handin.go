// SPDX-License-Identifier: Apache-2.0

package logclient

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"hallmark/internal/base/fetch"
)

// HandIn gives a bundle to the instance at the given URL to store, so that its
// search finds an attestation or image signature by what it is about: the log
// itself holds the hash of the envelope alone. The instance takes bundles of
// entries of its own log. Handing in the same bundle again changes nothing.
func HandIn(ctx context.Context, cfg fetch.Config, instanceURL string, bundleJSON []byte) error {
	where := strings.TrimSuffix(instanceURL, "/") + "/hallmark/v1/bundles"
	resp, err := newHTTP(cfg).Do(ctx, http.MethodPost, where, http.Header{"Content-Type": {"application/json"}}, bundleJSON)
	if err != nil {
		return err
	}
	if resp.Status != http.StatusCreated {
		return fmt.Errorf("the bundle was not stored: %w", refusal(where, resp))
	}
	return nil
}
