// SPDX-License-Identifier: Apache-2.0

package rfc3161_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"slices"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"
)

var (
	genTime = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

	oidSHA1, oidSHA256       = asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}, asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	oidSHA384, oidSHA512     = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 2}, asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3}
	oidECDSA256, oidECDSA384 = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}, asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 3}
	oidECDSA512              = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 4}
	oidRSA, oidRSA256        = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}
	oidRSA384, oidRSA512     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 12}, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 13}
	oidPSS, oidMGF1          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10}, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 8}
	oidEd25519               = asn1.ObjectIdentifier{1, 3, 101, 112}
	oidTSTInfo               = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 4}
	oidData                  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	oidSignedData            = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	oidContentType           = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	oidMessageDigest         = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
	oidSigningTime           = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 5}
	oidSigningCert           = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 12}
	oidSigningCertV2         = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 47}
	oidEKU                   = asn1.ObjectIdentifier{2, 5, 29, 37}
)

// ekuTimestamping is a critical extended key usage of timeStamping alone.
func ekuTimestamping() pkix.Extension {
	return pkix.Extension{Id: oidEKU, Critical: true, Value: []byte{0x30, 10, 6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 8}}
}

// An authority is a TSA for tests: leaf, intermediate, root.
type authority struct {
	chain []*x509.Certificate
	key   crypto.Signer // of the leaf
	caKey crypto.Signer // of the intermediate
}

// newAuthority makes a chain whose leaf has the key; change edits the leaf's
// template, and has the TSA's extended key usage in ExtraExtensions.
func newAuthority(t testing.TB, key crypto.Signer, change func(*x509.Certificate)) authority {
	t.Helper()
	rootKey, caKey := newECDSA(), newECDSA()
	ca := func(serial int64, name string) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name, Organization: []string{"test"}},
			NotBefore: genTime.AddDate(-1, 0, 0), NotAfter: genTime.AddDate(100, 0, 0),
			BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageCertSign,
		}
	}
	root := issue(t, ca(1, "root"), nil, rootKey, rootKey)
	inter := issue(t, ca(2, "intermediate"), root, caKey, rootKey)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(0x80ff), Subject: pkix.Name{CommonName: "tsa"},
		NotBefore: genTime.Add(-time.Hour), NotAfter: genTime.Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, SubjectKeyId: []byte{9, 8, 7},
		ExtraExtensions: []pkix.Extension{ekuTimestamping()},
	}
	if change != nil {
		change(template)
	}
	leaf := issue(t, template, inter, key, caKey)
	return authority{[]*x509.Certificate{leaf, inter, root}, key, caKey}
}

// revoked is an empty revocation list.
func (a authority) revoked(t testing.TB) []byte {
	t.Helper()
	issuer := *a.chain[1]
	issuer.KeyUsage, issuer.SubjectKeyId = x509.KeyUsageCRLSign, []byte{1}
	return must(x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: big.NewInt(1), ThisUpdate: genTime, NextUpdate: genTime.Add(time.Hour),
	}, &issuer, a.caKey))
}

func issue(t testing.TB, template, parent *x509.Certificate, key, parentKey crypto.Signer) *x509.Certificate {
	t.Helper()
	if parent == nil {
		parent = template
	}
	return must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey))))
}

// A forge makes tokens whose every part can be set. The zero values of its
// fields stand for what a sound token of the authority has.
type forge struct {
	a       authority
	message []byte

	imprintOID asn1.ObjectIdentifier // SHA-256
	imprint    []byte
	time       string // genTime
	tst        func(*cryptobyte.Builder)

	status                    int64
	contentType, eContentType asn1.ObjectIdentifier
	certs                     [][]byte
	crls                      [][]byte
	digests                   []byte      // the content of the digest algorithms
	digestHash                crypto.Hash // SHA-256
	digestOID                 asn1.ObjectIdentifier
	sigOID                    asn1.ObjectIdentifier // ecdsa-with-SHA256
	sigParams                 []byte
	sigOpts                   crypto.SignerOpts // SHA-256
	sidKeyID                  []byte            // version 3 with this key identifier
	sidSerial                 *big.Int
	sidIssuer                 []byte
	attributes                func(attrs [][]byte) [][]byte // edits the signed attributes
	unsorted                  bool                          // transmits the signed attributes in reverse order
	noAttributes              bool
	signers                   int // number of signer infos, -1 for none
	afterSigning              func(content []byte) []byte
	signature                 func(sig []byte) []byte
}

func (f forge) defaults() forge {
	set := func(o *asn1.ObjectIdentifier, v asn1.ObjectIdentifier) {
		if *o == nil {
			*o = v
		}
	}
	set(&f.imprintOID, oidSHA256)
	set(&f.contentType, oidSignedData)
	set(&f.eContentType, oidTSTInfo)
	set(&f.digestOID, oidSHA256)
	set(&f.sigOID, oidECDSA256)
	if f.message == nil {
		f.message = []byte("message")
	}
	if f.imprint == nil {
		s := sha256.Sum256(f.message)
		f.imprint = s[:]
	}
	if f.time == "" {
		f.time = genTime.Format("20060102150405Z")
	}
	if f.digestHash == 0 {
		f.digestHash = crypto.SHA256
	}
	if f.sigOpts == nil {
		f.sigOpts = crypto.SHA256
	}
	if f.sidIssuer == nil {
		f.sidIssuer = f.a.chain[0].RawIssuer
	}
	if f.sidSerial == nil {
		f.sidSerial = f.a.chain[0].SerialNumber
	}
	if f.signers == 0 {
		f.signers = 1
	}
	return f
}

