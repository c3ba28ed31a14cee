// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hallmark/internal/format/pubkey"
	"hallmark/internal/service/devissuer"
)

// exchange sends one request on a connection of its own and gives the client's
// address, by which the answer is found in a trace.
func (s *server) exchange(path, bearer string, body []byte) (client string, status int, answered []byte) {
	s.t.Helper()
	alone := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, address)
			if err == nil {
				client = conn.LocalAddr().String()
			}
			return conn, err
		},
	}}
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.url()+path, bytes.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	status, answered, err = answer(alone.Do(req))
	if err != nil {
		s.t.Fatal(err)
	}
	return client, status, answered
}

// promise is an answer that hallmarkd may send only when some files are on the
// disk.
type promise struct {
	name   string
	client string
	status string   // how the answer begins
	folder string   // nothing in it may be unsynced
	spared []string // except names that begin so
	files  []string // that must have been written since the last promise
}

// logged submits an entry whose index must be next, and promises its files.
func (s *server) logged(next int) promise {
	s.t.Helper()
	sub := newSigner(s.t).sign(s.t)
	client, status, body := s.exchange(entriesPath, "", sub.request)
	e, err := parseCreated(status, body)
	if err != nil {
		s.t.Fatal(err)
	}
	if e.LogIndex != int64(next) {
		s.t.Fatalf("entry %d, expected %d", e.LogIndex, next)
	}
	p := promise{name: fmt.Sprintf("entry %d", next), client: client, status: "HTTP/1.1 201", folder: s.tree(),
		files: []string{s.tree(".state", "treeState"), s.tree("checkpoint")}}
	for _, kind := range []string{"entries", "0"} {
		p.files = append(p.files, s.tree("tile", kind, tileName(next+1)))
	}
	if next+1 == 256 {
		p.files = append(p.files, s.tree("tile", "1", tileName(1)))
	}
	return p
}

// tileName is the file of the first tile of a level when it has width hashes.
func tileName(width int) string {
	if width == 256 {
		return "000"
	}
	return fmt.Sprintf("000.p/%d", width)
}

// certified asks for a certificate and promises its CT entry.
func (s *server) certified(entry int) promise {
	s.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	token, err := s.mint(devissuer.Request{Email: "e2e@example.test"})
	if err != nil {
		s.t.Fatal(err)
	}
	proof, err := pubkey.Sign(key, pubkey.ECDSAP256SHA256, []byte("e2e@example.test"))
	if err != nil {
		s.t.Fatal(err)
	}
	pub, err := pubkey.MarshalPEM(key.Public())
	if err != nil {
		s.t.Fatal(err)
	}
	request, _ := json.Marshal(map[string]any{"publicKeyRequest": map[string]any{
		"publicKey": map[string]any{"algorithm": "ECDSA", "content": string(pub)}, "proofOfPossession": proof}})
	client, status, body := s.exchange("/api/v2/signingCert", token.Raw(), request)
	if status != http.StatusOK || !bytes.Contains(body, []byte("BEGIN CERTIFICATE")) {
		s.t.Fatalf("certificate: %d %s", status, body)
	}
	p := promise{name: "certificate", client: client, status: "HTTP/1.1 200", folder: s.path("ct"),
		// The SCT says where the entry is; the checkpoint over it may come later.
		spared: []string{s.path("ct", "checkpoint")},
		files: []string{s.path("ct", ".state", "treeState"),
			s.path("ct", "tile", "data", tileName(entry+1)), s.path("ct", "tile", "0", tileName(entry+1))}}
	chain, err := os.ReadFile(s.path("instance", "certs", "ca.pem"))
	if err != nil {
		s.t.Fatal(err)
	}
	for block, rest := pem.Decode(chain); entry == 0 && block != nil; block, rest = pem.Decode(rest) {
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			s.t.Fatal(err)
		}
		sum := sha256.Sum256(block.Bytes)
		p.files = append(p.files, s.path("ct", "issuer", hex.EncodeToString(sum[:])))
	}
	return p
}

