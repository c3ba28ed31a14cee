// SPDX-License-Identifier: Apache-2.0

package trustroot_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hallmark/internal/format/trustroot"
)

func sampleConfig() *trustroot.SigningConfig {
	service := func(url string, version uint32) []trustroot.Service {
		return []trustroot.Service{{URL: url, APIVersion: version, Valid: trustroot.Window{Start: start}, Operator: "example.com"}}
	}
	return &trustroot.SigningConfig{
		CAs: service("https://example.com", 1), OIDCs: service("http://localhost:8080/oidc", 1),
		Logs:        append(service("https://log.example.com", 2), service("https://old.example.com", 1)...),
		TSAs:        service("https://example.com/api/v1/timestamp", 1),
		LogSelector: trustroot.Selector{Mode: trustroot.Any}, TSASelector: trustroot.Selector{Mode: trustroot.Exact, Count: 1},
	}
}

func TestSigningConfigRoundTrip(t *testing.T) {
	want := sampleConfig()
	data := must(want.Marshal())
	if d := cmp.Diff(want, must(trustroot.ParseSigningConfig(data)), compareKeys); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	for range 20 {
		if !bytes.Equal(must(want.Marshal()), data) {
			t.Fatal("Marshal is not deterministic")
		}
	}
	for _, name := range []string{"signing_config.v0.2.json", "signing_config_rekor_v2.v0.2.json"} {
		data := must(os.ReadFile(filepath.Join(sharedDir(t), "public-good", name)))
		config, err := trustroot.ParseSigningConfig(data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if d := cmp.Diff(normal(t, data), normal(t, must(config.Marshal()))); d != "" {
			t.Errorf("%s: (-file +written)\n%s", name, d)
		}
	}
}

func TestPublicGoodSelection(t *testing.T) {
	data := must(os.ReadFile(filepath.Join(sharedDir(t), "public-good", "signing_config_rekor_v2.v0.2.json")))
	config := must(trustroot.ParseSigningConfig(data))
	at := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		versions []uint32
		want     string
	}{
		{[]uint32{1, 2}, "https://log2025-1.rekor.sigstore.dev"},
		{[]uint32{1}, "https://rekor.sigstore.dev"},
	} {
		got, err := trustroot.Select(config.Logs, tt.versions, config.LogSelector, at)
		if err != nil || len(got) != 1 || got[0].URL != tt.want {
			t.Errorf("versions %v: %v, %v; expected %s", tt.versions, got, err, tt.want)
		}
	}
}

func TestParseSigningConfig(t *testing.T) {
	good := must(sampleConfig().Marshal())
	for _, tt := range []struct {
		name   string
		change func(object)
		err    string
	}{
		{"good", func(object) {}, ""},
		{"no selectors", func(o object) { delete(o, "tsaConfig"); delete(o, "rekorTlogConfig") }, ""},
		{"nothing but a media type", func(o object) {
			for k := range o {
				if k != "mediaType" {
					delete(o, k)
				}
			}
		}, ""},
		{"no window", func(o object) { delete(in(o, "caUrls", 0), "validFor") }, ""},
		{"no media type", func(o object) { delete(o, "mediaType") }, "mediaType is \"\""},
		{"media type v0.1", func(o object) { o["mediaType"] = "application/vnd.dev.sigstore.signingconfig.v0.1+json" }, "mediaType is"},
		{"unknown field", func(o object) { o["caUrl"] = "https://x" }, "caUrl"},
		{"relative URL", func(o object) { in(o, "rekorTlogUrls", 1)["url"] = "log.example.com" }, "rekorTlogUrls[1]: url is"},
		{"URL of another scheme", func(o object) { in(o, "tsaUrls", 0)["url"] = "file:///etc/passwd" }, "tsaUrls[0]: url is"},
		{"broken URL", func(o object) { in(o, "oidcUrls", 0)["url"] = "https://%zz" }, "oidcUrls[0]: url"},
		{"no URL", func(o object) { delete(in(o, "caUrls", 0), "url") }, "caUrls[0]: url is"},
		{"negative version", func(o object) { in(o, "caUrls", 0)["majorApiVersion"] = -1 }, "majorApiVersion"},
		{"window ends before it starts", func(o object) { in(o, "caUrls", 0, "validFor")["end"] = "2020-01-01T00:00:00Z" }, "before it starts"},
		{"EXACT without a count", func(o object) { delete(in(o, "tsaConfig"), "count") }, "tsaConfig: selector EXACT"},
		{"unknown selector", func(o object) { in(o, "rekorTlogConfig")["selector"] = "SOME" }, "selector"},
		{"selector of an unknown number", func(o object) { in(o, "rekorTlogConfig")["selector"] = 9 }, "rekorTlogConfig: selector 9"},
		{"1001 services", func(o object) {
			for list := o["caUrls"].([]any); len(list) <= 1000; list = o["caUrls"].([]any) {
				o["caUrls"] = append(list, list[0])
			}
		}, "at most 1000"},
	} {
		_, err := trustroot.ParseSigningConfig(changed(t, good, tt.change))
		expect(t, tt.name, err, tt.err)
	}
	for name, change := range map[string]func(*trustroot.SigningConfig){
		"relative URL":          func(c *trustroot.SigningConfig) { c.CAs[0].URL = "x" },
		"EXACT without a count": func(c *trustroot.SigningConfig) { c.LogSelector = trustroot.Selector{Mode: trustroot.Exact} },
	} {
		config := sampleConfig()
		change(config)
		if _, err := config.Marshal(); err == nil {
			t.Errorf("%s: written", name)
		}
	}
}

