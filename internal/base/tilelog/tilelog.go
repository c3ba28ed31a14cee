// SPDX-License-Identifier: Apache-2.0

// Package tilelog is an append-only Merkle log kept as tiles in a folder: Tessera's POSIX
// driver, plus what a log that answers fast needs and Tessera leaves out. It tells waiters when
// a checkpoint covers their entry without polling while nobody waits, computes proofs from
// cached tiles, keeps publishing when the clock steps back, serves the static read paths, and
// checks a whole folder.
//
// The layout is C2SP tlog-tiles (https://c2sp.org/tlog-tiles) or, with [Config].CTLayout,
// static-ct-api (https://c2sp.org/static-ct-api). The package does not know what an entry
// means, nor how a checkpoint is signed.
//
// Invariants:
//   - An index returned by an Add future is durable: Tessera writes entry bundles, tiles and
//     the tree state with O_SYNC, renames them into place and fsyncs their folder before the
//     future resolves.
//   - A [Tree] handed out by [Log.Await] is durable: Tessera writes the checkpoint the same
//     way, but its new content is visible before its folder is fsynced, so this package fsyncs
//     the folder itself before it wakes anyone.
//   - No proof leaves [Tree.Prove] that does not lead to the checkpoint's root.
package tilelog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/ctonly"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/note"
)

// MinCheckpointInterval is the shortest time between two checkpoints that the POSIX driver allows.
const MinCheckpointInterval = 100 * time.Millisecond

// ErrClosed is returned once [Log.Close] has begun.
var ErrClosed = errors.New("the log is closed")

// Config says where a log lives and how it batches. Dir and Signer are required.
type Config struct {
	// Dir is the folder of the log; it is created when absent. One process may have it open.
	Dir string
	// Signer signs checkpoints; its Name is their origin line.
	Signer note.Signer
	// CTLayout selects static-ct-api's entry bundles (tile/data) in place of tile/entries.
	CTLayout bool
	// BatchSize bounds a batch; zero means 1024 entries.
	BatchSize uint
	// BatchInterval is the least time between the starts of two batches; zero means 5 ms. An
	// entry that comes later than that after the last batch is written at once.
	BatchInterval time.Duration
	// Gather holds entries back until the next checkpoint may be published, unless a batch is
	// full. It is for logs whose writers await that checkpoint: it costs them nothing, makes
	// one batch per checkpoint under load, and has the checkpoint follow its batch at once
	// (Tessera looks again a whole interval after a batch that came too early).
	Gather bool
	// CheckpointInterval is the time between checkpoints; zero means [MinCheckpointInterval].
	CheckpointInterval time.Duration
	// RepublishInterval re-signs a checkpoint of a tree that has not grown; zero means never.
	RepublishInterval time.Duration
	// Log receives warnings; nil discards them.
	Log *slog.Logger
}

// Log is an open log. Its methods may be called concurrently.
type Log struct {
	cfg      Config
	add      tessera.AddFn
	addCT    func(context.Context, *ctonly.Entry) tessera.IndexFuture
	shutdown func(context.Context) error
	cancel   context.CancelFunc
	reader   tessera.LogReader
	batch    *batcher
	pub      *publisher
	cache    *tileCache
}

