// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"slices"
	"strings"
	"testing"
)

// The model of the disk must see each way to acknowledge too early; otherwise
// the test over the real trace proves nothing.
func TestTheDiskModelFindsWhatIsNotSynced(t *testing.T) {
	const (
		create = `1 1:1 openat(AT_FDCWD</>, "/d/tmp", O_WRONLY|O_CREAT|O_EXCL, 0644) = 3</d/tmp>`
		osync  = `1 1:1 openat(AT_FDCWD</>, "/d/tmp", O_WRONLY|O_CREAT|O_EXCL|O_SYNC, 0644) = 3</d/tmp>`
		write  = `1 1:1 write(3</d/tmp>, "x", 1) = 1`
		fsync  = `1 1:1 fsync(3</d/tmp>) = 0`
		rename = `1 1:1 renameat(AT_FDCWD</>, "/d/tmp", AT_FDCWD</>, "/d/f") = 0`
		dir    = `1 1:1 fsync(4</d>) = 0`
		sent   = `1 1:1 write(5<TCP:[127.0.0.1:1->127.0.0.1:2]>, "HTTP/1.1 201 Created"..., 9) = 9`
	)
	for _, tc := range []struct {
		name  string
		trace []string
		lost  string
	}{
		{"all in order", []string{create, write, fsync, rename, dir, sent}, ""},
		{"written with O_SYNC", []string{osync, write, rename, dir, sent}, ""},
		{"synced in place", []string{create, write, fsync, dir, sent}, ""},
		{"data never synced", []string{create, write, rename, dir, sent}, "content of /d/f"},
		{"data synced before it was written", []string{create, fsync, write, rename, dir, sent}, "content of /d/f"},
		{"folder never synced", []string{create, write, fsync, rename, sent}, "name of /d/f"},
		{"folder synced before the rename", []string{create, write, fsync, dir, rename, sent}, "name of /d/f"},
		{"folder sync failed", []string{create, write, fsync, rename, `1 1:1 fsync(4</d>) = -1 EIO (Input/output error)`, sent}, "name of /d/f"},
		{"another folder synced", []string{create, write, fsync, rename, `1 1:1 fsync(4</e>) = 0`, sent}, "name of /d/f"},
		{"folder sync still under way", []string{create, write, fsync, rename, `2 1:1 fsync(4</d> <unfinished ...>`, sent}, "name of /d/f"},
		{"folder sync began before the rename returned", []string{create, write, fsync, `2 1:1 fsync(4</d> <unfinished ...>`, rename, `2 1:1 <... fsync resumed>) = 0`, sent}, "name of /d/f"},
		{"folder sync began after it", []string{create, write, fsync, rename, `2 1:1 fsync(4</d> <unfinished ...>`, `2 1:1 <... fsync resumed>) = 0`, sent}, ""},
		{"folder sync began when the new content had been read", []string{osync, write, `2 1:1 renameat(AT_FDCWD</>, "/d/tmp", AT_FDCWD</>, "/d/f" <unfinished ...>`,
			`1 1:1 read(6</d/f>, "x", 512) = 1`, dir, sent, `2 1:1 <... renameat resumed>) = 0`}, ""},
		{"folder sync began when the old content had been read", []string{osync, write, `2 1:1 renameat(AT_FDCWD</>, "/d/tmp", AT_FDCWD</>, "/d/f" <unfinished ...>`,
			`1 1:1 read(6</d/f>, "y", 512) = 1`, dir, `2 1:1 <... renameat resumed>) = 0`, sent}, "name of /d/f"},
		{"synchronous write still under way", []string{osync, `1 1:1 write(3</d/tmp>, "x", 1 <unfinished ...>`, `2 1:1 fsync(4</d>) = 0`, `2` + sent[1:]}, "content of /d/tmp"},
		{"new folder not synced", []string{`1 1:1 mkdirat(AT_FDCWD</>, "/d/new", 0755) = 0`, sent}, "name of /d/new"},
		{"new folder synced", []string{`1 1:1 mkdirat(AT_FDCWD</>, "/d/new", 0755) = 0`, dir, sent}, ""},
		{"the folder itself not synced", []string{`1 1:1 mkdirat(AT_FDCWD</>, "/d", 0755) = 0`, sent}, "name of /d"},
		{"moved with its content", []string{create, write, rename, `1 1:1 rename("/d", "/e") = 0`, sent}, ""},
		{"appended to after the sync", []string{create, write, fsync, rename, dir, `1 1:1 pwrite64(3</d/f>, "x", 1, 1) = 1`, sent}, "content of /d/f"},
		{"linked, not synced", []string{osync, write, `1 1:1 linkat(AT_FDCWD</>, "/d/tmp", AT_FDCWD</>, "/d/f", 0) = 0`, `1 1:1 unlinkat(AT_FDCWD</>, "/d/tmp", 0) = 0`, sent}, "name of /d/f"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			calls, err := parseTrace(strings.Join(tc.trace, "\n"))
			if err != nil {
				t.Fatal(err)
			}
			d, err := replay(calls, func(c call) bool { return c.sends("127.0.0.1:2", "HTTP/1.1 201") })
			if err != nil {
				t.Fatal(err)
			}
			lost := d.lost("/d", "/d", func(string) bool { return false })
			if tc.lost == "" && len(lost) > 0 || tc.lost != "" && !slices.Equal(lost, []string{tc.lost}) {
				t.Errorf("lost %q, want %q", lost, tc.lost)
			}
		})
	}
}

func TestTheTraceIsReadWhole(t *testing.T) {
	calls, err := parseTrace(strings.Join([]string{
		`7 18:35:34.760628 fsync(9</tmp/d> <unfinished ...>`,
		`8 18:35:34.760629 --- SIGURG {si_signo=SIGURG, si_code=SI_TKILL, si_pid=7, si_uid=0} ---`,
		`8 18:35:34.760630 unlinkat(9</tmp/d>, "f", 0) = -1 ENOENT (No such file or directory)`,
		`7 18:35:34.760640 <... fsync resumed>) = 0`,
		`8 18:35:34.760650 write(18<TCP:[127.0.0.1:1->127.0.0.1:2]>, "HTTP/1.1 200 OK\r\nA: \")\" = 1"..., 40) = 40`,
		`8 18:35:34.760655 ???( <unfinished ...>`,
		`8 18:35:34.760656 <... ??? resumed>) = ?`,
		`8 18:35:34.760660 +++ exited with 0 +++`,
	}, "\n"))
	if err != nil {
		t.Fatal(err)
	}
	if len(calls) != 6 || calls[0].name != "fsync" || calls[0].returns || calls[3].name != "fsync" || !calls[3].returns {
		t.Fatalf("%+v", calls)
	}
	if p := calls[1].paths(); len(p) != 1 || p[0] != "/tmp/d/f" || calls[2].result != -1 {
		t.Errorf("%+v: paths %q", calls[2], p)
	}
	if _, to := calls[4].fd(); to != "TCP:[127.0.0.1:1->127.0.0.1:2]" || !calls[4].sends("127.0.0.1:2", "HTTP/1.1 200") || calls[5].result != 40 {
		t.Errorf("%+v: to %q", calls[4], to)
	}
	for _, bad := range []string{"nonsense", "7 1:1 nonsense", "7 1:1 <... fsync resumed>) = 0"} {
		if _, err := parseTrace(bad); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}