func TestSelect(t *testing.T) {
	at := start.Add(24 * time.Hour)
	// s is a service of an operator that starts some hours after start.
	s := func(url, operator string, version uint32, hours int) trustroot.Service {
		return trustroot.Service{URL: url, Operator: operator, APIVersion: version, Valid: trustroot.Window{Start: start.Add(time.Duration(hours) * time.Hour)}}
	}
	ended := s("ended", "a", 2, 9)
	ended.Valid.End = at.Add(-1)
	ending := s("ending", "a", 2, 9)
	ending.Valid.End = at
	anyOne, all := trustroot.Selector{Mode: trustroot.Any}, trustroot.Selector{Mode: trustroot.All}
	exactly := func(n uint32) trustroot.Selector { return trustroot.Selector{Mode: trustroot.Exact, Count: n} }
	both := []uint32{1, 2}
	for _, tt := range []struct {
		name     string
		services []trustroot.Service
		versions []uint32
		sel      trustroot.Selector
		want     []string
		err      string
	}{
		{"any takes the newest", []trustroot.Service{s("old", "a", 2, 0), s("new", "b", 2, 1)}, both, anyOne, []string{"new"}, ""},
		{"all, newest first", []trustroot.Service{s("old", "a", 2, 0), s("new", "b", 2, 1)}, both, all, []string{"new", "old"}, ""},
		{"one per operator, its newest", []trustroot.Service{s("a old", "a", 2, 0), s("a new", "a", 2, 2), s("b", "b", 2, 1)}, both, all, []string{"a new", "b"}, ""},
		{"highest version only", []trustroot.Service{s("v1 new", "a", 1, 5), s("v2", "a", 2, 0), s("v1 of b", "b", 1, 0)}, both, all, []string{"v2"}, ""},
		{"highest supported version", []trustroot.Service{s("v1", "a", 1, 0), s("v2", "a", 2, 0)}, []uint32{1}, all, []string{"v1"}, ""},
		{"lower version where the higher has none valid", []trustroot.Service{s("v1", "a", 1, 0), ended}, both, all, []string{"v1"}, ""},
		{"versions in any order, repeated", []trustroot.Service{s("v1", "a", 1, 0), s("v2", "a", 2, 0)}, []uint32{2, 1, 2}, all, []string{"v2"}, ""},
		{"not yet valid", []trustroot.Service{s("future", "a", 2, 25), s("now", "a", 2, 24)}, both, all, []string{"now"}, ""},
		{"valid to the last instant", []trustroot.Service{ending}, both, all, []string{"ending"}, ""},
		{"same start: the first listed", []trustroot.Service{s("first", "a", 2, 0), s("second", "b", 2, 0)}, both, anyOne, []string{"first"}, ""},
		{"exact", []trustroot.Service{s("a", "a", 2, 0), s("b", "b", 2, 1), s("c", "c", 2, 2)}, both, exactly(2), []string{"c", "b"}, ""},
		{"exact, all of them", []trustroot.Service{s("a", "a", 2, 0)}, both, exactly(1), []string{"a"}, ""},
		{"exact, not enough operators", []trustroot.Service{s("a", "a", 2, 0), s("a2", "a", 2, 1)}, both, exactly(2), nil, "EXACT 2, but only 1"},
		{"exact, enough only across versions", []trustroot.Service{s("a", "a", 2, 0), s("b", "b", 1, 1)}, both, exactly(2), nil, "EXACT 2, but only 1"},
		{"exact without a count", []trustroot.Service{s("a", "a", 2, 0)}, both, exactly(0), nil, "at least 1"},
		{"no selector", []trustroot.Service{s("a", "a", 2, 0)}, both, trustroot.Selector{}, nil, "sets no selector"},
		{"no services", nil, both, anyOne, nil, "none of 0"},
		{"none valid", []trustroot.Service{ended}, both, anyOne, nil, "none of 1 is valid"},
		{"none of a supported version", []trustroot.Service{s("a", "a", 3, 0)}, both, anyOne, nil, "none of 1"},
		{"no versions", []trustroot.Service{s("a", "a", 2, 0)}, nil, anyOne, nil, "no supported API version"},
	} {
		before := append([]trustroot.Service{}, tt.services...)
		got, err := trustroot.Select(tt.services, tt.versions, tt.sel, at)
		expect(t, tt.name, err, tt.err)
		var urls []string
		for _, s := range got {
			urls = append(urls, s.URL)
		}
		if d := cmp.Diff(tt.want, urls); d != "" {
			t.Errorf("%s: (-want +got)\n%s", tt.name, d)
		}
		if d := cmp.Diff(before, append([]trustroot.Service{}, tt.services...), compareKeys); d != "" {
			t.Errorf("%s: Select changed its argument", tt.name)
		}
	}
}

