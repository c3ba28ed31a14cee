// SPDX-License-Identifier: Apache-2.0

// Package legacylab makes signatures as cosign did before there were bundles,
// for tests: it is a certificate authority, a CT log and a Rekor v1 log that
// live in memory and give whatever they are asked for.
//
// Invariants: everything is made now, by keys of this process; only tests and
// their tools import this package.
package legacylab

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"time"

	"hallmark/internal/format/certext"
	"hallmark/internal/format/digest"
	"hallmark/internal/format/dsse"
	"hallmark/internal/format/intoto"
	"hallmark/internal/format/legacysig"
	"hallmark/internal/format/logentry"
	"hallmark/internal/format/pubkey"
	"hallmark/internal/format/trustroot"
)

// Instance is a Sigstore instance of the old kind. It is not safe for
// concurrent use.
type Instance struct {
	ca     *x509.Certificate
	caKey  crypto.Signer
	ct     crypto.Signer
	log    crypto.Signer
	logged int64
}

// Who is a signer: an e-mail address or URI, and who vouches for it.
type Who struct{ SAN, Issuer string }

// Layer is one layer of a legacy image.
type Layer struct {
	MediaType   string
	Content     []byte
	Annotations map[string]string
}

// New makes an instance with keys of its own.
func New() (*Instance, error) {
	i := &Instance{logged: 1000}
	for _, key := range []*crypto.Signer{&i.caKey, &i.ct, &i.log} {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		*key = k
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "legacy lab", Organization: []string{"lab"}},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, i.caKey.Public(), i.caKey)
	if err != nil {
		return nil, err
	}
	i.ca, err = x509.ParseCertificate(der)
	return i, err
}

// Root is the trusted root that names this instance.
func (i *Instance) Root() *trustroot.Root {
	valid := trustroot.Window{Start: i.ca.NotBefore}
	log := func(url string, key crypto.Signer) trustroot.Log {
		id := i.keyID(key)
		return trustroot.Log{BaseURL: url, Key: key.Public(), Details: pubkey.ECDSAP256SHA256, ID: id[:], Valid: valid}
	}
	return &trustroot.Root{
		Logs:   []trustroot.Log{log("https://rekor.legacy.test", i.log)},
		CTLogs: []trustroot.Log{log("https://ct.legacy.test", i.ct)},
		CAs:    []trustroot.CertificateAuthority{{URI: "https://ca.legacy.test", Chain: []*x509.Certificate{i.ca}, Valid: valid}},
	}
}

// Payload is what a signature on image is over; optional may be nil.
func Payload(image digest.Digest, reference string, optional map[string]any) ([]byte, error) {
	p := legacysig.Payload{Image: image, Kind: legacysig.PayloadKind, Reference: reference, Optional: optional}
	return p.Marshal()
}

// Sign signs payload as who, with a fresh key.
func (i *Instance) Sign(who Who, payload []byte) (Layer, error) {
	key, cert, err := i.certify(who)
	if err != nil {
		return Layer{}, err
	}
	sig, err := pubkey.Sign(key, pubkey.ECDSAP256SHA256, payload)
	if err != nil {
		return Layer{}, err
	}
	sum := sha256.Sum256(payload)
	body := fmt.Sprintf(`{"apiVersion":"0.0.1","kind":"hashedrekord","spec":{"data":{"hash":{"algorithm":"sha256","value":"%x"}},"signature":{"content":"%s","publicKey":{"content":"%s"}}}}`,
		sum, b64(sig), b64(cert))
	return i.layer(legacysig.SignatureType, payload, b64(sig), cert, body)
}

