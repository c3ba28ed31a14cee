// SPDX-License-Identifier: Apache-2.0

package sign_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/digitorus/timestamp"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"

	"hallmark/internal/format/certext"
	"hallmark/internal/format/checkpoint"
	"hallmark/internal/format/logentry"
	"hallmark/internal/format/pubkey"
	"hallmark/internal/format/rfc3161"
	"hallmark/internal/format/trustroot"
)

const (
	logHost = "log.example.test"
	email   = "person@example.test"
	issuer  = "https://issuer.example.test"
)

// fake is a Sigstore instance on one loopback port: a CA, a CT log's key, a
// timestamp authority and a Rekor v2 log. Hooks change what it answers.
type fake struct {
	t          *testing.T
	url        string
	anchor, ca authority
	tsaAnchor  authority
	tsa        authority
	ct         crypto.Signer
	logKey     ed25519.PrivateKey
	root       *trustroot.Root
	services   *trustroot.SigningConfig

	san    string
	cert   func(*x509.Certificate)
	noSCT  bool
	sct    func(*certext.SCT)
	tokenT time.Time
	token  func([]byte) []byte   // changes the timestamp response
	entry  func(*logentry.Entry) // changes the log's answer
	answer map[string]http.HandlerFunc

	mu     sync.Mutex
	counts map[string]int // requests by path; guarded by mu
	leaves [][]byte       // guarded by mu
}

type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

const (
	pathCert  = "/api/v2/signingCert"
	pathTSA   = "/api/v1/timestamp"
	pathLog   = "/api/v2/log/entries"
	pathWhich = "/api/v2/configuration"
)

func newFake(t *testing.T) *fake {
	t.Helper()
	f := &fake{t: t, san: email, counts: map[string]int{}, answer: map[string]http.HandlerFunc{}}
	f.anchor = f.authority("anchor", nil, caTemplate(nil))
	f.ca = f.authority("issuing", &f.anchor, caTemplate([]x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}))
	f.tsaAnchor = f.authority("tsa anchor", nil, caTemplate(nil))
	eku, err := asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}})
	f.ok(err)
	f.tsa = f.authority("tsa", &f.tsaAnchor, &x509.Certificate{KeyUsage: x509.KeyUsageDigitalSignature,
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: eku}}})
	f.ct = newP256(t)
	_, f.logKey, err = ed25519.GenerateKey(rand.Reader)
	f.ok(err)

	mux := http.NewServeMux()
	for path, h := range map[string]http.HandlerFunc{pathCert: f.serveCert, pathTSA: f.serveTSA, pathLog: f.serveLog, pathWhich: http.NotFound} {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			f.mu.Lock()
			f.counts[path]++
			f.mu.Unlock()
			if other := f.answer[path]; other != nil {
				other(w, r)
				return
			}
			h(w, r)
		})
	}
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	f.url = s.URL
	f.trust()
	return f
}

// trust makes the instance's trusted root and signing config.
func (f *fake) trust() {
	valid := trustroot.Window{Start: time.Now().Add(-time.Hour)}
	logID, err := checkpoint.LogID(logHost, f.logKey.Public())
	f.ok(err)
	ctID, err := pubkey.KeyID(f.ct.Public())
	f.ok(err)
	f.root = &trustroot.Root{
		Logs:   []trustroot.Log{{BaseURL: "https://" + logHost, Key: f.logKey.Public(), Details: pubkey.Ed25519, ID: logID[:], Valid: valid}},
		CTLogs: []trustroot.Log{{BaseURL: "https://ct.example.test", Key: f.ct.Public(), Details: pubkey.ECDSAP256SHA256, ID: ctID[:], Valid: valid}},
		CAs:    []trustroot.CertificateAuthority{{URI: f.url, Chain: []*x509.Certificate{f.ca.cert, f.anchor.cert}, Valid: valid}},
		TSAs:   []trustroot.TimestampAuthority{{URI: f.url + pathTSA, Chain: []*x509.Certificate{f.tsa.cert, f.tsaAnchor.cert}, Valid: valid}},
	}
	f.services = &trustroot.SigningConfig{
		CAs:         []trustroot.Service{{URL: f.url, APIVersion: 1, Valid: valid, Operator: "o"}},
		Logs:        []trustroot.Service{{URL: f.url, APIVersion: 2, Valid: valid, Operator: "o"}},
		TSAs:        []trustroot.Service{{URL: f.url + pathTSA, APIVersion: 1, Valid: valid, Operator: "o"}},
		LogSelector: trustroot.Selector{Mode: trustroot.Any},
		TSASelector: trustroot.Selector{Mode: trustroot.Any},
	}
}

