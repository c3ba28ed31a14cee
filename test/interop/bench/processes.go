// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"hallmark/test/interop/internal/peers"
)

// processes measures the clients as whole processes: starting, verifying a
// file without network, and signing one.
func (b *bench) processes(ctx context.Context) error {
	return b.with(ctx, "processes", nil, func(authority *peers.Authority) error {
		client, err := authority.Client(ctx, b.path("home"))
		if err != nil {
			return err
		}
		token, err := authority.Token(ctx, "--email", "bench@example.com", "--ttl", "1h")
		if err != nil {
			return err
		}
		if err := b.clientStart(ctx, client); err != nil {
			return err
		}
		if err := b.verifyBlob(ctx, client, authority, token); err != nil {
			return err
		}
		return b.signBlob(ctx, client, token)
	})
}

// clientStart is what it takes to print a version.
func (b *bench) clientStart(ctx context.Context, client peers.Client) error {
	say("client start")
	theirs, ours, err := sideBySide(ctx, client, b.starts, 0,
		[]string{peers.Cosign, "version"}, []string{peers.Hallmark, "version"})
	if err != nil {
		return err
	}
	wall, rss := median(ours.wall), median(ours.rss)
	b.table.add(row{"client start, wall", "cosign " + ms(median(theirs.wall)), ms(wall), "≤ 15 ms", wall <= 15*time.Millisecond})
	b.table.add(row{"client start, CPU", "cosign " + ms(median(theirs.cpu)), ms(median(ours.cpu)), "", false})
	b.table.add(row{"client start, memory", "cosign " + mb(median(theirs.rss)), mb(rss), "≤ 28 MB", rss <= 28e6})
	return nil
}

// verifyBlob verifies one bundle against one trusted root, offline.
func (b *bench) verifyBlob(ctx context.Context, client peers.Client, authority *peers.Authority, token string) error {
	say("verify-blob offline")
	blob, bundle, root := filepath.Join(client.Home, "blob"), filepath.Join(client.Home, "blob.json"), filepath.Join(client.Home, "root.json")
	if err := os.WriteFile(blob, []byte("the release\n"), 0o600); err != nil {
		return err
	}
	if _, err := client.Must(ctx, peers.Hallmark, "sign-blob", "--yes", "--identity-token", token, "--bundle", bundle, blob); err != nil {
		return err
	}
	exported, err := client.Must(ctx, peers.Hallmark, "trust", "export")
	if err != nil {
		return err
	}
	var export struct{ TrustedRoot json.RawMessage }
	if err := json.Unmarshal([]byte(exported.Out), &export); err != nil {
		return fmt.Errorf("hallmark trust export: %w", err)
	}
	if err := os.WriteFile(root, export.TrustedRoot, 0o600); err != nil {
		return err
	}
	verify := func(program string) []string {
		return []string{program, "verify-blob", "--trusted-root", root, "--bundle", bundle,
			"--certificate-identity", "bench@example.com", "--certificate-oidc-issuer", authority.Issuer(), blob}
	}
	theirs, ours, err := sideBySide(ctx, client, b.verifications, 0, verify(peers.Cosign), verify(peers.Hallmark))
	if err != nil {
		return err
	}
	b.table.add(row{"verify-blob offline, wall", "cosign " + ms(median(theirs.wall)), ms(median(ours.wall)), "", false})
	b.table.add(row{"verify-blob offline, CPU", "cosign " + ms(median(theirs.cpu)), ms(median(ours.cpu)),
		"≤ 1/5 of cosign's", 5*median(ours.cpu) <= median(theirs.cpu)})
	b.table.add(row{"verify-blob offline, memory", "cosign " + mb(median(theirs.rss)), mb(median(ours.rss)),
		"≤ 1/3 of cosign's", 3*median(ours.rss) <= median(theirs.rss)})
	return nil
}

// signBlob signs keyless against the same authority.
func (b *bench) signBlob(ctx context.Context, client peers.Client, token string) error {
	sign := func(program string) []string {
		return []string{program, "sign-blob", "--yes", "--identity-token", token,
			"--bundle", filepath.Join(client.Home, program+".json"), filepath.Join(client.Home, "blob")}
	}
	for _, c := range []struct {
		how    string
		gap    time.Duration
		target time.Duration
	}{{"spaced ≥ 250 ms", 250 * time.Millisecond, 100 * time.Millisecond}, {"back to back", 0, 200 * time.Millisecond}} {
		say("sign-blob %s", c.how)
		var p50 [2]time.Duration
		for i, program := range []string{peers.Cosign, peers.Hallmark} {
			s, err := repeat(ctx, client, b.signatures, c.gap, sign(program))
			if err != nil {
				return err
			}
			p50[i] = median(s.wall)
		}
		b.table.add(row{"keyless sign-blob, " + c.how + ", p50", "cosign " + ms(p50[0]), ms(p50[1]), "≤ " + ms(c.target), p50[1] <= c.target})
	}
	return nil
}

// samples are what the processes of one command took.
type samples struct {
	wall, cpu []time.Duration
	rss       []int64
}

// sideBySide runs two commands in turns, n times each.
func sideBySide(ctx context.Context, client peers.Client, n int, gap time.Duration, theirs, ours []string) (samples, samples, error) {
	var t, o samples
	for range n {
		if err := t.run(ctx, client, 0, theirs); err != nil {
			return t, o, err
		}
		if err := o.run(ctx, client, gap, ours); err != nil {
			return t, o, err
		}
	}
	return t, o, nil
}

// repeat runs one command n times.
func repeat(ctx context.Context, client peers.Client, n int, gap time.Duration, argv []string) (samples, error) {
	var s samples
	for range n {
		if err := s.run(ctx, client, gap, argv); err != nil {
			return s, err
		}
	}
	return s, nil
}

// run runs a command once, after the gap.
func (s *samples) run(ctx context.Context, client peers.Client, gap time.Duration, argv []string) error {
	pause(gap)
	u, err := client.Measure(ctx, argv...)
	if err != nil {
		return err
	}
	s.wall, s.cpu, s.rss = append(s.wall, u.Wall), append(s.cpu, u.CPU), append(s.rss, u.MaxRSS)
	return nil
}

// pause waits for a gap and up to 100 ms more, so as not to fall into step
// with a server's clock. No gap is no pause.
func pause(gap time.Duration) {
	if gap > 0 {
		time.Sleep(gap + rand.N(100*time.Millisecond))
	}
}
