// SPDX-License-Identifier: Apache-2.0

package ca

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"flag"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hallmark/internal/base/keyring"
	"hallmark/internal/format/certext"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// fixedKey is a P-256 key that is the same in every run.
func fixedKey(t testing.TB, seed string) *ecdsa.PrivateKey {
	t.Helper()
	sum := sha256.Sum256([]byte(seed))
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// verifyIssued does what a verifier does first, with explicit roots and time.
func verifyIssued(t *testing.T, l *lab, cert *x509.Certificate) {
	t.Helper()
	roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(l.made.Chain[1])
	intermediates.AddCert(l.made.Chain[0])
	c := *cert
	// An otherName is a critical SAN that crypto/x509 does not know; ours do.
	c.UnhandledCriticalExtensions = nil
	for _, id := range cert.UnhandledCriticalExtensions {
		if !id.Equal(certext.OIDSubjectAltName) {
			c.UnhandledCriticalExtensions = append(c.UnhandledCriticalExtensions, id)
		}
	}
	for _, at := range []time.Time{cert.NotBefore, cert.NotAfter} {
		if _, err := c.Verify(x509.VerifyOptions{
			Roots: roots, Intermediates: intermediates, CurrentTime: at,
			KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
		}); err != nil {
			t.Errorf("at %s: %v", at, err)
		}
	}
	scts, err := certext.SCTs(cert)
	if err != nil || len(scts) != 1 {
		t.Fatalf("%d SCTs, %v", len(scts), err)
	}
	tbs, err := certext.PrecertTBS(cert.Raw)
	if err != nil {
		t.Fatal(err)
	}
	if err := scts[0].Verify(l.ct.key.Public(), sha256.Sum256(l.made.Chain[0].RawSubjectPublicKeyInfo), tbs); err != nil {
		t.Error(err)
	}
}

// TestProfile reads an issued certificate back field by field.
func TestProfile(t *testing.T) {
	rsaKey, err := keyring.GenerateRSA(2048)
	if err != nil {
		t.Fatal(err)
	}
	ed, err := keyring.GenerateEd25519()
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]crypto.PublicKey{
		"p256": fixedKey(t, "leaf").Public(), "rsa": rsaKey.Public(), "ed25519": ed.Public(),
	}
	for _, curve := range []elliptic.Curve{elliptic.P384(), elliptic.P521()} {
		k, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		keys[curve.Params().Name] = k.Public()
	}
	username := alice()
	username.SAN = certext.SAN{Kind: certext.OtherName, Value: "bob!example.com"}
	for name, pub := range keys {
		for _, p := range []certext.Principal{alice(), workflow(), username} {
			t.Run(name+"/"+p.SAN.Kind.String(), func(t *testing.T) {
				l := newLab(t, nil)
				l.now = l.now.Add(123456789 * time.Nanosecond)
				out, err := l.ca.issue(t.Context(), p, pub)
				if err != nil {
					t.Fatal(err)
				}
				cert, err := x509.ParseCertificate(out.der)
				if err != nil {
					t.Fatal(err)
				}
				verifyIssued(t, l, cert)
				begin := l.now.Truncate(time.Second)
				if !cert.NotBefore.Equal(begin) || !cert.NotAfter.Equal(begin.Add(10*time.Minute)) {
					t.Errorf("valid from %s to %s", cert.NotBefore, cert.NotAfter)
				}
				if len(cert.Subject.Names) != 0 || cert.IsCA || cert.Version != 3 {
					t.Errorf("subject %q, CA %t, version %d", cert.Subject, cert.IsCA, cert.Version)
				}
				if sans, err := certext.ParseSANs(cert); err != nil || len(sans) != 1 || sans[0] != p.SAN {
					t.Errorf("SANs %v, %v", sans, err)
				}
				if e, err := certext.ParseExtensions(cert); err != nil || e != p.Extensions {
					t.Errorf("extensions %+v, %v", e, err)
				}
				if out.serial.Cmp(cert.SerialNumber) != 0 || out.serial.BitLen() < 100 || out.serial.BitLen() > 159 {
					t.Errorf("serial %x, certificate has %x", out.serial, cert.SerialNumber)
				}
				checkPrecert(t, l, out.der)
			})
		}
	}
}

