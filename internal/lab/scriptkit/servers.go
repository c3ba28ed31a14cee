// SPDX-License-Identifier: Apache-2.0

package scriptkit

import (
	"bytes"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/rogpeppe/go-internal/testscript"
)

// authoritiesKey is where a script keeps the authorities it runs, by folder.
type authoritiesKey struct{}

// authority is a running hallmarkd serve.
type authority struct {
	cmd      *exec.Cmd
	out, err buffer
	ended    chan error
}

// buffer is a bytes.Buffer for two goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// announced is what serve prints when it answers.
var announced = regexp.MustCompile(`(?s)Hallmark serves (\S+)\n.*hallmark trust init \S+ --root-sha256 ([0-9a-f]{64})\n.*cosign initialize .*\n`)

func authorities(ts *testscript.TestScript) map[string]*authority {
	return ts.Value(authoritiesKey{}).(map[string]*authority)
}

func serve(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 1, "serve [-as=P] DATA ARG...")
	prefix := ""
	if p, ok := strings.CutPrefix(args[0], "-as="); ok {
		prefix, args = p+"_", args[1:]
	}
	data := args[0]
	line := append([]string{"serve", "--data", data}, args[1:]...)
	if !slices.Contains(args, "--listen") {
		line = append(line, "--listen", "127.0.0.1:0")
	}
	a := &authority{cmd: exec.Command("hallmarkd", line...), ended: make(chan error, 1)}
	a.cmd.Dir = ts.MkAbs(".")
	for _, v := range []string{"PATH", "HOME", "TMPDIR", "HALLMARK_HOME", "GORACE"} {
		a.cmd.Env = append(a.cmd.Env, v+"="+ts.Getenv(v))
	}
	a.cmd.Stdout, a.cmd.Stderr = &a.out, &a.err
	ts.Check(a.cmd.Start())
	go func() { a.ended <- a.cmd.Wait() }()
	ts.Defer(func() { a.cmd.Process.Kill() })
	authorities(ts)[data] = a
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if m := announced.FindStringSubmatch(a.out.String()); m != nil {
			ts.Setenv(prefix+"URL", m[1])
			ts.Setenv(prefix+"ADDR", strings.TrimPrefix(m[1], "http://"))
			ts.Setenv(prefix+"ISSUER", m[1]+"/dev-issuer")
			ts.Setenv(prefix+"ROOT_SHA256", m[2])
			return
		}
		select {
		case err := <-a.ended:
			ts.Fatalf("hallmarkd serve ended: %v\n%s", err, a.err.String())
		default:
		}
		if time.Now().After(deadline) {
			ts.Fatalf("hallmarkd serve does not start:\n%s%s", a.out.String(), a.err.String())
		}
	}
}

func terminate(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 1, "terminate DATA")
	if err := finish(ts, args[0], syscall.SIGTERM); err != nil {
		ts.Fatalf("hallmarkd serve ended on SIGTERM with %v", err)
	}
}

func crash(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 1, "crash DATA")
	if err := finish(ts, args[0], syscall.SIGKILL); err == nil {
		ts.Fatalf("hallmarkd serve ended with exit code 0 on SIGKILL")
	}
}

// finish stops an authority and leaves what it printed for stdout and stderr.
func finish(ts *testscript.TestScript, data string, sig os.Signal) error {
	a := authorities(ts)[data]
	if a == nil {
		ts.Fatalf("no authority serves %s", data)
	}
	ts.Check(a.cmd.Process.Signal(sig))
	select {
	case err := <-a.ended:
		delete(authorities(ts), data)
		io.WriteString(ts.Stdout(), a.out.String())
		io.WriteString(ts.Stderr(), a.err.String())
		return err
	case <-time.After(patience):
		ts.Fatalf("hallmarkd serve does not end on %v", sig)
		return nil
	}
}

func startRegistry(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 0, "registry [-no-referrers]")
	referrers := !slices.Contains(args, "-no-referrers")
	s := httptest.NewServer(registry.New(registry.WithReferrersSupport(referrers), registry.Logger(log.New(io.Discard, "", 0))))
	ts.Defer(s.Close)
	ts.Setenv("REGISTRY", strings.TrimPrefix(s.URL, "http://"))
}

func push(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 2, "push NAME IMAGE")
	img, err := random.Image(512, 1)
	ts.Check(err)
	ref, err := name.ParseReference(args[1])
	ts.Check(err)
	ts.Check(remote.Write(ref, img))
	digest, err := img.Digest()
	ts.Check(err)
	ts.Setenv(args[0], digest.String())
}

// graft gives one image the signatures of another.
func graft(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 2, "graft FROM TO")
	from, err := name.NewDigest(args[0])
	ts.Check(err)
	to, err := name.NewDigest(args[1])
	ts.Check(err)
	target, err := remote.Head(to)
	ts.Check(err)
	index, err := remote.Referrers(from)
	ts.Check(err)
	list, err := index.IndexManifest()
	ts.Check(err)
	for _, desc := range list.Manifests {
		evidence, err := remote.Image(from.Digest(desc.Digest.String()))
		ts.Check(err)
		moved, ok := mutate.Subject(evidence, *target).(v1.Image)
		if !ok {
			ts.Fatalf("%s is no image manifest", desc.Digest)
		}
		digest, err := moved.Digest()
		ts.Check(err)
		ts.Check(remote.Write(to.Digest(digest.String()), moved))
	}
	if len(list.Manifests) == 0 {
		ts.Fatalf("nothing refers to %s", from)
	}
}

func imposter(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 2, "imposter NAME ANSWER")
	answer := ts.ReadFile(args[1])
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, answer) }))
	ts.Defer(s.Close)
	ts.Setenv(args[0], s.URL)
}
