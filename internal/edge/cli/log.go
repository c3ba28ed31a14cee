// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"hallmark/internal/base/fetch"
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
	timeout time.Duration
	out     outputFlags
}

func (l *logFlags) bind(f *pflag.FlagSet) {
	l.trust.bind(f)
	f.StringVar(&l.url, "log-url", "", "`URL` of the Hallmark instance to ask (default: the trust root's)")
	f.DurationVar(&l.timeout, "timeout", time.Minute, "how long all of it may take")
	l.out.bind(f)
}

// inquiry is what a log command works with.
type inquiry struct {
	*app
	ctx    context.Context
	done   context.CancelFunc
	active *trust.Active
	client *logclient.Client
	out    outputFlags
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
	cfg := logclient.Config{Root: active.Root, HTTP: fetch.Config{UserAgent: userAgent()}}
	if err := l.choose(active, &cfg); err != nil {
		return nil, err
	}
	client, err := logclient.New(cfg)
	if err != nil {
		return nil, err
	}
	ctx, done := context.WithTimeout(ctx, l.timeout)
	return &inquiry{app: a, ctx: ctx, done: done, active: active, client: client, out: l.out}, nil
}

// choose says where to ask, and which log has to answer.
func (l *logFlags) choose(active *trust.Active, cfg *logclient.Config) error {
	in := active.Instance
	switch {
	case l.url != "":
		cfg.Search = strings.TrimSuffix(l.url, "/")
		if !strings.HasSuffix(cfg.Search, searchPath) {
			cfg.Search += searchPath
		}
	case active.Name == trust.PublicGood:
		return errors.New("the public log offers no search and no entries by index: use the trust root of a Hallmark instance, with --trust or --log-url")
	case in == nil || in.Log.Search == "":
		return fmt.Errorf("trust root %s does not say where its log can be asked: give --log-url with the URL of a Hallmark instance", active.Name)
	default:
		cfg.Search = in.Log.Search
		for i := range active.Root.Logs {
			if active.Root.Logs[i].Origin() == in.Log.Origin {
				cfg.Log = &active.Root.Logs[i]
				return nil
			}
		}
		return fmt.Errorf("trust root %s has no key for the log %q that its instance now writes to: run hallmark trust refresh %s", active.Name, in.Log.Origin, active.Name)
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
