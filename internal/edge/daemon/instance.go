// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"hallmark/internal/base/durable"
)

// manifestVersion is the layout this program writes and reads.
const manifestVersion = 1

// manifest is instance.json: what was decided at the first start and never
// changes, because signatures and trust roots repeat it; and what rotation has
// added since.
type manifest struct {
	Version      int       `json:"version"`
	Created      time.Time `json:"created"`
	ExternalURL  string    `json:"externalURL"`
	LogOrigin    string    `json:"logOrigin"`  // of the first log shard
	LogBaseURL   string    `json:"logBaseURL"` // of the first log shard
	Organization string    `json:"organization"`
	Development  bool      `json:"development"`

	// Rotated is the generations after the first, oldest first, by the name of
	// the first: ca, tsa, ct or log.
	Rotated map[string][]generation `json:"rotated,omitempty"`
}

func (m *manifest) write(path string) error {
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	return durable.WriteFile(path, append(data, '\n'), 0o600)
}

func readManifest(path string) (*manifest, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	m := new(manifest)
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(m); err != nil {
		return nil, fmt.Errorf("%s is damaged: %w: restore the data folder from a backup", path, err)
	}
	if m.Version != manifestVersion {
		return nil, fmt.Errorf("%s has layout version %d: this program reads version %d, run the one that wrote it", path, m.Version, manifestVersion)
	}
	if err := m.checkGenerations(); err != nil {
		return nil, fmt.Errorf("%s is damaged: %w: restore the data folder from a backup", path, err)
	}
	return m, nil
}

// agree refuses settings that contradict what the first start fixed.
func (m *manifest) agree(cfg *Config) error {
	for _, s := range []struct{ flag, given, fixed string }{
		{"--external-url", strings.TrimSuffix(cfg.ExternalURL, "/"), m.ExternalURL},
		{"--log-origin", cfg.LogOrigin, m.LogOrigin},
		{"--organization", cfg.Organization, m.Organization},
	} {
		if s.given != "" && s.given != s.fixed {
			return fmt.Errorf("%s %s: data folder %s was created with %s, which its signatures and trust root repeat: leave the flag out, or use another --data folder", s.flag, s.given, cfg.Data, s.fixed)
		}
	}
	if cfg.DevIssuer && !m.Development {
		return fmt.Errorf("--dev-issuer: data folder %s holds an instance that was not created for development, and whoever trusts it would trust development identities: use another --data folder", cfg.Data)
	}
	return nil
}

// writeChain writes certificates as PEM, in the order given.
func writeChain(path string, chain []*x509.Certificate) error {
	var out []byte
	for _, c := range chain {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return durable.WriteFile(path, out, 0o644)
}

func readChain(path string) ([]*x509.Certificate, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var chain []*x509.Certificate
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: certificate %d is damaged: %w", path, len(chain)+1, err)
		}
		chain = append(chain, c)
	}
	if len(chain) == 0 {
		return nil, fmt.Errorf("%s holds no certificate", path)
	}
	return chain, nil
}

func exists(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}
