// SPDX-License-Identifier: Apache-2.0

package verify

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hallmark/internal/format/certext"
)

// chainKeys are the keys that fabricated chains use: few, so that certificates
// share them by accident.
func chainKeys(tb testing.TB) []crypto.Signer {
	tb.Helper()
	var keys []crypto.Signer
	for range 4 {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			tb.Fatal(err)
		}
		keys = append(keys, key)
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return append(keys, key)
}

// chainTime is when fabricated chains are judged.
var chainTime = time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)

// A link in the making: the certificate, who issues it, and what is wrong.
type made struct {
	name, issuer  string
	key, signedBy int
	edit          func(*x509.Certificate)
	tamper        bool
}

// usualChain has three authorities, the anchor last, and a leaf first.
func usualChain(purpose x509.ExtKeyUsage) []made {
	return []made{
		{name: "leaf", issuer: "issuing", key: 3, signedBy: 2, edit: func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{purpose}
			c.KeyUsage = x509.KeyUsageDigitalSignature
			c.URIs = []*url.URL{{Scheme: "https", Host: "ci.example.test", Path: "/build"}}
		}},
		{name: "issuing", issuer: "middle", key: 2, signedBy: 1, edit: func(c *x509.Certificate) {
			authorityFields(c)
			c.ExtKeyUsage = []x509.ExtKeyUsage{purpose}
			c.MaxPathLen, c.MaxPathLenZero = 0, true
		}},
		{name: "middle", issuer: "anchor", key: 1, signedBy: 0, edit: authorityFields},
		{name: "anchor", issuer: "anchor", key: 0, signedBy: 0, edit: authorityFields},
	}
}

func authorityFields(c *x509.Certificate) {
	c.BasicConstraintsValid, c.IsCA, c.KeyUsage, c.MaxPathLen = true, true, x509.KeyUsageCertSign, -1
}

// and also changes the certificate at place i.
func and(all []made, i int, edit func(*x509.Certificate)) []made {
	before := all[i].edit
	all[i].edit = func(c *x509.Certificate) { before(c); edit(c) }
	return all
}

// fabricate makes the certificates; it fails where the standard library will
// not make one.
func fabricate(keys []crypto.Signer, all []made) ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	for i, m := range all {
		template := &x509.Certificate{
			SerialNumber: big.NewInt(int64(i + 1)), Subject: pkix.Name{CommonName: m.name},
			NotBefore: chainTime.Add(-time.Hour), NotAfter: chainTime.Add(time.Hour), MaxPathLen: -1,
		}
		if m.edit != nil {
			m.edit(template)
		}
		parent := &x509.Certificate{Subject: pkix.Name{CommonName: m.issuer}}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, keys[m.key].Public(), keys[m.signedBy])
		if err != nil {
			return nil, err
		}
		if m.tamper {
			der[len(der)-1] ^= 1
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		out = append(out, cert)
	}
	return out, nil
}

// byStandard asks the standard library; it returns the paths found.
func byStandard(leaf *x509.Certificate, chain []*x509.Certificate, at time.Time, purpose x509.ExtKeyUsage) ([][]*x509.Certificate, error) {
	roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
	last := len(chain) - 1
	roots.AddCert(chain[last])
	for _, cert := range chain[:last] {
		intermediates.AddCert(cert)
	}
	return certext.ForVerify(leaf).Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: intermediates, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{purpose},
	})
}

func extension(id asn1.ObjectIdentifier, critical bool, value any) pkix.Extension {
	der, err := asn1.Marshal(value)
	if err != nil {
		panic(err)
	}
	return pkix.Extension{Id: id, Critical: critical, Value: der}
}

var (
	oidPolicyConstraints = asn1.ObjectIdentifier{2, 5, 29, 36}
	oidPolicyMappings    = asn1.ObjectIdentifier{2, 5, 29, 33}
)

type policyConstraints struct {
	RequireExplicit int `asn1:"optional,tag:0,default:-1"`
	InhibitMapping  int `asn1:"optional,tag:1,default:-1"`
}

