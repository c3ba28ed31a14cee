// SPDX-License-Identifier: Apache-2.0

package logclient

import (
	"context"
	"crypto"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"

	"hallmark/internal/format/bundle"
	"hallmark/internal/format/digest"
	"hallmark/internal/format/intoto"
	"hallmark/internal/format/pubkey"
	"hallmark/internal/judge/verify"
)

const (
	pageLimit = 100  // the most entries that a log answers at once
	maxPages  = 1000 // the most answers that one search looks at
)

// Query is what to search for. Exactly one field is set.
type Query struct {
	// Digest is of the signed artifact, or of a subject of a signed statement
	// whose bundle the instance stores.
	Digest digest.Digest
	// Identity is the signer's name, exactly as in the certificate.
	Identity string
	// Key is the signer's, of a certificate or bare.
	Key crypto.PublicKey
}

// Answer is what a search found.
type Answer struct {
	Entries []*Entry // newest first
	More    bool     // there are older ones beyond the limit
	// LeftOut is how many entries claim to be what was searched for, but are not
	// proven to be by whom they name: a log may take certificates of strangers.
	LeftOut int
}

// Search finds the newest entries that match q, at most limit of them. Each is
// proven, and by itself what was searched for.
func (c *Client) Search(ctx context.Context, q Query, limit int) (*Answer, error) {
	term, err := q.term()
	if err != nil {
		return nil, err
	}
	if limit < 1 {
		return nil, fmt.Errorf("limit %d: expected at least 1", limit)
	}
	where := c.cfg.Search + "/search"
	answer := &Answer{}
	before := int64(-1) // the next page begins below; none yet
	for range maxPages {
		ask := url.Values{term[0]: {term[1]}, "limit": {strconv.Itoa(min(limit-len(answer.Entries), pageLimit))}}
		if before >= 0 {
			ask.Set("before", strconv.FormatInt(before, 10))
		}
		body, err := c.get(ctx, where+"?"+ask.Encode())
		if err != nil {
			return nil, err
		}
		next, err := c.takePage(answer, body, q, before)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", where, err)
		}
		if len(answer.Entries) > limit || len(answer.Entries) == limit && next >= 0 {
			answer.Entries, answer.More = answer.Entries[:limit], true
			return answer, nil
		}
		if next < 0 {
			return answer, nil
		}
		before = next
	}
	answer.More = true
	return answer, nil
}

// takePage adds a page to the answer and returns where the next one begins, -1
// if it was the last.
func (c *Client) takePage(answer *Answer, body []byte, q Query, before int64) (next int64, err error) {
	p, err := parsePage(body)
	if err != nil {
		return 0, err
	}
	last, err := c.take(answer, p, q, before)
	if err != nil || p.Next == "" {
		return -1, err
	}
	// Each page begins below the one before, or this would not end.
	next, err = strconv.ParseInt(p.Next, 10, 64)
	if err != nil || next < 0 || next == before || last >= 0 && next > last {
		return 0, fmt.Errorf("the next page is said to begin at %.40q: expected an index below this page's", p.Next)
	}
	return next, nil
}

// term is the query as the log's parameter and value.
func (q Query) term() ([2]string, error) {
	var terms [][2]string
	if !q.Digest.IsZero() {
		terms = append(terms, [2]string{"digest", q.Digest.String()})
	}
	if q.Identity != "" {
		terms = append(terms, [2]string{"identity", q.Identity})
	}
	if q.Key != nil {
		id, err := pubkey.KeyID(q.Key)
		if err != nil {
			return [2]string{}, err
		}
		terms = append(terms, [2]string{"key", hex.EncodeToString(id[:])})
	}
	if len(terms) != 1 {
		return [2]string{}, errors.New("search for exactly one of a digest, an identity and a key")
	}
	return terms[0], nil
}

// page is one answer of the search, unproven.
type page struct {
	Entries []json.RawMessage `json:"entries"`
	Bundles []struct {
		LogIndex string          `json:"logIndex"`
		Bundle   json.RawMessage `json:"bundle"`
	} `json:"bundles"`
	Next string `json:"next"`
}

