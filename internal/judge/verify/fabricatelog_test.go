// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strings"

	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"

	"hallmark/internal/format/bundle"
	"hallmark/internal/format/checkpoint"
	"hallmark/internal/format/digest"
	"hallmark/internal/format/dsse"
	"hallmark/internal/format/logentry"
	"hallmark/internal/format/pubkey"
)

// A treeHead is what a log is about to sign as its checkpoint.
type treeHead struct {
	origin, name string
	size         uint64
	root         [32]byte
	key          crypto.Signer
}

// Where the entry stands in its log, among others.
const (
	leafIndex = 5
	treeSize  = 11
	v1Offset  = 1000 // entries of the v1 log's earlier shards
)

// logged returns the entry under which the log holds the bundle's signature.
func (in *instance) logged(r *recipe, b *bundle.Bundle, sig []byte) *logentry.Entry {
	if r.v1 != "" {
		return in.loggedV1(r, b, sig)
	}
	details, err := pubkey.LogDetails(r.key.Public())
	if err != nil { // a key that no log takes
		details = r.details
	}
	rekord := logentry.HashedRekord{Signature: sig, Details: details}
	if b.Envelope != nil {
		rekord.Digest = digest.Of(details.Digest(), dsse.PAE(b.Envelope.PayloadType, b.Envelope.Payload))
	} else {
		rekord.Digest = digest.Of(details.Digest(), r.artifact)
	}
	if r.managed {
		rekord.PublicKey, err = pubkey.MarshalPKIX(r.key.Public())
		in.ok(err)
	} else {
		rekord.Certificate = b.Certificates[0]
	}
	if r.rekord != nil {
		r.rekord(&rekord)
	}
	e := &logentry.Entry{
		LogIndex: leafIndex, LogID: in.root.Logs[0].ID,
		Kind: "hashedrekord", Version: "0.0.2", Body: rekord.Body(),
	}
	in.include(r, e, treeHead{origin: logHost, name: logHost, size: treeSize, key: in.log})
	return e
}

// v1Content is what a Rekor v1 body says.
type v1Content struct {
	artifact, payload [32]byte
	envelope          [32]byte // of its text; intoto 0.0.1
	noPayload         bool
	signature         []byte
	verifier          []byte // PEM
}

func (in *instance) loggedV1(r *recipe, b *bundle.Bundle, sig []byte) *logentry.Entry {
	content := v1Content{artifact: sha256.Sum256(r.artifact), signature: sig}
	if b.Envelope != nil {
		content.payload = sha256.Sum256(b.Envelope.Payload)
		text := goText
		if r.text != nil {
			text = r.text
		}
		content.envelope = sha256.Sum256(text(b.Envelope))
	}
	if r.managed {
		var err error
		content.verifier, err = pubkey.MarshalPEM(r.key.Public())
		in.ok(err)
	} else {
		content.verifier = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: b.Certificates[0]})
	}
	if r.v1Body != nil {
		r.v1Body(&content)
	}
	e := &logentry.Entry{
		LogIndex: v1Offset + leafIndex, LogID: in.root.Logs[1].ID, IntegratedTime: in.at.Unix(),
		Kind: r.v1, Version: map[string]string{"hashedrekord": "0.0.1", "dsse": "0.0.1", "intoto": "0.0.2"}[r.v1],
	}
	if kind, version, ok := strings.Cut(r.v1, " "); ok {
		e.Kind, e.Version = kind, version
	}
	var err error
	e.Body, err = json.Marshal(map[string]any{"apiVersion": e.Version, "kind": e.Kind, "spec": content.spec(r.v1)})
	in.ok(err)
	in.include(r, e, treeHead{origin: logV1Host + " - 123456789", name: logV1Host, size: treeSize, key: in.logV1})
	if !r.noSET {
		key := in.logV1
		if r.setKey != nil {
			key = r.setKey
		}
		e.SET, err = pubkey.Sign(key, pubkey.ECDSAP256SHA256, logentry.SETPayload(e))
		in.ok(err)
	}
	return e
}

// spec renders the body of one kind.
func (c v1Content) spec(kind string) any {
	type object = map[string]any
	b64 := base64.StdEncoding.EncodeToString
	hash := func(sum [32]byte) object { return object{"algorithm": "sha256", "value": hex.EncodeToString(sum[:])} }
	switch kind {
	case "hashedrekord":
		return object{
			"data":      object{"hash": hash(c.artifact)},
			"signature": object{"content": b64(c.signature), "publicKey": object{"content": b64(c.verifier)}},
		}
	case "dsse":
		return object{
			"envelopeHash": hash(c.artifact), "payloadHash": hash(c.payload),
			"signatures": []object{{"signature": b64(c.signature), "verifier": b64(c.verifier)}},
		}
	case "intoto":
		return object{"content": object{
			"envelope": object{
				"payloadType": "application/vnd.in-toto+json",
				"signatures":  []object{{"publicKey": b64(c.verifier), "sig": b64([]byte(b64(c.signature)))}},
			},
			"hash": hash(c.artifact), "payloadHash": hash(c.payload),
		}}
	}
	if kind == "intoto 0.0.1" {
		about := object{"hash": hash(c.envelope), "payloadHash": hash(c.payload)}
		if c.noPayload {
			delete(about, "payloadHash")
		}
		return object{"content": about, "publicKey": b64(c.verifier)}
	}
	panic("unknown kind " + kind)
}

// include puts the entry into a tree and adds the proof and the checkpoint.
func (in *instance) include(r *recipe, e *logentry.Entry, head treeHead) {
	if r.body != nil {
		e.Body = r.body(e.Body)
	}
	leaves := make([][]byte, treeSize)
	for i := range leaves {
		leaves[i] = rfc6962.DefaultHasher.HashLeaf(fmt.Appendf(nil, "entry %d", i))
	}
	leaves[leafIndex] = rfc6962.DefaultHasher.HashLeaf(e.Body)
	head.root = [32]byte(treeRoot(leaves))
	e.Proof = &logentry.InclusionProof{LogIndex: leafIndex, TreeSize: treeSize, RootHash: treeRoot(leaves), Hashes: treePath(leaves, leafIndex)}
	if r.entry != nil {
		r.entry(e)
	}
	if r.treeHead != nil {
		r.treeHead(&head)
	}
	e.Proof.Checkpoint = in.checkpoint(head)
}

func (in *instance) checkpoint(head treeHead) string {
	signer, err := checkpoint.NewSigner(head.name, head.key)
	in.ok(err)
	signed, err := note.Sign(&note.Note{Text: checkpoint.Text(head.origin, head.size, head.root)}, signer)
	in.ok(err)
	return string(signed)
}

// treeRoot is MTH of RFC 6962 §2.1 over leaf hashes.
func treeRoot(leaves [][]byte) []byte {
	if len(leaves) == 1 {
		return leaves[0]
	}
	k := split(len(leaves))
	return rfc6962.DefaultHasher.HashChildren(treeRoot(leaves[:k]), treeRoot(leaves[k:]))
}

// treePath is PATH of RFC 6962 §2.1.1.
func treePath(leaves [][]byte, m int) [][]byte {
	if len(leaves) == 1 {
		return nil
	}
	if k := split(len(leaves)); m < k {
		return append(treePath(leaves[:k], m), treeRoot(leaves[k:]))
	} else {
		return append(treePath(leaves[k:], m-k), treeRoot(leaves[:k]))
	}
}

// split is the largest power of two below n.
func split(n int) int {
	k := 1
	for 2*k < n {
		k *= 2
	}
	return k
}
