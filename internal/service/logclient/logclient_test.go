// SPDX-License-Identifier: Apache-2.0

package logclient_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"hallmark/internal/base/fetch"
	"hallmark/internal/base/tilelog"
	"hallmark/internal/format/digest"
	"hallmark/internal/format/logentry"
	"hallmark/internal/lab"
	"hallmark/internal/service/devissuer"
	"hallmark/internal/service/logclient"
	"hallmark/internal/service/sign"
	"hallmark/internal/service/trust"
)

func TestMain(m *testing.M) {
	tilelog.RouteTessera(slog.New(slog.DiscardHandler))
	os.Exit(m.Run())
}

// stack is a running instance with entries in its log: two of Alice's about
// files, then one of a workflow's about an image, whose bundle is handed in.
type stack struct {
	*lab.Lab
	trust *trust.Active
	image digest.Digest
	blobs []*sign.Result
	key   any // of the first entry
}

const workflow = "https://github.com/acme/app/.github/workflows/release.yml@refs/heads/main"

func newStack(t *testing.T) *stack {
	t.Helper()
	s := &stack{Lab: lab.New(t, nil), image: digest.Of(digest.SHA256, []byte("an image"))}
	s.trust = s.Trust()
	for _, content := range []string{"one", "two"} {
		s.blobs = append(s.blobs, s.SignBlob(s.trust, "alice@example.com", []byte(content)))
	}
	signer, err := sign.New(sign.Config{Services: s.trust.SigningConfig, Root: s.trust.Root})
	if err != nil {
		t.Fatal(err)
	}
	result, err := signer.SignImage(t.Context(), s.Token(devissuer.Request{GitHub: "acme/app@refs/heads/main"}), s.image, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := logclient.HandIn(t.Context(), fetch.Config{}, s.URL(), result.JSON); err != nil {
		t.Fatal(err)
	}
	s.key = s.blobs[0].Verified.Signer().Key
	// The index follows the log by some milliseconds.
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		a, err := s.client(t, "").Search(t.Context(), logclient.Query{Identity: workflow}, 1)
		if err == nil && len(a.Entries) == 1 {
			return s
		}
		if time.Now().After(deadline) {
			t.Fatalf("the log's index does not follow: %v, %v", a, err)
		}
	}
}