func (f *fake) count(path string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.counts[path]
}

func (f *fake) serveCert(w http.ResponseWriter, r *http.Request) {
	var req struct {
		PublicKeyRequest struct {
			PublicKey         struct{ Algorithm, Content string }
			ProofOfPossession []byte
		}
	}
	if r.Header.Get("Authorization") != "Bearer "+theToken.Raw() || json.NewDecoder(r.Body).Decode(&req) != nil {
		reject(w, http.StatusUnauthorized, "no token")
		return
	}
	pub, err := pubkey.ParsePEM([]byte(req.PublicKeyRequest.PublicKey.Content))
	f.ok(err)
	details, err := pubkey.DefaultDetails(pub)
	f.ok(err)
	if err := pubkey.Verify(pub, details, []byte(email), req.PublicKeyRequest.ProofOfPossession); err != nil {
		reject(w, http.StatusBadRequest, "proof of possession: "+err.Error())
		return
	}
	chain := []string{}
	for _, der := range [][]byte{f.issue(pub), f.ca.cert.Raw, f.anchor.cert.Raw} {
		chain = append(chain, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	}
	json.NewEncoder(w).Encode(map[string]any{"signedCertificateEmbeddedSct": map[string]any{"chain": map[string]any{"certificates": chain}}})
}

// issue makes a certificate for pub with an embedded SCT.
func (f *fake) issue(pub crypto.PublicKey) []byte {
	san, err := certext.SANExtension(certext.SAN{Kind: certext.Email, Value: f.san})
	f.ok(err)
	claims, err := certext.Extensions{Issuer: issuer, IssuerV2: issuer}.Marshal()
	f.ok(err)
	template := &x509.Certificate{
		SerialNumber: serial(), NotBefore: time.Now().Add(-time.Second), NotAfter: time.Now().Add(10 * time.Minute),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
		ExtraExtensions: append([]pkix.Extension{san}, claims...),
	}
	if f.cert != nil {
		f.cert(template)
	}
	pre, err := x509.CreateCertificate(rand.Reader, template, f.ca.cert, pub, f.ca.key)
	f.ok(err)
	if f.noSCT {
		return pre
	}
	tbs, err := certext.PrecertTBS(pre)
	f.ok(err)
	id, err := pubkey.KeyID(f.ct.Public())
	f.ok(err)
	sct := certext.SCT{LogID: id, Timestamp: uint64(time.Now().UnixMilli()), HashAlg: certext.HashSHA256, SigAlg: certext.SigECDSA}
	sct.Signature, err = pubkey.Sign(f.ct, pubkey.ECDSAP256SHA256, certext.SCTSignedData(sct.Timestamp, nil, sha256.Sum256(f.ca.cert.RawSubjectPublicKeyInfo), tbs))
	f.ok(err)
	if f.sct != nil {
		f.sct(&sct)
	}
	list, err := certext.MarshalSCTList([]certext.SCT{sct})
	f.ok(err)
	template.ExtraExtensions = append(template.ExtraExtensions, list)
	der, err := x509.CreateCertificate(rand.Reader, template, f.ca.cert, pub, f.ca.key)
	f.ok(err)
	return der
}

func (f *fake) serveTSA(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	req, err := rfc3161.ParseRequest(body)
	if err != nil || req.CertReq || req.Nonce != nil || r.Header.Get("Content-Type") != "application/timestamp-query" {
		reject(w, http.StatusBadRequest, "unexpected request")
		return
	}
	at := f.tokenT
	if at.IsZero() {
		at = time.Now()
	}
	ts := timestamp.Timestamp{HashAlgorithm: req.HashAlg, HashedMessage: req.HashedMessage, Time: at, Policy: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 2}}
	der, err := ts.CreateResponseWithOpts(f.tsa.cert, f.tsa.key, crypto.SHA256)
	f.ok(err)
	if f.token != nil {
		der = f.token(der)
	}
	w.Header().Set("Content-Type", "application/timestamp-reply")
	w.Write(der)
}

