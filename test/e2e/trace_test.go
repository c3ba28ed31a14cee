// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bufio"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// tracedCalls are those that change what is on a disk, bring it there, show that
// it is changed, or carry bytes to a client.
const tracedCalls = "read,open,openat,openat2,creat,write,writev,pwrite64,pwritev,pwritev2,sendto,sendmsg,sendfile,splice,copy_file_range," +
	"fsync,fdatasync,syncfs,sync,sync_file_range,msync,truncate,ftruncate,fallocate," +
	"rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,rmdir,mkdir,mkdirat"

// straceLine gives the command line that hallmarkd's is appended to. File
// descriptors are printed with their paths and socket addresses.
func straceLine(t testing.TB, output string) []string {
	t.Helper()
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		if path := filepath.Join(dir, "strace"); isFile(path) {
			return []string{path, "-f", "-tt", "-yy", "-s", "64", "-e", "trace=" + tracedCalls, "-o", output}
		}
	}
	t.Fatal("strace is not installed: apt-get update && apt-get install -y strace (.ci/run does so)")
	return nil
}

func isFile(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && fi.Mode().IsRegular()
}

// call is one end of a system call: its entry, or its return.
type call struct {
	line    int
	name    string
	args    string
	returns bool // this is the return, and result holds
	result  int
	path    string // that strace printed for the result, a file descriptor
}

var (
	traceLine  = regexp.MustCompile(`^(\d+) +[\d:.]+ (.*)$`)
	wholeCall  = regexp.MustCompile(`^(\w+)\((.*)\) += (\S+?)(?:<(.*)>)?(?:\(deleted\))?(?: .*)?$`)
	cutCall    = regexp.MustCompile(`^(\w+)\((.*) <unfinished \.\.\.>$`)
	resumed    = regexp.MustCompile(`^<\.\.\. (\w+) resumed>(.*)\) += (\S+?)(?:<(.*)>)?(?:\(deleted\))?(?: .*)?$`)
	descriptor = regexp.MustCompile(`^(\d+)<(.*?)>(?:\(deleted\))?(?:,|$)`)
	pathArg    = regexp.MustCompile(`^(?:(AT_FDCWD|\d+)<(.*?)>(?:\(deleted\))?, )?"([^"]*)"(?:\.\.\.)?(?:, |$)`)
)

// parseTrace turns what strace wrote into calls, in the order in which the
// kernel entered and left them.
func parseTrace(trace string) ([]call, error) {
	var out []call
	open := map[string]call{} // by thread
	lines := bufio.NewScanner(strings.NewReader(trace))
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		m := traceLine.FindStringSubmatch(lines.Text())
		if m == nil {
			return nil, fmt.Errorf("line %d of the trace: %q", n, lines.Text())
		}
		thread, text := m[1], m[2]
		if strings.HasPrefix(text, "???(") || strings.HasPrefix(text, "<... ??? resumed>") {
			continue // a thread that ended before strace saw what it was about to do
		}
		if m := cutCall.FindStringSubmatch(text); m != nil {
			c := call{line: n, name: m[1], args: m[2]}
			open[thread] = c
			out = append(out, c)
		} else if m := resumed.FindStringSubmatch(text); m != nil {
			c := open[thread]
			if c.name != m[1] {
				return nil, fmt.Errorf("line %d of the trace: %s was not under way in thread %s", n, m[1], thread)
			}
			delete(open, thread)
			c.args += m[2]
			out = append(out, c.returned(n, m[3], m[4]))
		} else if m := wholeCall.FindStringSubmatch(text); m != nil {
			c := call{line: n, name: m[1], args: m[2]}
			out = append(out, c, c.returned(n, m[3], m[4]))
		} else if !strings.HasPrefix(text, "--- ") && !strings.HasPrefix(text, "+++ ") {
			return nil, fmt.Errorf("line %d of the trace: %q", n, text)
		}
	}
	return out, lines.Err()
}

func (c call) returned(line int, result, path string) call {
	c.line, c.returns, c.path = line, true, path
	c.result, _ = strconv.Atoi(result) // "?": the thread ended; counts as 0 bytes written
	return c
}