// TestPath breaks one rule at a time. The standard library has to agree, with
// and without a memory, and also once the memory knows every signature of the
// unbroken chain.
func TestPath(t *testing.T) {
	keys := chainKeys(t)
	const code = x509.ExtKeyUsageCodeSigning
	add := func(e pkix.Extension) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.ExtraExtensions = append(c.ExtraExtensions, e) }
	}
	for _, tc := range []struct {
		name string
		edit func([]made) []made
		want string // "" is accepted
	}{
		{"usual", func(a []made) []made { return a }, ""},
		{"valid from this second", func(a []made) []made {
			return and(a, 1, func(c *x509.Certificate) { c.NotBefore = chainTime })
		}, ""},
		{"valid to this second", func(a []made) []made {
			return and(a, 1, func(c *x509.Certificate) { c.NotAfter = chainTime })
		}, ""},
		{"authority of all uses", func(a []made) []made {
			return and(a, 1, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageAny} })
		}, ""},
		{"authority without key usage", func(a []made) []made { return and(a, 1, func(c *x509.Certificate) { c.KeyUsage = 0 }) }, ""},
		{"critical otherName", func(a []made) []made {
			san, err := certext.SANExtension(certext.SAN{Kind: certext.OtherName, Value: "me!example.test"})
			if err != nil {
				t.Fatal(err)
			}
			return and(a, 0, func(c *x509.Certificate) { c.URIs, c.ExtraExtensions = nil, []pkix.Extension{san} })
		}, ""},
		{"permitted name", func(a []made) []made {
			return and(a, 2, func(c *x509.Certificate) { c.PermittedURIDomains = []string{".example.test"} })
		}, ""},

		{"leaf not yet valid", func(a []made) []made {
			return and(a, 0, func(c *x509.Certificate) { c.NotBefore = chainTime.Add(time.Second) })
		}, "is valid from"},
		{"authority expired", func(a []made) []made {
			return and(a, 1, func(c *x509.Certificate) { c.NotAfter = chainTime.Add(-time.Second) })
		}, "is valid from"},
		{"anchor expired", func(a []made) []made {
			return and(a, 3, func(c *x509.Certificate) { c.NotAfter = chainTime.Add(-time.Second) })
		}, "is valid from"},
		{"no authority", func(a []made) []made {
			return and(a, 1, func(c *x509.Certificate) { c.IsCA, c.MaxPathLen, c.MaxPathLenZero = false, -1, false })
		}, "no certificate authority"},
		{"no basic constraints", func(a []made) []made {
			return and(a, 1, func(c *x509.Certificate) {
				c.BasicConstraintsValid, c.IsCA, c.MaxPathLen, c.MaxPathLenZero = false, false, 0, false
			})
		}, "no certificate authority"},
		{"authority may not sign certificates", func(a []made) []made {
			return and(a, 1, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature })
		}, "key usage without certificate signing"},
		{"path too long", func(a []made) []made {
			return and(a, 2, func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 0, true })
		}, "allows 0 authorities below it, not 1"},
		{"anchor allows a shorter path", func(a []made) []made {
			return and(a, 3, func(c *x509.Certificate) { c.MaxPathLen = 1 })
		}, "allows 1 authorities below it, not 2"},
		{"leaf for another purpose", func(a []made) []made {
			return and(a, 0, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })
		}, "extended key usage without code signing"},
		{"authority for another purpose", func(a []made) []made {
			return and(a, 2, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping} })
		}, "extended key usage without code signing"},
		{"anchor for a purpose nobody knows", func(a []made) []made {
			return and(a, 3, func(c *x509.Certificate) { c.UnknownExtKeyUsage = []asn1.ObjectIdentifier{{1, 2, 3}} })
		}, "extended key usage without code signing"},
		{"unknown critical extension of the leaf", func(a []made) []made {
			return and(a, 0, add(pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: []byte{5, 0}}))
		}, "unknown critical extension"},
		{"unknown critical extension of an authority", func(a []made) []made {
			return and(a, 2, add(pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: []byte{5, 0}}))
		}, "unknown critical extension"},
		{"name not permitted", func(a []made) []made {
			return and(a, 2, func(c *x509.Certificate) { c.PermittedURIDomains = []string{".elsewhere.test"} })
		}, "not permitted"},
		{"name excluded by the anchor", func(a []made) []made {
			return and(a, 3, func(c *x509.Certificate) { c.ExcludedURIDomains = []string{"ci.example.test"} })
		}, "excluded"},
		{"policy required and absent", func(a []made) []made {
			return and(a, 2, add(extension(oidPolicyConstraints, true, policyConstraints{0, -1})))
		}, "no valid chains"},
		{"leaf's signature changed", func(a []made) []made { a[0].tamper = true; return a }, "not signed by"},
		{"leaf signed by another", func(a []made) []made { a[0].signedBy = 1; return a }, "not signed by"},
		{"authority's signature changed", func(a []made) []made { a[1].tamper = true; return a }, "not signed by"},
		{"authority signed by another", func(a []made) []made { a[1].signedBy = 0; return a }, "not signed by"},
		{"authority of another key", func(a []made) []made { a[1].key = 1; return a }, "not signed by"},
		{"authority issued by another", func(a []made) []made { a[1].issuer = "another"; return a }, "is not the issuer"},
		{"leaf issued by another", func(a []made) []made { a[0].issuer = "another"; return a }, "no certificate called"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			good, err := fabricate(keys, usualChain(code))
			if err != nil {
				t.Fatal(err)
			}
			all, err := fabricate(keys, tc.edit(usualChain(code)))
			if err != nil {
				t.Fatal(err)
			}
			knowing := new(Memo)
			if _, err := knowing.pathTo(good[0], good[1:], []time.Time{chainTime}, code); err != nil {
				t.Fatal(err)
			}
			leaf := certext.ForVerify(all[0])
			for name, memo := range map[string]*Memo{"nil": nil, "empty": new(Memo), "knowing": knowing} {
				_, err := memo.pathTo(leaf, all[1:], []time.Time{chainTime}, code)
				if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
					t.Errorf("memory %s: got %v, want %q", name, err, tc.want)
				}
			}
			if _, err := byStandard(leaf, all[1:], chainTime, code); (err == nil) != (tc.want == "") {
				t.Errorf("the standard library says %v", err)
			}
		})
	}
}