// checkPrecert compares the certificate with what the CT log was given.
func checkPrecert(t *testing.T, l *lab, der []byte) {
	t.Helper()
	got := l.ct.submissions()
	if len(got) != 1 {
		t.Fatalf("%d submissions", len(got))
	}
	p := got[0]
	final, err := certext.PrecertTBS(der)
	if err != nil {
		t.Fatal(err)
	}
	pre, err := certext.PrecertTBS(p.DER)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(final, pre) || !bytes.Equal(final, p.TBS) {
		t.Error("the certificate is not what was logged")
	}
	precert, err := x509.ParseCertificate(p.DER)
	if err != nil {
		t.Fatal(err)
	}
	if err := precert.CheckSignatureFrom(l.made.Chain[0]); err != nil {
		t.Errorf("precertificate: %v", err)
	}
	if e := precert.Extensions[len(precert.Extensions)-1]; !e.Id.Equal(certext.OIDPoison) || !e.Critical {
		t.Errorf("the precertificate's last extension is %s, critical %t", e.Id, e.Critical)
	}
	if p.IssuerKeyHash != sha256.Sum256(l.made.Chain[0].RawSubjectPublicKeyInfo) {
		t.Error("wrong issuer key hash")
	}
	if len(p.Chain) != 2 || !bytes.Equal(p.Chain[0], l.made.Chain[0].Raw) || !bytes.Equal(p.Chain[1], l.made.Chain[1].Raw) {
		t.Error("wrong chain")
	}
}

