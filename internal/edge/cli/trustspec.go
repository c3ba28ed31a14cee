// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"hallmark/internal/format/pubkey"
	"hallmark/internal/format/trustroot"
)

const maxPEM = 1 << 20 // bytes of a file with keys or certificates

// spec is one "key=value,key=value", as cosign's trusted-root create takes it.
type spec map[string]string

// parseSpec reads a spec with the given keys, of which required must be there.
func parseSpec(text string, required, optional []string) (spec, error) {
	known := slices.Concat(required, optional)
	s := spec{}
	for part := range strings.SplitSeq(text, ",") {
		key, value, ok := strings.Cut(part, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		switch {
		case !ok:
			return nil, fmt.Errorf("%q: expected key=value pairs with commas between them; the keys are %s", part, strings.Join(known, ", "))
		case !slices.Contains(known, key):
			return nil, fmt.Errorf("unknown key %q: the keys are %s", key, strings.Join(known, ", "))
		case s[key] != "":
			return nil, fmt.Errorf("%s is there twice: give the flag once for each service", key)
		case value == "":
			return nil, fmt.Errorf("%s is empty", key)
		}
		s[key] = value
	}
	for _, key := range required {
		if s[key] == "" {
			return nil, fmt.Errorf("%s is missing", key)
		}
	}
	return s, nil
}

// window reads start-time and end-time. Without a start it is the given one.
func (s spec) window(start time.Time) (trustroot.Window, error) {
	w := trustroot.Window{Start: start}
	for key, to := range map[string]*time.Time{"start-time": &w.Start, "end-time": &w.End} {
		if s[key] == "" {
			continue
		}
		t, err := time.Parse(time.RFC3339, s[key])
		if err != nil {
			return w, fmt.Errorf("%s=%s: expected a time such as 2026-01-31T00:00:00Z", key, s[key])
		}
		*to = t
	}
	if !w.End.IsZero() && w.End.Before(w.Start) {
		return w, fmt.Errorf("end-time %s is before the start, %s", w.End.Format(time.RFC3339), w.Start.Format(time.RFC3339))
	}
	return w, nil
}

// apiVersion is the major version, or fallback.
func (s spec) apiVersion(fallback uint32) (uint32, error) {
	if s["api-version"] == "" {
		return fallback, nil
	}
	v, err := strconv.ParseUint(s["api-version"], 10, 32)
	if err != nil || v == 0 {
		return 0, fmt.Errorf("api-version=%s: expected a number such as 1", s["api-version"])
	}
	return uint32(v), nil
}

// key reads the public key that the spec names.
func (s spec) key() (crypto.PublicKey, error) {
	path := s["public-key"]
	data, err := readFile(path, maxPEM)
	if err != nil {
		return nil, fmt.Errorf("public-key: %w", err)
	}
	if block, _ := pem.Decode(data); block != nil {
		switch {
		case strings.Contains(block.Type, "PRIVATE KEY"):
			return nil, fmt.Errorf("public-key: %s holds a private key: give the public one, and keep this one where nobody else reads it", path)
		case block.Type == "CERTIFICATE":
			return nil, fmt.Errorf("public-key: %s holds a certificate: expected the log's bare public key (-----BEGIN PUBLIC KEY-----)", path)
		}
	} else if _, err := pubkey.ParsePKIX(data); err == nil {
		return nil, fmt.Errorf("public-key: %s is DER: expected PEM (openssl pkey -pubin -inform DER -in %s)", path, path)
	}
	key, err := pubkey.ParsePEM(data)
	if err != nil {
		return nil, fmt.Errorf("public-key: %s: %w", path, err)
	}
	if err := pubkey.CheckStrength(key); err != nil {
		return nil, fmt.Errorf("public-key: %s: %w", path, err)
	}
	return key, nil
}

// chain reads the certificates that the spec names.
func (s spec) chain() ([]*x509.Certificate, error) {
	path := s["certificate-chain"]
	data, err := readFile(path, maxPEM)
	if err != nil {
		return nil, fmt.Errorf("certificate-chain: %w", err)
	}
	chain, err := parseChain(data)
	if err != nil {
		return nil, fmt.Errorf("certificate-chain: %s: %w", path, err)
	}
	return chain, nil
}

func parseChain(data []byte) ([]*x509.Certificate, error) {
	var chain []*x509.Certificate
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			break
		}
		data = rest
		if strings.Contains(block.Type, "PRIVATE KEY") {
			return nil, errors.New("holds a private key: expected certificates alone")
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("has a PEM block %.40q: expected CERTIFICATE", block.Type)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", len(chain)+1, err)
		}
		chain = append(chain, cert)
	}
	if strings.TrimSpace(string(data)) != "" {
		if len(chain) == 0 {
			return nil, errors.New("is not PEM: expected -----BEGIN CERTIFICATE-----")
		}
		return nil, fmt.Errorf("has something after its %d certificates that is not PEM", len(chain))
	}
	if len(chain) == 0 {
		return nil, errors.New("is empty: expected -----BEGIN CERTIFICATE-----")
	}
	return chain, nil
}
