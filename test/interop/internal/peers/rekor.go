// SPDX-License-Identifier: Apache-2.0

package peers

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Server is a running peer.
type Server struct {
	URL    string
	server *server
}

// Stop ends it gracefully; an error says that it did not end.
func (s *Server) Stop() error { return s.server.stop() }

// CPU is the processor time that it took, once it is stopped.
func (s *Server) CPU() time.Duration { return s.server.cpu() }

// StartRekor starts a new Rekor v2 log with its data in dir, which is made. It
// has its own defaults, but for args.
func (p Programs) StartRekor(ctx context.Context, dir string, args ...string) (*Server, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	signer := filepath.Join(dir, "signer.pem")
	if err := writeKey(signer, key); err != nil {
		return nil, err
	}
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	argv := append([]string{Rekor, "serve", "--hostname", "localhost",
		"--storage-dir", filepath.Join(dir, "tiles"), "--signer-filepath", signer,
		"--http-port", ports[0], "--grpc-port", ports[1], "--http-metrics-port", ports[2]}, args...)
	return p.listening(ctx, dir, ports[0], argv...)
}

// listening starts a server that is ready when its port accepts connections.
func (p Programs) listening(ctx context.Context, dir, port string, argv ...string) (*Server, error) {
	addr := net.JoinHostPort("127.0.0.1", port)
	s, err := start(ctx, p.command(ctx, dir, argv...), filepath.Join(dir, argv[0]+".out"), func(string) bool {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			return false
		}
		conn.Close()
		return true
	})
	if err != nil {
		return nil, err
	}
	return &Server{URL: "http://" + addr, server: s}, nil
}

// freePorts finds n loopback ports that nothing listens on now.
func freePorts(n int) ([]string, error) {
	ports := make([]string, n)
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		if _, ports[i], err = net.SplitHostPort(l.Addr().String()); err != nil {
			return nil, err
		}
	}
	return ports, nil
}

// writeKey writes a private key as PKCS#8 in PEM.
func writeKey(path string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
}
