// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"testing"
	"time"

	"github.com/digitorus/timestamp"

	"hallmark/internal/format/bundle"
	"hallmark/internal/format/certext"
	"hallmark/internal/format/checkpoint"
	"hallmark/internal/format/digest"
	"hallmark/internal/format/dsse"
	"hallmark/internal/format/intoto"
	"hallmark/internal/format/logentry"
	"hallmark/internal/format/pubkey"
	"hallmark/internal/format/trustroot"
	"hallmark/internal/judge/verify"
)

// An instance is a whole Sigstore instance in memory: a certificate authority,
// a CT log, a Rekor v2 log, a Rekor v1 log and a timestamp authority, with the
// trusted root that names them.
type instance struct {
	tb     testing.TB
	at     time.Time // when everything happens
	anchor authority
	ca     authority
	tsa    authority
	ct     crypto.Signer
	log    crypto.Signer // Ed25519
	logV1  crypto.Signer // P-256
	root   trustroot.Root
	memo   *verify.Memo // knows what was checked in this instance before
}

// An authority is a certificate with its key.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

const (
	logHost   = "log.example.test"
	logV1Host = "rekor.example.test"
)

func newInstance(tb testing.TB) *instance {
	tb.Helper()
	in := &instance{tb: tb, at: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC), memo: new(verify.Memo)}
	in.anchor = in.newCA("anchor", nil, nil)
	in.ca = in.newCA("issuing", &in.anchor, []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning})
	tsaAnchor := in.newCA("tsa anchor", nil, nil)
	in.tsa = in.newTSA("tsa", &tsaAnchor)
	in.ct, in.logV1 = in.p256(), in.p256()
	_, in.log = in.ed25519()

	valid := in.window(-time.Hour, time.Hour)
	logID, err := checkpoint.LogID(logHost, in.log.Public())
	in.ok(err)
	v1ID, ctID := in.keyID(in.logV1), in.keyID(in.ct)
	in.root = trustroot.Root{
		Logs: []trustroot.Log{
			{BaseURL: "https://" + logHost, Key: in.log.Public(), Details: pubkey.Ed25519, ID: logID[:], Valid: valid},
			{BaseURL: "https://" + logV1Host, Key: in.logV1.Public(), Details: pubkey.ECDSAP256SHA256, ID: v1ID[:], Valid: valid},
		},
		CTLogs: []trustroot.Log{
			{BaseURL: "https://ct.example.test", Key: in.ct.Public(), Details: pubkey.ECDSAP256SHA256, ID: ctID[:], Valid: valid},
		},
		CAs: []trustroot.CertificateAuthority{
			{URI: "https://ca.example.test", Chain: []*x509.Certificate{in.ca.cert, in.anchor.cert}, Valid: valid},
		},
		TSAs: []trustroot.TimestampAuthority{
			{URI: "https://tsa.example.test", Chain: []*x509.Certificate{in.tsa.cert, tsaAnchor.cert}, Valid: valid},
		},
	}
	return in
}

// trusted returns a copy of the trusted root that a test may change.
func (in *instance) trusted() *trustroot.Root {
	r := trustroot.Root{
		Logs:   append([]trustroot.Log(nil), in.root.Logs...),
		CTLogs: append([]trustroot.Log(nil), in.root.CTLogs...),
		CAs:    append([]trustroot.CertificateAuthority(nil), in.root.CAs...),
		TSAs:   append([]trustroot.TimestampAuthority(nil), in.root.TSAs...),
	}
	return &r
}

func (in *instance) window(from, to time.Duration) trustroot.Window {
	return trustroot.Window{Start: in.at.Add(from), End: in.at.Add(to)}
}

// A recipe says what is signed and how; each hook, if set, changes one piece
// of evidence before later ones are made over it.
type recipe struct {
	artifact    []byte
	statement   *intoto.Statement // nil: a message signature
	payload     func([]byte) []byte
	payloadType string        // in-toto's by default
	key         crypto.Signer // P-256 by default
	details     pubkey.Details
	managed     bool // bundle a key hint instead of a certificate

	cert      func(*x509.Certificate)
	san       certext.SAN
	claims    certext.Extensions
	extra     []pkix.Extension
	issuer    *authority // instead of the instance's
	sctKey    crypto.Signer
	sct       func(*certext.SCT)
	sctTBS    func([]byte) []byte
	noSCT     bool
	signature func([]byte) []byte

	noToken   bool
	tokenBy   *authority
	tokenTime time.Time
	tokenOver func([]byte) []byte

	v1       string                      // "hashedrekord", "dsse", "intoto" or "intoto 0.0.1": logged in the v1 log
	text     func(*dsse.Envelope) []byte // what intoto 0.0.1 was sent; goText by default
	noEntry  bool
	rekord   func(*logentry.HashedRekord)
	body     func([]byte) []byte
	v1Body   func(*v1Content)
	entry    func(*logentry.Entry) // before the promise is signed
	setKey   crypto.Signer
	noSET    bool
	treeHead func(*treeHead)
}

