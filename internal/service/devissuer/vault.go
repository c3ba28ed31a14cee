// SPDX-License-Identifier: Apache-2.0

package devissuer

import (
	"errors"
	"sync"
	"time"
)

// vaultSize is how many secrets of a sort may be outstanding. Only the holder
// of the Unix socket causes any to be made.
const vaultSize = 1000

// vault keeps values behind secrets that work once. It keeps only the hashes
// of the secrets.
type vault[T any] struct {
	life time.Duration
	now  func() time.Time

	mu    sync.Mutex
	items map[[32]byte]vaultItem[T]
}

type vaultItem[T any] struct {
	value   T
	expires time.Time
}

func newVault[T any](life time.Duration, now func() time.Time) *vault[T] {
	return &vault[T]{life: life, now: now, items: map[[32]byte]vaultItem[T]{}}
}

func (v *vault[T]) put(secret string, value T) (expires time.Time, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := v.now()
	if len(v.items) >= vaultSize {
		for k, item := range v.items {
			if !now.Before(item.expires) {
				delete(v.items, k)
			}
		}
		if len(v.items) >= vaultSize {
			return time.Time{}, errors.New("too many unused codes; wait for some to expire")
		}
	}
	expires = now.Add(v.life)
	v.items[hash(secret)] = vaultItem[T]{value, expires}
	return expires, nil
}

// take removes what the secret stands for; false if there is nothing, or it
// has expired.
func (v *vault[T]) take(secret string) (T, bool) {
	key := hash(secret)
	v.mu.Lock()
	defer v.mu.Unlock()
	item, ok := v.items[key]
	delete(v.items, key)
	if !ok || !v.now().Before(item.expires) {
		var none T
		return none, false
	}
	return item.value, true
}
