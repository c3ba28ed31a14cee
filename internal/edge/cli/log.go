// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"hallmark/internal/base/fetch"
	"hallmark/internal/format/trustroot"
	"hallmark/internal/service/logclient"
	"hallmark/internal/service/trust"
)

// searchPath is where a Hallmark instance answers about its log.
const searchPath = "/hallmark/v1/log"

func logCommand(a *app) *cobra.Command {
	cmd := branch(&cobra.Command{
		Use:   "log",
		Short: "Look into the transparency log: get, search, prove",
		Long: `Look into the transparency log of a trust root. The log's server is not believed:
what is shown was proven to be in the log, by an inclusion proof under a checkpoint
that the trust root's key signed.`,
	})
	cmd.AddCommand(logGet(a), logSearch(a), logProve(a))
	return cmd
}

// logFlags choose the log to ask.
type logFlags struct {
	trust   trustFlags
	url     string
	shard   string
	timeout time.Duration
	out     outputFlags
}

func (l *logFlags) bind(f *pflag.FlagSet) {
	l.trust.bind(f)
	f.StringVar(&l.url, "log-url", "", "`URL` of the Hallmark instance to ask (default: the trust root's)")
	f.StringVar(&l.shard, "shard", "", "the log shard with this `ORIGIN` (default: the one being written to; search: all)")
	f.DurationVar(&l.timeout, "timeout", time.Minute, "how long all of it may take")
	l.out.bind(f)
}

// inquiry is what a log command works with.
type inquiry struct {
	*app
	ctx    context.Context
	done   context.CancelFunc
	active *trust.Active
	client *logclient.Client // of the log that is meant unless said otherwise
	shards []shard           // all that are meant, the latest first
	out    outputFlags
}

// shard is one of the logs that follow each other at an instance.
type shard struct {
	log    *trustroot.Log // nil where any log of the trust root may answer
	client *logclient.Client
}

// open finds the log. The caller must call done.
func (l *logFlags) open(ctx context.Context, a *app) (*inquiry, error) {
	if err := l.out.check(); err != nil {
		return nil, err
	}
	active, err := l.trust.load(a)
	if err != nil {
		return nil, err
	}
	q := &inquiry{app: a, active: active, out: l.out}
	if err := l.choose(q); err != nil {
		return nil, err
	}
	q.ctx, q.done = context.WithTimeout(ctx, l.timeout)
	return q, nil
}

// choose says where to ask, and which logs have to answer.
func (l *logFlags) choose(q *inquiry) error {
	active := q.active
	in := active.Instance
	var shards []trust.InstanceShard
	current := ""
	switch {
	case l.url != "":
		search := strings.TrimSuffix(strings.TrimSuffix(l.url, "/"), searchPath)
		if l.shard == "" {
			return q.add(search+searchPath, nil)
		}
		shards = []trust.InstanceShard{{Origin: l.shard, Search: search + "/shards/" + l.shard + searchPath}}
	case active.Name == trust.PublicGood:
		return errors.New("the public log offers no search and no entries by index: use the trust root of a Hallmark instance, with --trust or --log-url")
	case in == nil || in.Log.Search == "":
		return fmt.Errorf("trust root %s does not say where its log can be asked: give --log-url with the URL of a Hallmark instance", active.Name)
	default:
		current, shards = in.Log.Origin, in.Log.Shards
		if len(shards) == 0 {
			shards = []trust.InstanceShard{{Origin: in.Log.Origin, Search: in.Log.Search}}
		}
	}
	for _, s := range shards {
		if l.shard != "" && l.shard != s.Origin {
			continue
		}
		log := logOf(active.Root, s.Origin)
		if log == nil {
			return fmt.Errorf("trust root %s has no key for the log %q of its instance: run hallmark trust refresh %s", active.Name, s.Origin, active.Name)
		}
		if err := q.add(s.Search, log); err != nil {
			return err
		}
		if s.Origin == current {
			q.client = q.shards[len(q.shards)-1].client
		}
	}
	if len(q.shards) == 0 {
		return fmt.Errorf("--shard %s: trust root %s knows no log shard of that name", l.shard, active.Name)
	}
	return nil
}

// add is one more log to ask; the first is the one that is meant.
func (q *inquiry) add(search string, log *trustroot.Log) error {
	client, err := logclient.New(logclient.Config{Search: search, Root: q.active.Root, Log: log, HTTP: fetch.Config{UserAgent: userAgent()}})
	if err != nil {
		return err
	}
	q.shards = append(q.shards, shard{log, client})
	if q.client == nil {
		q.client = client
	}
	return nil
}

// of is the client for a log of the trust root.
func (q *inquiry) of(log *trustroot.Log) *logclient.Client {
	for _, s := range q.shards {
		if s.log != nil && bytes.Equal(s.log.ID, log.ID) {
			return s.client
		}
	}
	return q.client
}

func logOf(root *trustroot.Root, origin string) *trustroot.Log {
	for i := range root.Logs {
		if root.Logs[i].Origin() == origin {
			return &root.Logs[i]
		}
	}
	return nil
}

// parseIndex reads an INDEX argument.
func parseIndex(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 53)
	if err != nil {
		return 0, usageError{fmt.Errorf("INDEX %.40q: expected a number, the entry's place in the log from 0", s)}
	}
	return n, nil
}
