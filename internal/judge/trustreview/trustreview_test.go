// SPDX-License-Identifier: Apache-2.0

package trustreview_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"strings"
	"testing"
	"time"

	"hallmark/internal/format/checkpoint"
	"hallmark/internal/format/pubkey"
	"hallmark/internal/format/trustroot"
	"hallmark/internal/judge/trustreview"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func newKey() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) }

func newEd() ed25519.PublicKey {
	pub, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	return pub
}

type maker struct {
	years int // of validity
	uses  []x509.ExtKeyUsage
	isCA  bool
	key   *ecdsa.PrivateKey
}

func (m maker) make(name string, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) *x509.Certificate {
	t := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: start, NotAfter: start.AddDate(m.years, 0, 0),
		BasicConstraintsValid: true, IsCA: m.isCA, ExtKeyUsage: m.uses, KeyUsage: x509.KeyUsageDigitalSignature}
	if m.isCA {
		t.KeyUsage = x509.KeyUsageCertSign
	}
	if parent == nil {
		parent, parentKey = t, m.key
	}
	return must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, t, parent, m.key.Public(), parentKey))))
}

var (
	codeUse  = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}
	stamping = []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping}
)

// authority is a chain of two: a signing or issuing certificate, and its root.
func authority(name string, years int, uses []x509.ExtKeyUsage, isCA bool) []*x509.Certificate {
	rk, k := newKey(), newKey()
	root := maker{20, nil, true, rk}.make(name+" root", nil, nil)
	return []*x509.Certificate{maker{years, uses, isCA, k}.make(name, root, rk), root}
}

// sound is a trust root that there is nothing to say about.
func sound() *trustroot.Root {
	w := trustroot.Window{Start: start}
	ct, err := trustroot.NewCTLog("https://ct.example", newKey().Public(), w)
	if err != nil {
		panic(err)
	}
	return &trustroot.Root{
		Logs:   []trustroot.Log{must(trustroot.NewLog("https://log.example", "", false, newEd(), w)), must(trustroot.NewLog("https://old.example", "", true, newKey().Public(), w))},
		CTLogs: []trustroot.Log{ct},
		CAs:    []trustroot.CertificateAuthority{must(trustroot.NewCertificateAuthority("https://ca.example", authority("ca", 10, codeUse, true), w))},
		TSAs:   []trustroot.TimestampAuthority{must(trustroot.NewTimestampAuthority("https://tsa.example", authority("tsa", 10, stamping, false), w))},
	}
}