// TestPathTimes: a path has to hold at every time, and there has to be one.
func TestPathTimes(t *testing.T) {
	all, err := fabricate(chainKeys(t), usualChain(x509.ExtKeyUsageCodeSigning))
	if err != nil {
		t.Fatal(err)
	}
	memo := new(Memo)
	for _, tc := range []struct {
		name  string
		times []time.Time
		ok    bool
	}{
		{"two", []time.Time{chainTime, chainTime.Add(time.Hour)}, true},
		{"one too late", []time.Time{chainTime, chainTime.Add(time.Hour + time.Second)}, false},
		{"one too early", []time.Time{chainTime.Add(-2 * time.Hour), chainTime}, false},
		{"none", nil, false},
		{"the zero time", []time.Time{{}}, false},
	} {
		if _, err := memo.pathTo(all[0], all[1:], tc.times, x509.ExtKeyUsageCodeSigning); (err == nil) != tc.ok {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

// TestStricter lists where a path is refused that the standard library takes.
func TestStricter(t *testing.T) {
	keys := chainKeys(t)
	const code = x509.ExtKeyUsageCodeSigning
	all, err := fabricate(keys, usualChain(code))
	if err != nil {
		t.Fatal(err)
	}
	leaf, issuing, middle, anchor := all[0], all[1], all[2], all[3]
	for _, tc := range []struct {
		name  string
		chain []*x509.Certificate
		want  string
	}{
		{"out of order", []*x509.Certificate{middle, issuing, anchor}, "is not the issuer"},
		{"a stranger in between", []*x509.Certificate{issuing, leaf, middle, anchor}, "is no"},
		{"the anchor twice", []*x509.Certificate{issuing, middle, anchor, anchor}, "in the path twice"},
	} {
		if _, err := byStandard(leaf, tc.chain, chainTime, code); err != nil {
			t.Errorf("%s: the standard library refuses it too: %v", tc.name, err)
		}
		if _, err := new(Memo).pathTo(leaf, tc.chain, []time.Time{chainTime}, code); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q", tc.name, err, tc.want)
		}
	}
}

// TestMemo: signatures of authorities are remembered, those of signing
// certificates are not, bad ones never, and all of it is bounded.
func TestMemo(t *testing.T) {
	keys := chainKeys(t)
	at := []time.Time{chainTime}
	for purpose, want := range map[x509.ExtKeyUsage]int{x509.ExtKeyUsageCodeSigning: 2, x509.ExtKeyUsageTimeStamping: 3} {
		all, err := fabricate(keys, usualChain(purpose))
		if err != nil {
			t.Fatal(err)
		}
		memo := new(Memo)
		for range 2 {
			if _, err := memo.pathTo(all[0], all[1:], at, purpose); err != nil {
				t.Fatal(err)
			}
			if n := memo.Len(); n != want {
				t.Errorf("%s: %d signatures remembered, want %d", purposeText(purpose), n, want)
			}
		}
	}
	bad := usualChain(x509.ExtKeyUsageTimeStamping)
	for i := range bad {
		bad[i].tamper = true
	}
	all, err := fabricate(keys, bad)
	if err != nil {
		t.Fatal(err)
	}
	memo := new(Memo)
	if _, err := memo.pathTo(all[0], all[1:], at, x509.ExtKeyUsageTimeStamping); err == nil || memo.Len() != 0 {
		t.Errorf("%d bad signatures remembered (%v)", memo.Len(), err)
	}
	if n := (*Memo)(nil).Len(); n != 0 {
		t.Errorf("a nil memory remembers %d", n)
	}
	good, err := fabricate(keys, usualChain(x509.ExtKeyUsageCodeSigning))
	if err != nil {
		t.Fatal(err)
	}
	memo.links = make(map[link]struct{})
	for i := range MaxMemo {
		memo.links[link{child: [32]byte{byte(i), byte(i >> 8)}}] = struct{}{}
	}
	if _, err := memo.pathTo(good[0], good[1:], at, x509.ExtKeyUsageCodeSigning); err != nil || memo.Len() != 2 {
		t.Errorf("a full memory holds %d signatures afterwards (%v), want it to have started over with 2", memo.Len(), err)
	}
}

// TestMemoShared has many goroutines use one memory.
func TestMemoShared(t *testing.T) {
	all, err := fabricate(chainKeys(t), usualChain(x509.ExtKeyUsageTimeStamping))
	if err != nil {
		t.Fatal(err)
	}
	memo := new(Memo)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if _, err := memo.pathTo(all[0], all[1:], []time.Time{chainTime}, x509.ExtKeyUsageTimeStamping); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := memo.Len(); n != 3 {
		t.Errorf("%d signatures remembered, want 3", n)
	}
}

// A script makes chains from the bytes of a fuzzer; without bytes it makes the
// usual one.
type script struct{ data []byte }

func (s *script) next(n int) int {
	if len(s.data) == 0 {
		return 0
	}
	b := s.data[0]
	s.data = s.data[1:]
	return int(b) % n
}

// chain makes a leaf and one to four authorities with up to three changes each.
func (s *script) chain(purpose x509.ExtKeyUsage) []made {
	all := usualChain(purpose)
	if cut := s.next(4); cut > 0 {
		all = slices.Delete(all, 1, 1+min(cut, 2))
		all[0].issuer, all[0].signedBy = all[1].name, all[1].key
	}
	for i := range all {
		for range s.next(4) {
			s.change(all, i)
		}
	}
	if s.next(8) == 1 {
		all = append(all, all[1+s.next(len(all)-1)])
	}
	if i, j := 1+s.next(len(all)-1), 1+s.next(len(all)-1); s.next(8) == 1 {
		all[i], all[j] = all[j], all[i]
	}
	return all
}

// change changes one property of one certificate.
func (s *script) change(all []made, i int) {
	m := &all[i]
	hours := time.Duration(s.next(4)-1) * time.Hour
	usages := [][]x509.ExtKeyUsage{nil, {x509.ExtKeyUsageCodeSigning}, {x509.ExtKeyUsageTimeStamping}, {x509.ExtKeyUsageAny},
		{x509.ExtKeyUsageServerAuth}, {x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageCodeSigning}}
	keyUsages := []x509.KeyUsage{0, x509.KeyUsageCertSign, x509.KeyUsageDigitalSignature, x509.KeyUsageCertSign | x509.KeyUsageCRLSign}
	domains := []string{"example.test", ".example.test", "ci.example.test", "elsewhere.test", ""}
	policies := []asn1.ObjectIdentifier{{1, 2, 3, 4}, {1, 2, 3, 5}, {2, 5, 29, 32, 0}}
	a, b := s.next(16), s.next(16)
	edit := func(f func(*x509.Certificate)) { and(all, i, f) }
	switch s.next(20) {
	case 0:
		m.name = []string{"leaf", "issuing", "middle", "anchor", "other"}[a%5]
	case 1:
		m.issuer = []string{"leaf", "issuing", "middle", "anchor", "other"}[a%5]
	case 2:
		m.key = a % 5
	case 3:
		m.signedBy = a % 5
	case 4:
		m.tamper = true
	case 5:
		edit(func(c *x509.Certificate) { c.NotBefore = chainTime.Add(hours) })
	case 6:
		edit(func(c *x509.Certificate) { c.NotAfter = chainTime.Add(hours) })
	case 7:
		edit(func(c *x509.Certificate) { c.BasicConstraintsValid, c.IsCA = a%2 == 0, b%2 == 0 })
	case 8:
		edit(func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = a%4-1, a%4 == 1 })
	case 9:
		edit(func(c *x509.Certificate) { c.KeyUsage = keyUsages[a%4] })
	case 10, 11:
		edit(func(c *x509.Certificate) { c.ExtKeyUsage = usages[a%6] })
	case 12:
		edit(func(c *x509.Certificate) { c.UnknownExtKeyUsage = []asn1.ObjectIdentifier{{1, 2, 3}} })
	case 13:
		edit(func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, a}, Critical: b%2 == 0, Value: []byte{5, 0}})
		})
	case 14:
		edit(func(c *x509.Certificate) { c.PermittedURIDomains = []string{domains[a%5]} })
	case 15:
		edit(func(c *x509.Certificate) {
			c.ExcludedURIDomains, c.PermittedEmailAddresses = []string{domains[a%5]}, []string{domains[b%5]}
		})
	case 16:
		edit(func(c *x509.Certificate) {
			c.EmailAddresses, c.DNSNames = []string{"me@" + domains[a%4]}, []string{domains[b%5]}
		})
	case 17:
		edit(func(c *x509.Certificate) { c.PolicyIdentifiers = policies[:1+a%3] })
	case 18:
		edit(func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, extension(oidPolicyConstraints, true, policyConstraints{a%4 - 1, b%4 - 1}))
		})
	case 19:
		edit(func(c *x509.Certificate) {
			type mapping struct{ Issuer, Subject asn1.ObjectIdentifier }
			c.ExtraExtensions = append(c.ExtraExtensions, extension(oidPolicyMappings, true, []mapping{{policies[a%3], policies[b%3]}}))
		})
	}
}

