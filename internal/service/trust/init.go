// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"hallmark/internal/base/fetch"
)

// InitOptions says where a trust root comes from and why to believe it: exactly
// one of Root, RootSHA256 and TOFU is set.
type InitOptions struct {
	Name string // "" is the URL's host and port
	URL  string // of a Hallmark instance, or of a TUF mirror

	Root       []byte // the TUF root.json to begin with
	RootSHA256 string // of the root.json that the mirror offers, hexadecimal
	TOFU       bool   // believe whatever root.json the mirror offers now
}

// Init fetches a trust root by TUF and stores it under a new name. Whatever
// fails, nothing is stored. When the name is taken by the same trust root (the
// same mirror and first root), Init refreshes it; by another one, the error
// wraps ErrExists.
func (s *Store) Init(ctx context.Context, opts InitOptions) (Info, error) {
	opts, err := opts.check()
	if err != nil {
		return Info{}, fmt.Errorf("trust init: %w", err)
	}
	before, _ := s.readRecord(opts.Name) // judged below, under the lock
	l, waited, err := s.lock(ctx, opts.Name)
	if err != nil {
		return Info{}, err
	}
	defer l.Unlock()
	prev, err := s.readRecord(opts.Name)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return Info{}, err
	}
	pinned := prev != nil && prev.Kind == KindTUF && (opts.TOFU || prev.hasRoot(opts.RootSHA256))
	if pinned && prev.URL == opts.URL {
		return s.refreshSince(ctx, before, prev, waited)
	}
	mirror, instance, err := s.discover(ctx, opts.URL)
	if err != nil {
		return Info{}, fmt.Errorf("trust init %s: %w", opts.URL, err)
	}
	if pinned && prev.Mirror == mirror {
		return s.refreshSince(ctx, before, prev, waited)
	}
	if prev != nil {
		return Info{}, fmt.Errorf("trust root %q: %w (%s): choose another name, or run hallmark trust remove %s first", opts.Name, ErrExists, prev.origin(), opts.Name)
	}
	root, err := s.firstRoot(ctx, mirror, opts)
	if err != nil {
		return Info{}, fmt.Errorf("trust init %s: %w", opts.URL, err)
	}
	r := &record{Name: opts.Name, Kind: KindTUF, URL: opts.URL, Mirror: mirror, RootSHA256: hexSHA256(root), TOFU: opts.TOFU, Created: s.now().UTC().Truncate(time.Second)}
	return s.update(ctx, r, nil, root, map[string][]byte{instanceFile: instance}, "")
}

// check normalises o, with RootSHA256 filled in from Root.
func (o InitOptions) check() (InitOptions, error) {
	ways := 0
	for _, set := range []bool{len(o.Root) > 0, o.RootSHA256 != "", o.TOFU} {
		if set {
			ways++
		}
	}
	if ways != 1 {
		return o, errors.New("expected exactly one of --root FILE, --root-sha256 HEX and --tofu: without one there is no reason to trust what the server sends")
	}
	o.URL = strings.TrimRight(o.URL, "/")
	u, err := parseURL(o.URL)
	if err != nil {
		return o, fmt.Errorf("URL %.200q: %w", fetch.Redact(o.URL), err)
	}
	if o.RootSHA256 != "" {
		if o.RootSHA256, err = parseSHA256(o.RootSHA256); err != nil {
			return o, fmt.Errorf("--root-sha256 %w", err)
		}
	}
	if len(o.Root) > maxRoot {
		return o, fmt.Errorf("--root: %d bytes: expected a root.json of at most %d", len(o.Root), maxRoot)
	}
	if len(o.Root) > 0 {
		o.RootSHA256 = hexSHA256(o.Root)
	}
	if o.Name == "" {
		o.Name = nameOf(u.Host)
	}
	if o.Name == PublicGood {
		return o, fmt.Errorf("the name %q belongs to the built-in trust root: choose another with --name", PublicGood)
	}
	return o, CheckName(o.Name)
}

// hasRoot is whether r began with the root of that checksum, or has followed
// the chain of roots past it.
func (r *record) hasRoot(sum string) bool {
	for name, s := range r.Files {
		if s == sum && isNumberedRoot(name) {
			return true
		}
	}
	return r.RootSHA256 == sum
}

// origin is where r came from, for messages.
func (r *record) origin() string {
	if r.Mirror != "" {
		return "from " + r.Mirror + ", first root " + r.RootSHA256
	}
	return "from a file"
}

// discover asks url whether it is a Hallmark instance, and returns its TUF
// mirror and document; otherwise url is the mirror.
func (s *Store) discover(ctx context.Context, url string) (mirror string, document []byte, err error) {
	where := url + InstancePath
	resp, err := s.client().Do(ctx, http.MethodGet, where, nil, nil)
	if err != nil {
		return "", nil, err
	}
	body := strings.TrimLeft(string(resp.Body), " \t\r\n")
	if resp.Status != http.StatusOK || !strings.HasPrefix(body, "{") { // a page for people, say
		return url, nil, nil
	}
	in, err := ParseInstance(resp.Body)
	if err != nil {
		return "", nil, fmt.Errorf("%s: %w", where, err)
	}
	mirror = strings.TrimRight(in.TUF.Mirror, "/")
	if mirror == "" {
		mirror = url + "/tuf"
	}
	return mirror, resp.Body, nil
}

// firstRoot is the root.json to begin with: the one given, or the one at the
// mirror that the options say to believe.
func (s *Store) firstRoot(ctx context.Context, mirror string, opts InitOptions) ([]byte, error) {
	if len(opts.Root) > 0 {
		return opts.Root, nil
	}
	f := s.fetcher(ctx)
	found := "" // the checksum that is offered instead
	// root.json is the latest where it exists; the pinned one may be earlier.
	for v := int64(0); v <= maxRotations; v++ {
		name := "root.json"
		if v > 0 {
			name = strings.TrimPrefix(numberedRoot(v), "tuf/")
		}
		data, err := f.DownloadFile(mirror+"/"+name, maxRoot, 0)
		if absent(err) && v == 0 {
			continue
		}
		if absent(err) {
			break
		}
		if err != nil {
			return nil, err
		}
		sum := hexSHA256(data)
		if opts.TOFU || sum == opts.RootSHA256 {
			return data, nil
		}
		if found == "" {
			found = sum
		}
	}
	if found == "" {
		return nil, fmt.Errorf("%s has neither root.json nor 1.root.json: expected the URL of a Hallmark instance or of a TUF repository's metadata", mirror)
	}
	return nil, fmt.Errorf("%w: expected %s, found %s at %s/root.json: check the checksum with the instance's operator; nothing was stored", ErrChecksum, opts.RootSHA256, found, mirror)
}

// maxRoot caps one root.json, as go-tuf does.
const maxRoot = 512000

func (s *Store) client() *fetch.Client {
	if s.fetch != nil {
		return s.fetch
	}
	return fetch.New(fetch.Config{Retries: 2})
}

func (s *Store) fetcher(ctx context.Context) *fetcher {
	return &fetcher{ctx: ctx, client: s.client(), left: maxDownload, files: map[string][]byte{}}
}
