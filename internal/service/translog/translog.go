// SPDX-License-Identifier: Apache-2.0

// Package translog is the transparency log: Rekor v2's write API and C2SP tlog-tiles read paths
// on one Tessera tree, exact deduplication, and a search that proves what it shows.
//
// Specifications: https://github.com/sigstore/rekor-tiles (CLIENTS.md and api/proto),
// https://c2sp.org/tlog-tiles, https://c2sp.org/tlog-checkpoint.
//
// Invariants:
//   - An entry leaves [Log.Add] only when a published, fsynced checkpoint covers it, with an
//     inclusion proof that was checked against that checkpoint.
//   - Its signature was verified over its digest before it was logged, and its verifier is one
//     that [Config].Accept allows.
//   - A leaf is in the tree once. Equal submissions at the same time share one flight, which
//     lasts until the index has it; the index is complete before the first write is accepted.
//   - The index is derived from the tiles and never believed: a hit is shown only after the
//     entry was read from the tiles, matched and proven. It may be deleted while the log is closed.
//   - Stored bundles are primary data. Each belongs to an entry of this log.
package translog

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"hallmark/internal/base/durable"
	"hallmark/internal/base/tilelog"
	"hallmark/internal/format/checkpoint"
)

// Accept says whose signatures a log takes.
type Accept string

// The policies. The zero value means OwnCA.
const (
	// OwnCA takes certificates that this instance's CA issued.
	OwnCA Accept = "own-ca"
	// Keys takes those and bare public keys.
	Keys Accept = "keys"
	// Any takes every certificate and key.
	Any Accept = "any"
)

// Config is what an operator decides. Dir and Origin are required; a zero limit takes the
// default named beside it.
type Config struct {
	// Dir holds the log: tree/ (tiles, source of truth), index.db (derived), bundles.db.
	Dir string `yaml:"-" json:"-"`
	// Origin is the checkpoint's first line: a bare host name. It is fixed for the log's life.
	Origin string `yaml:"-" json:"-"`
	// Accept says whose signatures are logged: own-ca (default), keys or any.
	Accept Accept `yaml:"accept" json:"accept"`
	// WritesPerSecond and WriteBurst bound each source's submissions; 0 means no quota. A
	// source is an IPv4 address or an IPv6 /64.
	WritesPerSecond float64 `yaml:"writes-per-second" json:"writes-per-second"`
	WriteBurst      int     `yaml:"write-burst" json:"write-burst"`
	// SearchesPerSecond and SearchBurst bound each source's searches likewise.
	SearchesPerSecond float64 `yaml:"searches-per-second" json:"searches-per-second"`
	SearchBurst       int     `yaml:"search-burst" json:"search-burst"`
	// BehindProxy takes the source from the last hop of X-Forwarded-For.
	BehindProxy bool `yaml:"-" json:"-"`
	// MinFreeBytes of disk must stay free; below that the log is read-only. 0 turns it off.
	MinFreeBytes uint64 `yaml:"min-free-bytes" json:"min-free-bytes"`
	// MaxPending entries may be under way at once (16384); beyond, submissions answer 503.
	MaxPending int `yaml:"max-pending" json:"max-pending"`
	// MaxBundleBytes caps a stored bundle (4 MiB).
	MaxBundleBytes int64 `yaml:"max-bundle-bytes" json:"max-bundle-bytes"`
}

// Deps are what the log needs from the process. Key is required, and OwnCAs unless Accept is any.
type Deps struct {
	Key    crypto.Signer       // Ed25519 or ECDSA P-256
	OwnCAs []*x509.Certificate // every issuer of this instance's CA, past and present
	Now    func() time.Time    // the quotas' clock; nil means time.Now
	Log    *slog.Logger        // nil discards
	// FreeBytes tells how much space is left; nil means durable.FreeBytes.
	FreeBytes func(path string) (uint64, error)
}

// awaitTimeout bounds the wait for a checkpoint, which takes a tenth of a second as a rule.
const awaitTimeout = 20 * time.Second

// Log is an open log. Its methods may be called concurrently.
type Log struct {
	cfg     Config
	deps    Deps
	id      [32]byte
	tiles   *tilelog.Log
	index   *index
	bundles *bundleStore
	space   *durable.Watermark
	stats   *stats
	writes  *quota
	reads   *quota
	known   *knownSigners

	mu      sync.Mutex
	flights map[[32]byte]*flight // by leaf hash, until the index has the entry

	// gate is held for reading while an entry is on its way into the tree, and for writing
	// by a recovery and by Close.
	gate    sync.RWMutex
	closing bool        // guarded by gate
	suspect atomic.Bool // an addition failed, so the tree may hold what the index does not know
	rebuild atomic.Bool // the index was caught lying
}

