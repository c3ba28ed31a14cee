// SPDX-License-Identifier: Apache-2.0

package sign_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hallmark/internal/format/bundle"
	"hallmark/internal/format/certext"
	"hallmark/internal/format/digest"
	"hallmark/internal/format/logentry"
	"hallmark/internal/format/pubkey"
	"hallmark/internal/format/trustroot"
	"hallmark/internal/judge/verify"
	"hallmark/internal/service/sign"
)

func (f *fake) signer(change func(*sign.Config)) *sign.Signer {
	f.t.Helper()
	cfg := sign.Config{Services: f.services, Root: f.root}
	cfg.HTTP.Retries = -1
	if change != nil {
		change(&cfg)
	}
	s, err := sign.New(cfg)
	if err != nil {
		f.t.Fatal(err)
	}
	return s
}

func expecting(t *testing.T, san string) func(*sign.Config) {
	t.Helper()
	id, err := verify.NewIdentity(verify.Identity{SAN: san, Issuer: issuer})
	if err != nil {
		t.Fatal(err)
	}
	return func(c *sign.Config) { c.Identities = []verify.Identity{id} }
}

var (
	content = []byte("some content\n")
	sum     = digest.Of(digest.SHA256, content)
)

func TestSignBlob(t *testing.T) {
	f := newFake(t)
	s := f.signer(expecting(t, email))
	for range 3 { // the tree grows, so the proofs differ
		r, err := s.SignBlob(t.Context(), theToken, sum)
		if err != nil {
			t.Fatal(err)
		}
		if r.Bundle.MediaType != bundle.MediaTypeV03 || r.Bundle.Message == nil || r.Bundle.Message.Digest != sum || len(r.Bundle.Certificates) != 1 ||
			len(r.Bundle.Timestamps) != 1 || len(r.Bundle.Entries) != 1 {
			t.Fatalf("%+v", r.Bundle)
		}
		if !r.Verified.Proven() || r.Verified.Signer().SAN.Value != email || r.Verified.Subject() != sum {
			t.Fatalf("%+v", r.Verified)
		}
		again, err := bundle.Parse(r.JSON)
		if err != nil {
			t.Fatal(err)
		}
		p := verify.DefaultPolicy()
		p.AnyIdentityUnsafe = true
		if _, err := verify.Check(again, verify.Artifact{Content: content}, f.root, p); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSignImage(t *testing.T) {
	f := newFake(t)
	r, err := f.signer(nil).SignImage(t.Context(), theToken, sum, map[string]string{"env": "prod", "a": "b"})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":"` + sum.Hex() + `"},"annotations":{"a":"b","env":"prod"}}],` +
		`"predicateType":"https://sigstore.dev/cosign/sign/v1","predicate":{}}`
	if got := string(r.Bundle.Envelope.Payload); got != want || r.Bundle.Envelope.PayloadType != "application/vnd.in-toto+json" {
		t.Fatalf("payload\n%s\nwant\n%s", got, want)
	}
	if r.Verified.Subject() != sum || r.Verified.Statement() == nil {
		t.Fatalf("%+v", r.Verified)
	}
}

func TestKeys(t *testing.T) {
	for _, d := range []pubkey.Details{pubkey.ECDSAP384SHA384, pubkey.ECDSAP521SHA512, pubkey.RSAPKCS1v15_2048_SHA256} {
		t.Run(string(d), func(t *testing.T) {
			f := newFake(t)
			s := f.signer(func(c *sign.Config) { c.Key = d })
			if _, err := s.SignBlob(t.Context(), theToken, digest.Of(s.DigestAlgorithm(), content)); err != nil {
				t.Fatal(err)
			}
			if _, err := s.SignImage(t.Context(), theToken, sum, nil); err != nil {
				t.Fatal(err)
			}
		})
	}
	f := newFake(t)
	s := f.signer(func(c *sign.Config) { c.Key = pubkey.ECDSAP384SHA384 })
	if _, err := s.SignBlob(t.Context(), theToken, sum); err == nil || !strings.Contains(err.Error(), "sha384") || f.count(pathCert) != 0 {
		t.Errorf("a digest that does not fit: %v", err)
	}
}

func TestRefusedBeforeAnythingIsAsked(t *testing.T) {
	f := newFake(t)
	v1 := trustroot.Service{URL: "https://rekor.example", APIVersion: 1, Valid: trustroot.Window{Start: time.Now().Add(-time.Hour)}}
	for _, tt := range []struct {
		name   string
		change func(*sign.Config)
		part   string
	}{
		{"Ed25519", func(c *sign.Config) { c.Key = pubkey.Ed25519 }, "Ed25519ph"},
		{"an unknown key kind", func(c *sign.Config) { c.Key = "PKIX_X" }, "PKIX_X"},
		{"no root", func(c *sign.Config) { c.Root = nil }, "trusted root"},
		{"only Rekor v1", func(c *sign.Config) { c.Services.Logs = []trustroot.Service{v1} }, "needs a Rekor v2 log; it names only https://rekor.example (v1)"},
		{"no log", func(c *sign.Config) { c.Services.Logs = nil }, "needs a Rekor v2 log"},
		{"no TSA", func(c *sign.Config) { c.Services.TSAs = nil }, "timestamp authority"},
		{"no CA", func(c *sign.Config) { c.Services.CAs = nil }, "certificate authority"},
		{"expired services", func(c *sign.Config) {
			c.Services.CAs = []trustroot.Service{{URL: f.url, APIVersion: 1, Valid: trustroot.Window{End: time.Now().Add(-time.Hour)}}}
		}, "certificate authority"},
		{"too few logs", func(c *sign.Config) { c.Services.LogSelector = trustroot.Selector{Mode: trustroot.Exact, Count: 2} }, "Rekor v2 log"},
	} {
		services := *f.services
		cfg := sign.Config{Services: &services, Root: f.root}
		tt.change(&cfg)
		if _, err := sign.New(cfg); err == nil || !strings.Contains(err.Error(), tt.part) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	if _, err := f.signer(nil).SignBlob(t.Context(), fakeToken{}, sum); err == nil {
		t.Error("no token was accepted")
	}
	if n := f.count(pathCert) + f.count(pathTSA) + f.count(pathLog); n != 0 {
		t.Errorf("%d requests were made", n)
	}
}

// Each row breaks one step. What comes after it must not have been asked.
func TestAFailedStepIsTheLast(t *testing.T) {
	other := newFake(t)
	say := func(code int, message string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { reject(w, code, message) }
	}
	garbage := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(code); w.Write([]byte("}{")) }
	}
	for _, tt := range []struct {
		name  string
		fault func(*fake)
		step  sign.Step
		code  verify.Code // "" if no judgement
		parts []string
	}{
		{"the CA refuses", func(f *fake) { f.answer[pathCert] = say(400, "There was an error processing the identity token") }, sign.StepCertificate, "", []string{"status 400", "error processing the identity token", "fresh"}},
		{"the CA answers nonsense", func(f *fake) { f.answer[pathCert] = garbage(200) }, sign.StepCertificate, "", []string{"malformed JSON"}},
		{"the CA answers 201", func(f *fake) { f.answer[pathCert] = garbage(201) }, sign.StepCertificate, "", []string{"status 201"}},
		{"detached SCT", func(f *fake) {
			f.answer[pathCert] = func(w http.ResponseWriter, r *http.Request) {
				w.Write([]byte(`{"signedCertificateDetachedSct":{"chain":{}}}`))
			}
		}, sign.StepCertificate, "", []string{"detached"}},
		{"no certificate", func(f *fake) {
			f.answer[pathCert] = func(w http.ResponseWriter, r *http.Request) {
				w.Write([]byte(`{"signedCertificateEmbeddedSct":{"chain":{"certificates":["x"]}}}`))
			}
		}, sign.StepCertificate, "", []string{"not PEM"}},
		{"another key's certificate", func(f *fake) {
			f.answer[pathCert] = func(w http.ResponseWriter, r *http.Request) { f.serveCertFor(w, newP256(f.t).Public()) }
		}, sign.StepCertificate, "", []string{"another key"}},
		{"another identity", func(f *fake) { f.san = "mallory@example.test" }, sign.StepCertificate, verify.CodeNoMatchingIdentity, []string{"mallory@example.test", email, "nothing was signed or logged"}},
		{"a CA that is not trusted", func(f *fake) { f.root.CAs = other.root.CAs }, sign.StepCertificate, verify.CodeCertificateChain, []string{"trust refresh"}},
		{"no SCT", func(f *fake) { f.noSCT = true }, sign.StepCertificate, verify.CodeSCTThreshold, nil},
		{"a bad SCT", func(f *fake) { f.sct = func(s *certext.SCT) { s.Timestamp++ } }, sign.StepCertificate, verify.CodeSCT, nil},
		{"not for code signing", func(f *fake) {
			f.cert = func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }
		}, sign.StepCertificate, verify.CodeCertificate, nil},

		{"the TSA refuses", func(f *fake) { f.answer[pathTSA] = say(500, "clock drift") }, sign.StepTimestamp, "", []string{"status 500", "clock drift", "later"}},
		{"the TSA answers nonsense", func(f *fake) { f.answer[pathTSA] = garbage(200) }, sign.StepTimestamp, "", nil},
		{"a TSA that is not trusted", func(f *fake) { f.root.TSAs = other.root.TSAs }, sign.StepTimestamp, "", []string{"trusted root", "nothing was logged"}},
		{"a TSA that is not trusted now", func(f *fake) { f.root.TSAs[0].Valid.End = time.Now().Add(-time.Minute) }, sign.StepTimestamp, "", []string{"window"}},
		{"a TSA with another time", func(f *fake) { f.tokenT = time.Now().Add(-time.Hour / 2) }, sign.StepTimestamp, "", []string{"clocks"}},
		{"a timestamp of something else", func(f *fake) {
			f.token = func([]byte) []byte { return f.timestampOf(t, []byte("something else")) }
		}, sign.StepTimestamp, "", nil},

		{"the log refuses", func(f *fake) { f.answer[pathLog] = say(400, "signature does not verify") }, sign.StepLog, "", []string{"status 400", "does not verify"}},
		{"the log is full", func(f *fake) { f.answer[pathLog] = say(503, "reached max pushback") }, sign.StepLog, "", []string{"max pushback", "later"}},
		{"the log has it already", func(f *fake) { f.answer[pathLog] = say(409, "exists") }, sign.StepLog, "", []string{"status 409", "sign again"}},
		{"the log answers 200", func(f *fake) { f.answer[pathLog] = garbage(200) }, sign.StepLog, "", []string{"status 200"}},
		{"the log answers nonsense", func(f *fake) { f.answer[pathLog] = garbage(201) }, sign.StepLog, "", []string{"malformed"}},
		{"another entry", func(f *fake) {
			f.entry = func(e *logentry.Entry) {
				e.Body = bytes.Replace(e.Body, []byte("sha"), []byte("SHA"), 1)
				e.Body[9] ^= 1
			}
		}, sign.StepLog, "", []string{"not the one that was sent"}},
		{"a log that is not trusted", func(f *fake) { f.root.Logs = other.root.Logs }, sign.StepLog, "", []string{"log ID", "trust refresh"}},
		{"a wrong proof", func(f *fake) {
			f.entry = func(e *logentry.Entry) { e.Proof.Hashes = append(e.Proof.Hashes, make([]byte, 32)) }
		}, sign.StepLog, verify.CodeInclusionProof, []string{"nothing was published"}},
		{"a wrong checkpoint", func(f *fake) {
			f.entry = func(e *logentry.Entry) { e.Proof.Checkpoint = other.logged([][]byte{e.Body}, 0).Proof.Checkpoint }
		}, sign.StepLog, verify.CodeCheckpointSignature, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t)
			tt.fault(f)
			r, err := f.signer(expecting(t, email)).SignBlob(t.Context(), theToken, sum)
			var failed *sign.Error
			if r != nil || !errors.As(err, &failed) {
				t.Fatalf("%v, %v", r, err)
			}
			url := map[sign.Step]string{sign.StepCertificate: f.url, sign.StepTimestamp: f.url + pathTSA, sign.StepLog: f.url}[tt.step]
			if failed.Step != tt.step || failed.URL != url || !strings.Contains(err.Error(), url) {
				t.Errorf("step %q at %q: %v", failed.Step, failed.URL, err)
			}
			var why *verify.Error
			if errors.As(err, &why) != (tt.code != "") || why != nil && why.Code != tt.code {
				t.Errorf("code of %v, want %q", err, tt.code)
			}
			for _, p := range append(tt.parts, string(tt.step)) {
				if !strings.Contains(err.Error(), p) {
					t.Errorf("%q lacks %q", err, p)
				}
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("the token leaked: %v", err)
			}
			want := []int{1, 0, 0}
			switch tt.step {
			case sign.StepTimestamp:
				want = []int{1, 1, 0}
			case sign.StepLog:
				want = []int{1, 1, 1}
			}
			if got := []int{f.count(pathCert), f.count(pathTSA), f.count(pathLog)}; !slices.Equal(got, want) {
				t.Errorf("%v requests to CA, TSA and log, want %v", got, want)
			}
		})
	}
}

func TestUnreachableServices(t *testing.T) {
	for _, which := range []string{"ca", "tsa", "log"} {
		f := newFake(t)
		gone := "http://127.0.0.1:1"
		switch which {
		case "ca":
			f.services.CAs[0].URL = gone
		case "tsa":
			f.services.TSAs[0].URL = gone
		case "log":
			f.services.Logs[0].URL = gone
		}
		_, err := f.signer(nil).SignBlob(t.Context(), theToken, sum)
		if err == nil || !strings.Contains(err.Error(), gone) || !strings.Contains(err.Error(), "signing config") {
			t.Errorf("%s: %v", which, err)
		}
	}
}

func TestRetries(t *testing.T) {
	f := newFake(t)
	var n atomic.Int32
	for _, path := range []string{pathCert, pathTSA, pathLog} {
		serve := map[string]http.HandlerFunc{pathCert: f.serveCert, pathTSA: f.serveTSA, pathLog: f.serveLog}[path]
		failed := false
		f.answer[path] = func(w http.ResponseWriter, r *http.Request) {
			if !failed {
				failed = true
				n.Add(1)
				w.Header().Set("Retry-After", "0")
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			serve(w, r)
		}
	}
	s := f.signer(func(c *sign.Config) { c.HTTP.Retries = 1 })
	if _, err := s.SignBlob(t.Context(), theToken, sum); err != nil || n.Load() != 3 {
		t.Fatalf("%v after %d failures", err, n.Load())
	}
}

// The first answer of the log is lost; the client sends the same bytes again,
// so that the log can tell.
func TestALostAnswerOfTheLogIsAskedForAgain(t *testing.T) {
	f := newFake(t)
	var bodies []string
	f.answer[pathLog] = func(w http.ResponseWriter, r *http.Request) {
		var b bytes.Buffer
		b.ReadFrom(r.Body)
		bodies = append(bodies, b.String())
		if len(bodies) == 1 {
			panic(http.ErrAbortHandler)
		}
		r.Body = readCloser{&b}
		f.serveLog(w, r)
	}
	s := f.signer(func(c *sign.Config) { c.HTTP.Retries = 1 })
	if _, err := s.SignBlob(t.Context(), theToken, sum); err != nil || len(bodies) != 2 || bodies[0] != bodies[1] {
		t.Fatalf("%v, %d requests", err, len(bodies))
	}
}

func TestCancelled(t *testing.T) {
	f := newFake(t)
	ctx, cancel := context.WithCancel(t.Context())
	s := f.signer(func(c *sign.Config) {
		c.Progress = func(e sign.Event) {
			if e.Step == sign.StepTimestamp {
				cancel()
			}
		}
	})
	if _, err := s.SignBlob(ctx, theToken, sum); !errors.Is(err, context.Canceled) || f.count(pathLog) != 0 {
		t.Fatalf("%v, %d log requests", err, f.count(pathLog))
	}
}

func TestAllServices(t *testing.T) {
	f, g := newFake(t), newFake(t)
	g.root.Logs[0].BaseURL = "https://" + logHost
	f.root.Logs = append(f.root.Logs, g.root.Logs...)
	f.root.TSAs = append(f.root.TSAs, g.root.TSAs...)
	for _, s := range []*trustroot.Service{&g.services.Logs[0], &g.services.TSAs[0]} {
		s.Operator = "other"
	}
	f.services.Logs = append(f.services.Logs, g.services.Logs...)
	f.services.TSAs = append(f.services.TSAs, g.services.TSAs...)
	f.services.LogSelector.Mode, f.services.TSASelector.Mode = trustroot.All, trustroot.All
	r, err := f.signer(nil).SignBlob(t.Context(), theToken, sum)
	if err != nil || len(r.Bundle.Entries) != 2 || len(r.Bundle.Timestamps) != 2 || len(r.Verified.Times()) != 2 {
		t.Fatalf("%+v, %v", r, err)
	}
	if f.count(pathLog) != 1 || g.count(pathLog) != 1 || g.count(pathCert) != 0 {
		t.Fatal("not every service was asked once")
	}
}

func TestProgress(t *testing.T) {
	f := newFake(t)
	var got []string
	s := f.signer(func(c *sign.Config) {
		c.Progress = func(e sign.Event) {
			if e.Done && e.Err == nil {
				got = append(got, string(e.Step))
			}
		}
	})
	if _, err := s.SignBlob(t.Context(), theToken, sum); err != nil {
		t.Fatal(err)
	}
	if want := []string{"certificate", "signature", "timestamp", "log", "verify"}; !slices.Equal(got, want) {
		t.Fatalf("%v", got)
	}
}

func TestIssuers(t *testing.T) {
	f := newFake(t)
	s := f.signer(nil)
	if got, err := s.Issuers(t.Context()); err != nil || got != nil {
		t.Fatalf("a CA that does not say: %v, %v", got, err)
	}
	f.answer[pathWhich] = func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte(`{"issuers":[{"issuerUrl":"https://a.example","audience":"x","extra":1},{"wildcardIssuerUrl":"https://oidc.*.example/id/*","audience":"y"}]}`))
	}
	list, err := s.Issuers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ url, want string }{
		{"https://a.example", "x"},
		{"https://oidc.eu-1.example/id/abc", "y"},
		{"https://oidc.eu-1.example/id/abc/more", ""},
		{"https://oidc.a.b.example/id/abc", ""},
		{"https://oidcXeu.example/id/abc", ""},
		{"https://evil.example", ""},
		{"", ""},
	} {
		got, err := sign.AudienceFor(list, tt.url)
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%q: %q, %v", tt.url, got, err)
		}
	}
	if got, err := sign.AudienceFor(list[:1], ""); err != nil || got != "x" {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := sign.AudienceFor(nil, "https://a.example"); err != nil || got != "sigstore" {
		t.Errorf("%q, %v", got, err)
	}
	f.answer[pathWhich] = func(w http.ResponseWriter, r *http.Request) { reject(w, 500, "broken") }
	if _, err := s.Issuers(t.Context()); err == nil || !strings.Contains(err.Error(), f.url) {
		t.Error(err)
	}
}

// serveCertFor answers with a certificate for a key nobody asked about.
func (f *fake) serveCertFor(w http.ResponseWriter, pub crypto.PublicKey) {
	w.Write(certificateAnswer(f.issue(pub)))
}
