// SPDX-License-Identifier: Apache-2.0

package daemon_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"hallmark/internal/edge/daemon"
	"hallmark/internal/format/checkpoint"
	"hallmark/internal/format/digest"
	"hallmark/internal/lab"
	"hallmark/internal/service/logclient"
	"hallmark/internal/service/trust"
)

// originAt is whose checkpoint a path shows, and how large the log is.
func originAt(t *testing.T, l *lab.Lab, path, host string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, l.URL()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if host != "" {
		req.Host = host
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Sprint(resp.StatusCode)
	}
	cp, err := checkpoint.Parse(body)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return fmt.Sprintf("%s:%d", cp.Origin, cp.Size)
}

func TestShards(t *testing.T) {
	t.Parallel()
	l := lab.New(t, nil)
	c := l.Client()
	old := l.SignBlob(c.Active(), signerEmail, []byte("old"))
	l.Rotate(daemon.Rotation{Kind: daemon.RotateShard, Lead: time.Hour, Overlap: time.Hour})
	c.Refresh()
	if in := c.Active().Instance; in.Log.Origin != "localhost" || len(in.Log.Shards) != 2 || in.Log.Shards[0].Origin != "log2.localhost" {
		t.Errorf("announced: %+v", in.Log)
	}
	if got := originAt(t, l, "/api/v2/checkpoint", ""); got != "localhost:1" {
		t.Errorf("before the turn, the log is %s", got)
	}
	l.Clock.Move(2 * time.Hour)
	young := l.SignBlob(c.Active(), signerEmail, []byte("young"))
	if a, b := old.Verified.Entries()[0].Origin, young.Verified.Entries()[0].Origin; a != "localhost" || b != "log2.localhost" {
		t.Fatalf("logged at %s, then at %s", a, b)
	}
	// The same again is another shard's affair.
	_, port, _ := strings.Cut(strings.TrimPrefix(l.URL(), "http://"), ":")
	for _, tc := range []struct{ path, host, want string }{
		{"/api/v2/checkpoint", "", "log2.localhost:1"},
		{"/api/v2/checkpoint", "localhost:" + port, "localhost:1"}, // the old shard's base URL
		{"/api/v2/checkpoint", "log2.localhost:" + port, "log2.localhost:1"},
		{"/shards/localhost/api/v2/checkpoint", "", "localhost:1"},
		{"/shards/log2.localhost/api/v2/checkpoint", "", "log2.localhost:1"},
		{"/shards/log3.localhost/api/v2/checkpoint", "", "404"},
	} {
		if got := originAt(t, l, tc.path, tc.host); got != tc.want {
			t.Errorf("%s at %q: %s, want %s", tc.path, tc.host, got, tc.want)
		}
	}
	for _, path := range []string{"/shards/localhost/api/v2/log/entries", "/shards/log2.localhost/api/v2/log/entries"} {
		if status, _ := l.Do("POST", path, "", "application/json", "{}"); status != 404 {
			t.Errorf("writing to %s: status %d", path, status)
		}
	}
	// A bundle is kept where its entry is.
	for _, b := range []string{string(old.JSON), string(young.JSON)} {
		if status, body := l.Do("POST", "/hallmark/v1/bundles", "", "application/json", b); status != 201 {
			t.Errorf("handed in: %d %s", status, body)
		}
	}
	c.Refresh()
	in := c.Active().Instance
	if in.Log.Origin != "log2.localhost" {
		t.Errorf("afterwards: %+v", in.Log)
	}
	for i, content := range []string{"young", "old"} {
		found := search(t, c.Active(), in.Log.Shards[i], content)
		if len(found) != 1 || found[0].BundleJSON == nil || found[0].Tree().Log().Origin() != in.Log.Shards[i].Origin {
			t.Errorf("search for %s at %s: %+v", content, in.Log.Shards[i].Origin, found)
		}
		if found := search(t, c.Active(), in.Log.Shards[1-i], content); len(found) != 0 {
			t.Errorf("%s is at %s too", content, in.Log.Shards[1-i].Origin)
		}
	}
	l.Stop()
	l.Fsck()
	l.Start()
	if got := originAt(t, l, "/api/v2/checkpoint", ""); got != "log2.localhost:1" {
		t.Errorf("after a restart the log is %s", got)
	}
}

func search(t *testing.T, active *trust.Active, shard trust.InstanceShard, content string) []*logclient.Entry {
	t.Helper()
	client, err := logclient.New(logclient.Config{Search: shard.Search, Root: active.Root})
	if err != nil {
		t.Fatal(err)
	}
	// The index follows the tree at a small distance.
	for range 50 {
		answer, err := client.Search(t.Context(), logclient.Query{Digest: digest.Of(digest.SHA256, []byte(content))}, 10)
		if err != nil {
			t.Fatal(err)
		}
		if len(answer.Entries) > 0 {
			return answer.Entries
		}
		time.Sleep(2 * time.Millisecond)
	}
	return nil
}

func TestCTLogsStayReadable(t *testing.T) {
	t.Parallel()
	l := lab.New(t, nil)
	c := l.Client()
	l.SignBlob(c.Active(), signerEmail, []byte("x"))
	l.Clock.Move(2 * time.Second)
	l.Rotate(daemon.Rotation{Kind: daemon.RotateCT})
	l.Rotate(daemon.Rotation{Kind: daemon.RotateCA, NewRoot: true})
	l.Clock.Move(2 * time.Second)
	c.Refresh()
	l.SignBlob(c.Active(), signerEmail, []byte("y"))
	l.SignBlob(c.Active(), signerEmail, []byte("z"))
	l.Stop() // publishes what is sequenced
	l.Start()
	host := strings.TrimPrefix(l.URL(), "http://")
	for path, want := range map[string]string{"/ct/checkpoint": host + "/ct:1", "/ct/2/checkpoint": host + "/ct/2:2", "/ct/3/checkpoint": "404"} {
		if got := originAt(t, l, path, ""); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	for _, path := range []string{"/ct/v1/get-roots", "/ct/2/v1/get-roots"} {
		if status, body := l.Do("GET", path, "", "", ""); status != 200 || strings.Count(body, "MII") != 2 {
			t.Errorf("%s: %d %s, want both CA roots", path, status, body)
		}
	}
	if _, body := l.Do("GET", "/api/v2/trustBundle", "", "", ""); strings.Count(body, "BEGIN CERTIFICATE") != 4 {
		t.Errorf("the trust bundle has not both chains: %s", body)
	}
}
