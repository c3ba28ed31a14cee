// SPDX-License-Identifier: Apache-2.0

package logentry

import (
	"fmt"

	"hallmark/internal/format/strictjson"
)

// FromJSON reads a TransparencyLogEntry in its protojson form and checks the
// invariants of the package. It accepts nothing that protojson refuses, and
// means the same; it refuses numbers with a fraction or an exponent and base64
// with line breaks or stray bits. The result shares no memory with v. Package
// bundle uses it.
func FromJSON(v strictjson.Value) (*Entry, error) {
	e := new(Entry)
	if err := e.read(v); err != nil {
		return nil, fmt.Errorf("log entry: %w", err)
	}
	if err := e.Validate(); err != nil {
		return nil, err
	}
	return e, nil
}

func (e *Entry) read(v strictjson.Value) error {
	m, err := v.Closed("logIndex", "log_index", "logId", "log_id", "kindVersion", "kind_version",
		"integratedTime", "integrated_time", "inclusionPromise", "inclusion_promise",
		"inclusionProof", "inclusion_proof", "canonicalizedBody", "canonicalized_body")
	if err != nil {
		return err
	}
	var proof strictjson.Value
	var hasProof bool
	f := strictjson.FieldsOf(m)
	f.Int64("logIndex", "log_index", &e.LogIndex)
	f.Sub("logId", "log_id", func(f *strictjson.Fields) { f.Bytes("keyId", "key_id", &e.LogID) }, "keyId", "key_id")
	f.Sub("kindVersion", "kind_version", func(f *strictjson.Fields) {
		f.Text("kind", "kind", &e.Kind)
		f.Text("version", "version", &e.Version)
	}, "kind", "version")
	f.Int64("integratedTime", "integrated_time", &e.IntegratedTime)
	f.Sub("inclusionPromise", "inclusion_promise", func(f *strictjson.Fields) {
		f.Bytes("signedEntryTimestamp", "signed_entry_timestamp", &e.SET)
	}, "signedEntryTimestamp", "signed_entry_timestamp")
	f.Value("inclusionProof", "inclusion_proof", &proof, &hasProof)
	f.Bytes("canonicalizedBody", "canonicalized_body", &e.Body)
	if err := f.Err(); err != nil {
		return err
	}
	if !hasProof {
		return nil
	}
	e.Proof = new(InclusionProof)
	if err := e.Proof.read(proof); err != nil {
		return fmt.Errorf("inclusionProof: %w", err)
	}
	return nil
}

func (p *InclusionProof) read(v strictjson.Value) error {
	m, err := v.Closed("logIndex", "log_index", "rootHash", "root_hash", "treeSize", "tree_size", "hashes", "checkpoint")
	if err != nil {
		return err
	}
	f := strictjson.FieldsOf(m)
	f.Int64("logIndex", "log_index", &p.LogIndex)
	f.Bytes("rootHash", "root_hash", &p.RootHash)
	f.Int64("treeSize", "tree_size", &p.TreeSize)
	f.List("hashes", "hashes", MaxHashes, func(v strictjson.Value) error {
		h, err := v.Base64()
		p.Hashes = append(p.Hashes, h)
		return err
	})
	f.Sub("checkpoint", "checkpoint", func(f *strictjson.Fields) { f.Text("envelope", "envelope", &p.Checkpoint) }, "envelope")
	return f.Err()
}
