// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"reflect"
	"strings"
	"testing"
)

func TestParseInstance(t *testing.T) {
	const good = `{"version":1,"name":"n","externalURL":"https://h.example","tuf":{"mirror":"https://h.example/tuf","rootSHA256":"` + hex64 + `"},"audience":"a","issuers":[{"url":"https://i.example","clientID":"c","type":"email"}],"log":{"origin":"h.example","baseURL":"https://h.example"},"unknown":[1]}`
	in, err := ParseInstance([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	data, err := in.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := ParseInstance(data); err != nil || again.Issuers[0] != in.Issuers[0] || !reflect.DeepEqual(again.Log, in.Log) || again.TUF != in.TUF {
		t.Errorf("%+v, %v", again, err)
	}
	for _, tt := range []struct{ from, to, want string }{
		{`"version":1`, `"version":2`, "version is 2"},
		{`"version":1,`, ``, "version is 0"},
		{`"version":1`, `"version":1,"version":1`, "version"},
		{`"name":"n"`, `"name":"\u001b[2J"`, "cannot be printed"},
		{`"audience":"a"`, `"audience":"` + strings.Repeat("a", 1025) + `"`, "1025 bytes"},
		{`https://h.example/tuf`, `file:///etc`, "tuf.mirror"},
		{`https://h.example/tuf`, `https://u:p@h.example/tuf`, "tuf.mirror"},
		{`https://i.example`, `https://i.example?x=1`, "issuers[0].url"},
		{`"url":"https://i.example"`, `"url":""`, "issuers[0].url is absent"},
		{hex64, "abcd", "tuf.rootSHA256"},
		{`"issuers":[`, `"issuers":[` + strings.Repeat(`{"url":"https://i.example"},`, 256), "257 issuers"},
		{`[1]`, `[1`, "hallmark.json"},
		{`"unknown":[1]`, `"unknown":"` + strings.Repeat("x", maxInstance) + `"`, "expected at most"},
	} {
		if !strings.Contains(good, tt.from) {
			t.Fatalf("%s is not in the document", tt.from)
		}
		_, err := ParseInstance([]byte(strings.Replace(good, tt.from, tt.to, 1)))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.60s: %v, want %q", tt.to, err, tt.want)
		}
	}
}

const hex64 = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

func TestNameOf(t *testing.T) {
	for host, want := range map[string]string{
		"Example.COM": "example.com", "localhost:8080": "localhost-8080", "[::1]:99": "1-99", "a_b.example": "a_b.example",
	} {
		if got := nameOf(host); got != want || CheckName(got) != nil {
			t.Errorf("%s: %q, want %q (%v)", host, got, want, CheckName(got))
		}
	}
	for _, bad := range []string{"", "default", ".x", "-x", "A", "a/b", "a b", strings.Repeat("a", 101)} {
		if CheckName(bad) == nil {
			t.Errorf("%q is a name", bad)
		}
	}
}

func FuzzInstance(f *testing.F) {
	f.Add([]byte(`{"version":1,"tuf":{"mirror":"https://h.example/tuf"},"issuers":[{"url":"https://i.example"}]}`))
	f.Add([]byte(`{"version":1,"issuers":null,"log":{}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		in, err := ParseInstance(data)
		if err != nil {
			return
		}
		again, err := in.Marshal()
		if err != nil {
			t.Fatalf("read but not written: %v", err)
		}
		if _, err := ParseInstance(again); err != nil && len(again) <= maxInstance {
			t.Fatalf("written but not read: %v", err)
		}
	})
}

func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"version":1,"name":"lab","kind":"static","created":"2026-01-01T00:00:00Z","refreshed":"2026-01-01T00:00:00Z","generation":1,"files":{"trusted_root.json":"` + hex64 + `"}}`))
	f.Add([]byte(`{"version":1,"name":"lab","kind":"tuf","mirror":"https://m.example","rootSHA256":"` + hex64 + `","generation":2,"files":{"trusted_root.json":"` + hex64 + `","tuf/root.json":"` + hex64 + `"},"tuf":{"root":1}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parseRecord(data)
		if err != nil {
			return
		}
		for name := range r.Files {
			if strings.Contains(name, "..") && strings.Contains(name, "/..") || strings.HasPrefix(name, "/") {
				t.Fatalf("a path that leads out: %q", name)
			}
		}
	})
}

func FuzzImport(f *testing.F) {
	f.Add(publicGoodTrustedRoot)
	f.Add([]byte(`{"mediaType":"application/vnd.dev.sigstore.clienttrustconfig.v0.1+json","trustedRoot":{}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		files, err := splitImport(data)
		if err == nil && len(files[rootFile]) == 0 {
			t.Fatal("imported nothing")
		}
	})
}

func BenchmarkLoad(b *testing.B) {
	s := New(b.TempDir(), Deps{})
	if _, err := s.Import(b.Context(), "x", publicGoodTrustedRoot); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Load("x"); err != nil {
			b.Fatal(err)
		}
	}
}
