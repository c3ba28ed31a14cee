// SPDX-License-Identifier: Apache-2.0

// Package ctlog is the certificate transparency log that this instance's CA writes to: a log in
// static-ct-api's layout (https://c2sp.org/static-ct-api) that gives RFC 6962 SCTs
// (https://www.rfc-editor.org/rfc/rfc6962). The CA is its only writer, in the same process, so
// there is no submission API and no deduplication.
//
// Invariants:
//   - An SCT leaves [Log.AddPrecert] only after its entry is durably in the tree, and its issuer
//     certificates are durably in the issuer folder. It does not wait for a checkpoint: the
//     leaf_index extension says where the entry is.
//   - The log ID is the SHA-256 of the key's DER SubjectPublicKeyInfo, the key is ECDSA P-256,
//     and signatures use SHA-256.
//   - Checkpoints carry an RFC6962NoteSignature (type 0x05) and nothing else.
package ctlog

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/transparency-dev/tessera/ctonly"

	"hallmark/internal/base/durable"
	"hallmark/internal/base/tilelog"
	"hallmark/internal/format/certext"
	"hallmark/internal/format/pubkey"
)

// republishInterval keeps an idle log's tree head younger than RFC 6962's maximum merge delay.
const republishInterval = time.Hour

// maxChain caps the issuer certificates of one entry.
const maxChain = 8

// Config is what an operator decides. Dir and Origin are required.
type Config struct {
	// Dir is the log's folder; it is created when absent.
	Dir string `yaml:"dir" json:"dir"`
	// Origin is the checkpoint's first line: the log's URL prefix without the scheme, in lower
	// case and without a trailing slash, for example "localhost/ct".
	Origin string `yaml:"origin" json:"origin"`
	// MinFreeBytes of disk must stay free; below that AddPrecert fails. 0 turns the check off.
	MinFreeBytes uint64 `yaml:"min-free-bytes" json:"min-free-bytes"`
}

// Deps are what the log needs from the process. Key is required.
type Deps struct {
	Key   crypto.Signer       // ECDSA P-256
	Roots []*x509.Certificate // answered by get-roots
	Now   func() time.Time    // the SCTs' clock; nil means time.Now
	Log   *slog.Logger        // nil discards
	// FreeBytes tells how much space is left; nil means durable.FreeBytes.
	FreeBytes func(path string) (uint64, error)
}

// Log is an open CT log. Its methods may be called concurrently.
type Log struct {
	cfg   Config
	deps  Deps
	id    [32]byte
	tiles *tilelog.Log
	space *durable.Watermark
	stats stats

	issuersMu sync.Mutex
	issuers   map[[32]byte]issuer // by SHA-256 of the DER; only what is durably on disk

	gate    sync.RWMutex // held for reading by each AddPrecert
	closing bool         // guarded by gate
}

type issuer struct {
	keyHash [32]byte // SHA-256 of the SubjectPublicKeyInfo
}