func parsePage(body []byte) (*page, error) {
	p := &page{}
	if err := json.Unmarshal(body, p); err != nil {
		return nil, errors.New("the answer is not that of a search: expected JSON with entries and bundles")
	}
	if len(p.Entries) > pageLimit {
		return nil, fmt.Errorf("the answer has %d entries: at most %d come at once", len(p.Entries), pageLimit)
	}
	return p, nil
}

// take adds the page's entries to the answer. Every one of them has to be
// proven, below the index last unless that is negative, and below its
// predecessor. It returns the last index.
func (c *Client) take(answer *Answer, p *page, q Query, last int64) (int64, error) {
	for _, raw := range p.Entries {
		e, err := c.prove(raw)
		if err != nil {
			return 0, err
		}
		index := e.Entry().LogIndex
		if last >= 0 && index >= last {
			return 0, fmt.Errorf("entry %d comes after entry %d: expected the newest first, each once", index, last)
		}
		last = index
		for _, stored := range p.Bundles {
			if stored.LogIndex == strconv.FormatInt(index, 10) {
				if err := c.addBundle(e, stored.Bundle, q); err != nil {
					return 0, err
				}
			}
		}
		switch matched, err := e.matches(q); {
		case err != nil:
			answer.LeftOut++
		case !matched:
			return 0, fmt.Errorf("entry %d is not what was searched for", index)
		default:
			answer.Entries = append(answer.Entries, e)
		}
	}
	return last, nil
}

// addBundle gives e a bundle that the instance stores for it. Of several the
// first that verifies stays.
func (c *Client) addBundle(e *Entry, data []byte, q Query) error {
	b, err := bundle.Parse(data)
	if err == nil {
		err = e.Records(b)
	}
	if err != nil {
		return fmt.Errorf("the bundle stored for entry %d: %w", e.Entry().LogIndex, err)
	}
	if e.Verified != nil {
		return nil
	}
	verified, err := c.judge(e, b, q)
	if e.Bundle == nil || err == nil {
		e.Bundle, e.BundleJSON, e.Verified, e.BundleErr = b, data, verified, err
	}
	return nil
}

// judge is the one verification path, for whoever the signer is: that is what
// the caller wants to know.
func (c *Client) judge(e *Entry, b *bundle.Bundle, q Query) (*verify.Verified, error) {
	policy := verify.DefaultPolicy()
	if len(b.Certificates) > 0 {
		policy.AnyIdentityUnsafe = true
	} else {
		key, err := e.Rekord().Key()
		if err != nil {
			return nil, err
		}
		policy.Key, policy.Timestamps = key, 0
	}
	artifact := verify.Artifact{Digests: []digest.Digest{e.Rekord().Digest}}
	if b.Envelope != nil {
		// Without a digest to look for, the subject is part of what is found.
		artifact = verify.Artifact{AnySubjectUnsafe: true}
		if !q.Digest.IsZero() && q.Digest != e.Rekord().Digest {
			artifact = verify.Artifact{Digests: []digest.Digest{q.Digest}}
		}
	}
	return c.memo.Check(b, artifact, c.cfg.Root, policy)
}

// Statement is what the stored bundle's envelope says, nil unless it is an
// in-toto statement. The entry proves that it is what was signed.
func (e *Entry) Statement() *intoto.Statement {
	if e.Bundle == nil || e.Bundle.Envelope == nil || e.Bundle.Envelope.PayloadType != intoto.PayloadType {
		return nil
	}
	st, err := intoto.Parse(e.Bundle.Envelope.Payload)
	if err != nil {
		return nil
	}
	return st
}

// matches compares a proven entry with the query. The error is that it cannot
// be told whose the entry is.
func (e *Entry) matches(q Query) (bool, error) {
	switch {
	case q.Key != nil:
		key, err := e.Rekord().Key()
		if err != nil {
			return false, err
		}
		want, err := pubkey.KeyID(q.Key)
		if err != nil {
			return false, err
		}
		got, err := pubkey.KeyID(key)
		return got == want, err
	case q.Identity != "":
		return e.Signer.SAN.Value == q.Identity, e.SignerErr
	case e.Rekord().Digest == q.Digest:
		return true, nil
	}
	st := e.Statement()
	return st != nil && st.HasSubject(q.Digest), nil
}
