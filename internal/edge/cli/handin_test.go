// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"strings"
	"testing"

	"hallmark/internal/format/digest"
	"hallmark/internal/lab"
	"hallmark/internal/service/devissuer"
	"hallmark/internal/service/logclient"
	"hallmark/internal/service/sign"
	"hallmark/internal/service/trust"
)

// A signature is good whether or not it could be handed in for the search: what
// went wrong is a note.
func TestHandIn(t *testing.T) {
	l := lab.New(t, nil)
	active := l.Trust()
	signer, err := sign.New(sign.Config{Services: active.SigningConfig, Root: active.Root})
	if err != nil {
		t.Fatal(err)
	}
	image := digest.Of(digest.SHA256, []byte("an image"))
	result, err := signer.SignImage(t.Context(), l.Token(devissuer.Request{Email: "alice@example.com"}), image, nil)
	if err != nil {
		t.Fatal(err)
	}
	blob := l.SignBlob(active, "alice@example.com", []byte("a file"))
	client, err := logclient.New(logclient.Config{Search: active.Instance.Log.Search, Root: active.Root})
	if err != nil {
		t.Fatal(err)
	}
	found := func() bool {
		a, err := client.Search(t.Context(), logclient.Query{Digest: image}, 1)
		if err != nil {
			t.Fatal(err)
		}
		return len(a.Entries) == 1
	}
	with := func(change func(*trust.Instance)) *trust.Active {
		a, in := *active, *active.Instance
		a.Instance = &in
		change(&in)
		return &a
	}
	nowhere := with(func(in *trust.Instance) { in.ExternalURL = "http://127.0.0.1:1" })
	for _, tc := range []struct {
		name   string
		flags  signFlags
		active *trust.Active
		result *sign.Result
		quiet  bool
		note   string
		found  bool
	}{
		{"not asked for", signFlags{noIndex: true}, active, result, false, "", false},
		{"no search", signFlags{}, with(func(in *trust.Instance) { in.Log.Search = "" }), result, false, "", false},
		{"another log", signFlags{}, with(func(in *trust.Instance) { in.Log.Origin, in.Log.Shards = "other.example.com", nil }), result, false, "", false},
		{"no instance", signFlags{}, &trust.Active{}, result, false, "", false},
		{"a file", signFlags{}, nowhere, blob, false, "", false},
		{"nobody there", signFlags{}, nowhere, result, false, "hallmark: note: it is signed, but log search will not find it by its digest: POST http://127.0.0.1:1/", false},
		{"nobody there, quietly", signFlags{}, nowhere, result, true, "", false},
		{"as usual", signFlags{}, active, result, false, "", true},
	} {
		var stderr bytes.Buffer
		a := &app{World: &World{Err: &stderr}, quiet: tc.quiet}
		tc.flags.handIn(t.Context(), a, tc.active, tc.result)
		if got := stderr.String(); !strings.HasPrefix(got, tc.note) || tc.note == "" && got != "" {
			t.Errorf("%s: noted %q, expected %q", tc.name, got, tc.note)
		}
		if found() != tc.found {
			t.Errorf("%s: found by its digest: %v", tc.name, !tc.found)
		}
	}
}