// fd gives the call's first argument as a file descriptor and what is behind it.
func (c call) fd() (n int, path string) {
	m := descriptor.FindStringSubmatch(c.args)
	if m == nil {
		return -1, ""
	}
	n, _ = strconv.Atoi(m[1])
	return n, m[2]
}

// paths gives the call's path arguments, absolute.
func (c call) paths() []string {
	var out []string
	for rest := c.args; ; {
		m := pathArg.FindStringSubmatch(rest)
		if m == nil {
			return out
		}
		path := m[3]
		if !filepath.IsAbs(path) {
			path = filepath.Join(m[2], path)
		}
		out = append(out, filepath.Clean(path))
		rest = rest[len(m[0]):]
	}
}

// sends reports whether the call carries bytes that begin with prefix to the
// client at the given address.
func (c call) sends(client, prefix string) bool {
	switch c.name {
	case "write", "writev", "sendto", "sendmsg":
		_, to := c.fd()
		return strings.Contains(to, "->"+client+"]") && strings.Contains(c.args, `"`+prefix)
	}
	return false
}

// disk is what would be left of the files if the power failed now: nothing that
// was written and not synced since counts. It is strict where POSIX leaves room:
// a file's name lives only once its folder was synced after it got the name.
type disk struct {
	step   int
	exists map[string]bool
	data   map[string]int  // written, not synced: step of the last write
	names  map[string]int  // made or renamed, folder not synced: step of the last change
	sync   map[int]bool    // file descriptors whose writes return when they are on the disk
	begun  map[string]sets // syncs under way, by their arguments
	last   map[string]int  // step of the last write to a path or rename onto it

	content map[string]string // how the last write to a file began
	moving  map[string]string // renames that have not returned: from, by to
}

// sets is what a sync that began then covers.
type sets struct{ data, names map[string]int }

func newDisk() *disk {
	return &disk{exists: map[string]bool{}, data: map[string]int{}, names: map[string]int{}, sync: map[int]bool{},
		begun: map[string]sets{}, last: map[string]int{},
		content: map[string]string{}, moving: map[string]string{}}
}

// apply takes the next call.
func (d *disk) apply(c call) error {
	d.step++
	if c.returns && c.result < 0 {
		return nil
	}
	switch c.name {
	case "open", "openat", "openat2", "creat":
		d.opened(c)
	case "write", "writev", "pwrite64", "pwritev", "pwritev2":
		d.wrote(c)
	case "ftruncate", "fallocate":
		_, path := c.fd()
		d.dirty(path)
	case "fsync", "fdatasync":
		d.synced(c)
	case "mkdir", "mkdirat":
		for _, p := range c.paths() {
			d.named(p)
		}
	case "rename", "renameat", "renameat2":
		d.renamed(c)
	case "link", "linkat":
		d.linked(c)
	case "read":
		d.read(c)
	case "unlink", "unlinkat", "rmdir":
		if c.returns {
			for _, p := range c.paths() {
				d.forget(p)
			}
		}
	case "sendto", "sendmsg":
	default: // a way to change files that this model does not know
		if !onSocket(c) {
			return fmt.Errorf("line %d of the trace: the model does not know %s(%s)", c.line, c.name, c.args)
		}
	}
	return nil
}

func onSocket(c call) bool {
	_, path := c.fd()
	return path != "" && !strings.HasPrefix(path, "/")
}

func (d *disk) dirty(path string) {
	if strings.HasPrefix(path, "/") {
		d.data[path], d.last[path] = d.step, d.step
	}
}

func (d *disk) named(path string) {
	d.exists[path] = true
	d.names[path] = d.step
}

func (d *disk) opened(c call) {
	if !c.returns {
		return
	}
	d.sync[c.result] = strings.Contains(c.args, "O_SYNC") || strings.Contains(c.args, "O_DSYNC")
	paths := c.paths()
	if len(paths) == 0 {
		return
	}
	if strings.Contains(c.args, "O_TRUNC") {
		d.dirty(paths[0])
	}
	if strings.Contains(c.args, "O_CREAT") && !d.exists[paths[0]] {
		d.named(paths[0])
	}
}

