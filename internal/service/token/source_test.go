// SPDX-License-Identifier: Apache-2.0

package token

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func env(kv ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(kv); i += 2 {
			if kv[i] == name {
				return kv[i+1]
			}
		}
		return ""
	}
}

// jwt is a token whose subject says where it came from.
func jwt(from string) string {
	return unsigned(`{"iss":"https://issuer.example","sub":"` + from + `","aud":"aud","exp":4102444800}`)
}

func TestOrder(t *testing.T) {
	runner := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer runner-secret" || r.URL.Query().Get("audience") != "aud" || r.URL.Query().Get("api-version") != "2" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		json.NewEncoder(w).Encode(map[string]string{"value": jwt("github")})
	}))
	t.Cleanup(runner.Close)
	dir := t.TempDir()
	given, mounted := filepath.Join(dir, "given"), filepath.Join(dir, "mounted")
	for path, from := range map[string]string{given: "given-file", mounted: "mounted"} {
		if err := os.WriteFile(path, []byte(jwt(from)+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	sigstore := []string{"SIGSTORE_ID_TOKEN", jwt("env")}
	github := []string{"ACTIONS_ID_TOKEN_REQUEST_URL", runner.URL + "/?api-version=2", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "runner-secret"}
	gitlab := []string{"GITLAB_CI", "true", "ID_TOKEN", jwt("gitlab")}
	all := append(append(sigstore, github...), gitlab...)
	for _, tt := range []struct {
		name string
		opts Options
		want string // subject
	}{
		{"a raw token", Options{Explicit: jwt("given"), Getenv: env(all...), File: mounted}, "given"},
		{"a token file", Options{Explicit: given, Getenv: env(all...), File: mounted}, "given-file"},
		{"the variable", Options{Getenv: env(all...), File: mounted}, "env"},
		{"github", Options{Getenv: env(append(github, gitlab...)...), File: mounted}, "github"},
		{"gitlab", Options{Getenv: env(gitlab...), File: mounted}, "gitlab"},
		{"the mounted file", Options{Getenv: env(), File: mounted}, "mounted"},
		{"github by name", Options{Getenv: env(all...), File: mounted, Provider: "github-actions"}, "github"},
		{"file by name", Options{Getenv: env(all...), File: mounted, Provider: "file"}, "mounted"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tok, src, err := Get(t.Context(), tt.opts, "aud")
			if err != nil || tok.Claims().Subject != tt.want || src.Name() == "" {
				t.Fatalf("%v: %+v, %v", src, tok.Claims(), err)
			}
		})
	}
}

func TestTheAudienceMayDependOnTheIssuer(t *testing.T) {
	asked := 0
	runner := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		json.NewEncoder(w).Encode(map[string]string{"value": unsigned(`{"iss":"https://github.example","sub":"s","exp":4102444800,"aud":"` + r.URL.Query().Get("audience") + `"}`)})
	}))
	t.Cleanup(runner.Close)
	audiences := map[string]string{"https://issuer.example": "aud", "https://github.example": "gh"}
	of := func(issuer string) (string, error) {
		if a := audiences[issuer]; a != "" {
			return a, nil
		}
		return "", errors.New("which issuer?")
	}
	given, _, err := GetFor(t.Context(), Options{Explicit: jwt("given")}, of)
	if err != nil || given.Claims().Subject != "given" {
		t.Fatal(err)
	}
	o := Options{Getenv: env("ACTIONS_ID_TOKEN_REQUEST_URL", runner.URL, "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "x")}
	if tok, _, err := GetFor(t.Context(), o, of); err != nil || asked != 2 || tok.Claims().Audience[0] != "gh" {
		t.Fatalf("%v after %d requests", err, asked)
	}
	audiences[""] = "gh"
	if _, _, err := GetFor(t.Context(), o, of); err != nil || asked != 3 {
		t.Fatalf("%v after %d requests", err, asked)
	}
	delete(audiences, "https://issuer.example")
	if tok, _, err := GetFor(t.Context(), Options{Explicit: jwt("given")}, of); err == nil || !tok.IsZero() || !strings.Contains(err.Error(), "which issuer?") {
		t.Fatal(err)
	}
}

func TestNoSource(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "none")
	for _, tt := range []struct {
		name string
		opts Options
		part string
	}{
		{"nothing", Options{Getenv: env()}, "SIGSTORE_ID_TOKEN"},
		{"ambient off", Options{Getenv: env("SIGSTORE_ID_TOKEN", jwt("env")), DisableAmbient: true}, "--identity-token"},
		{"github without the permission", Options{Getenv: env("GITHUB_ACTIONS", "true"), Issuer: "https://issuer.example"}, "id-token: write"},
		{"gitlab without id_tokens", Options{Getenv: env("GITLAB_CI", "true"), Issuer: "https://issuer.example"}, "id_tokens"},
		{"a provider that is not here", Options{Getenv: env(), Provider: "env", Issuer: "https://issuer.example"}, "not available"},
	} {
		tt.opts.File = missing
		if _, err := Find(t.Context(), tt.opts); !errors.Is(err, ErrNone) || !strings.Contains(err.Error(), tt.part) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	if _, err := Find(t.Context(), Options{Getenv: env(), File: missing, Provider: "spiffy"}); err == nil || errors.Is(err, ErrNone) {
		t.Errorf("unknown provider: %v", err)
	}
	if src, err := Find(t.Context(), Options{Getenv: env(), File: missing, Issuer: "https://issuer.example"}); err != nil || !strings.Contains(src.Name(), "https://issuer.example") {
		t.Errorf("browser: %v, %v", src, err)
	}
}

func TestGivenTokenErrors(t *testing.T) {
	cut := jwt("given")[:120]
	_, _, err := Get(t.Context(), Options{Explicit: cut}, "aud")
	if err == nil || strings.Contains(err.Error(), cut[:40]) {
		t.Errorf("a cut token: %v", err)
	}
	path := filepath.Join(t.TempDir(), "absent")
	if _, _, err = Get(t.Context(), Options{Explicit: path}, "aud"); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a missing file: %v", err)
	}
	os.WriteFile(path, []byte("hello"), 0o600)
	if _, _, err = Get(t.Context(), Options{Explicit: path}, "aud"); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a file without a token: %v", err)
	}
	expired := unsigned(`{"iss":"i","sub":"s","aud":"aud","exp":100}`)
	if _, _, err = Get(t.Context(), Options{Explicit: expired}, "aud"); !errors.Is(err, ErrExpired) {
		t.Errorf("expired: %v", err)
	}
	if _, _, err = Get(t.Context(), Options{Getenv: env("SIGSTORE_ID_TOKEN", jwt("x"))}, "other"); !errors.Is(err, ErrAudience) || !strings.Contains(err.Error(), "SIGSTORE_ID_TOKEN") {
		t.Errorf("audience: %v", err)
	}
}

