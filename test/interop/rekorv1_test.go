// SPDX-License-Identifier: Apache-2.0

package interop

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// rekorV1 is the least that a Rekor v1 log has to be for cosign to sign with
// it: it takes hashedrekord and dsse entries and promises to log them.
type rekorV1 struct {
	*httptest.Server
	t   *testing.T
	key *ecdsa.PrivateKey

	mu   sync.Mutex
	next int64 // guarded by mu
}

func newRekorV1(t *testing.T) *rekorV1 {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	r := &rekorV1{t: t, key: key, next: 7}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/v1/log/entries", r.add)
	mux.HandleFunc("GET /api/v1/log/publicKey", func(w http.ResponseWriter, _ *http.Request) {
		pem.Encode(w, &pem.Block{Type: "PUBLIC KEY", Bytes: r.spki()})
	})
	r.Server = httptest.NewServer(mux)
	t.Cleanup(r.Close)
	return r
}

func (r *rekorV1) spki() []byte {
	der, err := x509.MarshalPKIXPublicKey(r.key.Public())
	if err != nil {
		panic(err)
	}
	return der
}

// trust adds the log to a trusted root.
func (r *rekorV1) trust(t *testing.T, trustedRoot []byte) []byte {
	t.Helper()
	var root map[string]any
	if err := json.Unmarshal(trustedRoot, &root); err != nil {
		t.Fatal(err)
	}
	id := sha256.Sum256(r.spki())
	logs, _ := root["tlogs"].([]any)
	root["tlogs"] = append(logs, map[string]any{
		"baseUrl": r.URL, "hashAlgorithm": "SHA2_256", "logId": map[string]any{"keyId": id[:]},
		"publicKey": map[string]any{"rawBytes": r.spki(), "keyDetails": "PKIX_ECDSA_P256_SHA_256",
			"validFor": map[string]any{"start": time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)}},
	})
	out, err := json.Marshal(root)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (r *rekorV1) add(w http.ResponseWriter, req *http.Request) {
	var entry struct {
		APIVersion string          `json:"apiVersion"`
		Kind       string          `json:"kind"`
		Spec       json.RawMessage `json:"spec"`
	}
	body, err := []byte(nil), json.NewDecoder(req.Body).Decode(&entry)
	if err == nil {
		body, err = canonical(entry.Kind, entry.APIVersion, entry.Spec)
	}
	if err != nil {
		r.t.Errorf("Rekor v1: %v", err)
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	index := r.next
	r.next++
	r.mu.Unlock()
	id := sha256.Sum256(r.spki())
	leaf := sha256.Sum256(append([]byte{0}, body...))
	at := time.Now().Unix()
	promised := fmt.Sprintf(`{"body":"%s","integratedTime":%d,"logID":"%x","logIndex":%d}`, base64.StdEncoding.EncodeToString(body), at, id, index)
	sum := sha256.Sum256([]byte(promised))
	set, err := ecdsa.SignASN1(rand.Reader, r.key, sum[:])
	if err != nil {
		r.t.Errorf("Rekor v1: %v", err)
		return
	}
	uuid := "00000000000000aa" + hex.EncodeToString(leaf[:])
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("ETag", uuid)
	w.Header().Set("Location", "/api/v1/log/entries/"+uuid)
	w.WriteHeader(http.StatusCreated)
	json.NewEncoder(w).Encode(map[string]any{uuid: map[string]any{
		"body": body, "integratedTime": at, "logID": hex.EncodeToString(id[:]), "logIndex": index,
		"verification": map[string]any{"signedEntryTimestamp": set, "inclusionProof": map[string]any{
			"checkpoint": r.checkpoint(leaf), "hashes": []string{}, "logIndex": 0, "rootHash": hex.EncodeToString(leaf[:]), "treeSize": 1}},
	}})
}

// checkpoint signs a tree of one leaf: each entry has a shard to itself.
func (r *rekorV1) checkpoint(root [32]byte) string {
	text := fmt.Sprintf("rekor.test - 170\n1\n%s\n", base64.StdEncoding.EncodeToString(root[:]))
	sum := sha256.Sum256([]byte(text))
	sig, err := ecdsa.SignASN1(rand.Reader, r.key, sum[:])
	if err != nil {
		panic(err)
	}
	id := sha256.Sum256(r.spki())
	return fmt.Sprintf("%s\n— rekor.test %s\n", text, base64.StdEncoding.EncodeToString(append(id[:4:4], sig...)))
}

// canonical is the body that Rekor v1 logs for what was proposed.
func canonical(kind, version string, spec json.RawMessage) ([]byte, error) {
	type object = map[string]any
	var logged any
	switch kind {
	case "hashedrekord":
		var proposed object
		if err := json.Unmarshal(spec, &proposed); err != nil {
			return nil, err
		}
		logged = proposed
	case "dsse":
		var proposed struct {
			Content struct {
				Envelope  string   `json:"envelope"`
				Verifiers [][]byte `json:"verifiers"`
			} `json:"proposedContent"`
		}
		var envelope struct {
			Payload    []byte
			Signatures []struct{ Sig []byte }
		}
		if err := json.Unmarshal(spec, &proposed); err != nil {
			return nil, err
		}
		if err := json.Unmarshal([]byte(proposed.Content.Envelope), &envelope); err != nil {
			return nil, err
		}
		if len(envelope.Signatures) != 1 || len(proposed.Content.Verifiers) != 1 {
			return nil, fmt.Errorf("%d signatures, %d verifiers", len(envelope.Signatures), len(proposed.Content.Verifiers))
		}
		hash := func(b []byte) object {
			return object{"algorithm": "sha256", "value": fmt.Sprintf("%x", sha256.Sum256(b))}
		}
		logged = object{"envelopeHash": hash([]byte(proposed.Content.Envelope)), "payloadHash": hash(envelope.Payload),
			"signatures": []object{{"signature": envelope.Signatures[0].Sig, "verifier": proposed.Content.Verifiers[0]}}}
	default:
		return nil, fmt.Errorf("entry of kind %q", kind)
	}
	return json.Marshal(object{"apiVersion": version, "kind": kind, "spec": logged})
}
