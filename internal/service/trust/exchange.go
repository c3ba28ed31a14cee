// SPDX-License-Identifier: Apache-2.0

package trust

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"hallmark/internal/format/strictjson"
	"hallmark/internal/format/trustroot"
)

// clientTrustConfig is Sigstore's one-file form of a trust root:
// https://github.com/sigstore/protobuf-specs/blob/main/protos/sigstore_trustroot.proto
type clientTrustConfig struct {
	MediaType     string          `json:"mediaType"`
	TrustedRoot   json.RawMessage `json:"trustedRoot"`
	SigningConfig json.RawMessage `json:"signingConfig,omitempty"`
}

// Import stores a trust root from a file: a trusted_root.json, or a
// ClientTrustConfig such as Export writes. It replaces an earlier import of
// that name; a name that is refreshed by TUF is an error that wraps ErrExists.
func (s *Store) Import(ctx context.Context, name string, data []byte) (Info, error) {
	if err := checkImportName(name); err != nil {
		return Info{}, err
	}
	files, err := splitImport(data)
	if err != nil {
		return Info{}, fmt.Errorf("trust import %s: %w", name, err)
	}
	now := s.now().UTC()
	return s.keepImport(ctx, &record{Name: name, Kind: KindStatic, Created: now.Truncate(time.Second), Refreshed: now}, files)
}

// ParseFile reads what Import reads without storing it. The result's Name is
// name; nobody knows when it was refreshed.
func ParseFile(name string, data []byte) (*Active, error) {
	files, err := splitImport(data)
	if err != nil {
		return nil, err
	}
	a := &Active{Name: name, Kind: KindStatic}
	return a, a.parse(files)
}

func checkImportName(name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	if name == PublicGood {
		return fmt.Errorf("the name %q belongs to the built-in trust root: choose another", PublicGood)
	}
	return nil
}

// keepImport stores r with files, in place of an earlier import of that name.
func (s *Store) keepImport(ctx context.Context, r *record, files map[string][]byte) (Info, error) {
	if err := checkFiles(files); err != nil {
		return Info{}, fmt.Errorf("trust import %s: %w", r.Name, err)
	}
	l, _, err := s.lock(ctx, r.Name)
	if err != nil {
		return Info{}, err
	}
	defer l.Unlock()
	prev, err := s.readRecord(r.Name)
	switch {
	case errors.Is(err, ErrNotFound):
	case err != nil:
		return Info{}, err
	case prev.Kind != KindStatic:
		return Info{}, fmt.Errorf("trust root %q: %w, and is refreshed from %s: choose another name, or run hallmark trust remove %s first", r.Name, ErrExists, prev.Mirror, r.Name)
	default:
		r.Created = prev.Created
	}
	if err := s.commit(r, prev, files); err != nil {
		return Info{}, err
	}
	return s.stored(r), nil
}

// splitImport recognises what data is by its media type. The files are not
// checked yet.
func splitImport(data []byte) (map[string][]byte, error) {
	if len(data) > 2*trustroot.MaxSize {
		return nil, fmt.Errorf("%d bytes: expected at most %d", len(data), 2*trustroot.MaxSize)
	}
	if _, err := strictjson.Parse(data); err != nil {
		return nil, fmt.Errorf("expected a trusted_root.json or a client trust config: %w", err)
	}
	var head struct {
		MediaType string `json:"mediaType"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, fmt.Errorf("expected a trusted_root.json or a client trust config: %w", err)
	}
	files := map[string][]byte{}
	switch head.MediaType {
	case trustroot.MediaType, trustroot.MediaTypeV02:
		files[rootFile] = data
	case trustroot.ClientTrustConfigMediaType:
		var c clientTrustConfig
		dec := json.NewDecoder(bytes.NewReader(data))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&c); err != nil {
			return nil, fmt.Errorf("client trust config: %w", err)
		}
		if len(c.TrustedRoot) == 0 {
			return nil, errors.New("client trust config: trustedRoot is absent")
		}
		files[rootFile] = c.TrustedRoot
		if len(c.SigningConfig) > 0 {
			files[configFile] = c.SigningConfig
		}
	default:
		return nil, fmt.Errorf("mediaType is %.100q: expected %q or %q", head.MediaType, trustroot.MediaType, trustroot.ClientTrustConfigMediaType)
	}
	return files, nil
}

// Export writes a trust root as one JSON document, which Import and other
// Sigstore clients read; "" is the default one. It is a ClientTrustConfig, or
// the trusted root itself where there is no signing config to go with it.
func (s *Store) Export(name string, w io.Writer) error {
	name, err := s.resolve(name)
	if err != nil {
		return err
	}
	_, files, err := s.read(name, rootFile, configFile)
	if name == PublicGood && errors.Is(err, ErrNotFound) {
		files = map[string][]byte{rootFile: publicGoodTrustedRoot, configFile: publicGoodSigningConfig}
	} else if err != nil {
		return err
	}
	out := files[rootFile]
	if config := files[configFile]; config != nil {
		out, err = json.MarshalIndent(clientTrustConfig{trustroot.ClientTrustConfigMediaType, files[rootFile], config}, "", "  ")
		if err != nil {
			return fmt.Errorf("trust export %s: %w", name, err)
		}
	}
	_, err = fmt.Fprintf(w, "%s\n", bytes.TrimRight(out, "\n"))
	return err
}
