// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// hostFiles are small files that some host or other has; those that exist go
// into the image.
var hostFiles = []string{
	"/etc/os-release", "/etc/services", "/etc/protocols", "/etc/hosts", "/etc/shells",
	"/System/Library/CoreServices/SystemVersion.plist", "/bin/true", "/bin/echo", "/usr/bin/true",
}

const maxHostFile = 1 << 20

// pushImage builds an image of the host's own files and pushes it.
func (d *stage) pushImage(ctx context.Context) error {
	d.say("Build a small image out of this machine's own files, and push it")
	start := time.Now()
	img, files, err := hostImage("")
	if err != nil {
		return err
	}
	d.image = d.registryHost + "/" + repository + ":v1"
	if d.digest, err = push(ctx, d.image, img); err != nil {
		return err
	}
	d.done(start, "%s (%d files) is %s", d.image, files, d.digest)
	return nil
}

// hostImage is an image of the host's files and one with the given note.
func hostImage(note string) (v1.Image, int, error) {
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	files := 0
	add := func(path string, data []byte) error {
		files++
		if err := w.WriteHeader(&tar.Header{Name: strings.TrimPrefix(path, "/"), Mode: 0o755, Size: int64(len(data)), Format: tar.FormatPAX}); err != nil {
			return err
		}
		_, err := w.Write(data)
		return err
	}
	for _, path := range hostFiles {
		fi, err := os.Stat(path)
		if err != nil || !fi.Mode().IsRegular() || fi.Size() > maxHostFile {
			continue
		}
		data, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		if err := add(path, data); err != nil {
			return nil, 0, err
		}
	}
	if err := add("/note", []byte("made by hallmarkd demo"+note+"\n")); err != nil {
		return nil, 0, err
	}
	if err := w.Close(); err != nil {
		return nil, 0, err
	}
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(layer.Bytes())), nil })
	if err != nil {
		return nil, 0, err
	}
	img, err := mutate.AppendLayers(empty.Image, l)
	return img, files, err
}

// push uploads img and gives its digest.
func push(ctx context.Context, ref string, img v1.Image) (string, error) {
	tag, err := name.ParseReference(ref)
	if err != nil {
		return "", err
	}
	if err := remote.Write(tag, img, remote.WithContext(ctx)); err != nil {
		return "", fmt.Errorf("push %s: %w", ref, err)
	}
	hash, err := img.Digest()
	return hash.String(), err
}
