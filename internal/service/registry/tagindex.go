// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"
)

// The referrers tag scheme,
// https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#referrers-tag-schema:
// where a registry has no referrers API, clients keep an index under the tag
// "sha256-<hex>". Every writer replaces the whole of it, so one can undo
// another's work without either noticing. Here a write counts only once the
// index has been read back with it after a pause in which a writer that had
// read the older index would have finished.

const tagTries = 16

// tagIndex is an index under a referrers tag. Fields and descriptors that this
// package does not know are kept as they are.
type tagIndex struct {
	fields    map[string]json.RawMessage
	manifests []json.RawMessage
}

// tagIndex reads the index of subject; it is empty if there is no such tag.
func (s *session) tagIndex(ctx context.Context, subject string) (*tagIndex, error) {
	tag := fallbackTag(subject)
	body, mediaType, err := s.manifest(ctx, tag, indexType)
	if notFound(err) {
		return &tagIndex{fields: map[string]json.RawMessage{
			"schemaVersion": json.RawMessage(`2`),
			"mediaType":     json.RawMessage(`"` + indexType + `"`),
		}}, nil
	}
	if err != nil {
		return nil, err
	}
	idx := &tagIndex{}
	mediaType, _, _ = strings.Cut(mediaType, ";")
	if mediaType != indexType || json.Unmarshal(body, &idx.fields) != nil {
		return nil, fmt.Errorf("the tag %s is not an index of referrers (it is %.100q): it is not touched; remove it", tag, mediaType)
	}
	if raw, ok := idx.fields["manifests"]; ok {
		if err := json.Unmarshal(raw, &idx.manifests); err != nil {
			return nil, fmt.Errorf("the tag %s: its manifests are not a list: %v", tag, err)
		}
	}
	return idx, nil
}

func fallbackTag(subject string) string { return strings.Replace(subject, ":", "-", 1) }

func (x *tagIndex) descriptors() ([]descriptor, error) {
	out := make([]descriptor, len(x.manifests))
	for i, raw := range x.manifests {
		if err := json.Unmarshal(raw, &out[i]); err != nil {
			return nil, fmt.Errorf("the tag's index: manifests[%d] is not a descriptor: %v", i, err)
		}
	}
	return out, nil
}

func (x *tagIndex) has(id string) (bool, error) {
	list, err := x.descriptors()
	if err != nil {
		return false, err
	}
	for _, d := range list {
		if d.Digest == id {
			return true, nil
		}
	}
	return false, nil
}

// with is the index as JSON, d appended.
func (x *tagIndex) with(d descriptor) ([]byte, error) {
	raw, err := json.Marshal(d)
	if err != nil {
		return nil, err
	}
	manifests, err := json.Marshal(append(x.manifests[:len(x.manifests):len(x.manifests)], raw))
	if err != nil {
		return nil, err
	}
	fields := map[string]json.RawMessage{}
	for k, v := range x.fields {
		fields[k] = v
	}
	fields["manifests"] = manifests
	body, err := json.Marshal(fields)
	if err == nil && len(body) > MaxManifest {
		err = &sizeError{"the tag's index of referrers", MaxManifest, ""}
	}
	return body, err
}

// addToTagIndex lists d under subject's referrers tag, and stays until it is
// sure that it is listed.
func (s *session) addToTagIndex(ctx context.Context, subject string, d descriptor) error {
	unlock := s.client.lockTag(s.repo.Name() + "@" + subject)
	defer unlock()
	for try := 0; try < tagTries; try++ {
		if try > 0 && !sleep(ctx, jitter(s.client.settle<<min(try-1, 4))) {
			return ctx.Err()
		}
		started := time.Now()
		idx, err := s.tagIndex(ctx, subject)
		if err != nil {
			return err
		}
		if listed, err := idx.has(d.Digest); err != nil || listed && try == 0 {
			return err
		} else if !listed {
			body, err := idx.with(d)
			if err != nil {
				return err
			}
			if _, err := s.putManifest(ctx, fallbackTag(subject), indexType, body); err != nil {
				return err
			}
		}
		took := time.Since(started)
		if !sleep(ctx, jitter(2*max(s.client.settle, min(3*took, 10*time.Second)))) {
			return ctx.Err()
		}
		if idx, err = s.tagIndex(ctx, subject); err != nil {
			return err
		}
		if listed, err := idx.has(d.Digest); err != nil || listed {
			return err
		}
	}
	return fmt.Errorf("other writers kept replacing the tag %s; try again", fallbackTag(subject))
}

// lockTag keeps this client's own writers of one tag apart.
func (c *Client) lockTag(key string) (unlock func()) {
	c.mu.Lock()
	l := c.tagLocks[key]
	if l == nil {
		l = &sync.Mutex{}
		c.tagLocks[key] = l
	}
	c.mu.Unlock()
	l.Lock()
	return l.Unlock
}
