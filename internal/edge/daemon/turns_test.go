// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"strings"
	"testing"
	"time"
)

func TestTurnsGoForwardOnly(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	now := start
	s := newTurns[string](func() time.Time { return now })
	s.add(generation{Name: "ca", From: start}, "one")
	s.add(generation{Name: "ca-2", From: start.Add(time.Hour)}, "two")
	s.add(generation{Name: "ca-3", From: start.Add(2 * time.Hour)}, "three")
	for _, step := range []struct {
		at   time.Duration
		want string
	}{
		{-time.Hour, "one"}, {0, "one"}, {time.Hour - 1, "one"}, {time.Hour, "two"}, {0, "two"}, {2*time.Hour - 1, "two"}, {3 * time.Hour, "three"}, {0, "three"},
	} {
		now = start.Add(step.at)
		if got := s.current(); got.serving != step.want {
			t.Errorf("at %s: %s, want %s", step.at, got.serving, step.want)
		}
	}
	now = start.Add(5 * time.Hour)
	s.at.Store(0)
	if got := s.current().Name; got != "ca-3" {
		t.Errorf("after a long sleep: %s", got)
	}
}

func TestUnretired(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	all := []generation{{Name: "ca", From: start}, {Name: "ca-2", From: start.Add(time.Hour)}, {Name: "ca-3", From: start.Add(2 * time.Hour)}}
	for at, want := range map[time.Duration]string{
		-time.Hour: "ca ca-2 ca-3", time.Hour - 1: "ca ca-2 ca-3", time.Hour: "ca-2 ca-3", 9 * time.Hour: "ca-3",
	} {
		var names []string
		for _, g := range unretired(all, start.Add(at)) {
			names = append(names, g.Name)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("at %s: %s, want %s", at, got, want)
		}
	}
}

func TestAManifestThatNoRotationWroteIsRefused(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, tc := range []struct {
		name, role, want string
		later            []generation
	}{
		{"good", keyLog, "", []generation{{Name: "log-2", From: at.Add(1), Origin: "log2.example.com"}}},
		{"a gap", keyCA, "expected \"ca-2\"", []generation{{Name: "ca-3", From: at.Add(1)}}},
		{"a path", keyCT, "expected \"ct-2\"", []generation{{Name: "../ct-2", From: at.Add(1)}}},
		{"not after the first", keyTSA, "not after", []generation{{Name: "tsa-2", From: at}}},
		{"no origin", keyLog, "host name", []generation{{Name: "log-2", From: at.Add(1)}}},
		{"an origin that is a path", keyLog, "host name", []generation{{Name: "log-2", From: at.Add(1), Origin: "../x"}}},
		{"the same origin again", keyLog, "no other shard", []generation{{Name: "log-2", From: at.Add(1), Origin: "example.com"}}},
		{"something else", "tuf", "nothing that rotates", []generation{{Name: "tuf-2", From: at.Add(1)}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := &manifest{Created: at, LogOrigin: "example.com", Rotated: map[string][]generation{tc.role: tc.later}}
			err := m.checkGenerations()
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Fatalf("error %v, want %q", err, tc.want)
			}
		})
	}
}
