package testenv

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// defaultFSSize is large enough for every file system that NeedFS makes: XFS
// wants 300 MB. The file is sparse.
const defaultFSSize = 400 << 20

// NeedFS makes an empty file system of a type ("ext4", "xfs", "btrfs", or one
// without a device: "tmpfs", "ramfs"), mounts it and returns where. The mount
// and all mounts below go away at the end of the test. It needs root.
func NeedFS(t testing.TB, fsType string) string {
	t.Helper()
	return NeedFSOfSize(t, fsType, defaultFSSize)
}

// NeedFSOfSize is NeedFS with a size in bytes, for tests of full disks.
func NeedFSOfSize(t testing.TB, fsType string, size int64) string {
	t.Helper()
	NeedRoot(t)
	if quiet, ok := mkfsFlags(fsType); ok {
		image := filepath.Join(imageDir(t, size), "image")
		makeImage(t, image, size, NeedTool(t, "mkfs."+fsType), quiet)
		return Mount(t, fsType, "-o", "loop", image)
	}
	return Mount(t, fsType, fsType)
}

// memory is a file system in memory that Linux usually has.
const memory = "/dev/shm"

// imageDir returns a new directory for the image of a small file system: in memory, if there
// is plenty. Tests write little and sync often, and no other work's disk is in their way.
func imageDir(t testing.TB, size int64) string {
	t.Helper()
	var st unix.Statfs_t
	if size > defaultFSSize || unix.Statfs(memory, &st) != nil || int64(st.Bavail)*int64(st.Bsize) < 8*size {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp(memory, "nodeseal-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) }) // after what is mounted from it is gone
	return dir
}

// Mount mounts a file system with the options and the source that mount has before the
// mount point, and returns where. The mount and all mounts below go away at the end of
// the test. It needs root.
func Mount(t testing.TB, fsType string, args ...string) string {
	t.Helper()
	point := filepath.Join(t.TempDir(), fsType)
	if err := os.Mkdir(point, 0o755); err != nil {
		t.Fatal(err)
	}
	args = append(append([]string{"-t", fsType}, args...), point)
	out, err := exec.Command(NeedTool(t, "mount"), args...).CombinedOutput()
	Require(t, err == nil, "the test needs to mount %s: %v: %s", fsType, err, out)
	t.Cleanup(func() { Unmount(t, point) })
	return point
}

// mkfsFlags are the flags that make mkfs of a type silent and willing; false
// for a type without a device.
func mkfsFlags(fsType string) ([]string, bool) {
	switch fsType {
	case "tmpfs", "ramfs":
		return nil, false
	case "vfat":
		return nil, true
	case "xfs", "btrfs":
		return []string{"-q", "-f"}, true
	default:
		return []string{"-q", "-F"}, true
	}
}

func makeImage(t testing.TB, image string, size int64, mkfs string, flags []string) {
	t.Helper()
	f, err := os.Create(image)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(mkfs, append(flags, image)...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", mkfs, err, out)
	}
}