func TestModeString(t *testing.T) {
	for mode, want := range map[trustroot.Mode]string{trustroot.Any: "ANY", trustroot.All: "ALL", trustroot.Exact: "EXACT", 0: "SERVICE_SELECTOR_UNDEFINED"} {
		if mode.String() != want {
			t.Errorf("%d is %q; expected %q", mode, mode, want)
		}
	}
}

func TestClientTrustConfig(t *testing.T) {
	root, config := must(sample().Marshal()), must(sampleConfig().Marshal())
	good := []byte(`{"mediaType":"application/vnd.dev.sigstore.clienttrustconfig.v0.1+json","trustedRoot":` + string(root) + `,"signingConfig":` + string(config) + `}`)
	for _, tt := range []struct {
		name   string
		change func(object)
		err    string
	}{
		{"good", func(object) {}, ""},
		{"no media type", func(o object) { delete(o, "mediaType") }, "mediaType"},
		{"no root", func(o object) { delete(o, "trustedRoot") }, "must both be present"},
		{"no signing config", func(o object) { delete(o, "signingConfig") }, "must both be present"},
		{"bad root", func(o object) { delete(in(o, "trustedRoot"), "mediaType") }, "trustedRoot: mediaType"},
		{"bad signing config", func(o object) { delete(in(o, "signingConfig"), "mediaType") }, "signingConfig: mediaType"},
		{"unknown field", func(o object) { o["x"] = 1 }, "x"},
	} {
		r, c, err := trustroot.ParseClientTrustConfig(changed(t, good, tt.change))
		expect(t, tt.name, err, tt.err)
		if err == nil && (len(r.Logs) != len(sample().Logs) || len(c.Logs) != 2) {
			t.Errorf("%s: %d logs, %d services", tt.name, len(r.Logs), len(c.Logs))
		}
	}
}

func FuzzParseSigningConfig(f *testing.F) {
	f.Add(must(sampleConfig().Marshal()))
	f.Add([]byte(`{"mediaType":"application/vnd.dev.sigstore.signingconfig.v0.2+json","rekorTlogConfig":{"selector":"ALL"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		config, err := trustroot.ParseSigningConfig(data)
		if err != nil {
			return
		}
		written, err := config.Marshal()
		if err != nil {
			t.Fatalf("what was read is not written: %v", err)
		}
		again, err := trustroot.ParseSigningConfig(written)
		if err != nil {
			t.Fatalf("what was written is not read: %v", err)
		}
		if twice := must(again.Marshal()); !bytes.Equal(written, twice) {
			t.Errorf("written as %s, then as %s", written, twice)
		}
		for _, services := range [][]trustroot.Service{config.CAs, config.OIDCs, config.Logs, config.TSAs} {
			_, _ = trustroot.Select(services, []uint32{1, 2}, config.LogSelector, start)
		}
	})
}
