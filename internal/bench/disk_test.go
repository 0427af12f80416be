//go:build bench

package bench

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nodeseal/nodeseal/internal/testenv"
)

// fsVar names the type of the file systems that stores are written to, "ext4" or "xfs"; it
// is xfs, which nodes have, where it is not set.
const fsVar = "NODESEAL_BENCH_FS"

// diskSize has room for two stores of the largest set.
const diskSize = 20 << 30

// disksInUse are the numbers of the disks that running tests have.
var disksInUse = make(map[int]bool)

// fresh returns a directory on a new file system. Nothing was ever deleted there: ext4
// does not give an inode out again for minutes after its file was deleted, and
// each new file looks at all of those. The device is a file that has all its
// blocks, as a disk has: one with holes would get them while it is measured.
func fresh(t testing.TB) string {
	t.Helper()
	fsType := cmp.Or(os.Getenv(fsVar), "xfs")
	number := 0
	for disksInUse[number] {
		number++
	}
	disksInUse[number] = true
	t.Cleanup(func() { delete(disksInUse, number) })
	disk := filepath.Join(cacheDir(t), fmt.Sprintf("disk-%d", number))
	writeDisk(t, disk)
	flags := []string{"-q", "-f", "-K"}
	if fsType == "ext4" {
		// All of it now, and not in the background later.
		flags = []string{"-q", "-F", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0"}
	}
	_, out, err := run(exec.Command(testenv.NeedTool(t, "mkfs."+fsType), append(flags, disk)...))
	if err != nil {
		t.Fatalf("mkfs: %v: %s", err, out)
	}
	dir := testenv.Mount(t, fsType, "-o", "loop", disk)
	source, err := exec.Command(testenv.NeedTool(t, "findmnt"), "-n", "-o", "SOURCE", dir).Output()
	check(t, err)
	// Without a second page cache below it.
	_, _, err = run(exec.Command(testenv.NeedTool(t, "losetup"), "--direct-io=on", strings.TrimSpace(string(source))))
	check(t, err)
	return dir
}

// writeDisk writes a disk to its end, where it is not there.
func writeDisk(t testing.TB, path string) {
	t.Helper()
	if info, err := os.Stat(path); err == nil && info.Size() == diskSize {
		return
	}
	f, err := os.Create(path + ".part")
	check(t, err)
	zeros := make([]byte, 4<<20)
	for range diskSize / len(zeros) {
		_, err := f.Write(zeros)
		check(t, err)
	}
	check(t, errors.Join(f.Sync(), f.Close(), os.Rename(path+".part", path)))
}