// New opens or creates the log and brings the index up to the tree, which after a crash or with
// a deleted index reads entries from the tiles. The context bounds opening only.
func New(ctx context.Context, cfg Config, deps Deps) (*Log, error) {
	l, err := open(ctx, cfg, deps)
	if err != nil {
		return nil, fmt.Errorf("transparency log: %w", err)
	}
	return l, nil
}

func open(ctx context.Context, cfg Config, deps Deps) (_ *Log, err error) {
	if err := cfg.complete(&deps); err != nil {
		return nil, err
	}
	signer, err := checkpoint.NewSigner(cfg.Origin, deps.Key)
	if err != nil {
		return nil, err
	}
	l := &Log{cfg: cfg, deps: deps, known: newKnownSigners(), flights: map[[32]byte]*flight{}}
	if l.id, err = checkpoint.LogID(cfg.Origin, deps.Key.Public()); err != nil {
		return nil, err
	}
	l.writes = newQuota(cfg.WritesPerSecond, cfg.WriteBurst, deps.Now)
	l.reads = newQuota(cfg.SearchesPerSecond, cfg.SearchBurst, deps.Now)
	l.space = durable.NewWatermark(cfg.Dir, cfg.MinFreeBytes, deps.FreeBytes)
	if err := durable.MkdirAll(cfg.Dir, 0o755); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			l.release(ctx)
		}
	}()
	if l.tiles, err = tilelog.Open(ctx, tilelog.Config{
		Dir: treeDir(cfg.Dir), Signer: signer, Gather: true, Log: deps.Log,
	}); err != nil {
		return nil, err
	}
	if l.bundles, err = openBundleStore(ctx, bundlesPath(cfg.Dir)); err != nil {
		return nil, err
	}
	if l.index, err = openIndex(ctx, indexPath(cfg.Dir), l.tiles, deps.Log, l.landed); err != nil {
		return nil, err
	}
	if err := l.index.checkTail(ctx); err != nil {
		return nil, err
	}
	if err := l.index.catchUp(ctx, false); err != nil {
		return nil, err
	}
	l.stats = newStats(l)
	return l, nil
}

// complete checks the configuration and fills in defaults.
func (cfg *Config) complete(deps *Deps) error {
	switch cfg.Accept {
	case "":
		cfg.Accept = OwnCA
	case OwnCA, Keys, Any:
	default:
		return fmt.Errorf("accept is %q: expected own-ca, keys or any", cfg.Accept)
	}
	if cfg.Dir == "" {
		return errors.New("a folder is required")
	}
	if cfg.Origin == "" || strings.ContainsAny(cfg.Origin, "/ +{}\n\t") {
		return fmt.Errorf("origin %q: expected a bare host name", cfg.Origin)
	}
	if deps.Key == nil {
		return errors.New("a key is required")
	}
	if cfg.Accept != Any && len(deps.OwnCAs) == 0 {
		return fmt.Errorf("accept is %s, but no CA certificates are given", cfg.Accept)
	}
	if cfg.MaxPending <= 0 {
		cfg.MaxPending = 16384
	}
	if cfg.MaxBundleBytes <= 0 {
		cfg.MaxBundleBytes = 4 << 20
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	return nil
}

func treeDir(dir string) string     { return filepath.Join(dir, "tree") }
func indexPath(dir string) string   { return filepath.Join(dir, "index.db") }
func bundlesPath(dir string) string { return filepath.Join(dir, "bundles.db") }

// ID is the full 32 bytes of the checkpoint key's hash: a trusted root's logId.keyId.
func (l *Log) ID() [32]byte { return l.id }

// Metrics are the log's collectors, for the daemon's registry.
func (l *Log) Metrics() []prometheus.Collector { return l.stats.collectors() }

// Close refuses new entries, waits for those under way, publishes a last checkpoint and stops.
func (l *Log) Close(ctx context.Context) error {
	l.gate.Lock()
	closing := l.closing
	l.closing = true
	l.gate.Unlock()
	if closing {
		return nil
	}
	return l.release(ctx)
}

// release closes what is open.
func (l *Log) release(ctx context.Context) error {
	var errs []error
	if l.index != nil {
		errs = append(errs, l.index.close())
	}
	if l.tiles != nil {
		errs = append(errs, l.tiles.Close(ctx))
	}
	if l.bundles != nil {
		errs = append(errs, l.bundles.close())
	}
	return errors.Join(errs...)
}
