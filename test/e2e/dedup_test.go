// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bufio"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// A thousand clients that submit the same entry at once get the same answer, and
// the log one leaf.
func TestAThousandEqualSubmissionsMakeOneLeaf(t *testing.T) {
	const clients = 1000
	s := newServer(t, "--log-accept", "any")
	s.start()
	l, _ := seeded(t, s)
	before := l.count()
	sub := newSigner(t).sign(t)

	// Everybody has sent all but the last byte before anybody sends that.
	conns := make([]net.Conn, clients)
	for i := range conns {
		conn, err := s.halfSent(sub)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(startLimit))
		conns[i] = conn
	}
	last := sub.request[len(sub.request)-1:]
	indexes := make([]int64, clients)
	began := time.Now()
	var all sync.WaitGroup
	for i, conn := range conns {
		all.Go(func() {
			if _, err := conn.Write(last); err != nil {
				t.Errorf("client %d: %v", i, err)
				return
			}
			status, body, err := answer(http.ReadResponse(bufio.NewReader(conn), nil))
			if err != nil {
				t.Errorf("client %d: %v", i, err)
				return
			}
			e, err := parseCreated(status, body)
			if err == nil {
				err = l.acknowledged(e, sub.leaf)
			}
			if err != nil {
				t.Errorf("client %d: %v", i, err)
				return
			}
			indexes[i] = e.LogIndex
		})
	}
	all.Wait()
	took := time.Since(began)
	for i, index := range indexes {
		if index != indexes[0] {
			t.Fatalf("client %d was told index %d, client 0 %d", i, index, indexes[0])
		}
	}
	leaves, err := l.leaves()
	if err != nil {
		t.Fatal(err)
	}
	if len(leaves) != before+1 {
		t.Errorf("the log grew from %d to %d entries", before, len(leaves))
	}
	l.kept()
	s.stop()
	s.fsck()
	t.Logf("%d equal submissions: %d answers 201 with index %d in %v, one leaf", clients, clients, indexes[0], took.Round(time.Millisecond))
}
