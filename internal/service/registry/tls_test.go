// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"crypto/x509"
	"io"
	"log"
	"net/http/httptest"
	"strings"
	"testing"

	ociregistry "github.com/google/go-containerregistry/pkg/registry"
)

func TestTLSIsVerified(t *testing.T) {
	s := httptest.NewUnstartedServer(ociregistry.New(ociregistry.Logger(log.New(io.Discard, "", 0))))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	host := strings.TrimPrefix(s.URL, "https://")
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	_, err := client(t, Options{RootCAs: roots}).Resolve(t.Context(), host+"/app:v1")
	wantError(t, err, ErrNotFound)
	for _, insecure := range []bool{false, true} {
		_, err = client(t, Options{AllowInsecure: insecure}).Resolve(t.Context(), host+"/app:v1")
		wantError(t, err, ErrUnreachable, "certificate", "verification cannot be turned off")
	}
}