func TestGitHubErrors(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
		part   string
	}{
		{"refused", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusForbidden) }, "status 403"},
		{"no JSON", func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("runner-secret")) }, "without a token"},
		{"no token", func(w http.ResponseWriter, r *http.Request) { w.Write([]byte(`{"value":"runner-secret"}`)) }, "not a signed JWT"},
	} {
		s := httptest.NewServer(tt.answer)
		_, _, err := Get(t.Context(), Options{Getenv: env("ACTIONS_ID_TOKEN_REQUEST_URL", s.URL, "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "runner-secret")}, "aud")
		s.Close()
		if err == nil || !strings.Contains(err.Error(), tt.part) || strings.Contains(err.Error(), "runner-secret") {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	opts := Options{Getenv: env("ACTIONS_ID_TOKEN_REQUEST_URL", "http://runner.example/", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "runner-secret")}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	src, err := Find(ctx, opts)
	if err != nil {
		t.Fatal(err)
	}
	opts.Transport = roundTripper(func(*http.Request) (*http.Response, error) {
		t.Error("the runner's secret left over plain HTTP")
		return nil, errors.New("no")
	})
	src.(*githubSource).opts.Transport = opts.Transport
	if _, err := src.Token(ctx, "aud"); err == nil || !strings.Contains(err.Error(), "https") {
		t.Errorf("plain HTTP: %v", err)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
