// SPDX-License-Identifier: Apache-2.0

package daemoncli

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"hallmark/internal/base/obs"
	"hallmark/internal/edge/config"
	"hallmark/internal/edge/daemon"
	"hallmark/internal/service/oidc"
	"hallmark/internal/service/translog"
)

func serveCommand(s Streams) *cobra.Command {
	var cfg daemon.Config
	var file, logFormat string
	var logLevel slog.Level
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the authority: one process, one listener, one data folder",
		Long: `Run the authority. The first start makes everything it needs in the data folder:
keys, certificates, logs and the trust root that clients pin. Later starts reuse it.

The keys in DATA/offline sign nothing while serving: move that folder to another
machine, and bring it back only to rotate keys.`,
		Example: `  hallmarkd serve --data ./data --dev-issuer
  hallmarkd serve --data /var/lib/hallmark --listen :443 --external-url https://hallmark.example.com \
      --tls-cert cert.pem --tls-key key.pem --config /etc/hallmark/hallmarkd.yaml`,
		Args: noArgs,
	}
	f := cmd.Flags()
	bindConfig(f, &cfg)
	f.StringVar(&file, "config", "", "YAML `FILE` with the same settings, and the identity issuers; flags win over it")
	f.StringVar(&logFormat, "log-format", "text", "log as `text|json` to standard error")
	f.TextVar(&logLevel, "log-level", slog.LevelWarn, "least `level` that is logged: debug, info, warn or error; info includes an access log")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if file != "" {
			if err := overlay(f, file, &cfg); err != nil {
				return err
			}
		}
		if err := checkServe(&cfg); err != nil {
			return usageError{err}
		}
		if err := checkIssuers(&cfg); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		log, err := obs.Logger(s.Err, logFormat, logLevel)
		if err != nil {
			return usageError{err}
		}
		d, err := daemon.New(cmd.Context(), cfg, daemon.Deps{Log: log})
		if err != nil {
			return err
		}
		announce(s, d)
		if os.Getenv("GOGC") == "" {
			// The heap is small and the garbage of requests large: collecting
			// less often is worth a tenth of the log's throughput.
			debug.SetGCPercent(400)
		}
		return d.Run(cmd.Context())
	}
	return cmd
}

// checkServe refuses what needs no look at the data folder to be wrong.
func checkServe(cfg *daemon.Config) error {
	if cfg.Data == "" {
		return errors.New("no data folder: give --data DIR")
	}
	switch cfg.Log.Accept {
	case "", translog.OwnCA, translog.Keys, translog.Any:
		return nil
	}
	return fmt.Errorf("--log-accept %q: expected %s, %s or %s", cfg.Log.Accept, translog.OwnCA, translog.Keys, translog.Any)
}

// checkIssuers refuses issuers that could not be served, which only a file can
// name, before the first start makes an instance.
func checkIssuers(cfg *daemon.Config) error {
	const audience = "the instance's, which is not known yet"
	_, err := oidc.New(cfg.Identity, oidc.Deps{Audience: audience})
	return err
}

// bindConfig declares a flag for every setting that has one.
func bindConfig(f *pflag.FlagSet, cfg *daemon.Config) {
	f.StringVar(&cfg.Listen, "listen", daemon.DefaultListen, "`HOST:PORT` of the one listener; port 0 picks a free one")
	f.StringVar(&cfg.Data, "data", "", "`DIR` that holds everything this instance keeps")
	f.StringVar(&cfg.ExternalURL, "external-url", "", "`URL` by which clients reach the instance, fixed at the first start (default: the listener's)")
	f.StringVar(&cfg.LogOrigin, "log-origin", "", "`NAME` of the first log shard, fixed at the first start (default: the external host name)")
	f.StringVar(&cfg.Organization, "organization", "", "`NAME` of the operator in the CA's certificates, fixed at the first start (default: the external host name)")
	f.StringVar(&cfg.TLSCert, "tls-cert", "", "PEM `FILE` with the listener's certificate chain")
	f.StringVar(&cfg.TLSKey, "tls-key", "", "PEM `FILE` with the listener's key")
	f.BoolVar(&cfg.BehindProxy, "behind-proxy", false, "a proxy terminates TLS and sets X-Forwarded-For")
	f.StringVar(&cfg.AdminListen, "admin-listen", "", "loopback `HOST:PORT` for metrics (DATA/admin.sock serves them always)")
	f.BoolVar(&cfg.DevIssuer, "dev-issuer", false, "built-in development identity issuer: loopback only, marks the data folder for ever")
	f.StringVar((*string)(&cfg.Log.Accept), "log-accept", string(cfg.Log.Accept), "who may log signatures, as `own-ca|keys|any`: holders of this CA's certificates; also of bare keys; also of any certificate (default own-ca)")
}

// overlay reads file under the flags that were given.
func overlay(f *pflag.FlagSet, file string, cfg *daemon.Config) error {
	given := map[string]string{}
	f.Visit(func(flag *pflag.Flag) { given[flag.Name] = flag.Value.String() })
	if err := config.ReadFile(file, cfg); err != nil {
		return err
	}
	for name, value := range given {
		if err := f.Set(name, value); err != nil {
			return usageError{fmt.Errorf("--%s: %w", name, err)}
		}
	}
	return nil
}

// announce tells the operator what runs and what clients must type.
func announce(s Streams, d *daemon.Daemon) {
	if d.Development() {
		fmt.Fprintln(s.Err, "DEV: this is a development instance. Anyone with access to its data folder can be anyone.")
	}
	fmt.Fprintf(s.Out, "Hallmark serves %s\n\n", d.URL())
	if dir := d.OfflineKeys(); dir != "" {
		fmt.Fprintf(s.Out, "Offline keys are in %s: move that folder to another machine.\n\n", dir)
	}
	fmt.Fprintln(s.Out, d.TrustLines())
}