// TestTBSAgainstX509 compares our encoder with crypto/x509's, byte for byte.
func TestTBSAgainstX509(t *testing.T) {
	signers := map[string]crypto.Signer{}
	for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		k, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		signers[curve.Params().Name] = k
	}
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, e, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signers["RSA"], signers["Ed25519"] = r, e

	for name, key := range signers {
		for _, begin := range []time.Time{start, time.Date(2049, 12, 31, 23, 55, 0, 0, time.UTC), time.Date(2050, 1, 1, 0, 0, 0, 0, time.UTC)} {
			t.Run(name+"/"+begin.Format("2006"), func(t *testing.T) {
				issuer := &x509.Certificate{Subject: pkix.Name{Organization: []string{"Acme"}, CommonName: name}, IsCA: true, BasicConstraintsValid: true}
				parent, err := signCA(issuer, issuer, key.Public(), key, start)
				if err != nil {
					t.Fatal(err)
				}
				p, err := newProfile(parent)
				if err != nil {
					t.Fatal(err)
				}
				identity, err := identityExtensions(workflow())
				if err != nil {
					t.Fatal(err)
				}
				leafKey := fixedKey(t, "leaf")
				spki, err := x509.MarshalPKIXPublicKey(leafKey.Public())
				if err != nil {
					t.Fatal(err)
				}
				serial, err := newSerial()
				if err != nil {
					t.Fatal(err)
				}
				tbs, err := p.tbs(&leaf{serial: serial, notBefore: begin, notAfter: begin.Add(10 * time.Minute), spki: spki, identity: identity}, poison)
				if err != nil {
					t.Fatal(err)
				}
				ours, err := p.sign(key, tbs)
				if err != nil {
					t.Fatal(err)
				}
				ski, err := subjectKeyID(spki)
				if err != nil {
					t.Fatal(err)
				}
				theirs, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
					SerialNumber: serial, NotBefore: begin, NotAfter: begin.Add(10 * time.Minute), SubjectKeyId: ski,
					KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
					ExtraExtensions: append(identity, poison),
				}, parent, leafKey.Public(), key)
				if err != nil {
					t.Fatal(err)
				}
				a, err := x509.ParseCertificate(ours)
				if err != nil {
					t.Fatal(err)
				}
				b, err := x509.ParseCertificate(theirs)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(a.RawTBSCertificate, b.RawTBSCertificate) {
					t.Errorf("ours   %x\ntheirs %x", a.RawTBSCertificate, b.RawTBSCertificate)
				}
				if err := parent.CheckSignature(a.SignatureAlgorithm, a.RawTBSCertificate, a.Signature); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// TestOIDs spells the extensions out, away from the code that writes them.
func TestOIDs(t *testing.T) {
	w := workflow()
	e := w.Extensions
	want := map[string]string{ // raw strings
		"1.3.6.1.4.1.57264.1.1": e.Issuer,
		"1.3.6.1.4.1.57264.1.2": e.GitHubTrigger,
		"1.3.6.1.4.1.57264.1.3": e.GitHubSHA,
		"1.3.6.1.4.1.57264.1.4": e.GitHubWorkflowName,
		"1.3.6.1.4.1.57264.1.5": e.GitHubRepository,
		"1.3.6.1.4.1.57264.1.6": e.GitHubRef,
	}
	for id, s := range map[string]string{ // DER UTF8Strings, none longer than 127 bytes
		"1.3.6.1.4.1.57264.1.8":  e.IssuerV2,
		"1.3.6.1.4.1.57264.1.9":  e.BuildSignerURI,
		"1.3.6.1.4.1.57264.1.10": e.BuildSignerDigest,
		"1.3.6.1.4.1.57264.1.11": e.RunnerEnvironment,
		"1.3.6.1.4.1.57264.1.12": e.SourceRepositoryURI,
		"1.3.6.1.4.1.57264.1.13": e.SourceRepositoryDigest,
		"1.3.6.1.4.1.57264.1.14": e.SourceRepositoryRef,
		"1.3.6.1.4.1.57264.1.15": e.SourceRepositoryIdentifier,
		"1.3.6.1.4.1.57264.1.16": e.SourceRepositoryOwnerURI,
		"1.3.6.1.4.1.57264.1.17": e.SourceRepositoryOwnerIdentifier,
		"1.3.6.1.4.1.57264.1.18": e.BuildConfigURI,
		"1.3.6.1.4.1.57264.1.19": e.BuildConfigDigest,
		"1.3.6.1.4.1.57264.1.20": e.BuildTrigger,
		"1.3.6.1.4.1.57264.1.21": e.RunInvocationURI,
		"1.3.6.1.4.1.57264.1.22": e.SourceRepositoryVisibility,
		"1.3.6.1.4.1.57264.1.23": e.DeploymentEnvironment,
		"1.3.6.1.4.1.57264.1.24": e.TokenSubject,
	} {
		want[id] = "\x0c" + string(rune(len(s))) + s
	}
	l := newLab(t, nil)
	out, err := l.ca.issue(t.Context(), w, fixedKey(t, "leaf").Public())
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(out.der)
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, x := range cert.Extensions {
		if !strings.HasPrefix(x.Id.String(), "1.3.6.1.4.1.57264.") {
			continue
		}
		seen++
		if x.Critical || want[x.Id.String()] != string(x.Value) {
			t.Errorf("%s: critical %t, %q, want %q", x.Id, x.Critical, x.Value, want[x.Id.String()])
		}
	}
	if seen != len(want) {
		t.Errorf("%d extensions, want %d", seen, len(want))
	}
}

// TestExtensionsGolden pins the whole extension list of one certificate: order,
// criticality and bytes. The SCT alone changes from run to run.
func TestExtensionsGolden(t *testing.T) {
	l := newLab(t, func(l *lab, _ *Config, d *Deps) {
		root, key := fixedKey(t, "root"), fixedKey(t, "intermediate")
		parent := &x509.Certificate{Subject: pkix.Name{CommonName: "root"}, NotAfter: start.Add(24 * time.Hour), MaxPathLen: 1}
		rootCert, err := signCA(parent, parent, root.Public(), root, start)
		if err != nil {
			t.Fatal(err)
		}
		child := &x509.Certificate{Subject: pkix.Name{CommonName: "intermediate"}, NotAfter: start.Add(24 * time.Hour), MaxPathLenZero: true, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}}
		cert, err := signCA(child, rootCert, key.Public(), root, start)
		if err != nil {
			t.Fatal(err)
		}
		l.made = &NewAuthority{Chain: []*x509.Certificate{cert, rootCert}, Key: key, RootKey: root}
		d.Chain, d.Key = l.made.Chain, key
	})
	out, err := l.ca.issue(t.Context(), workflow(), fixedKey(t, "leaf").Public())
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(out.der)
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, e := range cert.Extensions {
		critical, value := "", hex.EncodeToString(e.Value)
		if e.Critical {
			critical = " critical"
		}
		if e.Id.Equal(certext.OIDSCTList) {
			value = "(one SCT)"
		}
		fmt.Fprintf(&got, "%s%s %s\n", e.Id, critical, value)
	}
	path := filepath.Join("testdata", "extensions.txt")
	if *update {
		if err := os.WriteFile(path, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("got\n%swant\n%s", got.String(), want)
	}
}

func TestSubjectKeyIDRefuses(t *testing.T) {
	good, err := x509.MarshalPKIXPublicKey(fixedKey(t, "leaf").Public())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := subjectKeyID(good); err != nil {
		t.Fatal(err)
	}
	for name, der := range map[string][]byte{
		"empty": nil, "cut": good[:len(good)-1], "trailing": append(bytes.Clone(good), 0), "not a sequence": {2, 1, 1},
	} {
		if _, err := subjectKeyID(der); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestSerialNumbersDiffer(t *testing.T) {
	seen := map[string]bool{}
	all := new(big.Int)
	for range 500 {
		s, err := newSerial()
		if err != nil {
			t.Fatal(err)
		}
		if s.Sign() <= 0 || s.BitLen() > 159 || seen[s.String()] {
			t.Fatalf("serial %x", s)
		}
		seen[s.String()] = true
		all.Or(all, s)
	}
	if all.BitLen() != 159 {
		t.Errorf("500 serial numbers never reached bit 159: %d", all.BitLen())
	}
}