// TestReview: one thing at a time is wrong, and that alone is found.
func TestReview(t *testing.T) {
	now := start.AddDate(1, 0, 0)
	window := func(from, to int) trustroot.Window { // in years
		w := trustroot.Window{Start: start.AddDate(from, 0, 0)}
		if to > 0 {
			w.End = start.AddDate(to, 0, 0)
		}
		return w
	}
	for _, tt := range []struct {
		name  string
		do    func(r *trustroot.Root)
		code  trustreview.Code // "" is nothing
		field string
		want  string
	}{
		{"nothing", func(*trustroot.Root) {}, "", "", ""},
		{"identifier of another key", func(r *trustroot.Root) { r.Logs[1].ID = make([]byte, 32) }, trustreview.LogID, "tlogs[1]", "no entry will match"},
		{"Ed25519 with a v1 identifier", func(r *trustroot.Root) {
			id := must(pubkey.KeyID(r.Logs[0].Key))
			r.Logs[0].ID = id[:]
		}, trustreview.LogID, "tlogs[0]", "as Rekor v1 has it"},
		{"identifier for host and port", func(r *trustroot.Root) {
			id := must(checkpoint.LogID("log.example:8443", r.Logs[0].Key))
			r.Logs[0].ID, r.Logs[0].BaseURL = id[:], "https://log.example:8443"
		}, trustreview.LogID, "tlogs[0]", `is that of origin "log.example:8443"`},
		{"wrong checkpoint key ID", func(r *trustroot.Root) { r.Logs[0].CheckpointKeyID = []byte{1, 2, 3, 4} }, trustreview.LogID, "tlogs[0]", "checkpointKeyId"},
		{"CT log with another identifier", func(r *trustroot.Root) { r.CTLogs[0].ID = make([]byte, 32) }, trustreview.LogID, "ctlogs[0]", "no SCT will match"},
		{"origin instead of URL", func(r *trustroot.Root) { r.Logs[1].BaseURL = "old.example - 123" }, trustreview.LogOrigin, "tlogs[1]", "https://old.example"},
		{"URL without scheme", func(r *trustroot.Root) { r.Logs[1].BaseURL = "old.example" }, trustreview.LogOrigin, "tlogs[1]", "no host"},
		{"no URL", func(r *trustroot.Root) { r.Logs[1].BaseURL = "" }, trustreview.LogOrigin, "tlogs[1]", "empty"},
		{"two v2 logs at one host", func(r *trustroot.Root) {
			r.Logs = append(r.Logs, must(trustroot.NewLog("https://log.example:8443", "", false, newEd(), window(0, 0))))
		}, trustreview.LogOrigin, "tlogs[2]", "host name of its own"},
		{"v2 log without TSA", func(r *trustroot.Root) { r.TSAs = nil }, trustreview.NoTSA, "tlogs[0]", "no timestamp authority"},
		{"broken chain", func(r *trustroot.Root) {
			r.CAs[0].Chain[1] = maker{20, nil, true, newKey()}.make("ca root", nil, nil)
		}, trustreview.ChainSignature, "certificateAuthorities[0]", "is not signed by CN=ca root"},
		{"CA for something else", func(r *trustroot.Root) { r.CAs[0].Chain = authority("ca", 10, stamping, true) }, trustreview.ChainUsage, "certificateAuthorities[0]", "code signing"},
		{"TSA without leaf", func(r *trustroot.Root) { r.TSAs[0].Chain = authority("tsa", 10, stamping, true) }, trustreview.TSALeaf, "timestampAuthorities[0]", "begins with a CA"},
		{"TSA for code signing", func(r *trustroot.Root) { r.TSAs[0].Chain = authority("tsa", 10, codeUse, false) }, trustreview.ChainUsage, "timestampAuthorities[0]", "timestamping alone"},
		{"certificate that is never valid", func(r *trustroot.Root) { r.TSAs[0].Chain = authority("tsa", 0, stamping, false) }, trustreview.WindowUnusable, "timestampAuthorities[0]", "never within"},
		{"certificate expired in an open window", func(r *trustroot.Root) {
			c := authority("ca", 1, codeUse, true)
			c[0].NotAfter = now.Add(-time.Hour)
			r.CAs[0].Chain = c
		}, trustreview.CertificateEnded, "certificateAuthorities[0]", "expired on 2027-01-02"},
		{"the same, but the window ended too", func(r *trustroot.Root) {
			c := authority("ca", 1, codeUse, true)
			c[0].NotAfter = now.Add(-time.Hour)
			old := r.CAs[0]
			old.URI, old.Chain, old.Valid.End = "https://old-ca.example", c, now.Add(-time.Minute)
			r.CAs = append(r.CAs, old)
		}, "", "", ""},
		{"certificate about to expire", func(r *trustroot.Root) {
			c := authority("ca", 2, codeUse, true)
			c[0].NotAfter = now.Add(30 * 24 * time.Hour)
			r.CAs[0].Chain = c
		}, trustreview.CertificateEnds, "certificateAuthorities[0]", "expires on"},
		{"one key twice", func(r *trustroot.Root) {
			r.CTLogs = append(r.CTLogs, must(trustroot.NewCTLog("https://ct2.example", r.Logs[1].Key, window(0, 0))))
		}, trustreview.SameKey, "ctlogs[1]", "trusted twice"},
		{"nobody now", func(r *trustroot.Root) { r.CTLogs[0].Valid = window(2, 3) }, trustreview.WindowNone, "ct-log", "nobody is trusted"},
		{"no start", func(r *trustroot.Root) { r.CAs[0].Valid.Start = time.Time{} }, trustreview.WindowOpen, "certificateAuthorities[0]", "no start"},
		{"a gap", func(r *trustroot.Root) {
			old := r.CTLogs[0]
			old.Valid = trustroot.Window{Start: start.AddDate(-3, 0, 0), End: start.AddDate(-1, 0, 0)}
			r.CTLogs = []trustroot.Log{must(trustroot.NewCTLog("https://ct2.example", newKey().Public(), window(0, 0))), old}
		}, trustreview.WindowGap, "ctlogs[0]", "from 2025-01-02 to 2026-01-02"},
		{"two at once", func(r *trustroot.Root) {
			r.CTLogs = append(r.CTLogs, must(trustroot.NewCTLog("https://ct.example", newKey().Public(), window(1, 0))))
		}, trustreview.WindowOverlap, "ctlogs[1]", "from 2027-01-02 on"},
		{"one after the other", func(r *trustroot.Root) {
			r.CTLogs[0].Valid.End = start.AddDate(1, 0, 0)
			r.CTLogs = append(r.CTLogs, must(trustroot.NewCTLog("https://ct.example", newKey().Public(), window(1, 0))))
		}, "", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := sound()
			tt.do(r)
			found := trustreview.Review(r, nil, now)
			if tt.code == "" {
				if len(found) > 0 {
					t.Errorf("%+v", found)
				}
				return
			}
			if len(found) != 1 || found[0].Code != tt.code || found[0].Field != tt.field || !strings.Contains(found[0].Message, tt.want) {
				t.Errorf("%+v, want %s at %s: %s", found, tt.code, tt.field, tt.want)
			}
		})
	}
}

