// SPDX-License-Identifier: Apache-2.0

package trustreview

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"

	"hallmark/internal/format/checkpoint"
	"hallmark/internal/format/pubkey"
	"hallmark/internal/format/trustroot"
)

// reviewLogs looks at identifiers and origins.
func reviewLogs(r *trustroot.Root) []Finding {
	var out []Finding
	origins := map[string]string{} // of v2 logs → field
	v2 := ""
	for i, l := range r.Logs {
		where := field("tlogs", i)
		out = append(out, reviewOrigin(where, l)...)
		kind, finding := reviewID(where, l)
		if finding != nil {
			out = append(out, *finding)
		}
		if len(l.CheckpointKeyID) > 0 {
			if id, err := checkpoint.LogID(l.Origin(), l.Key); err == nil && !bytes.HasPrefix(id[:], l.CheckpointKeyID) {
				out = append(out, Finding{LogID, where, false, fmt.Sprintf("checkpointKeyId %s is not the one of origin %q and this key", short(l.CheckpointKeyID), l.Origin())})
			}
		}
		if kind != idV2 {
			continue
		}
		v2 = where
		if other, ok := origins[l.Origin()]; ok {
			out = append(out, Finding{LogOrigin, where, false, fmt.Sprintf("has the origin of %s, %q: port and path do not tell logs apart, each needs a host name of its own", other, l.Origin())})
		}
		origins[l.Origin()] = where
	}
	if v2 != "" && len(r.TSAs) == 0 {
		out = append(out, Finding{NoTSA, v2, false, "looks like a Rekor v2 log, whose entries carry no time, and there is no timestamp authority: nothing certified that it logs can be verified"})
	}
	for i, l := range r.CTLogs {
		id, err := pubkey.KeyID(l.Key)
		if err == nil && !bytes.Equal(l.ID, id[:]) {
			out = append(out, Finding{LogID, field("ctlogs", i), false, fmt.Sprintf("logId %s is not the SHA-256 of its key, %s: no SCT will match", short(l.ID), short(id[:]))})
		}
	}
	return out
}

// reviewOrigin looks at what clients take a log's origin from.
func reviewOrigin(where string, l trustroot.Log) []Finding {
	warn := func(format string, args ...any) []Finding {
		return []Finding{{LogOrigin, where, false, fmt.Sprintf(format, args...)}}
	}
	if host, _, ok := strings.Cut(l.BaseURL, " - "); ok {
		return warn("baseUrl %q looks like the origin of a Rekor v1 log's checkpoints: expected its URL, such as https://%s", l.BaseURL, host)
	}
	u, err := url.Parse(l.BaseURL)
	if err == nil && u.Hostname() != "" && (u.Scheme == "https" || u.Scheme == "http") {
		return nil
	}
	if l.BaseURL == "" {
		return warn("baseUrl is empty: clients take the log's origin from its host")
	}
	return warn("baseUrl %q has no host that clients could take the log's origin from: expected a URL such as https://log.example.com", l.BaseURL)
}

// idKind is how a log's identifier was made.
type idKind int

const (
	idOther idKind = iota
	idKey          // the hash of the key: Rekor v1, or an ECDSA key
	idV2           // the hash of origin and key
)

// reviewID compares a log's identifier with those that follow from its key.
func reviewID(where string, l trustroot.Log) (idKind, *Finding) {
	key, err := pubkey.KeyID(l.Key)
	if err != nil {
		return idOther, nil
	}
	want, err := checkpoint.LogID(l.Origin(), l.Key)
	if err != nil {
		return idOther, nil
	}
	_, edwards := l.Key.(ed25519.PublicKey)
	switch {
	case bytes.Equal(l.ID, key[:]) && edwards:
		return idKey, &Finding{LogID, where, false, fmt.Sprintf("logId %s is the SHA-256 of its Ed25519 key, as Rekor v1 has it; if this is a Rekor v2 log, its entries carry %s, the note key hash for origin %q", short(l.ID), short(want[:]), l.Origin())}
	case bytes.Equal(l.ID, key[:]):
		return idKey, nil
	case bytes.HasPrefix(want[:], l.ID):
		return idV2, nil
	}
	if origin, ok := otherOrigin(l); ok {
		return idOther, &Finding{LogID, where, false, fmt.Sprintf("logId %s is that of origin %q, but clients take the origin from the URL's host, %q, for which it would be %s", short(l.ID), origin, l.Origin(), short(want[:]))}
	}
	return idOther, &Finding{LogID, where, false, fmt.Sprintf("logId %s follows from neither its key (%s) nor its key and origin %q (%s): no entry will match", short(l.ID), short(key[:]), l.Origin(), short(want[:]))}
}

// otherOrigin is the origin, of those that people get wrong, that l's
// identifier was computed for.
func otherOrigin(l trustroot.Log) (string, bool) {
	u, err := url.Parse(l.BaseURL)
	if err != nil {
		return "", false
	}
	bare := strings.TrimPrefix(strings.TrimPrefix(l.BaseURL, "https://"), "http://")
	for _, origin := range []string{u.Host, l.BaseURL, bare, strings.TrimRight(l.BaseURL, "/"), strings.TrimRight(bare, "/"), ""} {
		if matches(origin, l.Key, l.ID) {
			return origin, true
		}
	}
	return "", false
}

func matches(origin string, key crypto.PublicKey, id []byte) bool {
	got, err := checkpoint.LogID(origin, key)
	return err == nil && bytes.HasPrefix(got[:], id)
}

// short is the first half of an identifier's digits.
func short(id []byte) string {
	s := hex.EncodeToString(id)
	if len(s) > 16 {
		return s[:16] + "…"
	}
	return s
}