// client asks the instance, or the given URL instead.
func (s *stack) client(t *testing.T, search string) *logclient.Client {
	t.Helper()
	if search == "" {
		search = s.trust.Instance.Log.Search
	}
	c, err := logclient.New(logclient.Config{Search: search, Root: s.trust.Root, Log: &s.trust.Root.Logs[0], HTTP: fetch.Config{Retries: -1}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestClient runs everything against one instance, which nothing here changes.
func TestClient(t *testing.T) {
	s := newStack(t)
	for name, test := range map[string]func(*testing.T){
		"Entry":                      s.entry,
		"Search":                     s.search,
		"SearchShowsTheStoredBundle": s.searchShowsTheStoredBundle,
		"QueriesThatCannotBe":        s.queriesThatCannotBe,
		"NewRefuses":                 s.newRefuses,
		"Extends":                    s.extends,
		"LyingServer":                s.lyingServer,
		"LyingConsistency":           s.lyingConsistency,
		"StrangersAreLeftOut":        s.strangersAreLeftOut,
		"AnotherLogMustNotAnswer":    s.anotherLogMustNotAnswer,
		"HandIn":                     s.handIn,
		"ServersErrors":              s.serversErrors,
		"Pages":                      s.pages,
	} {
		t.Run(name, test)
	}
}

func (s *stack) entry(t *testing.T) {
	c := s.client(t, "")
	e, err := c.Entry(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if e.Rekord().Digest != digest.Of(digest.SHA256, []byte("two")) || e.Tree().Size() != 3 || e.Entry().LogIndex != 1 {
		t.Errorf("got entry %+v of %d", e.Entry(), e.Tree().Size())
	}
	if e.SignerErr != nil || e.Signer.SAN.Value != "alice@example.com" {
		t.Errorf("signer %+v, %v", e.Signer, e.SignerErr)
	}
	if _, err := c.Entry(t.Context(), 3); !errors.Is(err, logclient.ErrNotFound) || !strings.Contains(err.Error(), "has 3 entries") {
		t.Errorf("an entry that is not there: %v", err)
	}
}

func (s *stack) search(t *testing.T) {
	c := s.client(t, "")
	for name, tc := range map[string]struct {
		q     logclient.Query
		limit int
		want  []int64
		more  bool
	}{
		"digest":        {logclient.Query{Digest: digest.Of(digest.SHA256, []byte("one"))}, 10, []int64{0}, false},
		"image":         {logclient.Query{Digest: s.image}, 10, []int64{2}, false},
		"identity":      {logclient.Query{Identity: "alice@example.com"}, 10, []int64{1, 0}, false},
		"workflow":      {logclient.Query{Identity: workflow}, 10, []int64{2}, false},
		"key":           {logclient.Query{Key: s.key}, 10, []int64{0}, false},
		"limit":         {logclient.Query{Identity: "alice@example.com"}, 1, []int64{1}, true},
		"exactly limit": {logclient.Query{Identity: "alice@example.com"}, 2, []int64{1, 0}, false},
		"nothing":       {logclient.Query{Digest: digest.Of(digest.SHA256, []byte("three"))}, 10, nil, false},
	} {
		a, err := c.Search(t.Context(), tc.q, tc.limit)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var got []int64
		for _, e := range a.Entries {
			got = append(got, e.Entry().LogIndex)
		}
		if fmt.Sprint(got) != fmt.Sprint(tc.want) || a.More != tc.more || a.LeftOut != 0 {
			t.Errorf("%s: entries %v, more %v, left out %d; expected %v, %v", name, got, a.More, a.LeftOut, tc.want, tc.more)
		}
	}
}

func (s *stack) searchShowsTheStoredBundle(t *testing.T) {
	for name, q := range map[string]logclient.Query{"by subject": {Digest: s.image}, "by identity": {Identity: workflow}} {
		a, err := s.client(t, "").Search(t.Context(), q, 10)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		e := a.Entries[0]
		if e.BundleErr != nil || !e.Verified.Proven() || len(e.Verified.Times()) == 0 || len(e.BundleJSON) == 0 {
			t.Errorf("%s: bundle %v, error %v", name, e.Verified, e.BundleErr)
		}
		if st := e.Statement(); st == nil || !st.HasSubject(s.image) {
			t.Errorf("%s: statement %v", name, st)
		}
	}
}

func (s *stack) queriesThatCannotBe(t *testing.T) {
	c := s.client(t, "")
	for name, q := range map[string]logclient.Query{
		"empty": {}, "two things": {Identity: "a", Digest: s.image}, "no key": {Key: "not a key"},
	} {
		if _, err := c.Search(t.Context(), q, 1); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := c.Search(t.Context(), logclient.Query{Identity: "a"}, 0); err == nil {
		t.Error("limit 0: accepted")
	}
}

func (s *stack) newRefuses(t *testing.T) {
	for name, cfg := range map[string]logclient.Config{
		"no URL":        {Root: s.trust.Root},
		"relative":      {Root: s.trust.Root, Search: "/hallmark/v1/log"},
		"other scheme":  {Root: s.trust.Root, Search: "ftp://localhost/log"},
		"with password": {Root: s.trust.Root, Search: "https://a:secret@localhost/log"},
		"with query":    {Root: s.trust.Root, Search: "https://localhost/log?x=1"},
		"no root":       {Search: s.trust.Instance.Log.Search},
	} {
		_, err := logclient.New(cfg)
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func (s *stack) extends(t *testing.T) {
	c := s.client(t, "")
	old := s.blobs[1].Bundle.Entries[0].Proof // of size 2
	oldRoot := [32]byte(old.RootHash)
	e, err := c.Entry(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Extends(t.Context(), e.Tree(), 2, oldRoot); err != nil {
		t.Error(err)
	}
	if err := c.Extends(t.Context(), e.Tree(), 3, e.Tree().Root()); err != nil {
		t.Errorf("the same size: %v", err)
	}
	for name, tc := range map[string]struct {
		size uint64
		root [32]byte
		want string
	}{
		"another root":            {2, e.Tree().Root(), "rewritten"},
		"another root, same size": {3, oldRoot, "two states"},
		"larger":                  {4, oldRoot, "taken out"},
	} {
		if err := c.Extends(t.Context(), e.Tree(), tc.size, tc.root); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A server may answer in smaller pages than asked.
func (s *stack) pages(t *testing.T) {
	asked := 0
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		q := r.URL.Query()
		q.Set("limit", "1")
		_, body := s.Do("GET", r.URL.Path+"?"+q.Encode(), "", "", "")
		io.WriteString(w, body)
	}))
	defer proxy.Close()
	c := s.client(t, proxy.URL+"/hallmark/v1/log")
	a, err := c.Search(t.Context(), logclient.Query{Identity: "alice@example.com"}, 10)
	if err != nil || len(a.Entries) != 2 || a.More || asked != 2 {
		t.Errorf("got %+v, %v after %d pages", a, err, asked)
	}
}

// between answers as the instance does, with one thing changed.
func (s *stack) between(t *testing.T, change func(r *http.Request, body []byte) []byte) string {
	t.Helper()
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		resp, err := http.Get(s.URL() + r.URL.RequestURI())
		if err != nil {
			t.Error(err)
			return
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Error(err)
		}
		w.WriteHeader(resp.StatusCode)
		w.Write(change(r, body))
	}))
	t.Cleanup(proxy.Close)
	return proxy.URL + "/hallmark/v1/log"
}

func (s *stack) lyingServer(t *testing.T) {
	entry := func(index int) string {
		_, body := s.Do("GET", fmt.Sprintf("/hallmark/v1/log/entries/%d", index), "", "", "")
		return body
	}
	find := func(query string) string {
		_, body := s.Do("GET", "/hallmark/v1/log/search?"+query, "", "", "")
		return body
	}
	changed := func(f func(*logentry.Entry)) string {
		e, err := logentry.Parse([]byte(entry(1)))
		if err != nil {
			t.Fatal(err)
		}
		f(e)
		out, err := e.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	get := func(c *logclient.Client, ctx context.Context) error {
		_, err := c.Entry(ctx, 1)
		return err
	}
	search := func(q logclient.Query) func(*logclient.Client, context.Context) error {
		return func(c *logclient.Client, ctx context.Context) error {
			_, err := c.Search(ctx, q, 10)
			return err
		}
	}
	alice, image := logclient.Query{Identity: "alice@example.com"}, logclient.Query{Digest: s.image}
	found := find("identity=alice@example.com")
	for _, tc := range []struct {
		name, answer string
		ask          func(*logclient.Client, context.Context) error
		want         string
	}{
		{"another entry", entry(0), get, "answered with entry 0"},
		{"body", changed(func(e *logentry.Entry) { e.Body[len(e.Body)-3] ^= 1 }), get, "inclusion-proof"},
		{"root hash", changed(func(e *logentry.Entry) { e.Proof.RootHash[0] ^= 1 }), get, "not proven"},
		{"log id", changed(func(e *logentry.Entry) { e.LogID[0] ^= 1 }), get, "not in the trusted root"},
		{"checkpoint of nobody", changed(func(e *logentry.Entry) {
			e.Proof.Checkpoint = e.Proof.Checkpoint[:len(e.Proof.Checkpoint)-12] + "AAAAAAAAAAA=\n"
		}), get, "not proven"},
		{"no entry", `{}`, get, "log entry"},
		{"no JSON", `hello`, get, "log entry"},

		{"what was not searched for", find("identity=" + workflow), search(alice), "not what was searched for"},
		{"an unproven hit", strings.Replace(found, `"entries":[`, `"entries":[`+changed(func(e *logentry.Entry) { e.Proof.Hashes[0][0] ^= 1 })+`,`, 1), search(alice), "inclusion-proof"},
		{"a hit twice", strings.Replace(found, `"entries":[`, `"entries":[`+entry(1)+`,`, 1), search(alice), "newest first"},
		{"oldest first", `{"entries":[` + entry(0) + `,` + entry(1) + `]}`, search(alice), "newest first"},
		{"the same page for ever", strings.Replace(found, `"bundles"`, `"next":"5","bundles"`, 1), search(alice), "next page"},
		{"a subject without its bundle", `{"entries":[` + entry(2) + `]}`, search(image), "not what was searched for"},
		{"a bundle of another entry", `{"entries":[` + entry(2) + `],"bundles":[{"logIndex":"2","bundle":` + string(s.blobs[0].JSON) + `}]}`, search(image), "log-entry-mismatch"},
		{"a bundle that is none", `{"entries":[` + entry(2) + `],"bundles":[{"logIndex":"2","bundle":{}}]}`, search(image), "bundle stored for entry 2"},
		{"no page", `[]`, search(alice), "not that of a search"},
		{"too much", `{"entries":[` + strings.Repeat(`1,`, 100) + `1]}`, search(alice), "at most 100"},
	} {
		c := s.client(t, s.between(t, func(*http.Request, []byte) []byte { return []byte(tc.answer) }))
		if err := tc.ask(c, t.Context()); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v; expected %q in it", tc.name, err, tc.want)
		}
	}
}

func (s *stack) lyingConsistency(t *testing.T) {
	e, err := s.client(t, "").Entry(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	root := [32]byte(s.blobs[1].Bundle.Entries[0].Proof.RootHash)
	for name, answer := range map[string]string{
		"nothing": `{}`, "no JSON": `x`, "short hash": `{"hashes":["AAAA"]}`,
		"wrong hash": `{"hashes":["AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="]}`,
		"too many":   `{"hashes":[` + strings.Repeat(`"",`, 64) + `""]}`,
	} {
		c := s.client(t, s.between(t, func(*http.Request, []byte) []byte { return []byte(answer) }))
		if c.Extends(t.Context(), e.Tree(), 2, root) == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// Somebody whose certificate no trusted authority issued can be in a log that
// takes any, and must not be found under the name that it gives.
func (s *stack) strangersAreLeftOut(t *testing.T) {
	other := lab.New(t, nil)
	root := *s.trust.Root
	root.CAs = other.Trust().Root.CAs // as if the log took certificates of strangers
	c, err := logclient.New(logclient.Config{Search: s.trust.Instance.Log.Search, Root: &root})
	if err != nil {
		t.Fatal(err)
	}
	a, err := c.Search(t.Context(), logclient.Query{Identity: "alice@example.com"}, 10)
	if err != nil || len(a.Entries) != 0 || a.LeftOut != 2 {
		t.Errorf("got %+v, %v", a, err)
	}
	e, err := c.Entry(t.Context(), 0)
	if err != nil || e.SignerErr == nil || e.Signer.SAN.Value != "" {
		t.Errorf("signer %+v, %v; %v", e.Signer, e.SignerErr, err)
	}
	// What is stored for an image is shown, but not as verified.
	a, err = c.Search(t.Context(), logclient.Query{Digest: s.image}, 10)
	if err != nil || len(a.Entries) != 1 || a.Entries[0].BundleErr == nil || a.Entries[0].Verified != nil {
		t.Errorf("got %+v, %v", a, err)
	}
}

func (s *stack) anotherLogMustNotAnswer(t *testing.T) {
	second := s.trust.Root.Logs[0]
	second.ID = bytes.Repeat([]byte{1}, 32)
	c, err := logclient.New(logclient.Config{Search: s.trust.Instance.Log.Search, Root: s.trust.Root, Log: &second})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Entry(t.Context(), 0); err == nil || !strings.Contains(err.Error(), "expected one of log") {
		t.Error(err)
	}
}

func (s *stack) handIn(t *testing.T) {
	// Twice is as good as once.
	if err := logclient.HandIn(t.Context(), fetch.Config{}, s.URL()+"/", s.blobs[0].JSON); err != nil {
		t.Error(err)
	}
	if err := logclient.HandIn(t.Context(), fetch.Config{}, s.URL(), s.blobs[0].JSON); err != nil {
		t.Error(err)
	}
	other := lab.New(t, nil)
	foreign := other.SignBlob(other.Trust(), "bob@example.com", []byte("x"))
	if err := logclient.HandIn(t.Context(), fetch.Config{}, s.URL(), foreign.JSON); err == nil || !strings.Contains(err.Error(), "not in this log") && !strings.Contains(err.Error(), "is in this log") {
		t.Errorf("a foreign bundle: %v", err)
	}
	if err := logclient.HandIn(t.Context(), fetch.Config{Retries: -1}, "http://127.0.0.1:1", nil); err == nil {
		t.Error("nobody there: accepted")
	}
}

func (s *stack) serversErrors(t *testing.T) {
	for _, tc := range []struct {
		status       int
		answer, want string
	}{
		{404, "<html>not found</html>", "Hallmark log's search?"},
		{500, `{"code":13,"message":"it \u001b[31mbroke"}`, "status 500: it [31mbroke"},
		{502, "bad gateway", "status 502"},
		{200, strings.Repeat(" ", 10), "log entry"},
	} {
		fake := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(tc.status)
			io.WriteString(w, tc.answer)
		}))
		defer fake.Close()
		_, err := s.client(t, fake.URL).Entry(t.Context(), 1)
		if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%d: %q", tc.status, err)
		}
	}
	if _, err := s.client(t, "http://127.0.0.1:1").Entry(t.Context(), 1); err == nil || !strings.Contains(err.Error(), "cannot connect") {
		t.Errorf("nobody there: %v", err)
	}
}
