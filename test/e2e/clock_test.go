// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"hallmark/internal/base/localsock"
)

// answerLimit is how long a submission may take while hallmarkd finds out that
// the clock has stepped back.
const answerLimit = 2 * time.Second

// step makes the files by which Tessera paces its checkpoints look as they do
// after the clock was set forward by d, or back if it is negative.
func (s *server) step(d time.Duration) {
	s.t.Helper()
	later := time.Now().Add(-d)
	for _, cp := range []string{s.tree("checkpoint"), s.path("ct", "checkpoint")} {
		if err := os.Chtimes(cp, later, later); err != nil {
			s.t.Fatal(err)
		}
	}
}

var mendsLine = regexp.MustCompile(`(?m)^hallmark_translog_clock_mends_total(?:\{.*\})? (\S+)$`)

// mends is how often the daemon says it has mended the log's checkpoint.
func (s *server) mends() string {
	s.t.Helper()
	status, body, err := answer(localsock.HTTPClient(s.path("admin.sock")).Get("http://hallmarkd/metrics"))
	if err != nil || status != 200 {
		s.t.Fatalf("metrics: %d %v", status, err)
	}
	m := mendsLine.FindSubmatch(body)
	if m == nil {
		s.t.Fatal("hallmark_translog_clock_mends_total is missing in the metrics")
	}
	return string(m[1])
}

// A clock that is set by an hour does not stop the logs: neither while they
// run, nor while they stop, nor when they start.
func TestClockStepped(t *testing.T) {
	s := newServer(t, "--log-accept", "any", "--dev-issuer")
	s.start()
	l, _ := seeded(t, s)
	var slowest time.Duration
	prompt := func(when string) {
		t.Helper()
		sub := newSigner(t).sign(t)
		began := time.Now()
		e, err := s.submit(sub)
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		took := time.Since(began)
		slowest = max(slowest, took)
		if took > answerLimit {
			t.Errorf("%s: a submission took %v", when, took)
		}
		if err := l.acknowledged(e, sub.leaf); err != nil {
			t.Fatal(err)
		}
	}
	for round := range 5 {
		s.step(-time.Hour)
		prompt(fmt.Sprintf("step %d while running", round))
		prompt("right after it")
		s.step(time.Hour)
		prompt(fmt.Sprintf("step %d forward", round))
	}
	if s.mends() == "0" {
		t.Error("submissions went on, but nothing was mended: the test proves nothing")
	}
	if _, err := s.signBlob("after the clock stepped back"); err != nil {
		t.Fatal(err)
	}
	// The CT log's checkpoint is nobody's to wait for, but has to follow.
	size := func() string { return strings.Split(string(s.fetched("/ct/checkpoint")), "\n")[1] }
	for deadline := time.Now().Add(answerLimit); size() != "1"; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the CT log publishes %s entries, not the one it has", size())
		}
	}
	s.step(-time.Hour)
	began := time.Now()
	s.stop()
	if took := time.Since(began); took > answerLimit {
		t.Errorf("stopping took %v", took)
	}
	s.step(-time.Hour)
	s.fsck()
	s.start()
	prompt("stepped back between two starts")
	l.kept()
	s.stop()
	s.fsck()
	t.Logf("after a step of an hour the slowest answer took %v", slowest.Round(time.Millisecond))
}
