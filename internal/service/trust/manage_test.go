// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hallmark/internal/format/trustroot"
)

func TestPublicGoodIsBuiltIn(t *testing.T) {
	s, _, dir := newStore(t)
	a, err := s.Load("")
	if err != nil {
		t.Fatal(err)
	}
	if a.Name != PublicGood || a.Kind != KindBuiltin || a.SigningConfig == nil || a.Refreshed.IsZero() {
		t.Errorf("%+v", a)
	}
	hosts := map[string]bool{}
	for _, l := range a.Root.Logs {
		hosts[l.BaseURL] = true
	}
	if !hosts["https://rekor.sigstore.dev"] || !hosts["https://log2025-1.rekor.sigstore.dev"] || len(a.Root.TSAs) != 1 {
		t.Errorf("logs %v, %d TSAs", hosts, len(a.Root.TSAs))
	}
	in, err := s.Show(PublicGood)
	if err != nil || in.Stored || !in.Default || len(in.RootSHA256) != 64 {
		t.Errorf("%+v, %v", in, err)
	}
	if err := s.Remove(t.Context(), PublicGood); err == nil {
		t.Error("removed")
	}
	if err := s.Use(t.Context(), PublicGood); err != nil {
		t.Error(err)
	}
	if files := listing(t, dir); len(files) != 1 {
		t.Errorf("on disk: %v", files)
	}
}

func TestManyNames(t *testing.T) {
	srv := newServer(t)
	s, _, _ := newStore(t)
	initLab(t, s, srv)
	if _, err := s.Import(t.Context(), "air-gapped", publicGoodTrustedRoot); err != nil {
		t.Fatal(err)
	}
	list, err := s.List()
	if err != nil || len(list) != 3 || list[0].Name != "air-gapped" || list[1].Name != "lab" || list[2].Name != PublicGood {
		t.Fatalf("%+v, %v", list, err)
	}
	if !list[2].Default || list[1].Default {
		t.Error("the wrong default")
	}
	if err := s.Use(t.Context(), "absent"); !errors.Is(err, ErrNotFound) {
		t.Errorf("Use: %v", err)
	}
	for _, f := range []func() error{
		func() error { _, err := s.Load("absent"); return err },
		func() error { _, err := s.Show("absent"); return err },
		func() error { _, err := s.Refresh(t.Context(), "absent"); return err },
		func() error { return s.Remove(t.Context(), "absent") },
		func() error { return s.Export("absent", &bytes.Buffer{}) },
	} {
		if err := f(); !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "hallmark trust list") {
			t.Errorf("absent: %v", err)
		}
	}
	if err := s.Use(t.Context(), "lab"); err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(t.Context(), "lab"); err != nil {
		t.Fatal(err)
	}
	if def, err := s.Default(); err != nil || def != PublicGood {
		t.Errorf("default after its removal: %s, %v", def, err)
	}
	if _, err := s.Load("lab"); !errors.Is(err, ErrNotFound) {
		t.Errorf("after removal: %v", err)
	}
	initLab(t, s, srv)
}

func TestImportExport(t *testing.T) {
	s, _, _ := newStore(t)
	if _, err := s.Import(t.Context(), "root", publicGoodTrustedRoot); err != nil {
		t.Fatal(err)
	}
	if a, err := s.Load("root"); err != nil || a.SigningConfig != nil || a.Kind != KindStatic {
		t.Errorf("%+v, %v", a, err)
	}
	if _, err := s.Refresh(t.Context(), "root"); err == nil || !strings.Contains(err.Error(), "imported from a file") {
		t.Errorf("refresh: %v", err)
	}
	for _, name := range []string{"root", PublicGood} {
		var out bytes.Buffer
		if err := s.Export(name, &out); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Import(t.Context(), "copy", out.Bytes()); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out.Bytes())
		}
		a, err := s.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		b, err := s.Load("copy")
		if err != nil {
			t.Fatal(err)
		}
		x, _ := a.Root.Marshal()
		y, _ := b.Root.Marshal()
		if !bytes.Equal(x, y) || (a.SigningConfig == nil) != (b.SigningConfig == nil) {
			t.Errorf("%s: the copy differs", name)
		}
		if name == PublicGood {
			if _, _, err := trustroot.ParseClientTrustConfig(out.Bytes()); err != nil {
				t.Errorf("not a client trust config: %v", err)
			}
		}
	}
	for _, tt := range []struct{ name, data, want string }{
		{"x", "", "expected a trusted_root.json"},
		{"x", "{}", "mediaType"},
		{"x", `{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json"}`, "mediaType"},
		{"x", `{"mediaType":"` + trustroot.MediaType + `","tlogs":[{}]}`, "trusted root"},
		{"x", `{"mediaType":"` + trustroot.ClientTrustConfigMediaType + `"}`, "trustedRoot is absent"},
		{"x", `{"mediaType":"` + trustroot.ClientTrustConfigMediaType + `","trustedRoot":{},"x":1}`, "unknown field"},
		{"x", string(publicGoodTrustedRoot[:100]), "expected a trusted_root.json"},
		{PublicGood, string(publicGoodTrustedRoot), "built-in"},
		{"../x", string(publicGoodTrustedRoot), "trust root name"},
	} {
		if _, err := s.Import(t.Context(), tt.name, []byte(tt.data)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.40q: %v, want %q", tt.data, err, tt.want)
		}
	}
	if _, err := s.Load("x"); !errors.Is(err, ErrNotFound) {
		t.Error("a refused import was stored")
	}
	srv := newServer(t)
	initLab(t, s, srv)
	if _, err := s.Import(t.Context(), "lab", publicGoodTrustedRoot); !errors.Is(err, ErrExists) {
		t.Errorf("over a TUF one: %v", err)
	}
}

func TestContextEnds(t *testing.T) {
	srv := newServer(t)
	s, _, _ := newStore(t)
	initLab(t, s, srv)
	l, _, err := s.lock(t.Context(), "lab")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := s.Refresh(ctx, "lab"); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if _, err := s.Load("lab"); err != nil { // readers wait for nobody
		t.Error(err)
	}
	l.Unlock()
}

func TestReadOnlyStore(t *testing.T) {
	if os.Geteuid() == 0 {
		// The superuser writes anywhere: a file in the folder's place has the
		// same effect.
		dir := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(dir, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		s := New(dir, Deps{})
		if _, err := s.Import(t.Context(), "x", publicGoodTrustedRoot); err == nil {
			t.Error("written into a file")
		}
		return
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	s := New(dir, Deps{})
	if _, err := s.Import(t.Context(), "x", publicGoodTrustedRoot); !errors.Is(err, fs.ErrPermission) {
		t.Error(err)
	}
	if _, err := s.Load(""); err != nil {
		t.Errorf("the built-in trust root needs no disk: %v", err)
	}
}

func TestTrustRecordIsReadable(t *testing.T) {
	srv := newServer(t)
	s, _, dir := newStore(t)
	initLab(t, s, srv)
	data, err := os.ReadFile(filepath.Join(dir, "trust", "lab", recordFile))
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{"version", "name", "kind", "url", "mirror", "rootSHA256", "created", "refreshed", "generation", "files", "tuf"} {
		if _, ok := doc[field]; !ok {
			t.Errorf("%s is absent", field)
		}
	}
}
