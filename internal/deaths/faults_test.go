//go:build deaths && linux

package deaths

import (
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestFaults lets system calls fail by which a command changes a disk: each kind of call on each
// kind of file, the first and the last time that a run makes it. What makes things durable fails
// with EIO, as on a bad disk; the first of the others with ENOSPC, the last with EIO.
//
// The command must say so, with exit code 1 or 5, or be able to do without that call. Nothing
// may be lost; when the disk is well again, the same command does its work, and nothing is left over.
//
// There are some thousand such calls. What makes things durable fails always, and of the others, and
// of those of the storage library in its scratch directory, every tenth; all of them with NODESEAL_DEATHS=all.
func TestFaults(t *testing.T) {
	if !canFail {
		t.Skip("calls are made to fail on amd64 only")
	}
	b := newBench(t)
	const part = 10
	done := make(map[string]bool)
	hit, missed, number := 0, 0, 0
	every := os.Getenv("NODESEAL_DEATHS") == "all"
	for _, form := range []string{"dir", "image"} {
		all := slices.DeleteFunc(scenarios(), func(s scenario) bool {
			return !slices.Contains([]string{"import", "reseal", "retire", "verify --repair", "import --store", "verify STORE --repair"}, s.name)
		})
		if form == "dir" { // what follows knows no form
			all = append(all, stagings(t)...)
		}
		for _, s := range all {
			t.Run(form+"/"+s.name, func(t *testing.T) {
				disk := b.makeDisk(t, "faults-"+strings.ReplaceAll(form+s.name, " ", "-"), s.size, func() { s.setup(t, b, form) })
				defer os.Remove(string(disk))
				for _, f := range b.faults(t, disk, &s, form) {
					key := form + "\n" + f.String()
					if done[key] {
						continue
					}
					done[key] = true
					if number++; !every && number%part != 0 && (!f.syncs() || strings.Contains(f.key, "check/")) {
						continue
					}
					t.Run(f.String(), func(t *testing.T) {
						if b.testFault(t, death{scenario: &s, form: form, disk: disk}, f) {
							hit++
						} else {
							missed++ // goroutines differ from run to run
						}
					})
				}
			})
		}
	}
	t.Logf("%d calls failed, %d were not made again", hit, missed)
	if missed*10 > hit {
		t.Errorf("%d calls of %d were not made again", missed, hit+missed)
	}
}

// fault is a call that fails.
type fault struct {
	key    string // the call, and the kind of file that it works on
	moment int    // how many such calls come before
	last   bool
	errno  unix.Errno
}

func (f fault) String() string {
	when := "first"
	if f.last {
		when = "last"
	}
	return fmt.Sprintf("%s, %s: %s", f.key, when, unix.ErrnoName(f.errno))
}

// syncs reports whether the call makes something durable.
func (f fault) syncs() bool {
	name, _, _ := strings.Cut(f.key, " ")
	return slices.Contains([]string{"fsync", "fdatasync", "syncfs"}, name)
}

// faults runs the command and tells which calls may fail.
func (b *bench) faults(t *testing.T, disk snapshot, s *scenario, form string) []fault {
	t.Helper()
	b.boot(t, disk, !s.one)
	defer b.unplug(t)
	var order []string
	count := make(map[string]int)
	log := b.log(t)
	exit, _, err := trace(command(log, b.bin, s.args(b, form)...), mayFail(), func(c call) verdict {
		if key := b.place(c); key != "" {
			if count[key] == 0 {
				order = append(order, key)
			}
			count[key]++
		}
		return verdict{}
	})
	must(t, err)
	if exit != 0 {
		said, _ := os.ReadFile(log.Name())
		t.Fatalf("nodeseal %s: exit code %d\n%s", strings.Join(s.args(b, form), " "), exit, said)
	}
	var all []fault
	for _, key := range order {
		f := fault{key: key, errno: unix.ENOSPC}
		if f.syncs() {
			f.errno = unix.EIO
		}
		all = append(all, f)
		if count[key] > 1 {
			all = append(all, fault{key: key, moment: count[key] - 1, last: true, errno: unix.EIO})
		}
	}
	return all
}

// testFault lets one call fail, and reports whether the command made it.
func (b *bench) testFault(t *testing.T, d death, f fault) bool {
	t.Helper()
	b.boot(t, d.disk, !d.one)
	defer b.unplug(t)
	seen, failed := 0, false
	log := b.log(t)
	exit, _, err := trace(command(log, b.bin, d.args(b, d.form)...), mayFail(), func(c call) verdict {
		if failed || b.place(c) != f.key {
			return verdict{}
		}
		seen++
		if failed = seen > f.moment; failed {
			return verdict{fail: f.errno}
		}
		return verdict{}
	})
	must(t, err)
	said, err := os.ReadFile(log.Name())
	must(t, err)
	if strings.Contains(string(said), "goroutine ") {
		t.Errorf("it panicked:\n%s", said)
	}
	if failed && (!slices.Contains([]int{0, 1, 5}, exit) || exit == 0 && f.syncs()) {
		t.Errorf("exit code %d\n%s", exit, said)
	}
	left := state(b.disk)
	n := next{name: "the same"}
	defer func() {
		if t.Failed() {
			t.Logf("exit code %d:\n%s\nafter the fault:\n%s\nat the end:\n%s", exit, said, left, state(b.disk))
		}
	}()
	if d.whole != nil {
		d.whole(t, b, false)
		if code, out := b.run(d.args(b, d.form)...); code != 0 {
			t.Errorf("the same command again: exit code %d\n%s", code, out)
		}
		d.whole(t, b, true)
		return failed
	}
	if d.one {
		b.endOne(t, d)
		return failed
	}
	b.held(t, d, n, left)
	b.end(t, d, n)
	return failed
}

// Calls that change what a descriptor stands for, by the number of its argument.
var descriptors = map[uint64]struct { //nolint:gochecknoglobals // a table
	name string
	fd   int
}{
	unix.SYS_WRITE: {"write", 0}, unix.SYS_PWRITE64: {"pwrite", 0}, unix.SYS_WRITEV: {"writev", 0}, unix.SYS_PWRITEV: {"pwritev", 0},
	unix.SYS_FTRUNCATE: {"ftruncate", 0}, unix.SYS_FALLOCATE: {"fallocate", 0},
	unix.SYS_FSYNC: {"fsync", 0}, unix.SYS_FDATASYNC: {"fdatasync", 0}, unix.SYS_SYNCFS: {"syncfs", 0},
	unix.SYS_COPY_FILE_RANGE: {"copy_file_range", 2}, unix.SYS_SENDFILE: {"sendfile", 0},
	unix.SYS_FCHMOD: {"fchmod", 0}, unix.SYS_FCHOWN: {"fchown", 0}, unix.SYS_FSETXATTR: {"fsetxattr", 0}, unix.SYS_IOCTL: {"ioctl", 0},
}

// Calls that change a name, by the numbers of its arguments; dir is -1 if it has none.
var paths = map[uint64]struct { //nolint:gochecknoglobals // a table
	name      string
	dir, path int
}{
	unix.SYS_OPENAT: {"openat", 0, 1}, unix.SYS_OPENAT2: {"openat2", 0, 1}, unix.SYS_MKDIRAT: {"mkdirat", 0, 1}, unix.SYS_MKNODAT: {"mknodat", 0, 1},
	unix.SYS_SYMLINKAT: {"symlinkat", 1, 2}, unix.SYS_LINKAT: {"linkat", 2, 3}, unix.SYS_RENAMEAT: {"renameat", 2, 3}, unix.SYS_RENAMEAT2: {"renameat2", 2, 3},
	unix.SYS_UNLINKAT: {"unlinkat", 0, 1}, unix.SYS_FCHMODAT: {"fchmodat", 0, 1}, unix.SYS_FCHOWNAT: {"fchownat", 0, 1}, unix.SYS_UTIMENSAT: {"utimensat", 0, 1},
	unix.SYS_LSETXATTR: {"lsetxattr", -1, 0}, unix.SYS_SETXATTR: {"setxattr", -1, 0}, unix.SYS_MOUNT: {"mount", -1, 1},
}

// mayFail are all of these calls.
func mayFail() []uint64 {
	return append(slices.Collect(maps.Keys(descriptors)), slices.Collect(maps.Keys(paths))...)
}

// place says what a call would change on the disk, in words that are the same for each run; ""
// if it changes nothing there.
func (b *bench) place(c call) string {
	if d, ok := descriptors[c.nr]; ok {
		return b.kind(d.name, open(c.pid, c.args[d.fd]))
	}
	p, ok := paths[c.nr]
	if !ok {
		return ""
	}
	switch {
	case c.nr == unix.SYS_OPENAT && c.args[2]&unix.O_CREAT == 0:
		return ""
	case c.nr == unix.SYS_OPENAT2 && binary.LittleEndian.Uint64(remember(c.pid, c.args[2], 8))&unix.O_CREAT == 0:
		return ""
	}
	name, _, _ := strings.Cut(string(remember(c.pid, c.args[p.path], unix.PathMax)), "\x00")
	if !strings.HasPrefix(name, "/") && p.dir >= 0 && int32(c.args[p.dir]) != unix.AT_FDCWD { //nolint:gosec // an argument of 32 bits
		name = open(c.pid, c.args[p.dir]) + "/" + name
	}
	return b.kind(p.name, name)
}

// open is the path that a process has open as fd.
func open(pid int, fd uint64) string {
	name, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", pid, int32(fd))) //nolint:gosec // an argument of 32 bits
	return name
}

// remember reads at most n bytes of a process, and at least 8.
func remember(pid int, at uint64, n int) []byte {
	buf := make([]byte, n)
	f, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		return buf
	}
	defer f.Close()
	for got := 0; got < n; { // the page after the string may not be there
		m, err := f.ReadAt(buf[got:min(n, got+256)], int64(at)+int64(got)) //nolint:gosec // an address
		got += m
		if err != nil {
			break
		}
	}
	return buf
}

var ofRun = regexp.MustCompile(`sha256:[0-9a-f]{64}|[0-9a-f]{64}|\b[A-Z0-9]{26}\b|[0-9]{3,}`)

// kind is a call with the kind of file below the disk that name is; "" if it is elsewhere.
func (b *bench) kind(call, name string) string {
	below, ok := strings.CutPrefix(name, b.disk+"/")
	if !ok {
		return ""
	}
	return call + " " + ofRun.ReplaceAllString(settled(strings.TrimSuffix(below, " (deleted)")), "ID")
}