// FuzzChainAgainstX509 fabricates chains with random changes. A path that is
// accepted here is accepted by the standard library at each of the times; one
// that only the standard library accepts is not a tail of the trusted root's
// chain, or has a certificate twice. What is remembered changes no answer.
func FuzzChainAgainstX509(f *testing.F) {
	keys := chainKeys(f)
	long := new(Memo) // lives as long as the process
	f.Add([]byte{})
	f.Add([]byte{1})
	f.Add([]byte{2, 0, 0, 0})
	for change := range byte(20) {
		for place := range 4 {
			f.Add(slices.Concat([]byte{0}, make([]byte, place), []byte{1, 2, change, change + 1, change}))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s := &script{data}
		purpose := []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning, x509.ExtKeyUsageTimeStamping}[s.next(2)]
		times := []time.Time{chainTime}
		if s.next(3) == 1 {
			times = append(times, chainTime.Add(time.Duration(s.next(5)-2)*time.Hour))
		}
		all, err := fabricate(keys, s.chain(purpose))
		if err != nil {
			return // the standard library does not make such certificates
		}
		leaf, chain := certext.ForVerify(all[0]), all[1:]
		path, err := (*Memo)(nil).pathTo(leaf, chain, times, purpose)
		for range 2 {
			if _, again := long.pathTo(leaf, chain, times, purpose); (again == nil) != (err == nil) {
				t.Fatalf("without a memory: %v; with one: %v", err, again)
			}
		}
		if err == nil {
			for _, at := range times {
				if _, std := byStandard(leaf, chain, at, purpose); std != nil {
					t.Fatalf("accepted a path of %d that the standard library refuses at %s: %v", len(path), at, std)
				}
			}
			return
		}
		if reason := whyStricter(leaf, chain, times, purpose); reason != nil {
			t.Fatalf("refused (%v): %v", err, reason)
		}
	})
}

// whyStricter returns an error if the standard library finds a path at all the
// times that ought to be good enough.
func whyStricter(leaf *x509.Certificate, chain []*x509.Certificate, times []time.Time, purpose x509.ExtKeyUsage) error {
	paths, err := byStandard(leaf, chain, times[0], purpose)
	if err != nil {
		return nil
	}
	for _, path := range paths {
		inOrder := len(path) == 1 && len(chain) == 1 || len(path) > 1 && slices.EqualFunc(path[1:], chain[max(0, len(chain)-len(path)+1):], (*x509.Certificate).Equal)
		if inOrder && unique(path) && validThroughout(path, times) {
			return errors.New("but the standard library finds a path in the chain's own order")
		}
	}
	return nil
}

func validThroughout(path []*x509.Certificate, times []time.Time) bool {
	return !slices.ContainsFunc(path, func(c *x509.Certificate) bool { return validAt(c, times) != nil })
}

func unique(path []*x509.Certificate) bool {
	for i, c := range path {
		for _, other := range path[:i] {
			if bytes.Equal(c.RawSubject, other.RawSubject) && bytes.Equal(c.RawSubjectPublicKeyInfo, other.RawSubjectPublicKeyInfo) {
				return false
			}
		}
	}
	return true
}