// recipe returns the usual one: a keyless message signature, timestamped, in
// the Rekor v2 log.
func (in *instance) recipe() *recipe {
	return &recipe{
		artifact: []byte("an artifact\n"),
		san:      certext.SAN{Kind: certext.URI, Value: "https://ci.example.test/build.yml@refs/heads/main"},
		claims: certext.Extensions{
			Issuer: "https://issuer.example.test", IssuerV2: "https://issuer.example.test",
			GitHubTrigger: "push", GitHubSHA: "0123abcd", GitHubWorkflowName: "build",
			GitHubRepository: "example/build", GitHubRef: "refs/heads/main",
		},
		key:       in.p256(),
		tokenTime: in.at,
	}
}

// statementAbout returns an in-toto statement about the artifact.
func statementAbout(artifact []byte) *intoto.Statement {
	return &intoto.Statement{
		Type:          intoto.StatementV1,
		Subjects:      []intoto.Subject{{Name: "artifact", Digests: map[string]string{"sha256": digest.Of(digest.SHA256, artifact).Hex()}}},
		PredicateType: intoto.CosignSignV1,
		Predicate:     []byte(`{}`),
	}
}

// sign makes the bundle.
func (in *instance) sign(r *recipe) *bundle.Bundle {
	in.tb.Helper()
	b := &bundle.Bundle{MediaType: bundle.MediaTypeV03, Version: bundle.V03}
	if r.managed {
		b.KeyHint, b.HasKeyHint = "a key", true
	} else {
		b.Certificates = [][]byte{in.certificate(r)}
	}
	sig := in.signContent(r, b)
	if !r.noToken {
		b.Timestamps = [][]byte{in.token(r, sig)}
	}
	if !r.noEntry {
		b.Entries = []*logentry.Entry{in.logged(r, b, sig)}
	}
	return b
}

// signContent puts the signed content into b and returns the signature.
func (in *instance) signContent(r *recipe, b *bundle.Bundle) []byte {
	details := r.details
	if details == "" {
		var err error
		details, err = pubkey.DefaultDetails(r.key.Public())
		in.ok(err)
	}
	if r.statement == nil {
		sig := in.signed(r, details, r.artifact)
		b.Message = &bundle.MessageSignature{Signature: sig}
		if alg := details.Digest(); alg != 0 {
			b.Message.Digest = digest.Of(alg, r.artifact)
		}
		return sig
	}
	payload, err := r.statement.Marshal()
	in.ok(err)
	if r.payload != nil {
		payload = r.payload(payload)
	}
	payloadType := r.payloadType
	if payloadType == "" {
		payloadType = intoto.PayloadType
	}
	sig := in.signed(r, details, dsse.PAE(payloadType, payload))
	b.Envelope = &dsse.Envelope{PayloadType: payloadType, Payload: payload, Signatures: []dsse.Signature{{Sig: sig}}}
	return sig
}

func (in *instance) signed(r *recipe, d pubkey.Details, message []byte) []byte {
	sig, err := pubkey.Sign(r.key, d, message)
	in.ok(err)
	if r.signature != nil {
		sig = r.signature(sig)
	}
	return sig
}

// certificate issues the signing certificate: a precertificate, an SCT over
// it, then the final certificate that embeds the SCT.
func (in *instance) certificate(r *recipe) []byte {
	san, err := certext.SANExtension(r.san)
	in.ok(err)
	claims, err := r.claims.Marshal()
	in.ok(err)
	template := &x509.Certificate{
		SerialNumber:    serial(),
		NotBefore:       in.at.Add(-time.Minute),
		NotAfter:        in.at.Add(9 * time.Minute),
		KeyUsage:        x509.KeyUsageDigitalSignature,
		ExtKeyUsage:     []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
		ExtraExtensions: append(append([]pkix.Extension{san}, claims...), r.extra...),
	}
	if r.cert != nil {
		r.cert(template)
	}
	issuer := in.ca
	if r.issuer != nil {
		issuer = *r.issuer
	}
	precert := in.issue(template, r.key.Public(), issuer)
	if r.noSCT {
		return precert
	}
	tbs, err := certext.PrecertTBS(precert)
	in.ok(err)
	list, err := certext.MarshalSCTList([]certext.SCT{in.sctOver(r, tbs, issuer)})
	in.ok(err)
	template.ExtraExtensions = append(template.ExtraExtensions, list)
	return in.issue(template, r.key.Public(), issuer)
}

