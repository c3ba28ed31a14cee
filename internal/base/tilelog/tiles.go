// SPDX-License-Identifier: Apache-2.0

package tilelog

import (
	"container/list"
	"context"
	"fmt"
	"sync"

	"github.com/transparency-dev/tessera/api/layout"
)

// maxTiles bounds the cache: 512 tiles of 256 hashes with their inner nodes are 8 MiB.
const maxTiles = 512

// tile is a hash tile with the roots of all complete subtrees inside it, computed once.
type tile struct {
	levels [][][]byte // levels[k][i] is the root over the tile's hashes [i<<k, (i+1)<<k)
}

func newTile(raw []byte) *tile {
	row := make([][]byte, len(raw)/hashSize)
	for i := range row {
		row[i] = raw[i*hashSize : (i+1)*hashSize : (i+1)*hashSize]
	}
	t := &tile{}
	for len(row) > 0 {
		t.levels = append(t.levels, row)
		next := make([][]byte, len(row)/2)
		for i := range next {
			next[i] = hasher{}.HashChildren(row[2*i], row[2*i+1])
		}
		row = next
	}
	return t
}

func (t *tile) node(level uint, index uint64) ([]byte, error) {
	if level >= uint(len(t.levels)) || index >= uint64(len(t.levels[level])) {
		return nil, fmt.Errorf("node %d of level %d is not in a tile of %d hashes", index, level, len(t.levels[0]))
	}
	return t.levels[level][index], nil
}

type tileID struct {
	level, index uint64
	partial      uint8 // 0 for a full tile
}

// tileCache keeps the most recently used tiles. Goroutines that miss the same tile share one read.
type tileCache struct {
	read func(ctx context.Context, level, index uint64, partial uint8) ([]byte, error)

	mu    sync.Mutex
	tiles map[tileID]*list.Element // of *cachedTile
	used  list.List                // most recently used first
}

type cachedTile struct {
	id   tileID
	once sync.Once
	tile *tile
	err  error
}

func newTileCache(read func(context.Context, uint64, uint64, uint8) ([]byte, error)) *tileCache {
	return &tileCache{read: read, tiles: map[tileID]*list.Element{}}
}

func (c *tileCache) get(ctx context.Context, level, index uint64, partial uint8) (*tile, error) {
	id := tileID{level, index, partial}
	c.mu.Lock()
	el, ok := c.tiles[id]
	if ok {
		c.used.MoveToFront(el)
	} else {
		el = c.used.PushFront(&cachedTile{id: id})
		c.tiles[id] = el
		if len(c.tiles) > maxTiles {
			last := c.used.Back()
			c.used.Remove(last)
			delete(c.tiles, last.Value.(*cachedTile).id)
		}
	}
	c.mu.Unlock()

	ct := el.Value.(*cachedTile)
	ct.once.Do(func() {
		// One caller's cancellation must not fail the others that share this read.
		raw, err := c.read(context.WithoutCancel(ctx), level, index, partial)
		if err != nil {
			ct.err = err
			return
		}
		ct.tile = newTile(raw)
	})
	if ct.err != nil {
		c.mu.Lock()
		if c.tiles[id] == el {
			c.used.Remove(el)
			delete(c.tiles, id)
		}
		c.mu.Unlock()
		return nil, ct.err
	}
	return ct.tile, nil
}

// readTile reads a hash tile of exactly the asked width; the full tile stands in for a partial
// one that has been collected.
func (l *Log) readTile(ctx context.Context, level, index uint64, partial uint8) ([]byte, error) {
	raw, err := l.reader.ReadTile(ctx, level, index, partial)
	if err != nil {
		return nil, fmt.Errorf("tile %s: %w", layout.TilePath(level, index, partial), err)
	}
	return cutTile(raw, level, index, partial)
}

func cutTile(raw []byte, level, index uint64, partial uint8) ([]byte, error) {
	want := tileWidth(partial) * hashSize
	if len(raw) < want || len(raw)%hashSize != 0 {
		return nil, fmt.Errorf("tile %s has %d bytes, expected %d", layout.TilePath(level, index, partial), len(raw), want)
	}
	return raw[:want], nil
}

func tileWidth(partial uint8) int {
	if partial == 0 {
		return layout.TileWidth
	}
	return int(partial)
}