func TestReviewTUF(t *testing.T) {
	day := 24 * time.Hour
	for _, tt := range []struct {
		role string
		in   time.Duration
		code trustreview.Code
	}{
		{"root", 100 * day, ""},
		{"root", 20 * day, trustreview.TUFEnds},
		{"targets", -day, trustreview.TUFEnded},
		{"timestamp", day, ""}, // it is always about to
		{"timestamp", -day, trustreview.TUFEnded},
	} {
		found := trustreview.Review(sound(), []trustreview.TUFRole{{Name: tt.role, Expires: start.Add(tt.in)}}, start)
		switch {
		case tt.code == "" && len(found) > 0:
			t.Errorf("%s in %s: %+v", tt.role, tt.in, found)
		case tt.code != "" && (len(found) != 1 || found[0].Code != tt.code || found[0].Field != "tuf."+tt.role):
			t.Errorf("%s in %s: %+v", tt.role, tt.in, found)
		}
	}
}

func TestDiff(t *testing.T) {
	a := sound()
	reversed := &trustroot.Root{Logs: []trustroot.Log{a.Logs[1], a.Logs[0]}, CTLogs: a.CTLogs, CAs: a.CAs, TSAs: a.TSAs}
	if c := trustreview.Diff(a, reversed); len(c) != 0 {
		t.Errorf("another order: %+v", c)
	}
	b := sound()
	b.Logs[0] = a.Logs[0]
	b.Logs[0].Valid.End = start.AddDate(1, 0, 0)
	b.Logs = b.Logs[:1]
	b.CTLogs, b.CAs = a.CTLogs, append([]trustroot.CertificateAuthority{}, a.CAs...)
	b.CAs[0].URI = "https://moved.example"
	got := map[string]trustreview.Change{}
	for _, c := range trustreview.Diff(a, b) {
		got[string(c.Kind)+" "+c.Entry.Name()] = c
	}
	if len(got) != 5 {
		t.Errorf("%+v", got)
	}
	if c := got["changed https://log.example"]; len(c.Fields) != 1 || c.Fields[0] != (trustreview.FieldChange{Field: "end", From: "", To: "2027-01-02T03:04:05Z"}) {
		t.Errorf("%+v", c)
	}
	if c := got["changed https://moved.example"]; len(c.Fields) != 1 || c.Fields[0].Field != "url" {
		t.Errorf("%+v", c)
	}
	for _, want := range []string{"removed https://old.example", "added https://tsa.example", "removed https://tsa.example"} {
		if _, ok := got[want]; !ok {
			t.Errorf("no %q", want)
		}
	}
	// One chain with two windows, of which one is changed.
	a.CAs = append(a.CAs, a.CAs[0])
	a.CAs[1].Valid = trustroot.Window{Start: start.AddDate(1, 0, 0)}
	two := *a
	two.CAs = []trustroot.CertificateAuthority{a.CAs[1], a.CAs[0]}
	two.CAs[1].Valid.End = start.AddDate(1, 0, 0)
	if c := trustreview.Diff(a, &two); len(c) != 1 || c[0].Kind != trustreview.Changed || c[0].Fields[0].Field != "end" {
		t.Errorf("%+v", c)
	}
}

func TestDiffServices(t *testing.T) {
	service := func(url string) trustroot.Service {
		return trustroot.Service{URL: url, APIVersion: 1, Operator: "o", Valid: trustroot.Window{Start: start}}
	}
	a := &trustroot.SigningConfig{CAs: []trustroot.Service{service("https://ca.example")}, Logs: []trustroot.Service{service("https://log.example")}, LogSelector: trustroot.Selector{Mode: trustroot.Any}}
	if c := trustreview.DiffServices(a, a); len(c) != 0 {
		t.Errorf("%+v", c)
	}
	b := &trustroot.SigningConfig{CAs: []trustroot.Service{service("https://ca.example")}, Logs: []trustroot.Service{service("https://log2.example")}, LogSelector: trustroot.Selector{Mode: trustroot.Exact, Count: 2}}
	b.CAs[0].Valid.End = start.AddDate(1, 0, 0)
	c := trustreview.DiffServices(a, b)
	if len(c) != 4 || c[3].Fields[0].To != "EXACT:2" {
		t.Errorf("%+v", c)
	}
	if c := trustreview.DiffServices(nil, a); len(c) != 2 || c[0].Kind != trustreview.Added {
		t.Errorf("%+v", c)
	}
}
