// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"hallmark/internal/format/digest"
	"hallmark/internal/service/logclient"
)

// maxFound bounds a search, whose every hit is proven and kept in memory.
const maxFound = 1000

// wanted is what a search is for, as flags.
type wanted struct {
	digest, identity, key, file string
	limit                       int
}

func logSearch(a *app) *cobra.Command {
	var flags logFlags
	var want wanted
	cmd := &cobra.Command{
		Use:   "search (--digest DIGEST | --identity NAME | --key FILE | --file FILE)",
		Short: "Find entries by what was signed, or by whom",
		Long: `Find the newest log entries about a digest or a file, or by an identity or a key.
Each is proven to be in the log, and to be what was searched for. A search never
proves that something is not in the log. An entry is found a moment after it was made.

Image signatures and attestations are found by digest if their bundle was handed in to
the instance, as "hallmark sign" does.`,
		Example: `  hallmark log search --file app.tar.gz
  hallmark log search --identity you@example.com --limit 5`,
		Args: exactArgs(),
	}
	f := cmd.Flags()
	f.StringVar(&want.digest, "digest", "", "find what is about this `DIGEST`, such as sha256:… of an image")
	f.StringVar(&want.identity, "identity", "", "find what is signed by `NAME`: an e-mail address or URI, exactly as in the certificate")
	f.StringVar(&want.key, "key", "", "find what is signed by the public key in the PEM `FILE`")
	f.StringVar(&want.file, "file", "", "find what is about the content of `FILE` (- is standard input)")
	f.IntVar(&want.limit, "limit", 20, fmt.Sprintf("show the newest `N` at most, up to %d", maxFound))
	flags.bind(f)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		queries, err := want.queries(a)
		if err != nil {
			return err
		}
		q, err := flags.open(cmd.Context(), a)
		if err != nil {
			return err
		}
		defer q.done()
		found, err := q.searchAll(queries, want.limit)
		if err != nil {
			return err
		}
		return q.printFound(found)
	}
	return cmd
}

// queries checks the flags. A file can have been signed by several of its
// digests.
func (w *wanted) queries(a *app) ([]logclient.Query, error) {
	given := 0
	for _, s := range []string{w.digest, w.identity, w.key, w.file} {
		if s != "" {
			given++
		}
	}
	if given != 1 {
		return nil, usageError{errors.New("what is to be found? Give exactly one of --digest, --identity, --key and --file")}
	}
	if w.limit < 1 || w.limit > maxFound {
		return nil, usageError{fmt.Errorf("--limit %d: expected 1 to %d", w.limit, maxFound)}
	}
	switch {
	case w.digest != "":
		d, err := digest.Parse(w.digest)
		if err != nil {
			return nil, usageError{fmt.Errorf("--digest: %w", err)}
		}
		return []logclient.Query{{Digest: d}}, nil
	case w.identity != "":
		return []logclient.Query{{Identity: w.identity}}, nil
	case w.key != "":
		key, err := readPublicKey(w.key)
		if err != nil {
			return nil, err
		}
		return []logclient.Query{{Key: key}}, nil
	}
	r, name, err := a.openArtifact(w.file)
	if err != nil {
		return nil, fmt.Errorf("--file: %w", err)
	}
	defer r.Close()
	digests, err := hashAll(r, []digest.Algorithm{digest.SHA256, digest.SHA384, digest.SHA512})
	if err != nil {
		return nil, fmt.Errorf("--file %s: %w", name, err)
	}
	var queries []logclient.Query
	for _, d := range digests {
		queries = append(queries, logclient.Query{Digest: d})
	}
	return queries, nil
}

// searchAll collects what the queries find in every shard, newest first.
func (q *inquiry) searchAll(queries []logclient.Query, limit int) (*logclient.Answer, error) {
	all := &logclient.Answer{}
	for _, s := range q.shards {
		// Even with enough found, whether there is more is worth knowing.
		answer, err := q.searchShard(s.client, queries, max(1, limit-len(all.Entries)))
		if err != nil {
			return nil, err
		}
		all.Entries = append(all.Entries, answer.Entries...)
		all.More = all.More || answer.More || len(all.Entries) > limit
		all.LeftOut += answer.LeftOut
		if all.More {
			break
		}
	}
	all.Entries = all.Entries[:min(limit, len(all.Entries))]
	return all, nil
}

// searchShard merges what the queries find in one log, newest first.
func (q *inquiry) searchShard(client *logclient.Client, queries []logclient.Query, limit int) (*logclient.Answer, error) {
	all := &logclient.Answer{}
	for _, query := range queries {
		answer, err := client.Search(q.ctx, query, limit)
		if err != nil {
			return nil, err
		}
		all.Entries = append(all.Entries, answer.Entries...)
		all.More = all.More || answer.More
		all.LeftOut += answer.LeftOut
	}
	index := func(e *logclient.Entry) int64 { return e.Entry().LogIndex }
	slices.SortStableFunc(all.Entries, func(x, y *logclient.Entry) int { return cmp.Compare(index(y), index(x)) })
	all.Entries = slices.CompactFunc(all.Entries, func(x, y *logclient.Entry) bool { return index(x) == index(y) })
	if len(all.Entries) > limit {
		all.Entries, all.More = all.Entries[:limit], true
	}
	return all, nil
}

func (q *inquiry) printFound(found *logclient.Answer) error {
	reports := []*logEntry{}
	for _, e := range found.Entries {
		r, err := reportEntry(e)
		if err != nil {
			return err
		}
		reports = append(reports, r)
	}
	if found.LeftOut > 0 {
		q.note("hallmark: warning: left out %s whose certificate is of no authority of the trust root: anybody can have made it", entries(uint64(found.LeftOut)))
	}
	if q.out.format == "json" {
		return q.printJSON(struct {
			Schema  string      `json:"schema"`
			Trust   trustNote   `json:"trust"`
			Entries []*logEntry `json:"entries"` // newest first
			More    bool        `json:"more"`    // there are older ones
			LeftOut int         `json:"leftOut"` // whose signer is not proven
		}{logSearchSchema, noteOf(q.active), reports, found.More, found.LeftOut})
	}
	if len(reports) == 0 {
		q.note("hallmark: nothing found; that does not prove that nothing is in the log")
		return nil
	}
	c := q.colours()
	for _, r := range reports {
		r.text(q.app, c)
	}
	if found.More {
		q.note("hallmark: there are older entries: raise --limit to see them")
	}
	fmt.Fprintf(q.Out, "%s, under trust root %s\n", entries(uint64(len(reports))), describeTrust(q.active, q.Now()))
	return nil
}
