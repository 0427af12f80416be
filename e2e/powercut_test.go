//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nodeseal/nodeseal/e2e/harness"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

// TestCrashPowerCut imports to a disk that is an image file on XFS, and clones
// that file in one ioctl while the import runs: the clone is the disk as a power
// cut would leave it, without what was not written yet. On each clone either no
// store is visible or a whole one, and one more import makes it whole.
func TestCrashPowerCut(t *testing.T) {
	for format, want := range forms() {
		t.Run(format, func(t *testing.T) {
			c := newCrash(t, want)
			for _, fs := range []string{"ext4", "xfs", "btrfs"} {
				t.Run(fs, func(t *testing.T) { c.testPowerCut(t, fs) })
			}
		})
	}
}

// TestCrashPowerCutSlots does the same to import and reseal into a slot in the form
// of an image: after each cut the machine starts and mounts its slots. Both are valid
// stores, empty or whole, the other one is what it was, and the same command finishes.
func TestCrashPowerCutSlots(t *testing.T) {
	c := newCrash(t, wantImage)
	whole := c.form
	for _, command := range []string{"import", "reseal"} {
		t.Run(command, func(t *testing.T) {
			c.form = newSlotForm(t, command, whole, c.older)
			for _, fs := range []string{"ext4", "xfs", "btrfs"} {
				t.Run(fs, func(t *testing.T) { c.testPowerCut(t, fs) })
			}
		})
	}
}

func (c *crash) testPowerCut(t *testing.T, fs string) {
	backing := testenv.NeedFSOfSize(t, "xfs", 6<<30)
	disk := filepath.Join(backing, "disk")
	harness.Must(t, "truncate", "-s", "400M", disk)
	harness.Must(t, "mkfs."+fs, "-q", disk)
	point := t.TempDir()
	t.Cleanup(func() { _ = exec.Command("umount", "-R", point).Run() }) // if the test fails
	visible := 0
	moments := c.moments(t, max(cuts, len(c.form.seen())))
	for i, m := range moments {
		clone := fmt.Sprintf("%s-%d", disk, i)
		harness.Must(t, "mount", "-o", "loop", disk, point)
		c.form.prepare(t, point)
		p := c.start(t, point)
		m.await(point, p.Over())
		cloneFile(t, disk, clone)
		_ = p.Kill(t)             // what it does now is lost anyway
		testenv.Unmount(t, point) // with what the library had mounted

		harness.Must(t, "mount", "-o", "loop", clone, point)
		otherBoot(t, point)
		if c.form.visible(t, point) {
			visible++
		}
		c.finish(t, point)
		testenv.Unmount(t, point)
		if err := os.Rename(clone, disk); err != nil { // it goes on from here, with an empty disk
			t.Fatal(err)
		}
	}
	t.Logf("%d power cuts, behind %d of them a whole store", len(moments), visible)
}

// cloneFile clones a file at one moment.
func cloneFile(t *testing.T, from, to string) {
	t.Helper()
	src, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	dst, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	defer dst.Close()
	if err := unix.IoctlFileClone(int(dst.Fd()), int(src.Fd())); err != nil {
		t.Fatalf("cloning the disk: %v", err)
	}
}

// otherBoot makes the records of an interrupted import those of another boot,
// as they would be after a power cut.
func otherBoot(t *testing.T, dir string) {
	t.Helper()
	boot := bytes.TrimSpace(harness.ReadFile(t, "/proc/sys/kernel/random/boot_id"))
	records, err := filepath.Glob(filepath.Join(dir, ".store.partial/records/*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range records {
		data := bytes.ReplaceAll(harness.ReadFile(t, path), boot, []byte("00000000-0000-0000-0000-000000000000"))
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
