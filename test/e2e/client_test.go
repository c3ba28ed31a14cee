// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"hallmark/internal/format/digest"
	"hallmark/internal/format/logentry"
	"hallmark/internal/format/pubkey"
	"hallmark/internal/format/trustroot"
	"hallmark/internal/service/devissuer"
	"hallmark/internal/service/sign"
	"hallmark/internal/service/token"
)

const entriesPath = "/api/v2/log/entries"

// plain is the client for everything that needs no connection of its own.
var plain = &http.Client{
	Transport: &http.Transport{MaxIdleConns: 256, MaxIdleConnsPerHost: 256},
	Timeout:   30 * time.Second,
}

func (s *server) client() *http.Client {
	if s.tls != nil {
		return s.tls
	}
	return plain
}

func (s *server) get(path string) (status int, body []byte, err error) {
	resp, err := s.client().Get(s.url() + path)
	return answer(resp, err)
}

func (s *server) post(path string, data []byte) (status int, body []byte, err error) {
	resp, err := s.client().Post(s.url()+path, "application/json", bytes.NewReader(data))
	return answer(resp, err)
}

func answer(resp *http.Response, err error) (int, []byte, error) {
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, body, err
}

// fetched is get for what must be there.
func (s *server) fetched(path string) []byte {
	s.t.Helper()
	status, body, err := s.get(path)
	if err != nil || status != http.StatusOK {
		s.t.Fatalf("GET %s: %d %v\n%s", path, status, err, body)
	}
	return body
}

// refusal is the message in an answer of grpc-gateway's shape.
func refusal(body []byte) string {
	var answer struct{ Message string }
	if json.Unmarshal(body, &answer) != nil || answer.Message == "" {
		return fmt.Sprintf("(no message in %q)", body)
	}
	return answer.Message
}

// submission is an entry signed in advance.
type submission struct {
	request []byte
	body    []byte // what the log must store
	leaf    [32]byte
}

// signer makes submissions under one key.
type signer struct {
	key  *ecdsa.PrivateKey
	spki []byte
}

func newSigner(t testing.TB) *signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	spki, err := pubkey.MarshalPKIX(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return &signer{key, spki}
}

var serial atomic.Uint64

// sign makes a submission that nobody made before.
func (s *signer) sign(t testing.TB) submission {
	t.Helper()
	message := binary.BigEndian.AppendUint64([]byte("entry "), serial.Add(1))
	sig, err := pubkey.Sign(s.key, pubkey.ECDSAP256SHA256, message)
	if err != nil {
		t.Fatal(err)
	}
	h := logentry.HashedRekord{
		Digest: digest.Of(digest.SHA256, message), Signature: sig, Details: pubkey.ECDSAP256SHA256, PublicKey: s.spki,
	}
	body := h.Body()
	return submission{h.Request(), body, logentry.LeafHash(body)}
}

// errNot201 is an answer other than 201, as opposed to none at all.
var errNot201 = errors.New("not 201")

// submit sends an entry and gives the log's answer to it.
func (s *server) submit(sub submission) (*logentry.Entry, error) {
	status, body, err := s.post(entriesPath, sub.request)
	if err != nil {
		return nil, err
	}
	return parseCreated(status, body)
}

func parseCreated(status int, body []byte) (*logentry.Entry, error) {
	if status != http.StatusCreated {
		return nil, fmt.Errorf("%w: %d %s", errNot201, status, refusal(body))
	}
	return logentry.Parse(body)
}

// trustedRoot is what the instance tells its clients to trust, from its folder.
func (s *server) trustedRoot() *trustroot.Root {
	s.t.Helper()
	data, err := os.ReadFile(s.path("instance", "trusted_root.json"))
	if err != nil {
		s.t.Fatal(err)
	}
	root, err := trustroot.Parse(data)
	if err != nil {
		s.t.Fatal(err)
	}
	return root
}

// mint gets an identity token from the development issuer.
func (s *server) mint(req devissuer.Request) (token.Token, error) {
	minted, err := devissuer.DialMint(s.t.Context(), s.path("dev-issuer.sock"), req)
	if err != nil {
		return token.Token{}, err
	}
	return token.New(minted.IDToken)
}

// keyless gives a signer at all of the instance's services, each of whose answers
// it verifies under the trusted root, and a token for it.
func (s *server) keyless() (*sign.Signer, token.Token, error) {
	data, err := os.ReadFile(s.path("instance", "signing_config.v0.2.json"))
	if err != nil {
		return nil, token.Token{}, err
	}
	services, err := trustroot.ParseSigningConfig(data)
	if err != nil {
		return nil, token.Token{}, err
	}
	cfg := sign.Config{Services: services, Root: s.trustedRoot()}
	cfg.HTTP.Retries = -1
	signer, err := sign.New(cfg)
	if err != nil {
		return nil, token.Token{}, err
	}
	tok, err := s.mint(devissuer.Request{Email: "e2e@example.test"})
	return signer, tok, err
}

// signBlob gets a certificate with its SCT, a timestamp and a log entry.
func (s *server) signBlob(content string) (*sign.Result, error) {
	signer, tok, err := s.keyless()
	if err != nil {
		return nil, err
	}
	return signer.SignBlob(s.t.Context(), tok, digest.Of(digest.SHA256, []byte(content)))
}

// halfSent opens a connection and sends all of a submission but its last byte.
func (s *server) halfSent(sub submission) (net.Conn, error) {
	conn, err := net.DialTimeout("tcp", s.address(), 10*time.Second)
	if err != nil {
		return nil, err
	}
	head := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", entriesPath, s.address(), len(sub.request))
	if _, err := conn.Write(append([]byte(head), sub.request[:len(sub.request)-1]...)); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}