// TestDurableBeforeTheAnswerLeaves watches hallmarkd's system calls: killing it
// proves nothing about what is in the page cache only.
func TestDurableBeforeTheAnswerLeaves(t *testing.T) {
	s := newServer(t, "--log-accept", "any", "--dev-issuer")
	trace := filepath.Join(t.TempDir(), "trace")
	s.wrap = straceLine(t, trace)
	s.start()
	promises := []promise{s.logged(0), s.logged(1), s.certified(0), s.certified(1)}

	signed, err := s.signBlob("a bundle to keep")
	if err != nil {
		t.Fatal(err)
	}
	client, status, body := s.exchange("/hallmark/v1/bundles", "", signed.JSON)
	if status != http.StatusCreated {
		t.Fatalf("bundle: %d %s", status, body)
	}
	promises = append(promises, promise{name: "bundle", client: client, status: "HTTP/1.1 201", folder: s.path("log", "localhost"),
		spared: []string{s.path("log", "localhost", "index.db"), s.path("log", "localhost", "bundles.db-shm"), s.tree()},
		files:  []string{s.path("log", "localhost", "bundles.db-wal")}})

	// Up to the first full tile, from where a second level begins.
	var rest sync.WaitGroup
	for range 255 - 3 {
		sub := newSigner(t).sign(t)
		rest.Go(func() {
			if _, err := s.submit(sub); err != nil {
				t.Error(err)
			}
		})
	}
	rest.Wait()
	promises = append(promises, s.logged(255), s.logged(256))
	promises[len(promises)-1].files = []string{s.tree(".state", "treeState"), s.tree("checkpoint"),
		s.tree("tile", "entries", "001.p", "1"), s.tree("tile", "0", "001.p", "1")}
	s.stop()
	s.wrap = nil
	s.fsck()

	text, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	calls, err := parseTrace(string(text))
	if err != nil {
		t.Fatal(err)
	}
	since, syncs := 0, 0
	for _, p := range promises {
		since = s.keeps(t, calls, p, since)
	}
	for _, c := range calls {
		if !c.returns && (c.name == "fsync" || c.name == "fdatasync") {
			syncs++
		}
	}
	t.Logf("%d ends of system calls, %d syncs: %d answers left after everything they promise was on the disk", len(calls), syncs, len(promises))
}

// keeps checks one promise and, by taking syncs out of the trace, that each of
// them was needed. It gives the step at which the answer left.
func (s *server) keeps(t *testing.T, calls []call, p promise, since int) int {
	t.Helper()
	leaves := func(c call) bool { return c.sends(p.client, p.status) }
	spared := func(path string) bool {
		return slices.ContainsFunc(p.spared, func(prefix string) bool { return strings.HasPrefix(path, prefix) })
	}
	at, err := replay(calls, leaves)
	if err != nil {
		t.Fatalf("%s: %v", p.name, err)
	}
	for _, lost := range at.lost(s.data, p.folder, spared) {
		t.Errorf("%s: the answer left before this was on the disk: %s", p.name, lost)
	}
	for _, f := range p.files {
		if at.last[f] <= since {
			t.Errorf("%s: %s was not written before the answer left", p.name, f)
		}
		for _, mutant := range []struct {
			what  string
			calls []call
			lost  string
		}{
			{"syncing the folder", withoutSyncs(calls, filepath.Dir(f)), "name of " + f},
			{"syncing the content", withoutSynchronousWrites(calls, filepath.Dir(f)), "content of " + f},
		} {
			at, err := replay(mutant.calls, leaves)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Contains(at.lost(s.data, p.folder, func(string) bool { return false }), mutant.lost) {
				t.Errorf("%s: without %s, %s would have been kept too: the check is blind", p.name, mutant.what, f)
			}
		}
	}
	return at.step
}

// withoutSyncs is the trace with a folder never synced.
func withoutSyncs(calls []call, folder string) []call {
	return slices.DeleteFunc(slices.Clone(calls), func(c call) bool {
		_, path := c.fd()
		return strings.HasSuffix(c.name, "sync") && path == folder
	})
}

// withoutSynchronousWrites is the trace with the files in a folder neither
// synced nor opened for synchronous writing.
func withoutSynchronousWrites(calls []call, folder string) []call {
	var out []call
	for _, c := range calls {
		_, path := c.fd()
		if strings.HasSuffix(c.name, "sync") && filepath.Dir(path) == folder {
			continue
		}
		if paths := c.paths(); c.name == "openat" && len(paths) == 1 && filepath.Dir(paths[0]) == folder {
			c.args = strings.Replace(c.args, "O_SYNC", "0", 1)
		}
		out = append(out, c)
	}
	return out
}

// Serving never opens the keys that belong on another machine.
func TestServingNeverOpensTheOfflineKeys(t *testing.T) {
	s := newServer(t, "--log-accept", "any", "--dev-issuer")
	s.start()
	s.stop()
	if keys, err := os.ReadDir(s.path("offline")); err != nil || len(keys) == 0 {
		t.Fatalf("offline keys: %v, %v", keys, err)
	}
	trace := filepath.Join(t.TempDir(), "trace")
	s.wrap = straceLine(t, trace)
	s.start()
	if _, err := s.signBlob("with offline keys in place"); err != nil {
		t.Fatal(err)
	}
	s.stop()
	text, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	calls, err := parseTrace(string(text))
	if err != nil {
		t.Fatal(err)
	}
	opened := 0
	for _, c := range calls {
		_, behind := c.fd()
		for _, path := range append(c.paths(), c.path, behind) {
			if _, ok := under(path, s.path("offline")); ok {
				t.Errorf("line %d of the trace: %s(%s)", c.line, c.name, c.args)
			}
			if _, ok := under(path, s.path("instance", "keys")); ok {
				opened++
			}
		}
	}
	if opened == 0 {
		t.Error("the trace does not even show the online keys being opened")
	}
	// And it does without them.
	s.wrap = nil
	if err := os.Rename(s.path("offline"), filepath.Join(t.TempDir(), "safe")); err != nil {
		t.Fatal(err)
	}
	s.start()
	if _, err := s.signBlob("without offline keys"); err != nil {
		t.Fatal(err)
	}
	s.stop()
	s.fsck()
}
