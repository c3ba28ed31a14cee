// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/term"

	"hallmark/internal/format/bundle"
	"hallmark/internal/format/digest"
	"hallmark/internal/judge/verify"
	"hallmark/internal/service/trust"
)

// bundleSuffix is what the name of a file's bundle adds to the file's.
const bundleSuffix = ".sigstore.json"

// blobsFlags say which artifacts are verified with which bundles.
type blobsFlags struct {
	bundle, dir, list string
	jobs              int
}

func (b *blobsFlags) bind(f *pflag.FlagSet) {
	f.StringVar(&b.bundle, "bundle", "", "`FILE` with the signature bundle (default: the artifact's name and "+bundleSuffix+")")
	f.StringVar(&b.dir, "bundle-dir", "", "`DIR` with the bundles, each called as its artifact and "+bundleSuffix)
	f.StringVar(&b.list, "list", "", "`FILE` with an artifact (a file or a digest) and its bundle on each line, separated by a tab or spaces; - is standard input")
	f.IntVarP(&b.jobs, "jobs", "j", 0, "how many to verify at the same time (default: one for each processor)")
}

// several says whether the answer is a list, and refuses what makes no sense.
func (b *blobsFlags) several(args []string) (bool, error) {
	switch {
	case b.jobs < 0:
		return false, usageError{fmt.Errorf("--jobs %d: expected at least 1", b.jobs)}
	case b.list != "" && len(args) > 0:
		return false, usageError{errors.New("--list names the artifacts: give no others")}
	case b.list == "" && len(args) == 0:
		return false, usageError{errors.New("missing argument FILE")}
	case b.bundle != "" && (b.dir != "" || b.list != "" || len(args) > 1):
		return false, usageError{errors.New("--bundle is for one FILE: name the others' bundles by --bundle-dir or --list")}
	}
	if len(args) > 1 {
		for _, file := range args {
			if _, err := b.bundleOf(file); err != nil {
				return false, err
			}
		}
	}
	return b.list != "" || b.dir != "" || len(args) > 1, nil
}

// bundleOf is where the bundle of an artifact is by convention.
func (b *blobsFlags) bundleOf(file string) (string, error) {
	_, err := digest.Parse(file)
	switch {
	case file == "-" || err == nil:
		return "", usageError{fmt.Errorf("which signature of %s? Give --bundle FILE, or its name beside it in a --list", file)}
	case b.dir != "":
		return filepath.Join(b.dir, filepath.Base(file)+bundleSuffix), nil
	}
	return file + bundleSuffix, nil
}

// pair is an artifact with its bundle.
type pair struct{ file, bundle string }

// pairs gives the artifacts one by one, so that a long list is never in memory.
func (b *blobsFlags) pairs(a *app, args []string) iter.Seq2[pair, error] {
	return func(yield func(pair, error) bool) {
		for _, file := range args {
			name, err := b.bundleOf(file)
			if !yield(pair{file, name}, err) || err != nil {
				return
			}
		}
		if b.list == "" {
			return
		}
		in, name, err := a.openArtifact(b.list)
		if err != nil {
			yield(pair{}, fmt.Errorf("--list: %w", err))
			return
		}
		defer in.Close()
		lines := bufio.NewScanner(in)
		for n := 1; lines.Scan(); n++ {
			p, ok, err := b.line(lines.Text())
			if err != nil {
				err = fmt.Errorf("--list: %s, line %d: %w", name, n, err)
			}
			if (ok || err != nil) && !yield(p, err) || err != nil {
				return
			}
		}
		if err := lines.Err(); err != nil {
			yield(pair{}, fmt.Errorf("--list: %s: %w", name, err))
		}
	}
}