func (in *instance) sctOver(r *recipe, tbs []byte, issuer authority) certext.SCT {
	sct := certext.SCT{LogID: in.keyID(in.ct), Timestamp: uint64(in.at.UnixMilli()), Extensions: []byte{0, 0, 5, 0, 0, 0, 0, 7},
		HashAlg: certext.HashSHA256, SigAlg: certext.SigECDSA}
	if r.sct != nil {
		r.sct(&sct)
	}
	if r.sctTBS != nil {
		tbs = r.sctTBS(tbs)
	}
	key := in.ct
	if r.sctKey != nil {
		key = r.sctKey
	}
	var err error
	data := certext.SCTSignedData(sct.Timestamp, sct.Extensions, sha256.Sum256(issuer.cert.RawSubjectPublicKeyInfo), tbs)
	sct.Signature, err = pubkey.Sign(key, pubkey.ECDSAP256SHA256, data)
	in.ok(err)
	return sct
}

// token timestamps the signature.
func (in *instance) token(r *recipe, sig []byte) []byte {
	if r.tokenOver != nil {
		sig = r.tokenOver(sig)
	}
	by := in.tsa
	if r.tokenBy != nil {
		by = *r.tokenBy
	}
	sum := sha256.Sum256(sig)
	ts := timestamp.Timestamp{
		HashAlgorithm: crypto.SHA256, HashedMessage: sum[:], Time: r.tokenTime,
		Policy: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 2}, Accuracy: time.Second,
	}
	der, err := ts.CreateResponseWithOpts(by.cert, by.key, crypto.SHA256)
	in.ok(err)
	return der
}

// newCA makes a CA certificate; parent nil is a root.
func (in *instance) newCA(name string, parent *authority, eku []x509.ExtKeyUsage) authority {
	key := in.p256()
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: name},
		NotBefore: in.at.AddDate(-1, 0, 0), NotAfter: in.at.AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, ExtKeyUsage: eku,
	}
	return in.issued(template, key, parent)
}

func (in *instance) newTSA(name string, parent *authority) authority {
	eku, err := asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}})
	in.ok(err)
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: name},
		NotBefore: in.at.AddDate(-1, 0, 0), NotAfter: in.at.AddDate(1, 0, 0),
		KeyUsage:        x509.KeyUsageDigitalSignature,
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: eku}},
	}
	return in.issued(template, in.p256(), parent)
}

func (in *instance) issued(template *x509.Certificate, key crypto.Signer, parent *authority) authority {
	if parent == nil {
		parent = &authority{template, key}
	}
	cert, err := x509.ParseCertificate(in.issue(template, key.Public(), *parent))
	in.ok(err)
	return authority{cert, key}
}

func (in *instance) issue(template *x509.Certificate, pub crypto.PublicKey, by authority) []byte {
	der, err := x509.CreateCertificate(rand.Reader, template, by.cert, pub, by.key)
	in.ok(err)
	return der
}

func (in *instance) p256() crypto.Signer { return in.ecdsa(elliptic.P256()) }
func (in *instance) p384() crypto.Signer { return in.ecdsa(elliptic.P384()) }

func (in *instance) rsa(bits int) crypto.Signer {
	key, err := rsa.GenerateKey(rand.Reader, bits)
	in.ok(err)
	return key
}

func (in *instance) ecdsa(curve elliptic.Curve) crypto.Signer {
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	in.ok(err)
	return key
}

func (in *instance) ed25519() (ed25519.PublicKey, ed25519.PrivateKey) {
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	in.ok(err)
	return pub, key
}

func (in *instance) keyID(key crypto.Signer) [32]byte {
	id, err := pubkey.KeyID(key.Public())
	in.ok(err)
	return id
}

func (in *instance) ok(err error) {
	in.tb.Helper()
	if err != nil {
		in.tb.Fatal(err)
	}
}

func serial() *big.Int {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 158))
	if err != nil {
		panic(err)
	}
	return n.Add(n, big.NewInt(1))
}