// New opens or creates the log. The context bounds opening only.
func New(ctx context.Context, cfg Config, deps Deps) (*Log, error) {
	if err := checkOrigin(cfg.Origin); err != nil {
		return nil, err
	}
	if deps.Key == nil {
		return nil, errors.New("CT log: a key is required")
	}
	if pub, ok := deps.Key.Public().(*ecdsa.PublicKey); !ok || pub.Curve != elliptic.P256() {
		return nil, fmt.Errorf("CT log: the key is %T, expected ECDSA P-256", deps.Key.Public())
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	if deps.Log == nil {
		deps.Log = slog.New(slog.DiscardHandler)
	}
	id, err := pubkey.KeyID(deps.Key.Public())
	if err != nil {
		return nil, fmt.Errorf("CT log: %w", err)
	}
	l := &Log{cfg: cfg, deps: deps, id: id, issuers: map[[32]byte]issuer{}}
	l.space = durable.NewWatermark(cfg.Dir, cfg.MinFreeBytes, deps.FreeBytes)
	if err := durable.MkdirAll(filepath.Join(cfg.Dir, "issuer"), 0o755); err != nil {
		return nil, fmt.Errorf("CT log: %w", err)
	}
	l.tiles, err = tilelog.Open(ctx, tilelog.Config{
		Dir:               cfg.Dir,
		Signer:            &noteSigner{origin: cfg.Origin, key: deps.Key, id: id, now: deps.Now},
		CTLayout:          true,
		RepublishInterval: republishInterval,
		Log:               deps.Log,
	})
	if err != nil {
		return nil, fmt.Errorf("CT log: %w", err)
	}
	l.stats = newStats(l)
	return l, nil
}

func checkOrigin(origin string) error {
	if origin == "" || origin != strings.ToLower(origin) || strings.Contains(origin, "://") || strings.HasSuffix(origin, "/") || strings.ContainsAny(origin, "+ \n\t") {
		return fmt.Errorf("CT log: origin %q: expected a URL prefix in lower case without scheme and trailing slash, such as log.example.org/ct", origin)
	}
	return nil
}

// ID is the log ID: the SHA-256 of the key's DER SubjectPublicKeyInfo.
func (l *Log) ID() [32]byte { return l.id }

// AddPrecert logs a precertificate and returns its SCT once the entry is durable. An error
// means that no SCT was given; the entry may be in the log all the same, which harms nobody.
func (l *Log) AddPrecert(ctx context.Context, p certext.Precert) (certext.SCT, error) {
	sct, err := l.addPrecert(ctx, p)
	if err != nil {
		l.stats.failed.Inc()
		return certext.SCT{}, fmt.Errorf("CT log: %w", err)
	}
	return sct, nil
}

func (l *Log) addPrecert(ctx context.Context, p certext.Precert) (certext.SCT, error) {
	l.gate.RLock()
	defer l.gate.RUnlock()
	if l.closing {
		return certext.SCT{}, tilelog.ErrClosed
	}
	if err := l.space.Check(); err != nil {
		return certext.SCT{}, err
	}
	chain, err := l.checkPrecert(p)
	if err != nil {
		return certext.SCT{}, err
	}
	start := time.Now()
	entry := &ctonly.Entry{
		Timestamp:         uint64(l.deps.Now().UnixMilli()),
		IsPrecert:         true,
		Certificate:       p.TBS,
		Precertificate:    p.DER,
		IssuerKeyHash:     p.IssuerKeyHash[:],
		FingerprintsChain: chain,
	}
	index, err := wait(ctx, l.tiles.AddCT(ctx, entry))
	if err != nil {
		return certext.SCT{}, fmt.Errorf("the entry could not be stored: %w", err)
	}
	l.stats.sequenced.Observe(time.Since(start).Seconds())
	return l.sign(entry, index, p)
}

// wait resolves a future, or gives up with the context.
func wait(ctx context.Context, future func() (uint64, error)) (uint64, error) {
	type result struct {
		index uint64
		err   error
	}
	done := make(chan result, 1)
	go func() {
		index, err := future()
		done <- result{index, err}
	}()
	select {
	case r := <-done:
		return r.index, r.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// checkPrecert checks that the parts of a precertificate belong together, stores its issuers,
// and returns the fingerprints of the chain.
func (l *Log) checkPrecert(p certext.Precert) ([][32]byte, error) {
	if len(p.Chain) == 0 || len(p.Chain) > maxChain {
		return nil, fmt.Errorf("a chain of %d issuers: expected 1 to %d", len(p.Chain), maxChain)
	}
	tbs, err := certext.PrecertTBS(p.DER)
	if err != nil {
		return nil, err
	}
	if string(tbs) != string(p.TBS) {
		return nil, errors.New("the TBS certificate is not the precertificate's")
	}
	chain := make([][32]byte, len(p.Chain))
	for i, der := range p.Chain {
		chain[i] = sha256.Sum256(der)
		is, err := l.storeIssuer(chain[i], der)
		if err != nil {
			return nil, err
		}
		if i == 0 && is.keyHash != p.IssuerKeyHash {
			return nil, errors.New("the issuer key hash is not that of the first issuer in the chain")
		}
	}
	return chain, nil
}

// sign makes the SCT of the entry at index.
func (l *Log) sign(e *ctonly.Entry, index uint64, p certext.Precert) (certext.SCT, error) {
	sct := certext.SCT{
		LogID:      l.id,
		Timestamp:  e.Timestamp,
		Extensions: leafIndex(index),
		HashAlg:    certext.HashSHA256,
		SigAlg:     certext.SigECDSA,
	}
	sum := sha256.Sum256(certext.SCTSignedData(sct.Timestamp, sct.Extensions, p.IssuerKeyHash, p.TBS))
	sig, err := l.deps.Key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		return certext.SCT{}, fmt.Errorf("sign SCT: %w", err)
	}
	sct.Signature = sig
	return sct, nil
}

// leafIndex is static-ct-api's SCT extension: type leaf_index (0), two bytes of length, and the
// index in 40 bits.
func leafIndex(i uint64) []byte {
	return []byte{0, 0, 5, byte(i >> 32), byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)}
}

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
	return l.tiles.Close(ctx)
}