// line reads a line of a list; ok is false for one that says nothing.
func (b *blobsFlags) line(text string) (p pair, ok bool, err error) {
	text = strings.TrimSpace(text)
	if text == "" || text[0] == '#' {
		return pair{}, false, nil
	}
	fields := strings.Split(text, "\t")
	if len(fields) == 1 {
		fields = strings.Fields(text)
	}
	switch {
	case len(fields) > 2 || fields[0] == "-":
		return pair{}, false, fmt.Errorf("expected an artifact and its bundle, found %.200q; put a tab between names with spaces in them", text)
	case len(fields) == 2:
		return pair{fields[0], fields[1]}, true, nil
	}
	name, err := b.bundleOf(fields[0])
	return pair{fields[0], name}, err == nil, err
}

// blobs verifies many artifacts at the same time.
type blobs struct {
	app    *app
	active *trust.Active
	policy verify.Policy
	memo   verify.Memo
}

// verifyAll verifies the pairs with as many workers as wanted and hands the
// reports on in the order of the pairs. At most a few for each worker are in
// memory, however many there are.
func (b *blobs) verifyAll(ctx context.Context, workers int, pairs iter.Seq2[pair, error], each func(*report) error) error {
	type job struct {
		pair pair
		done chan *report
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	todo, order := make(chan job), make(chan job, 8*workers)
	var listErr error // read after order is closed
	go func() {
		defer close(order)
		defer close(todo)
		for p, err := range pairs {
			if err != nil {
				listErr = err
				return
			}
			j := job{p, make(chan *report, 1)}
			for _, to := range []chan<- job{todo, order} {
				select {
				case to <- j:
				case <-ctx.Done():
					return
				}
			}
		}
	}()
	for range workers {
		go func() {
			for j := range todo {
				j.done <- b.verify(j.pair)
			}
		}()
	}
	for {
		j, ok, err := receive(ctx, order)
		if err != nil {
			return err
		}
		if !ok {
			return cmp.Or(listErr, ctx.Err())
		}
		r, _, err := receive(ctx, j.done)
		if err != nil {
			return err
		}
		if err := each(r); err != nil {
			return err
		}
	}
}

// receive waits for the next value, until ctx is done; ok is false after the last.
func receive[T any](ctx context.Context, from <-chan T) (v T, ok bool, err error) {
	select {
	case v, ok = <-from:
	case <-ctx.Done():
		err = ctx.Err()
	}
	return v, ok, err
}

// verify never fails: what prevents judging is the artifact's verdict.
func (b *blobs) verify(p pair) *report {
	r := &report{Reference: p.file, Candidates: []verdict{}}
	v := verdict{File: p.bundle}
	data, err := readSized(p.bundle, bundle.MaxSize)
	if err != nil {
		r.Candidates = append(r.Candidates, v.refuse(codeUnreadable, err))
		return r
	}
	evidence, err := parseBundle(data)
	if err != nil {
		r.Candidates = append(r.Candidates, v.refuse(codeMalformed, err))
		return r
	}
	v.Format = formatBundle
	artifact, err := readArtifact(b.app, p.file, evidence, b.policy.Key)
	if err != nil {
		r.refuse(codeUnreadable, err)
		return r
	}
	r.Digest = artifact.Digests[0].String()
	verified, err := b.memo.Check(evidence, artifact, b.active.Root, b.policy)
	if err != nil {
		v = v.judge(err, evidence)
	} else {
		v = v.accept(verified)
	}
	r.Candidates = append(r.Candidates, v)
	r.Verified = v.Accepted
	return r
}

// run verifies the pairs, prints a line for each or the JSON form, and fails
// with code 1 unless all are verified.
func (b *blobs) run(ctx context.Context, workers int, pairs iter.Seq2[pair, error], out *outputFlags) error {
	if workers == 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	w := bufio.NewWriterSize(b.app.Out, 64<<10)
	show, end, err := out.stream(b.app, w, b.active)
	if err != nil {
		return err
	}
	tick := b.app.ticker()
	all, good := 0, 0
	err = b.verifyAll(ctx, workers, pairs, func(r *report) error {
		all++
		if r.Verified {
			good++
		}
		tick(all)
		return show(r)
	})
	tick(0)
	if err == nil && all == 0 {
		err = errors.New("--list names no artifact")
	}
	if endErr := end(all, good); err == nil {
		err = endErr
	}
	if flushErr := w.Flush(); err == nil {
		err = flushErr
	}
	if err == nil && good < all {
		err = fmt.Errorf("%d of %s not verified", all-good, count(all, "artifact"))
	}
	return err
}

// stream prints reports one by one, in the text of a list or the form that
// [outputFlags.print] gives them together.
func (o *outputFlags) stream(a *app, w *bufio.Writer, active *trust.Active) (each func(*report) error, end func(all, good int) error, err error) {
	if o.format == "text" {
		c := a.colours()
		f, ok := a.Out.(*os.File)
		live := ok && term.IsTerminal(int(f.Fd()))
		return func(r *report) error {
				r.line(w, c)
				if live {
					return w.Flush()
				}
				return nil
			}, func(all, good int) error {
				_, err := fmt.Fprintf(w, "%s: %d verified, %d not, under trust root %s\n", count(all, "artifact"), good, all-good, describeTrust(active, a.Now()))
				return err
			}, nil
	}
	var whole bytes.Buffer
	empty := *a
	empty.World = &World{Out: &whole}
	if err := o.print(&empty, nil, active); err != nil {
		return nil, nil, err
	}
	head, tail, _ := strings.Cut(whole.String(), `"artifacts": []`)
	next := head + `"artifacts": [`
	return func(r *report) error {
			var text bytes.Buffer
			enc := json.NewEncoder(&text)
			enc.SetIndent("    ", "  ")
			enc.SetEscapeHTML(false)
			if err := enc.Encode(r); err != nil {
				return err
			}
			_, err := fmt.Fprintf(w, "%s\n    %s", next, bytes.TrimSpace(text.Bytes()))
			next = ","
			return err
		}, func(all, _ int) error {
			if all == 0 {
				_, err := w.WriteString(whole.String())
				return err
			}
			_, err := fmt.Fprintf(w, "\n  ]%s", tail)
			return err
		}, nil
}

// line prints an artifact of a list: who signed it, or why that is not known.
func (r *report) line(w io.Writer, c colours) {
	if r.Verified {
		s := r.Candidates[0].Signature
		who := s.Identity
		if s.ManagedKey {
			who = "the given key"
		}
		fmt.Fprintf(w, "%s✓%s %s  %s\n", c.good, c.off, printable(r.Reference), printable(who))
		return
	}
	code, reason := r.Code, r.Reason
	for _, v := range r.Candidates {
		code, reason = v.Code, v.Reason
	}
	fmt.Fprintf(w, "%s✗%s %s  %s: %s\n", c.bad, c.off, printable(r.Reference), code, printable(reason))
}

// ticker shows how many are done, where standard error is a terminal and the
// lines themselves go elsewhere; 0 takes it away.
func (a *app) ticker() func(done int) {
	if f, ok := a.Out.(*os.File); a.quiet || !a.terminal() || ok && term.IsTerminal(int(f.Fd())) {
		return func(int) {}
	}
	var last time.Time
	return func(done int) {
		switch now := a.Now(); {
		case done == 0:
			fmt.Fprint(a.Err, "\r\x1b[K")
		case now.Sub(last) > 100*time.Millisecond:
			last = now
			fmt.Fprintf(a.Err, "\r\x1b[K%s…", count(done, "artifact"))
		}
	}
}

// readSized is readFile for many files: it asks how large each is first.
func readSized(path string, max int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var into bytes.Buffer
	if fi, err := f.Stat(); err == nil && fi.Mode().IsRegular() && fi.Size() <= max {
		into.Grow(int(fi.Size()) + bytes.MinRead)
	}
	if _, err := into.ReadFrom(io.LimitReader(f, max+1)); err != nil {
		return nil, err
	}
	if int64(into.Len()) > max {
		return nil, fmt.Errorf("%s is larger than the limit of %d bytes", path, max)
	}
	return into.Bytes(), nil
}