func (f *fake) serveLog(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	h, err := logentry.ParseRequest(body)
	if err != nil {
		reject(w, http.StatusBadRequest, err.Error())
		return
	}
	f.mu.Lock()
	f.leaves = append(f.leaves, h.Body())
	leaves := f.leaves
	f.mu.Unlock()
	e := f.logged(leaves, len(leaves)-1)
	if f.entry != nil {
		f.entry(e)
	}
	out, err := e.Marshal()
	f.ok(err)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	w.Write(out)
}

// logged is the entry at index i of a tree of these leaves.
func (f *fake) logged(leaves [][]byte, i int) *logentry.Entry {
	id, err := checkpoint.LogID(logHost, f.logKey.Public())
	f.ok(err)
	root := treeHash(leaves)
	signer, err := checkpoint.NewSigner(logHost, f.logKey)
	f.ok(err)
	cp, err := note.Sign(&note.Note{Text: checkpoint.Text(logHost, uint64(len(leaves)), [32]byte(root))}, signer)
	f.ok(err)
	return &logentry.Entry{
		LogIndex: int64(i), LogID: id[:], Kind: "hashedrekord", Version: "0.0.2", Body: leaves[i],
		Proof: &logentry.InclusionProof{LogIndex: int64(i), TreeSize: int64(len(leaves)), RootHash: root, Hashes: treePath(leaves, i), Checkpoint: string(cp)},
	}
}

// treeHash and treePath are RFC 6962 §2.1 word for word.
func treeHash(leaves [][]byte) []byte {
	if len(leaves) == 1 {
		return rfc6962.DefaultHasher.HashLeaf(leaves[0])
	}
	k := split(len(leaves))
	return rfc6962.DefaultHasher.HashChildren(treeHash(leaves[:k]), treeHash(leaves[k:]))
}

func treePath(leaves [][]byte, i int) [][]byte {
	if len(leaves) == 1 {
		return nil
	}
	if k := split(len(leaves)); i < k {
		return append(treePath(leaves[:k], i), treeHash(leaves[k:]))
	} else {
		return append(treePath(leaves[k:], i-k), treeHash(leaves[:k]))
	}
}

func split(n int) int {
	k := 1
	for k*2 < n {
		k *= 2
	}
	return k
}

func reject(w http.ResponseWriter, code int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	json.NewEncoder(w).Encode(map[string]any{"code": 3, "message": message, "details": []any{}})
}

func caTemplate(eku []x509.ExtKeyUsage) *x509.Certificate {
	return &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, ExtKeyUsage: eku}
}

func (f *fake) authority(name string, parent *authority, template *x509.Certificate) authority {
	key := newP256(f.t)
	template.SerialNumber, template.Subject = serial(), pkix.Name{CommonName: name}
	template.NotBefore, template.NotAfter = time.Now().AddDate(-1, 0, 0), time.Now().AddDate(1, 0, 0)
	if parent == nil {
		parent = &authority{template, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent.cert, key.Public(), parent.key)
	f.ok(err)
	cert, err := x509.ParseCertificate(der)
	f.ok(err)
	return authority{cert, key}
}

func (f *fake) ok(err error) {
	if err != nil {
		f.t.Helper()
		f.t.Error(err)
	}
}

func newP256(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func serial() *big.Int {
	n, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 158))
	return n.Add(n, big.NewInt(1))
}

// fakeToken is an identity token.
type fakeToken struct{ raw, challenge string }

var theToken = fakeToken{"header." + strings.Repeat("secret", 5) + ".signature", email}

func (f fakeToken) Raw() string                { return f.raw }
func (f fakeToken) Challenge() (string, error) { return f.challenge, nil }

func certificateAnswer(der []byte) []byte {
	out, err := json.Marshal(map[string]any{"signedCertificateEmbeddedSct": map[string]any{"chain": map[string]any{
		"certificates": []string{string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))},
	}}})
	if err != nil {
		panic(err)
	}
	return out
}

// timestampOf is the instance's timestamp of another message.
func (f *fake) timestampOf(t *testing.T, message []byte) []byte {
	t.Helper()
	hashed := sha256.Sum256(message)
	ts := timestamp.Timestamp{HashAlgorithm: crypto.SHA256, HashedMessage: hashed[:], Time: time.Now(), Policy: asn1.ObjectIdentifier{1, 2, 3}}
	der, err := ts.CreateResponseWithOpts(f.tsa.cert, f.tsa.key, crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

type readCloser struct{ io.Reader }

func (readCloser) Close() error { return nil }
