// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// A first start that is killed at any moment leaves a folder from which the next
// start makes a whole instance.
func TestFirstStartCutOff(t *testing.T) {
	const times = 30
	whole := newServer(t, "--dev-issuer")
	began := time.Now()
	whole.start()
	takes := time.Since(began)
	whole.stop()

	var found [4]atomic.Int64 // what the cuts left, by stage
	stages := [4]string{"nothing", "a first start to begin anew", "one to finish", "an instance"}
	t.Run("cuts", func(t *testing.T) {
		for i := range times {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				if i%2 == 1 {
					t.Parallel() // two at a time: a busy machine cuts elsewhere
				}
				s := newServer(t, "--dev-issuer")
				s.launch()
				time.Sleep(time.Duration(rand.Int64N(int64(max(takes+takes/4, 300*time.Millisecond)))))
				s.kill()
				found[stage(s)].Add(1)
				s.start()
				result, err := s.signBlob("after a cut")
				if err != nil {
					t.Fatalf("the instance made after a cut does not issue: %v", err)
				}
				if result.Verified == nil {
					t.Fatal("not verified")
				}
				s.stop()
				s.fsck()
				left, err := os.ReadDir(s.data)
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range left {
					if strings.Contains(e.Name(), "tmp") {
						t.Errorf("%s is left", e.Name())
					}
				}
				keys, err := os.ReadDir(s.path("offline"))
				if err != nil || len(keys) != 4 {
					t.Errorf("offline keys: %v, %v", keys, err)
				}
			})
		}
	})
	var out []string
	for i := range found {
		out = append(out, fmt.Sprintf("%s %d", stages[i], found[i].Load()))
	}
	t.Logf("a first start takes %v; %d cuts left: %s", takes.Round(time.Millisecond), times, strings.Join(out, ", "))
}

// stage is how far a first start came.
func stage(s *server) int {
	for i, path := range []string{s.path("instance"), s.path("first-start.tmp", "complete"), s.path("first-start.tmp")} {
		if _, err := os.Stat(path); err == nil {
			return 3 - i
		}
	}
	return 0
}