// build runs a builder.
func build(f func(b *cryptobyte.Builder)) []byte {
	var b cryptobyte.Builder
	f(&b)
	return b.BytesOrPanic()
}

// seq is a builder of a constructed element around another.
func elem(tag casn1.Tag, f func(b *cryptobyte.Builder)) func(b *cryptobyte.Builder) {
	return func(b *cryptobyte.Builder) { b.AddASN1(tag, f) }
}

func context(n int) casn1.Tag { return casn1.Tag(n).ContextSpecific().Constructed() }

func algorithmID(b *cryptobyte.Builder, oid asn1.ObjectIdentifier, params []byte) {
	b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(oid); b.AddBytes(params) })
}

func (f forge) tstInfo() []byte {
	return build(elem(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(1)
		b.AddASN1ObjectIdentifier(asn1.ObjectIdentifier{1, 2, 3})
		b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
			algorithmID(b, f.imprintOID, []byte{5, 0})
			b.AddASN1OctetString(f.imprint)
		})
		b.AddASN1Int64(77)
		b.AddASN1(casn1.GeneralizedTime, func(b *cryptobyte.Builder) { b.AddBytes([]byte(f.time)) })
		if f.tst != nil {
			f.tst(b)
		}
	}))
}

// attribute is one signed attribute with one value.
func attribute(oid asn1.ObjectIdentifier, values ...[]byte) []byte {
	return build(elem(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oid)
		b.AddASN1(casn1.SET, func(b *cryptobyte.Builder) {
			for _, v := range values {
				b.AddBytes(v)
			}
		})
	}))
}

// oidDER and octets encode attribute values.
func oidDER(oid asn1.ObjectIdentifier) []byte {
	return build(func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(oid) })
}

func octets(data []byte) []byte {
	return build(func(b *cryptobyte.Builder) { b.AddASN1OctetString(data) })
}

// essCertID is the value of a signing certificate attribute: hash nil for the
// default, issuer nil to leave issuer and serial number out.
func essCertID(hashOID asn1.ObjectIdentifier, sum, issuer []byte, serial *big.Int) []byte {
	return build(elem(casn1.SEQUENCE, elem(casn1.SEQUENCE, elem(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
		if hashOID != nil {
			algorithmID(b, hashOID, nil)
		}
		b.AddASN1OctetString(sum)
		if issuer != nil {
			b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1(casn1.SEQUENCE, elem(context(4), func(b *cryptobyte.Builder) { b.AddBytes(issuer) }))
				b.AddASN1BigInt(serial)
			})
		}
	}))))
}

func sha256Of(data []byte) []byte { s := sha256.Sum256(data); return s[:] }
func sha1Of(data []byte) []byte   { s := sha1.Sum(data); return s[:] }

// response builds the DER TimeStampResp.
func (f forge) response(t testing.TB) []byte {
	t.Helper()
	f = f.defaults()
	content := f.tstInfo()
	h := f.digestHash.New()
	h.Write(content)
	attrs := [][]byte{
		attribute(oidContentType, oidDER(oidTSTInfo)),
		attribute(oidMessageDigest, octets(h.Sum(nil))),
		attribute(oidSigningCertV2, essCertID(nil, sha256Of(f.a.chain[0].Raw), nil, nil)),
	}
	if f.attributes != nil {
		attrs = f.attributes(attrs)
	}
	slices.SortFunc(attrs, bytes.Compare)
	concat := func(b *cryptobyte.Builder) {
		for _, a := range attrs {
			b.AddBytes(a)
		}
	}
	signed := build(elem(casn1.SET, concat))
	if f.sigOpts.HashFunc() != 0 {
		h := f.sigOpts.HashFunc().New()
		h.Write(signed)
		signed = h.Sum(nil)
	}
	sig := must(f.a.key.Sign(rand.Reader, signed, f.sigOpts))
	if f.signature != nil {
		sig = f.signature(sig)
	}
	if f.unsorted {
		slices.Reverse(attrs)
	}
	if f.afterSigning != nil {
		content = f.afterSigning(content)
	}
	signerInfo := elem(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
		if f.sidKeyID != nil {
			b.AddASN1Int64(3)
			b.AddASN1(casn1.Tag(0).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes(f.sidKeyID) })
		} else {
			b.AddASN1Int64(1)
			b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddBytes(f.sidIssuer); b.AddASN1BigInt(f.sidSerial) })
		}
		algorithmID(b, f.digestOID, nil)
		if !f.noAttributes {
			b.AddASN1(context(0), concat)
		}
		algorithmID(b, f.sigOID, f.sigParams)
		b.AddASN1OctetString(sig)
	})
	return build(elem(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1Int64(f.status) })
		b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(f.contentType)
			b.AddASN1(context(0), elem(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1Int64(3)
				b.AddASN1(casn1.SET, func(b *cryptobyte.Builder) {
					if f.digests != nil {
						b.AddBytes(f.digests)
						return
					}
					algorithmID(b, f.digestOID, nil)
				})
				b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1ObjectIdentifier(f.eContentType)
					b.AddASN1(context(0), func(b *cryptobyte.Builder) { b.AddASN1OctetString(content) })
				})
				if f.certs != nil {
					b.AddASN1(context(0), func(b *cryptobyte.Builder) {
						for _, c := range f.certs {
							b.AddBytes(c)
						}
					})
				}
				if f.crls != nil {
					b.AddASN1(context(1), func(b *cryptobyte.Builder) {
						for _, c := range f.crls {
							b.AddBytes(c)
						}
					})
				}
				b.AddASN1(casn1.SET, func(b *cryptobyte.Builder) {
					for range f.signers {
						signerInfo(b)
					}
				})
			}))
		})
	}))
}