func (d *disk) wrote(c call) {
	n, path := c.fd()
	if c.returns && d.sync[n] {
		delete(d.data, path)
		return
	}
	d.dirty(path)
	d.content[path] = quoted(c.args)
}

// synced lets a sync cover what was done before it began, once it has returned.
func (d *disk) synced(c call) {
	_, path := c.fd()
	key := c.args
	if !c.returns {
		d.begun[key] = sets{maps.Clone(d.data), maps.Clone(d.names)}
		return
	}
	before := d.begun[key]
	delete(d.begun, key)
	if d.data[path] == before.data[path] {
		delete(d.data, path)
	}
	for name, when := range before.names {
		if filepath.Dir(name) == path && d.names[name] == when {
			delete(d.names, name)
		}
	}
}

func (d *disk) renamed(c call) {
	paths := c.paths()
	if len(paths) != 2 {
		return
	}
	from, to := paths[0], paths[1]
	if !c.returns {
		d.named(to)
		d.moving[to] = from
	} else if d.moving[to] == from {
		d.move(from, to)
	}
}

// read notices a rename that has happened, though strace has not yet seen it
// return: its target has the new content.
func (d *disk) read(c call) {
	_, path := c.fd()
	if from, ok := d.moving[path]; ok && c.returns && quoted(c.args) != "" && d.content[from] == quoted(c.args) {
		d.move(from, path)
	}
}

func (d *disk) move(from, to string) {
	delete(d.moving, to)
	d.forget(to)
	for _, set := range []map[string]int{d.data, d.names} {
		for p, when := range maps.Clone(set) {
			if rest, ok := under(p, from); ok {
				delete(set, p)
				set[to+rest] = when
			}
		}
	}
	for p := range maps.Clone(d.exists) {
		if rest, ok := under(p, from); ok {
			delete(d.exists, p)
			d.exists[to+rest] = true
		}
	}
	d.content[to] = d.content[from]
	delete(d.content, from)
	d.named(to)
	d.last[to] = d.step
}

func (d *disk) linked(c call) {
	paths := c.paths()
	if len(paths) != 2 {
		return
	}
	from, to := paths[0], paths[1]
	if when, dirty := d.data[from]; c.returns && dirty {
		d.data[to] = when
	}
	d.named(to)
	d.last[to] = d.step
}

var text = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)

// quoted is the bytes that a call reads or writes, as far as strace shows them.
func quoted(args string) string { return text.FindString(args) }

// under reports whether path is folder or in it, and what follows.
func under(path, folder string) (rest string, ok bool) {
	rest, ok = strings.CutPrefix(path, folder)
	return rest, ok && (rest == "" || rest[0] == '/')
}

func (d *disk) forget(path string) {
	for _, set := range []map[string]int{d.data, d.names} {
		delete(set, path)
	}
	delete(d.exists, path)
}

// lost lists what of folder, the folders above it up to and including top, and
// everything in it would not survive, except for names that spared accepts.
func (d *disk) lost(top, folder string, spared func(path string) bool) []string {
	matters := func(path string) bool {
		_, in := under(path, folder)
		_, above := under(folder, path)
		_, inTop := under(path, top)
		return (in || above && inTop) && !spared(path)
	}
	var out []string
	for path := range d.data {
		if matters(path) {
			out = append(out, "content of "+path)
		}
	}
	for path := range d.names {
		if matters(path) {
			out = append(out, "name of "+path)
		}
	}
	slices.Sort(out)
	return out
}

// replay applies calls up to the first that meets until, which must come.
func (d *disk) replay(calls []call, until func(call) bool) error {
	for _, c := range calls {
		if until(c) {
			return nil
		}
		if err := d.apply(c); err != nil {
			return err
		}
	}
	return fmt.Errorf("none of the %d calls in the trace is the one looked for", len(calls))
}

// replay is [disk.replay] on a disk where everything is synced.
func replay(calls []call, until func(call) bool) (*disk, error) {
	d := newDisk()
	return d, d.replay(calls, until)
}
