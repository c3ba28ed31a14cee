// SPDX-License-Identifier: Apache-2.0

package daemoncli

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"hallmark/internal/base/tilelog"
	"hallmark/internal/edge/daemon"
)

func trustCommand(s Streams) *cobra.Command {
	cmd := branch(&cobra.Command{Use: "trust", Short: "Replace keys: what clients trust this instance by"})
	cmd.AddCommand(rotateCommand(s))
	return cmd
}

func rotateCommand(s Streams) *cobra.Command {
	cmd := branch(&cobra.Command{
		Use:   "rotate",
		Short: "Replace a key of a stopped hallmarkd",
		Long: `Replace a key of an instance whose hallmarkd is stopped. Start it again afterwards.

ca, tsa, ct and shard publish the new key in the trust root at once, and sign
with it only after --lead: hallmarkd turns to it by itself. So clients that
refresh their trust root within that time notice nothing. The old key is
trusted for --overlap longer, so that what was begun under it can be finished;
what it signed stays valid for ever.

If the command is cut off, run it again, or start hallmarkd: the rotation is
then finished, or had not begun.`,
	})
	cmd.AddCommand(
		rotateOne(s, daemon.RotateCA, "The certificate authority's intermediate",
			"Make a new intermediate certificate, signed by the offline CA root key; with\n--root also a new root, whose key is written to the first offline folder."),
		rotateOne(s, daemon.RotateTSA, "The timestamp authority's certificate",
			"Make a new timestamping certificate, signed by the offline TSA root key; with\n--root also a new root, whose key is written to the first offline folder."),
		rotateOne(s, daemon.RotateCT, "The certificate transparency log",
			"Make a new certificate transparency log: its key is its identity, so a new key\nis a new log. The old one can still be read."),
		rotateOne(s, daemon.RotateShard, "The transparency log's shard",
			"Make a new shard of the transparency log, with an origin (logN.HOST) and key of\nits own. From its time on, entries are written to it; the old shard can still be\nread and searched at /shards/ORIGIN/."),
		rotateTUF(s),
	)
	return cmd
}

// rotateOne is a rotation that takes effect after a lead.
func rotateOne(s Streams, kind, short, long string) *cobra.Command {
	r := daemon.Rotation{Kind: kind}
	cmd := &cobra.Command{Use: kind + " --data DIR --offline-keys DIR", Short: short, Long: long, Args: noArgs}
	bindRotation(cmd, &r)
	f := cmd.Flags()
	f.DurationVar(&r.Lead, "lead", daemon.DefaultLead, "how `LONG` the new key is published before it signs")
	f.DurationVar(&r.Overlap, "overlap", daemon.DefaultOverlap, "how `LONG` the old key is trusted after that")
	if kind == daemon.RotateCA || kind == daemon.RotateTSA {
		f.BoolVar(&r.NewRoot, "root", false, "also make a new root")
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return runRotation(cmd.Context(), s, r) }
	return cmd
}

func rotateTUF(s Streams) *cobra.Command {
	r := daemon.Rotation{Kind: daemon.RotateTUF}
	cmd := &cobra.Command{
		Use:   "tuf --data DIR --offline-keys DIR [--roles R,… | --root-keys FILE,… --threshold N]",
		Short: "The keys that the trust root itself is published with",
		Long: `Make the next version of TUF's root. Without further flags it names new keys for
the snapshot, timestamp and targets roles. With --root-keys it says who may sign
roots from now on, and with --threshold how many of them have to.

A root is signed by as many keys as the one before it asks for, and by as many
of the new ones. All private keys that are found in the folders of
--offline-keys, which may be given several times, and in --root-keys sign it.
A file of --root-keys may also hold a public key.

The new root also lives three years again; for that alone, give the same
--root-keys as before.`,
		Example: `  hallmarkd trust rotate tuf --data /var/lib/hallmark --offline-keys /media/key1
  hallmarkd trust rotate tuf --data /var/lib/hallmark --offline-keys /media/key1 \
      --root-keys /media/key1/tuf-root.pem,/media/key2/root.pem,/media/key3/root.pem --threshold 2`,
		Args: noArgs,
	}
	bindRotation(cmd, &r)
	f := cmd.Flags()
	f.StringSliceVar(&r.TUF.Roles, "roles", nil, "which of `snapshot,timestamp,targets` get a new key (default: all three, or none with --root-keys)")
	f.StringSliceVar(&r.TUF.RootKeys, "root-keys", nil, "PEM `FILE`s of the keys that may sign roots from now on")
	f.IntVar(&r.TUF.Threshold, "threshold", 0, "how many of --root-keys have to sign a root")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return runRotation(cmd.Context(), s, r) }
	return cmd
}

func bindRotation(cmd *cobra.Command, r *daemon.Rotation) {
	f := cmd.Flags()
	f.StringVar(&r.Data, "data", "", "`DIR` of the stopped hallmarkd")
	f.StringArrayVar(&r.OfflineKeys, "offline-keys", nil, "`DIR` with the offline keys (DATA/offline after the first start); may be given several times")
	f.BoolVar(&r.DryRun, "dry-run", false, "try it all and say what would be done, but change nothing")
}

func runRotation(ctx context.Context, s Streams, r daemon.Rotation) error {
	if err := r.Check(); err != nil {
		return usageError{err}
	}
	tilelog.RouteTessera(slog.New(slog.DiscardHandler)) // it tells of every new log
	now := time.Now()
	done, err := daemon.Rotate(ctx, r, func() time.Time { return now })
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(s.Out, describeRotation(r, done, now))
	return err
}

// describeRotation tells the operator what is done and what is left to do.
func describeRotation(r daemon.Rotation, done *daemon.Rotated, now time.Time) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	switch {
	case done.Finished:
		line("An earlier rotation had been cut off. It is finished now; no other was begun.")
	case r.DryRun:
		line("Dry run: this would be done, and nothing was changed.")
	}
	line("New: %s", done.Name)
	if done.KeyID != "" {
		line("Key: SHA-256 %s", done.KeyID)
	}
	if done.BaseURL != "" {
		line("URL: %s", done.BaseURL)
	}
	for _, path := range done.Made {
		line("Offline key: %s: keep it where the others are, away from this machine.", path)
	}
	if done.Kind == daemon.RotateTUF {
		line("New keys for: %s", strings.Join(done.Replaced, ", "))
		line("Signed by: %s", strings.Join(done.Signed, ", "))
		line("Clients follow by themselves: each root is signed by the keys of the one before.")
	} else {
		line("In the trust root as soon as hallmarkd runs again.")
		if done.From.After(now.Add(atOnce)) {
			line("Signs from %s, in %s: hallmarkd turns to it by itself.", stamp(done.From), done.From.Sub(now).Round(time.Second))
			line("Until then, have clients refresh: hallmark trust refresh, cosign initialize.")
		} else {
			line("Signs at once: clients that have not refreshed (hallmark trust refresh, cosign initialize) refuse what it signs.")
		}
		line("The old one is trusted for what is signed until %s.", stamp(done.OldUntil))
	}
	if !r.DryRun {
		line("Start hallmarkd again.")
	}
	return b.String()
}

// atOnce is less than it takes to start hallmarkd and sign something.
const atOnce = 2 * time.Second

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }
