// SPDX-License-Identifier: Apache-2.0

// Package logclient asks a Hallmark transparency log what it holds: one entry,
// the entries about a digest, identity or key, and whether the log has only
// grown since an earlier state.
//
// The log answers in Sigstore's own forms (TransparencyLogEntry of
// https://github.com/sigstore/protobuf-specs/blob/main/protos/sigstore_rekor.proto)
// below /hallmark/v1/log; its package lists the paths.
//
// Invariants:
//   - the server is not believed: an [Entry] exists only if its inclusion proof
//     leads to a checkpoint that the trusted root's key for that log signed, and
//     one that was searched for is also compared with the query. An answer with
//     anything else in it is an error as a whole;
//   - who an entry names as its signer is shown only where the signature and
//     the certificate hold;
//   - that nothing was found proves nothing: a search shows what is in the log,
//     never what is not.
package logclient

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode"

	"hallmark/internal/base/fetch"
	"hallmark/internal/format/bundle"
	"hallmark/internal/format/logentry"
	"hallmark/internal/format/trustroot"
	"hallmark/internal/judge/verify"
)

// ErrNotFound is that the log has no such entry, by its server's word.
var ErrNotFound = errors.New("no such log entry")

// maxAnswer caps one answer, in bytes: a page holds whole bundles.
const maxAnswer = 64 << 20

// Config says which log to ask, and what its answers are checked with.
type Config struct {
	// Search is the base URL of the log's search API, such as
	// https://hallmark.example.com/hallmark/v1/log. Required.
	Search string
	// Root has the log's key. Required.
	Root *trustroot.Root
	// Log is the log of Root that has to answer; nil takes any of Root's.
	Log *trustroot.Log
	// HTTP is how to reach it. Its body limit is set here; zero retries are two,
	// negative are none.
	HTTP fetch.Config
}

// Client asks one log. It is safe for concurrent use.
type Client struct {
	cfg  Config
	http *fetch.Client
	memo verify.Memo
}

// New checks the configuration. It asks the log nothing.
func New(cfg Config) (*Client, error) {
	u, err := url.Parse(cfg.Search)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("log URL %.200q: expected https://host, without user, query and fragment", fetch.Redact(cfg.Search))
	}
	if cfg.Root == nil {
		return nil, errors.New("log client: a trusted root is required")
	}
	cfg.Search = strings.TrimSuffix(cfg.Search, "/")
	return &Client{cfg: cfg, http: newHTTP(cfg.HTTP)}, nil
}

func newHTTP(cfg fetch.Config) *fetch.Client {
	cfg.MaxBody = maxAnswer
	switch {
	case cfg.Retries == 0:
		cfg.Retries = 2
	case cfg.Retries < 0:
		cfg.Retries = 0
	}
	return fetch.New(cfg)
}

// Entry is a log entry that is proven to be in the log.
type Entry struct {
	*verify.Inclusion

	// Signer made the entry, unless SignerErr says why that is not proven.
	Signer    verify.Signer
	SignerErr error

	// Bundle is what the instance stores for the entry, nil if nothing: the
	// entry is what the bundle was logged as. BundleJSON is the same as it came.
	Bundle     *bundle.Bundle
	BundleJSON []byte
	// Verified is what the bundle shows, whoever signed it; nil where there is no
	// bundle or BundleErr says why it is not accepted.
	Verified  *verify.Verified
	BundleErr error
}

// Entry gets the entry at index, proven under the log's current checkpoint. The
// error wraps [ErrNotFound] where the server has none.
func (c *Client) Entry(ctx context.Context, index uint64) (*Entry, error) {
	where := c.cfg.Search + "/entries/" + strconv.FormatUint(index, 10)
	body, err := c.get(ctx, where)
	if err != nil {
		return nil, err
	}
	e, err := c.prove(body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", where, err)
	}
	if got := e.Entry().LogIndex; uint64(got) != index {
		return nil, fmt.Errorf("%s: the server answered with entry %d", where, got)
	}
	return e, nil
}

// prove reads a TransparencyLogEntry and believes it if it is proven.
func (c *Client) prove(data []byte) (*Entry, error) {
	raw, err := logentry.Parse(data)
	if err != nil {
		return nil, err
	}
	inc, err := verify.CheckInclusion(raw, c.cfg.Root)
	if err != nil {
		return nil, fmt.Errorf("entry %d is not proven to be in the log: %w", raw.LogIndex, err)
	}
	if want := c.cfg.Log; want != nil && !bytes.Equal(want.ID, raw.LogID) {
		return nil, fmt.Errorf("entry %d is of log %s: expected one of log %s", raw.LogIndex, inc.Tree().Log().Origin(), want.Origin())
	}
	e := &Entry{Inclusion: inc}
	e.Signer, e.SignerErr = inc.Signer(c.cfg.Root)
	return e, nil
}

// Extends decides whether the log in the given state begins with the state that
// had the given size and root hash, for which it asks the log for a proof. What
// it says was wrong is an error.
func (c *Client) Extends(ctx context.Context, tree *verify.Tree, size uint64, root [32]byte) error {
	if size == 0 || size >= tree.Size() {
		return tree.Extends(size, root, nil)
	}
	where := c.cfg.Search + "/consistency"
	body, err := c.get(ctx, fmt.Sprintf("%s?from=%d&to=%d", where, size, tree.Size()))
	if err != nil {
		return err
	}
	var answer struct {
		Hashes [][]byte `json:"hashes"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || len(answer.Hashes) > logentry.MaxHashes {
		return fmt.Errorf("%s: expected a consistency proof of at most %d hashes", where, logentry.MaxHashes)
	}
	for _, h := range answer.Hashes {
		if len(h) != len(root) {
			return fmt.Errorf("%s: a hash of the proof has %d bytes: expected %d", where, len(h), len(root))
		}
	}
	return tree.Extends(size, root, answer.Hashes)
}

func (c *Client) get(ctx context.Context, where string) ([]byte, error) {
	resp, err := c.http.Do(ctx, http.MethodGet, where, nil, nil)
	if err != nil {
		return nil, err
	}
	if resp.Status != http.StatusOK {
		return nil, refusal(where, resp)
	}
	return resp.Body, nil
}

// refusal puts a server's error into words.
func refusal(where string, resp *fetch.Response) error {
	var answer struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}
	if json.Unmarshal(resp.Body, &answer) != nil || answer.Message == "" {
		if resp.Status == http.StatusNotFound {
			return fmt.Errorf("%s does not exist: is this the URL of a Hallmark log's search?", fetch.Redact(where))
		}
		return resp.Err(where)
	}
	if resp.Status == http.StatusNotFound {
		return fmt.Errorf("%w: %s says: %s", ErrNotFound, fetch.Redact(where), oneLine(answer.Message))
	}
	return fmt.Errorf("%s: status %d: %s", fetch.Redact(where), resp.Status, oneLine(answer.Message))
}

// oneLine is the start of what a server says, fit for a terminal.
func oneLine(s string) string {
	const most = 500
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)
}
