// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"

	"hallmark/internal/edge/cli"
	"hallmark/internal/format/digest"
	"hallmark/internal/lab"
	"hallmark/internal/lab/legacylab"
)

const (
	legacyAlice  = "alice@example.com"
	legacyIssuer = "https://accounts.example.com"
)

// legacySigned is a registry in which broken answers what it matches with 500,
// an image with a legacy signature in it, and the file with its trusted root.
func legacySigned(t *testing.T, broken func(*http.Request) bool) (image name.Digest, root string) {
	t.Helper()
	h := registry.New(registry.WithReferrersSupport(true), registry.Logger(log.New(io.Discard, "", 0)))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("User-Agent") != "" && strings.HasPrefix(r.UserAgent(), "hallmark") && broken(r) {
			w.WriteHeader(http.StatusNotImplemented) // which is not tried again
			return
		}
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	tag := strings.TrimPrefix(s.URL, "http://") + "/acme/app:v1"
	id, err := lab.Push(t, tag).Digest()
	ok(t, err)
	image, err = name.NewDigest(strings.TrimSuffix(tag, ":v1") + "@" + id.String())
	ok(t, err)
	old, err := legacylab.New()
	ok(t, err)
	d, err := digest.Parse(id.String())
	ok(t, err)
	payload, err := legacylab.Payload(d, "acme/app", nil)
	ok(t, err)
	l, err := old.Sign(legacylab.Who{SAN: legacyAlice, Issuer: legacyIssuer}, payload)
	ok(t, err)
	ok(t, legacylab.Store(image, "sig", l))
	data, err := old.Root().Marshal()
	ok(t, err)
	root = filepath.Join(t.TempDir(), "root.json")
	ok(t, os.WriteFile(root, data, 0o600))
	return image, root
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// run gives the exit code and what was printed.
func run(t *testing.T, args ...string) (code int, out, errOut string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = cli.Main(t.Context(), args, cli.World{In: strings.NewReader(""), Out: &stdout, Err: &stderr, Getenv: func(string) string { return "" }})
	return code, stdout.String(), stderr.String()
}

// TestPlacesThatCannotBeRead: a place that cannot be read is listed as such. It
// takes nothing from a signature found elsewhere, and leaves no room for saying
// that there is none.
func TestPlacesThatCannotBeRead(t *testing.T) {
	at := func(part string) func(*http.Request) bool {
		return func(r *http.Request) bool { return strings.Contains(r.URL.Path, part) }
	}
	for _, tt := range []struct {
		name, source string
		broken       func(*http.Request) bool
		identity     string
		code         int
		says         string // on standard error
	}{
		{"all is well", "", func(*http.Request) bool { return false }, legacyAlice, cli.ExitOK, ""},
		{"another place, signed", ".att tag", at(".att"), legacyAlice, cli.ExitOK, ""},
		{"another place, not by the one wanted", ".att tag", at(".att"), "bob@example.com", cli.ExitFailed, "0 of 1 signature accepted, but not all places could be read (.att tag)"},
		{"the place of the signature", ".sig tag", at(".sig"), legacyAlice, cli.ExitFailed, "0 of 0 signatures accepted, but not all places could be read (.sig tag)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			image, root := legacySigned(t, tt.broken)
			who := []string{"--trusted-root", root, "--certificate-identity", tt.identity, "--certificate-oidc-issuer", legacyIssuer, image.Name()}
			code, out, errOut := run(t, append([]string{"verify"}, who...)...)
			if code != tt.code || !strings.Contains(errOut, tt.says) {
				t.Errorf("exit code %d, want %d and %q; it printed\n%s%s", code, tt.code, tt.says, out, errOut)
			}
			if tt.source != "" && !strings.Contains(out, "✗ refused   "+tt.source+"  unreadable: ") {
				t.Errorf("it printed\n%s", out)
			}
			_, out, _ = run(t, append([]string{"verify", "-o", "json"}, who...)...)
			var report struct {
				Artifacts []struct {
					Candidates []struct{ Source, Code, Digest string }
				}
			}
			ok(t, json.Unmarshal([]byte(out), &report))
			found := false
			for _, c := range report.Artifacts[0].Candidates {
				found = found || c.Source == tt.source && c.Code == "unreadable" && c.Digest == ""
			}
			if found != (tt.source != "") {
				t.Errorf("JSON: %s", out)
			}
		})
	}
}