// Open opens or creates the log in cfg.Dir. The context bounds opening only.
func Open(ctx context.Context, cfg Config) (*Log, error) {
	if cfg.Dir == "" || cfg.Signer == nil {
		return nil, errors.New("tilelog: a folder and a checkpoint signer are required")
	}
	if cfg.BatchSize == 0 {
		cfg.BatchSize = 1024
	}
	if cfg.BatchInterval == 0 {
		cfg.BatchInterval = 5 * time.Millisecond
	}
	if cfg.CheckpointInterval == 0 {
		cfg.CheckpointInterval = MinCheckpointInterval
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	l := &Log{cfg: cfg}
	l.pub = newPublisher(l)
	l.cache = newTileCache(l.readTile)
	if err := settle(cfg.Dir, cfg.CTLayout, cfg.BatchSize); err != nil {
		return nil, fmt.Errorf("open log %s: %w", cfg.Dir, err)
	}
	l.pub.checkClock()

	driver, err := posix.New(ctx, posix.Config{Path: cfg.Dir})
	if err != nil {
		return nil, fmt.Errorf("open log %s: %w", cfg.Dir, err)
	}
	opts := tessera.NewAppendOptions().
		WithCheckpointSigner(watchedSigner{cfg.Signer, l.pub}).
		WithBatching(cfg.BatchSize, tesseraAge).
		WithCheckpointInterval(cfg.CheckpointInterval).
		WithCheckpointRepublishInterval(cfg.RepublishInterval)
	if cfg.CTLayout {
		opts = opts.WithCTLayout()
	}
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	appender, shutdown, reader, err := tessera.NewAppender(life, driver, opts)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("open log %s: %w", cfg.Dir, err)
	}
	l.add, l.shutdown, l.cancel, l.reader = appender.Add, shutdown, cancel, reader
	l.addCT = tessera.NewCertificateTransparencyAppender(appender)
	if err := l.firstCheckpoint(ctx); err != nil {
		cancel()
		return nil, err
	}
	hold := func() time.Duration { return 0 }
	if cfg.Gather {
		hold = l.pub.untilNext
	}
	l.batch = newBatcher(cfg.BatchInterval, hold, int(cfg.BatchSize))
	return l, nil
}

// firstCheckpoint waits until there is a checkpoint: a crash during the very first start leaves
// a tree without one, and Tessera then publishes it at its next tick.
func (l *Log) firstCheckpoint(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		_, err := l.pub.refresh()
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("open log %s: no checkpoint is published: %w", l.cfg.Dir, ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// Add queues an entry. The future resolves when the entry is durably in the tree, or failed;
// after an error other than [ErrClosed] the entry may or may not be in the tree.
func (l *Log) Add(ctx context.Context, data []byte) func() (uint64, error) {
	l.pub.checkClock()
	e := tessera.NewEntry(data)
	return l.batch.add(func() tessera.IndexFuture { return l.add(context.WithoutCancel(ctx), e) })
}

// AddCT queues a static-ct-api entry; the log must have been opened with CTLayout.
func (l *Log) AddCT(ctx context.Context, e *ctonly.Entry) func() (uint64, error) {
	l.pub.checkClock()
	return l.batch.add(func() tessera.IndexFuture { return l.addCT(context.WithoutCancel(ctx), e) })
}

// IntegratedSize is the number of entries durably in the tree, published or not.
func (l *Log) IntegratedSize(ctx context.Context) (uint64, error) {
	return l.reader.IntegratedSize(ctx)
}

// Await blocks until a durable, published checkpoint covers the entry at index.
func (l *Log) Await(ctx context.Context, index uint64) (*Tree, error) {
	return l.pub.await(ctx, index)
}

// Current reads the published checkpoint. It fails with an error matching fs.ErrNotExist when
// none has been published yet.
func (l *Log) Current(context.Context) (*Tree, error) {
	return l.pub.refresh()
}

// Mends counts how often the checkpoint file's time was found in the future and set back.
func (l *Log) Mends() uint64 { return l.pub.mends.Load() }

// Close stops accepting entries, waits until every accepted one is published, and stops
// Tessera. On an error some entries may be in the tree without a checkpoint; the next Open
// publishes them.
func (l *Log) Close(ctx context.Context) error {
	tend, stop := context.WithCancel(context.Background())
	go func() { // a clock that stepped back must not stop the last checkpoint either
		for tend.Err() == nil {
			l.pub.checkClock()
			time.Sleep(l.cfg.CheckpointInterval)
		}
	}()
	l.batch.close()
	err := l.shutdown(ctx)
	stop()
	if err == nil {
		_, err = l.pub.refresh()
	}
	l.pub.close()
	l.cancel()
	if err != nil {
		return fmt.Errorf("close log %s: %w", l.cfg.Dir, err)
	}
	return nil
}