// Attest signs a statement about image with the given predicate, a JSON object.
func (i *Instance) Attest(who Who, image digest.Digest, predicateType, predicate string) (Layer, error) {
	key, cert, err := i.certify(who)
	if err != nil {
		return Layer{}, err
	}
	st := intoto.Statement{Type: intoto.StatementV01, PredicateType: predicateType, Predicate: json.RawMessage(predicate),
		Subjects: []intoto.Subject{{Name: "image", Digests: map[string]string{"sha256": image.Hex()}}}}
	payload, err := st.Marshal()
	if err != nil {
		return Layer{}, err
	}
	sig, err := pubkey.Sign(key, pubkey.ECDSAP256SHA256, dsse.PAE(intoto.PayloadType, payload))
	if err != nil {
		return Layer{}, err
	}
	env := &dsse.Envelope{PayloadType: intoto.PayloadType, Payload: payload, Signatures: []dsse.Signature{{Sig: sig}}}
	content, err := json.Marshal(env)
	if err != nil {
		return Layer{}, err
	}
	body := fmt.Sprintf(`{"apiVersion":"0.0.1","kind":"dsse","spec":{"envelopeHash":{"algorithm":"sha256","value":"%x"},"payloadHash":{"algorithm":"sha256","value":"%x"},"signatures":[{"signature":"%s","verifier":"%s"}]}}`,
		sha256.Sum256(content), sha256.Sum256(payload), b64(sig), b64(cert))
	l, err := i.layer(legacysig.AttestationType, content, "", cert, body)
	l.Annotations[legacysig.AnnotationPredicateType] = predicateType
	return l, err
}

// layer logs body, and puts the evidence together.
func (i *Instance) layer(mediaType string, content []byte, sig string, cert []byte, body string) (Layer, error) {
	id := i.keyID(i.log)
	e := &logentry.Entry{LogIndex: i.logged, LogID: id[:], IntegratedTime: time.Now().Unix(), Body: []byte(body)}
	i.logged++
	set, err := pubkey.Sign(i.log, pubkey.ECDSAP256SHA256, logentry.SETPayload(e))
	if err != nil {
		return Layer{}, err
	}
	promise, err := json.Marshal(map[string]any{"SignedEntryTimestamp": set, "Payload": map[string]any{
		"body": e.Body, "integratedTime": e.IntegratedTime, "logIndex": e.LogIndex, "logID": hex.EncodeToString(e.LogID)}})
	if err != nil {
		return Layer{}, err
	}
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.ca.Raw})
	return Layer{mediaType, content, map[string]string{
		legacysig.AnnotationSignature:   sig,
		legacysig.AnnotationCertificate: string(cert),
		legacysig.AnnotationChain:       string(ca),
		legacysig.AnnotationBundle:      string(promise),
	}}, nil
}

// certify gives who a key and a certificate for it, PEM, with an SCT.
func (i *Instance) certify(who Who) (crypto.Signer, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	kind := certext.URI
	if !strings.Contains(who.SAN, "://") {
		kind = certext.Email
	}
	san, err := certext.SANExtension(certext.SAN{Kind: kind, Value: who.SAN})
	if err != nil {
		return nil, nil, err
	}
	claims, err := certext.Extensions{Issuer: who.Issuer, IssuerV2: who.Issuer}.Marshal()
	if err != nil {
		return nil, nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial.Add(serial, big.NewInt(1)), NotBefore: now.Add(-time.Minute), NotAfter: now.Add(9 * time.Minute),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
		ExtraExtensions: append([]pkix.Extension{san}, claims...),
	}
	precert, err := x509.CreateCertificate(rand.Reader, template, i.ca, key.Public(), i.caKey)
	if err != nil {
		return nil, nil, err
	}
	sct, err := i.promise(precert)
	if err != nil {
		return nil, nil, err
	}
	template.ExtraExtensions = append(template.ExtraExtensions, sct)
	der, err := x509.CreateCertificate(rand.Reader, template, i.ca, key.Public(), i.caKey)
	return key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), err
}

// promise is the CT log's word on a precertificate without poison.
func (i *Instance) promise(precert []byte) (pkix.Extension, error) {
	tbs, err := certext.PrecertTBS(precert)
	if err != nil {
		return pkix.Extension{}, err
	}
	sct := certext.SCT{LogID: i.keyID(i.ct), Timestamp: uint64(time.Now().UnixMilli()), HashAlg: certext.HashSHA256, SigAlg: certext.SigECDSA}
	data := certext.SCTSignedData(sct.Timestamp, nil, sha256.Sum256(i.ca.RawSubjectPublicKeyInfo), tbs)
	if sct.Signature, err = pubkey.Sign(i.ct, pubkey.ECDSAP256SHA256, data); err != nil {
		return pkix.Extension{}, err
	}
	return certext.MarshalSCTList([]certext.SCT{sct})
}

func (i *Instance) keyID(key crypto.Signer) [32]byte {
	id, err := pubkey.KeyID(key.Public())
	if err != nil {
		panic(err) // of a key that New made
	}
	return id
}

func b64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }
