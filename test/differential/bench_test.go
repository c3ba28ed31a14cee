// SPDX-License-Identifier: Apache-2.0

package differential

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"hallmark/internal/format/bundle"
	"hallmark/internal/format/certext"
	"hallmark/internal/format/checkpoint"
	"hallmark/internal/format/digest"
	"hallmark/internal/format/logentry"
	"hallmark/internal/format/pubkey"
	"hallmark/internal/format/rfc3161"
)

// BenchmarkVerify reads and verifies one bundle with both, and does nothing but
// the signature checks that no verifier can do without: the certificate by its
// authority, the SCT, the token or the promise, the checkpoint, the signature.
// All three take turns in one loop, so that whatever else the machine does falls
// on all of them, a few calls at a time, so that each mostly collects its own
// garbage. What is reported are medians, in microseconds, and the ratios.
func BenchmarkVerify(b *testing.B) {
	dir := corpus(b)
	for _, bench := range []struct{ name, folder string }{
		{"v0.3-public-good", "happy-path-v0.3"},
		{"dsse-rekor-v1", "happy-path-intoto-in-dsse-v3"},
		{"rekor-v2-tsa", "rekor2-happy-path"},
		{"dsse-rekor-v2", "rekor2-dsse-happy-path"},
	} {
		b.Run(bench.name, func(b *testing.B) {
			v := load(b, dir, bench.folder)
			floor := unavoidable(b, v)
			sides := []func() error{
				func() error { return v.byTheirs(v.bundle) },
				func() error { return v.byOurs(v.bundle) },
				floor,
			}
			took := make([][]time.Duration, len(sides))
			for b.Loop() {
				for i, side := range sides {
					if err := side(); err != nil { // warm
						b.Fatal(err)
					}
					for range 4 {
						start := time.Now()
						if err := side(); err != nil {
							b.Fatal(err)
						}
						took[i] = append(took[i], time.Since(start))
					}
				}
			}
			var medians []float64
			for i, name := range []string{"sigstore-go-µs", "hallmark-µs", "checks-µs"} {
				slices.Sort(took[i])
				medians = append(medians, float64(took[i][len(took[i])/2].Nanoseconds())/1000)
				b.ReportMetric(medians[i], name)
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(medians[0]/medians[1], "times-faster")
			b.ReportMetric(medians[1]/medians[2], "of-checks")
			ours := testing.AllocsPerRun(10, func() { _ = sides[1]() })
			theirs := testing.AllocsPerRun(10, func() { _ = sides[0]() })
			b.ReportMetric(ours, "hallmark-allocs")
			b.ReportMetric(theirs, "sigstore-go-allocs")
		})
	}
}

// unavoidable collects the signature checks of a bundle, with everything that
// they need read and hashed as far as can be.
func unavoidable(tb testing.TB, v *vector) func() error {
	tb.Helper()
	parsed, err := bundle.Parse(v.bundle)
	ok(tb, err)
	leaf, err := x509.ParseCertificate(parsed.Certificates[0])
	ok(tb, err)
	issuer := issuerOf(tb, v, leaf)
	checks := []func() error{func() error { return leaf.CheckSignatureFrom(issuer) }}
	add := func(check func() error) { checks = append(checks, check) }

	scts, err := certext.SCTs(leaf)
	ok(tb, err)
	tbs, err := certext.PrecertTBS(leaf.Raw)
	ok(tb, err)
	issuerKeyHash := sha256.Sum256(issuer.RawSubjectPublicKeyInfo)
	for _, sct := range scts {
		if log := v.root.CTLogByID(sct.LogID[:]); log != nil {
			add(func() error { return sct.Verify(log.Key, issuerKeyHash, tbs) })
		}
	}
	for _, e := range parsed.Entries {
		log := v.root.LogByID(e.LogID)
		if log == nil {
			continue
		}
		if len(e.SET) > 0 {
			payload := logentry.SETPayload(e)
			add(func() error { return pubkey.Verify(log.Key, log.Details, payload, e.SET) })
		}
		cp, err := checkpoint.Parse([]byte(e.Proof.Checkpoint))
		ok(tb, err)
		name := log.Origin()
		if !e.IsV2() {
			name, _, _ = cp.TreeID()
		}
		add(func() error { return cp.VerifiedBy(name, log.Key) })
	}
	for _, der := range parsed.Timestamps {
		token, err := rfc3161.ParseResponse(der)
		ok(tb, err)
		for _, tsa := range v.root.TSAs {
			if signer, err := token.Leaf(tsa.Chain); err == nil && token.ClaimsSigner(signer) {
				add(func() error { return token.VerifySignedBy(parsed.Signature(), signer) })
			}
		}
	}
	message := v.artifact
	if parsed.Envelope != nil {
		message = parsed.Envelope.PAE()
	}
	sum := digest.Of(digest.SHA256, message)
	add(func() error {
		return pubkey.VerifyDigest(leaf.PublicKey, pubkey.ECDSAP256SHA256, sum.Bytes(), parsed.Signature())
	})
	if len(checks) < 5 {
		tb.Fatalf("only %d signature checks found", len(checks))
	}
	return func() error {
		for _, check := range checks {
			if err := check(); err != nil {
				return err
			}
		}
		return nil
	}
}

func issuerOf(tb testing.TB, v *vector, leaf *x509.Certificate) *x509.Certificate {
	tb.Helper()
	for _, ca := range v.root.CAs {
		for _, cert := range ca.Chain {
			if leaf.CheckSignatureFrom(cert) == nil {
				return cert
			}
		}
	}
	tb.Fatal("no authority has issued the certificate")
	return nil
}

func ok(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// BenchmarkFolder verifies 10,000 files with hallmark verify-blob, as a process
// with its start and its reading of files, and does their signature checks alone
// on as many processors. It reports how many processors each kept busy, which on
// a machine with other work is less than all, and the ratio in processor time.
func BenchmarkFolder(b *testing.B) {
	const files = 10_000
	v := load(b, corpus(b), "happy-path-v0.3")
	dir := b.TempDir()
	program := filepath.Join(dir, "hallmark")
	build := exec.Command("go", "build", "-o", program, "./cmd/hallmark")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	var list []byte
	for i := range files {
		name := filepath.Join(dir, fmt.Sprintf("artifact-%05d", i))
		ok(b, os.WriteFile(name, v.artifact, 0o600))
		ok(b, os.WriteFile(name+".sigstore.json", v.bundle, 0o600))
		list = append(append(list, name...), '\n')
	}
	root, err := filepath.Abs(filepath.Join("..", "conformance", "roots", "public-good.json"))
	ok(b, err)
	checks := unavoidable(b, v)
	var ours, floor, cpu, floorCPU time.Duration
	var memory int64
	for b.Loop() {
		run := exec.Command(program, "verify-blob", "--list", "-", "--trusted-root", root,
			"--certificate-identity", corpusIdentity, "--certificate-oidc-issuer", corpusIssuer)
		run.Stdin = bytes.NewReader(list)
		start := time.Now()
		out, err := run.CombinedOutput()
		ours += time.Since(start)
		if err != nil || bytes.Count(out, []byte("✓")) != files {
			b.Fatalf("%v: %.1000s", err, out)
		}
		cpu += run.ProcessState.UserTime() + run.ProcessState.SystemTime()
		memory = max(memory, run.ProcessState.SysUsage().(*syscall.Rusage).Maxrss)

		start = time.Now()
		before := spent(b)
		var group sync.WaitGroup
		workers := runtime.GOMAXPROCS(0)
		for worker := range workers {
			group.Go(func() {
				for i := worker; i < files; i += workers {
					if err := checks(); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		group.Wait()
		floor += time.Since(start)
		floorCPU += spent(b) - before
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(files*float64(b.N)/ours.Seconds(), "bundles/s")
	b.ReportMetric(cpu.Seconds()/floorCPU.Seconds(), "of-checks")
	b.ReportMetric(cpu.Seconds()/ours.Seconds(), "processors")
	b.ReportMetric(floorCPU.Seconds()/floor.Seconds(), "checks-processors")
	b.ReportMetric(float64(memory)/1024, "MiB")
}

// spent is the processor time of this process so far.
func spent(tb testing.TB) time.Duration {
	tb.Helper()
	var usage syscall.Rusage
	ok(tb, syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
