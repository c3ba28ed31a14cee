// SPDX-License-Identifier: Apache-2.0

package scriptkit

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/rogpeppe/go-internal/testscript"

	"hallmark/internal/format/digest"
	"hallmark/internal/lab/legacylab"
)

// legacyKey is where a script keeps the old instance that it signs with.
type legacyKey struct{}

type legacyInstance struct{ *legacylab.Instance }

// legacy is the script command of that name; see the package comment.
func legacy(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 2, "legacy root|sign|attest|move ARG...")
	known := ts.Value(legacyKey{}).(*legacyInstance)
	if known.Instance == nil {
		made, err := legacylab.New()
		ts.Check(err)
		known.Instance = made
	}
	flags := map[string]string{}
	rest := args[1:]
	for len(rest) > 0 && strings.HasPrefix(rest[0], "-") {
		key, value, _ := strings.Cut(rest[0], "=")
		flags[key] = value
		rest = rest[1:]
	}
	switch what := args[0]; {
	case what == "root" && len(rest) == 1:
		data, err := known.Root().Marshal()
		ts.Check(err)
		ts.Check(os.WriteFile(ts.MkAbs(rest[0]), data, 0o600))
	case what == "sign" && len(rest) >= 3:
		legacySign(ts, known.Instance, flags, rest)
	case what == "attest" && len(rest) == 4:
		image, id := legacyImage(ts, rest[0])
		l, err := known.Attest(legacylab.Who{SAN: rest[1], Issuer: rest[2]}, id, rest[3], "{}")
		ts.Check(err)
		ts.Check(legacylab.Store(image, "att", l))
	case what == "move" && len(rest) == 2:
		_, swap := flags["-swap"]
		legacyMove(ts, rest[0], rest[1], swap)
	default:
		ts.Fatalf("usage: legacy root FILE | sign IMAGE SAN ISSUER [KEY=VALUE...] | attest IMAGE SAN ISSUER TYPE | move FROM TO")
	}
}

func legacyImage(ts *testscript.TestScript, ref string) (name.Digest, digest.Digest) {
	image, err := name.NewDigest(ref)
	ts.Check(err)
	id, err := digest.Parse(image.DigestStr())
	ts.Check(err)
	return image, id
}

func legacySign(ts *testscript.TestScript, by *legacylab.Instance, flags map[string]string, args []string) {
	image, id := legacyImage(ts, args[0])
	if about, ok := flags["-about"]; ok {
		var err error
		id, err = digest.Parse(about)
		ts.Check(err)
	}
	var optional map[string]any
	for _, pair := range args[3:] {
		key, value, _ := strings.Cut(pair, "=")
		if optional == nil {
			optional = map[string]any{}
		}
		optional[key] = value
	}
	payload, err := legacylab.Payload(id, image.Context().Name(), optional)
	ts.Check(err)
	l, err := by.Sign(legacylab.Who{SAN: args[1], Issuer: args[2]}, payload)
	ts.Check(err)
	if _, ok := flags["-refer"]; ok {
		ts.Check(legacylab.Refer(image, l))
		return
	}
	if repo, ok := flags["-in"]; ok {
		elsewhere, err := name.NewRepository(repo)
		ts.Check(err)
		image = elsewhere.Digest(image.DigestStr())
	}
	ts.Check(legacylab.Store(image, "sig", l))
}

// legacyMove gives one image the legacy signatures of another; with swap each
// payload is made to name the new one.
func legacyMove(ts *testscript.TestScript, from, to string, swap bool) {
	source, old := legacyImage(ts, from)
	target, id := legacyImage(ts, to)
	img, err := remote.Image(source.Context().Tag(strings.Replace(source.DigestStr(), ":", "-", 1) + ".sig"))
	ts.Check(err)
	m, err := img.Manifest()
	ts.Check(err)
	var layers []legacylab.Layer
	for _, desc := range m.Layers {
		layer, err := img.LayerByDigest(desc.Digest)
		ts.Check(err)
		r, err := layer.Compressed()
		ts.Check(err)
		content, err := io.ReadAll(r)
		ts.Check(err)
		if swap {
			content = bytes.ReplaceAll(content, []byte(old.Hex()), []byte(id.Hex()))
		}
		layers = append(layers, legacylab.Layer{MediaType: string(desc.MediaType), Content: content, Annotations: desc.Annotations})
	}
	ts.Check(legacylab.Store(target, "sig", layers...))
}

// pushIndex pushes an index of images that are there.
func pushIndex(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 3, "index NAME IMAGE OS/ARCHITECTURE=DIGEST...")
	ref, err := name.ParseReference(args[1])
	ts.Check(err)
	var index v1.ImageIndex = empty.Index
	for _, arg := range args[2:] {
		platform, id, _ := strings.Cut(arg, "=")
		os, arch, _ := strings.Cut(platform, "/")
		img, err := remote.Image(ref.Context().Digest(id))
		ts.Check(err)
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: os, Architecture: arch}}})
	}
	ts.Check(remote.WriteIndex(ref, index))
	id, err := index.Digest()
	ts.Check(err)
	ts.Setenv(args[0], fmt.Sprint(id))
}
