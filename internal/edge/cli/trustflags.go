// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/pflag"

	"hallmark/internal/base/buildinfo"
	"hallmark/internal/base/fetch"
	"hallmark/internal/service/trust"
)

const (
	maxTrustFile       = 16 << 20
	defaultTrustMaxAge = 30 * 24 * time.Hour
)

// trustFlags choose the one trust root of a command.
type trustFlags struct {
	name, file   string
	maxAge       time.Duration
	requireFresh bool
}

func (t *trustFlags) bind(f *pflag.FlagSet) {
	f.StringVar(&t.name, "trust", "", "`NAME` of the trust root (default: $HALLMARK_TRUST, or the one chosen by \"hallmark trust use\")")
	f.StringVar(&t.file, "trusted-root", "", "`FILE` with a trusted_root.json or a client trust config to use instead")
	f.DurationVar(&t.maxAge, "trust-max-age", defaultTrustMaxAge, "warn when the trust root's copy is older")
	f.BoolVar(&t.requireFresh, "require-fresh-trust", false, "fail instead of warning")
}

// load reads the chosen trust root from this machine, and speaks up about its
// age.
func (t *trustFlags) load(a *app) (*trust.Active, error) {
	if t.file != "" {
		if t.name != "" {
			return nil, usageError{errors.New("--trust and --trusted-root exclude each other: exactly one trust root is used")}
		}
		active, err := loadTrustFile(t.file)
		if err != nil {
			return nil, fmt.Errorf("--trusted-root: %w", err)
		}
		return active, nil
	}
	store, err := a.trustStore()
	if err != nil {
		return nil, err
	}
	name := t.name
	if name == "" {
		name = a.Getenv("HALLMARK_TRUST")
	}
	active, err := store.Load(name)
	if err != nil {
		return nil, err
	}
	if age := active.Age(a.Now()); !active.Refreshed.IsZero() && active.Kind == trust.KindTUF && age > t.maxAge {
		stale := fmt.Sprintf("trust root %s was refreshed %s: run hallmark trust refresh %s", active.Name, ago(age), active.Name)
		if t.requireFresh {
			return nil, errors.New(stale)
		}
		a.note("hallmark: warning: %s", stale)
	}
	return active, nil
}

// trustStore is the trust roots of this user.
func (a *app) trustStore() (*trust.Store, error) {
	home, err := a.home()
	if err != nil {
		return nil, err
	}
	return trust.New(home, trust.Deps{
		Fetch: fetch.New(fetch.Config{UserAgent: userAgent(), Retries: 2}), Now: a.Now,
	}), nil
}

func userAgent() string { return "hallmark/" + buildinfo.Version() }
