// SPDX-License-Identifier: Apache-2.0

package translog

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hallmark/internal/format/bundle"
	"hallmark/internal/format/digest"
	"hallmark/internal/format/dsse"
	"hallmark/internal/format/intoto"
	"hallmark/internal/format/logentry"
	"hallmark/internal/format/pubkey"
)

func mustAdd(t testing.TB, l *Log, h logentry.HashedRekord) *logentry.Entry {
	t.Helper()
	e, _, err := l.Add(t.Context(), h)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func spkiHex(t testing.TB, id identity) string {
	t.Helper()
	sum, err := pubkey.KeyID(id.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(sum[:])
}

func TestSearchFindsAndProves(t *testing.T) {
	f := newFixture(t)
	l := f.open(t)
	alice, bob := f.ca.issue(t, "alice@example.test", p256(t)), f.ca.issue(t, "bob@example.test", p256(t))
	message := fresh()
	byAlice, byBob := alice.sign(t, message), bob.sign(t, message)
	mustAdd(t, l, byAlice)
	mustAdd(t, l, byBob)
	for range 3 {
		mustAdd(t, l, alice.sign(t, fresh()))
	}
	settle(t, l)
	tests := []struct {
		name, param, value string
		want               []int64
	}{
		{"digest", "digest", byAlice.Digest.String(), []int64{1, 0}},
		{"identity", "identity", "alice@example.test", []int64{4, 3, 2, 0}},
		{"key", "key", spkiHex(t, bob), []int64{1}},
		{"key with algorithm", "key", "sha256:" + spkiHex(t, bob), []int64{1}},
		{"unknown digest", "digest", digest.Of(digest.SHA256, nil).String(), nil},
		{"unknown identity", "identity", "carol@example.test", nil},
	}
	for _, tc := range tests {
		page := searchFor(t, l, tc.param, tc.value)
		if len(page.Entries) != len(tc.want) {
			t.Errorf("%s: %d hits, want %v", tc.name, len(page.Entries), tc.want)
			continue
		}
		for i, raw := range page.Entries {
			e, err := logentry.Parse(raw)
			if err != nil {
				t.Fatal(err)
			}
			verifyEntry(t, f, e, e.Body)
			if e.LogIndex != tc.want[i] || e.Proof.Checkpoint != page.Checkpoint {
				t.Errorf("%s: hit %d is entry %d, want %d under the page's checkpoint", tc.name, i, e.LogIndex, tc.want[i])
			}
		}
	}
	var got []string
	before := ""
	for {
		page := searchFor(t, l, "identity", "alice@example.test", "limit", "3", "before", before)
		got = append(got, fmt.Sprint(len(page.Entries)))
		if before = page.Next; before == "" {
			break
		}
	}
	if s := strings.Join(got, " "); s != "3 1" {
		t.Errorf("pages of %s hits, want 3 1", s)
	}
}

// The index is not believed: what it names wrongly is dropped and counted, never shown.
func TestACorruptIndexRowShowsNothingWrong(t *testing.T) {
	f := newFixture(t)
	l := f.open(t)
	alice, bob := f.ca.issue(t, "alice@example.test", p256(t)), f.ca.issue(t, "bob@example.test", p256(t))
	byAlice, byBob := alice.sign(t, fresh()), bob.sign(t, fresh())
	mustAdd(t, l, byAlice)
	mustAdd(t, l, byBob)
	settle(t, l)
	if _, err := l.index.db.Exec("UPDATE hit SET idx = 1 - idx"); err != nil { // each term names the other entry
		t.Fatal(err)
	}
	for _, params := range [][2]string{{"digest", byAlice.Digest.String()}, {"identity", "bob@example.test"}, {"key", spkiHex(t, alice)}} {
		if page := searchFor(t, l, params[0], params[1]); len(page.Entries) > 0 {
			t.Errorf("%s: shows %s", params[0], page.Entries)
		}
	}
	if got := counted(t, l.stats.indexFaults); got != 3 {
		t.Errorf("%v index faults counted, want 3", got)
	}
	// A place beyond the tree is dropped too.
	if _, err := l.index.db.Exec("UPDATE hit SET idx = idx + 1000"); err != nil {
		t.Fatal(err)
	}
	if page := searchFor(t, l, "digest", byAlice.Digest.String()); len(page.Entries) > 0 {
		t.Errorf("shows %s", page.Entries)
	}
}

// A changed entry in the tiles cannot be proven, so nothing is shown.
func TestAChangedTileFailsTheSearch(t *testing.T) {
	f := newFixture(t)
	l := f.open(t)
	h := f.entry(t)
	mustAdd(t, l, h)
	settle(t, l)
	path := filepath.Join(treeDir(f.cfg.Dir), "tile/entries/000.p/1")
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// Another signature of the same size: still a canonical body over the same digest.
	other := f.entry(t)
	for len(other.Body()) != len(h.Body()) {
		other = f.entry(t)
	}
	other.Digest = h.Digest
	if err := os.WriteFile(path, append(raw[:2:2], other.Body()...), 0o644); err != nil {
		t.Fatal(err)
	}
	if code, body, _ := call(t, l, "GET", "/hallmark/v1/log/search?digest="+h.Digest.String(), ""); code != 500 || strings.Contains(body, "canonicalizedBody") {
		t.Fatalf("%d %s", code, body)
	}
	if code, body, _ := call(t, l, "GET", "/hallmark/v1/log/entries/0", ""); code != 500 || strings.Contains(body, "canonicalizedBody") {
		t.Fatalf("%d %s", code, body)
	}
}

func TestReadAPIRefusals(t *testing.T) {
	f := newFixture(t)
	l := f.open(t)
	mustAdd(t, l, f.entry(t))
	mustAdd(t, l, f.entry(t))
	tests := []struct {
		path   string
		status int
	}{
		{"/hallmark/v1/log/search", 400},
		{"/hallmark/v1/log/search?digest=sha256:00", 400},
		{"/hallmark/v1/log/search?digest=sha256:" + strings.Repeat("00", 32) + "&identity=a", 400},
		{"/hallmark/v1/log/search?key=xyz", 400},
		{"/hallmark/v1/log/search?identity=" + strings.Repeat("a", maxIdentity+1), 400},
		{"/hallmark/v1/log/search?identity=a&limit=0", 400},
		{"/hallmark/v1/log/search?identity=a&limit=101", 400},
		{"/hallmark/v1/log/search?identity=a&before=-1", 400},
		{"/hallmark/v1/log/entries/0", 200},
		{"/hallmark/v1/log/entries/2", 404},
		{"/hallmark/v1/log/entries/-1", 400},
		{"/hallmark/v1/log/entries/99999999999999999999", 400},
		{"/hallmark/v1/log/consistency?from=1", 200},
		{"/hallmark/v1/log/consistency?from=1&to=2", 200},
		{"/hallmark/v1/log/consistency?from=2&to=2", 200},
		{"/hallmark/v1/log/consistency", 400},
		{"/hallmark/v1/log/consistency?from=2&to=1", 400},
		{"/hallmark/v1/log/consistency?from=1&to=3", 400},
		{"/hallmark/v1/log/consistency?from=x", 400},
		{"/api/v2/checkpoint", 200},
		{"/api/v2/tile/0/000.p/2", 200},
		{"/api/v2/tile/entries/000.p/2", 200},
		{"/shards/" + origin + "/api/v2/checkpoint", 200},
		{"/shards/" + origin + "/api/v2/tile/0/000.p/2", 200},
		{"/shards/other/api/v2/checkpoint", 404},
		{"/api/v2/log/entries", 405},
	}
	for _, tc := range tests {
		if code, body, _ := call(t, l, "GET", tc.path, ""); code != tc.status {
			t.Errorf("%s: %d %s, want %d", tc.path, code, body, tc.status)
		}
	}
}

func TestSearchesHaveAQuotaOfTheirOwn(t *testing.T) {
	f := newFixture(t)
	f.cfg.SearchesPerSecond, f.cfg.SearchBurst = 0.001, 1
	l := f.open(t)
	for i, want := range []int{200, 429} {
		if code, _, _ := call(t, l, "GET", "/hallmark/v1/log/search?identity=a", ""); code != want {
			t.Fatalf("search %d: %d, want %d", i, code, want)
		}
	}
	if code, _, _ := call(t, l, "POST", "/api/v2/log/entries", string(f.entry(t).Request())); code != 201 {
		t.Fatalf("submitting: %d", code)
	}
}

// statementBundle signs an in-toto statement about subjects and logs it.
func statementBundle(t testing.TB, l *Log, id identity, subjects ...digest.Digest) *bundle.Bundle {
	t.Helper()
	st := intoto.Statement{Type: intoto.StatementV1, PredicateType: intoto.CosignSignV1, Predicate: json.RawMessage("{}")}
	for i, d := range subjects {
		st.Subjects = append(st.Subjects, intoto.Subject{Name: fmt.Sprint(i), Digests: map[string]string{d.Algorithm().String(): d.Hex()}})
	}
	payload, err := st.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	h := id.sign(t, dsse.PAE(intoto.PayloadType, payload))
	return &bundle.Bundle{
		MediaType: bundle.MediaTypeV03, Version: bundle.V03, Certificates: [][]byte{h.Certificate},
		Entries:  []*logentry.Entry{mustAdd(t, l, h)},
		Envelope: &dsse.Envelope{PayloadType: intoto.PayloadType, Payload: payload, Signatures: []dsse.Signature{{Sig: h.Signature}}},
	}
}

func postBundle(t testing.TB, l *Log, b *bundle.Bundle) (int, string) {
	t.Helper()
	data, err := b.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	code, body, _ := call(t, l, "POST", "/hallmark/v1/bundles", string(data))
	return code, body
}

func TestBundlesMakeEnvelopesFindableByTheirSubjects(t *testing.T) {
	f := newFixture(t)
	l := f.open(t)
	artifact, another := digest.Of(digest.SHA256, fresh()), digest.Of(digest.SHA256, fresh())
	mustAdd(t, l, f.entry(t))
	b := statementBundle(t, l, f.ca.issue(t, "a@example.test", p256(t)), artifact, another)
	if page := searchFor(t, l, "digest", artifact.String()); len(page.Entries) != 0 {
		t.Fatal("found before the bundle was handed in")
	}
	for range 2 { // handing it in again changes nothing
		code, body := postBundle(t, l, b)
		if code != 201 || !strings.Contains(body, `"logIndex":"1"`) || !strings.Contains(body, `"subjects":2`) {
			t.Fatalf("%d %s", code, body)
		}
	}
	shut(t, l)
	l = f.open(t)
	for _, d := range []digest.Digest{artifact, another, digest.Of(digest.SHA256, b.Envelope.PAE())} {
		page := searchFor(t, l, "digest", d.String())
		if len(page.Entries) != 1 || len(page.Bundles) != 1 || page.Bundles[0].LogIndex != "1" {
			t.Fatalf("%d entries, %d bundles", len(page.Entries), len(page.Bundles))
		}
		e, err := logentry.Parse(page.Entries[0])
		if err != nil {
			t.Fatal(err)
		}
		verifyEntry(t, f, e, b.Entries[0].Body)
		got, err := bundle.Parse(page.Bundles[0].Bundle)
		if err != nil || string(got.Envelope.Payload) != string(b.Envelope.Payload) {
			t.Fatalf("another bundle came back: %v", err)
		}
	}
	// The subject index is not believed either.
	if _, err := l.bundles.db.Exec("UPDATE subject SET term = ?", func() []byte { d := query{digest: digest.Of(digest.SHA256, nil)}.term(); return d[:] }()); err == nil {
		t.Fatal("two rows with one key")
	}
	wrong := query{digest: digest.Of(digest.SHA256, []byte("never signed"))}.term()
	if _, err := l.bundles.db.Exec("INSERT INTO subject (term, idx) VALUES (?, 1), (?, 0)", wrong[:], wrong[:]); err != nil {
		t.Fatal(err)
	}
	if page := searchFor(t, l, "digest", digest.Of(digest.SHA256, []byte("never signed")).String()); len(page.Entries)+len(page.Bundles) > 0 {
		t.Fatal("a wrong subject row was believed")
	}
}

func TestMessageSignatureBundles(t *testing.T) {
	f := newFixture(t)
	l := f.open(t)
	h := f.entry(t)
	b := &bundle.Bundle{MediaType: bundle.MediaTypeV03, Version: bundle.V03, Certificates: [][]byte{h.Certificate},
		Entries: []*logentry.Entry{mustAdd(t, l, h)}, Message: &bundle.MessageSignature{Digest: h.Digest, Signature: h.Signature}}
	if code, body := postBundle(t, l, b); code != 201 {
		t.Fatalf("%d %s", code, body)
	}
	settle(t, l)
	if page := searchFor(t, l, "identity", "a@example.test"); len(page.Entries) != 1 || len(page.Bundles) != 1 {
		t.Fatalf("%+v", page)
	}
}

func TestBundlesThatAreNotOfAnEntryAreRefused(t *testing.T) {
	f := newFixture(t)
	l := f.open(t)
	other := newFixture(t)
	ol := other.open(t)
	id := f.ca.issue(t, "a@example.test", p256(t))
	d := digest.Of(digest.SHA256, []byte("artifact"))
	elsewhere := statementBundle(t, ol, other.ca.issue(t, "a@example.test", p256(t)), d)

	spoil := func(change func(b *bundle.Bundle)) *bundle.Bundle {
		b := statementBundle(t, l, id, d)
		change(b)
		return b
	}
	tests := []struct {
		name   string
		b      *bundle.Bundle
		status int
		want   string
	}{
		{"of another log", elsewhere, 404, "no entry of the bundle is in this log"},
		{"another payload", spoil(func(b *bundle.Bundle) {
			b.Envelope.Payload = []byte(strings.Replace(string(b.Envelope.Payload), d.Hex()[:8], "00000000", 1))
		}), 400, "pre-authentication encoding"},
		{"another payload type", spoil(func(b *bundle.Bundle) { b.Envelope.PayloadType = "text/plain" }), 400, "pre-authentication encoding"},
		{"another signature", spoil(func(b *bundle.Bundle) { b.Envelope.Signatures[0].Sig = []byte("sig") }), 400, "signature is not the logged one"},
		{"another certificate", spoil(func(b *bundle.Bundle) { b.Certificates = elsewhere.Certificates }), 400, "certificate is not the logged one"},
		{"a key for a certificate", spoil(func(b *bundle.Bundle) { b.Certificates, b.HasKeyHint, b.KeyHint = nil, true, "k" }), 400, "names a key"},
		{"another message digest", spoil(func(b *bundle.Bundle) {
			b.Message = &bundle.MessageSignature{Digest: d, Signature: b.Envelope.Signatures[0].Sig}
			b.Envelope = nil
		}), 400, "message digest"},
		{"a changed entry", spoil(func(b *bundle.Bundle) {
			e := *b.Entries[0]
			e.Body = []byte(strings.Replace(string(e.Body), "SHA2_256", "SHA2_384", 1))
			b.Entries = []*logentry.Entry{&e}
		}), 404, "no entry"},
	}
	for _, tc := range tests {
		if code, body := postBundle(t, l, tc.b); code != tc.status || !strings.Contains(body, tc.want) {
			t.Errorf("%s: %d %s; want %d with %q", tc.name, code, body, tc.status, tc.want)
		}
	}
	for name, raw := range map[string]string{"garbage": "{", "empty": "", "not a bundle": "{}"} {
		if code, body, _ := call(t, l, "POST", "/hallmark/v1/bundles", raw); code != 400 {
			t.Errorf("%s: %d %s", name, code, body)
		}
	}
	if code, _, _ := call(t, l, "POST", "/hallmark/v1/bundles", strings.Repeat(" ", int(l.cfg.MaxBundleBytes)+1)); code != 413 {
		t.Errorf("oversize: %d", code)
	}
	var n int
	if err := l.bundles.db.QueryRow("SELECT count(*) FROM bundle").Scan(&n); err != nil || n != 0 {
		t.Fatalf("%d refused bundles were stored, %v", n, err)
	}
}

func TestAnEntryHasFewBundles(t *testing.T) {
	f := newFixture(t)
	l := f.open(t)
	b := statementBundle(t, l, f.ca.issue(t, "a@example.test", p256(t)), digest.Of(digest.SHA256, fresh()))
	for i := range maxBundlesPerEntry + 1 {
		b.Timestamps = [][]byte{{0x30, byte(i)}}
		code, body := postBundle(t, l, b)
		if want := 201; i < maxBundlesPerEntry && code != want {
			t.Fatalf("bundle %d: %d %s", i, code, body)
		} else if i == maxBundlesPerEntry && code != 400 {
			t.Fatalf("one too many: %d %s", code, body)
		}
	}
}

func TestFsckNamesEachFault(t *testing.T) {
	master := newFixture(t)
	l := master.open(t)
	b := statementBundle(t, l, master.ca.issue(t, "a@example.test", p256(t)), digest.Of(digest.SHA256, fresh()))
	if code, body := postBundle(t, l, b); code != 201 {
		t.Fatalf("%d %s", code, body)
	}
	for range 4 {
		mustAdd(t, l, master.entry(t))
	}
	repeated := master.entry(t)
	mustAdd(t, l, repeated)
	shut(t, l)

	index := func(stmt string) func(t *testing.T, f *fixture) {
		return func(t *testing.T, f *fixture) {
			x, err := openIndex(t.Context(), indexPath(f.cfg.Dir), nil, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer x.close()
			if _, err := x.db.Exec(stmt); err != nil {
				t.Fatal(err)
			}
		}
	}
	bundles := func(stmt string) func(t *testing.T, f *fixture) {
		return func(t *testing.T, f *fixture) {
			s, err := openBundleStore(t.Context(), bundlesPath(f.cfg.Dir))
			if err != nil {
				t.Fatal(err)
			}
			defer s.close()
			if _, err := s.db.Exec(stmt); err != nil {
				t.Fatal(err)
			}
		}
	}
	tests := []struct {
		name  string
		fault func(t *testing.T, f *fixture)
		want  string
	}{
		{"none", func(*testing.T, *fixture) {}, ""},
		{"index absent", func(t *testing.T, f *fixture) { removeDatabase(indexPath(f.cfg.Dir)) }, ""},
		{"index behind", index("DELETE FROM entry WHERE idx >= 3; DELETE FROM hit WHERE idx >= 3"), ""},
		{"bundles absent", func(t *testing.T, f *fixture) { removeDatabase(bundlesPath(f.cfg.Dir)) }, ""},
		{"leaf changed", index("UPDATE entry SET leaf = randomblob(32) WHERE idx = 2"), "index.db: has the leaf"},
		{"row missing", index("DELETE FROM entry WHERE idx = 2"), "index.db: has the leaf"},
		{"index ahead", index("INSERT INTO entry VALUES (6, randomblob(32))"), "index.db: has 7 entries, the tree 6"},
		{"term missing", index("DELETE FROM hit WHERE idx = 3"), "does not find entry 3"},
		{"term too many", index("INSERT INTO hit VALUES (randomblob(16), 3)"), "search terms that no entry has"},
		{"index garbage", func(t *testing.T, f *fixture) {
			removeDatabase(indexPath(f.cfg.Dir))
			os.WriteFile(indexPath(f.cfg.Dir), []byte(strings.Repeat("garbage ", 1000)), 0o600)
		}, "index.db: cannot be read"},
		{"bundle of another entry", bundles("UPDATE bundle SET idx = 1"), "bundles.db: holds a bundle that is not of entry 1"},
		{"bundle beyond the tree", bundles("UPDATE bundle SET idx = 100"), "bundles.db: holds a bundle for entry 100"},
		{"bundle changed", bundles("UPDATE bundle SET data = '{}'"), "bundles.db: holds a bundle that is not of entry 0"},
		{"tile changed", func(t *testing.T, f *fixture) {
			p := filepath.Join(treeDir(f.cfg.Dir), "tile/0/000.p/6")
			raw, _ := os.ReadFile(p)
			raw[0] ^= 1
			os.WriteFile(p, raw, 0o644)
		}, "tile/0/000.p/6: differs"},
		{"leaf repeated", func(t *testing.T, f *fixture) {
			l := f.open(t)
			if _, err := l.tiles.Add(t.Context(), repeated.Body())(); err != nil {
				t.Fatal(err)
			}
			shut(t, l)
		}, "entry 6: repeats entry 5"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			f := *master
			f.cfg.Dir = t.TempDir()
			if err := os.CopyFS(f.cfg.Dir, os.DirFS(master.cfg.Dir)); err != nil {
				t.Fatal(err)
			}
			tc.fault(t, &f)
			findings, err := Fsck(t.Context(), f.cfg, f.pub)
			if err != nil {
				t.Fatal(err)
			}
			var text strings.Builder
			for _, x := range findings {
				text.WriteString(x.String() + "\n")
			}
			if tc.want == "" && len(findings) > 0 || !strings.Contains(text.String(), tc.want) {
				t.Fatalf("findings %q, want %q", text.String(), tc.want)
			}
		})
	}
	t.Run("another key", func(t *testing.T) {
		findings, err := Fsck(t.Context(), master.cfg, newFixture(t).pub)
		if err != nil || len(findings) == 0 || findings[0].Where != "checkpoint" {
			t.Fatalf("%v, %v", findings, err)
		}
	})
}
