package stick

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nodeseal/nodeseal/internal/testenv"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(testenv.NeedTool(t, name), args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return strings.TrimSpace(string(out))
}

// device makes a block device of 320 MiB with the file system that mkfs makes.
func device(t *testing.T, mkfs ...string) string {
	t.Helper()
	testenv.NeedRoot(t)
	image := filepath.Join(t.TempDir(), "image")
	must(t, os.WriteFile(image, nil, 0o600))
	must(t, os.Truncate(image, 320<<20))
	if len(mkfs) > 0 {
		run(t, mkfs[0], append(mkfs[1:], image)...)
	}
	dev := run(t, "losetup", "--find", "--show", image)
	t.Cleanup(func() { _ = exec.Command("losetup", "--detach", dev).Run() })
	return dev
}

// TestMount: the file systems of sticks, without links, programs and devices; read-only
// until they are to be written; again after a run that was killed.
func TestMount(t *testing.T) {
	for _, mkfs := range [][]string{{"mkfs.ext4", "-q"}, {"mkfs.vfat", "-F", "32"}, {"mkfs.xfs", "-q"}} {
		t.Run(mkfs[0], func(t *testing.T) {
			dev, dir := device(t, mkfs...), filepath.Join(t.TempDir(), "stick")
			s, err := Mount(dev, dir)
			if errors.Is(err, unix.ENODEV) {
				t.Skipf("this kernel has not the file system: %v", err)
			}
			must(t, err)
			t.Cleanup(func() { _ = s.Close() })
			file := filepath.Join(dir, "file")
			if err := os.WriteFile(file, []byte("x"), 0o755); !errors.Is(err, unix.EROFS) {
				t.Errorf("written before it may be: %v", err)
			}
			must(t, s.Writable())
			must(t, os.WriteFile(file, []byte("#!/bin/sh\n"), 0o755))
			if err := exec.Command(file).Run(); !errors.Is(err, fs.ErrPermission) {
				t.Errorf("a program of the stick runs: %v", err)
			}
			if mkfs[0] != "mkfs.vfat" {
				link := filepath.Join(dir, "link")
				must(t, os.Symlink("/etc/passwd", link))
				if _, err := os.ReadFile(link); !errors.Is(err, unix.ELOOP) {
					t.Errorf("a link is followed: %v", err)
				}
				null := filepath.Join(dir, "null")
				must(t, unix.Mknod(null, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
				if _, err := os.ReadFile(null); !errors.Is(err, fs.ErrPermission) {
					t.Errorf("a device is opened: %v", err)
				}
			}
			again, err := Mount(dev, dir) // as after a kill
			must(t, err)
			if _, err := os.Stat(file); err != nil {
				t.Errorf("mounted again: %v", err)
			}
			if err := unix.Mount("tmpfs", dir, "tmpfs", 0, ""); err == nil {
				if _, err := Mount(dev, dir); err == nil || !strings.Contains(err.Error(), "tmpfs is mounted") {
					t.Errorf("over another mount: %v", err)
				}
				must(t, unix.Unmount(dir, 0))
			}
			must(t, again.Close())
			must(t, again.Close())
			if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("still mounted: %v", err)
			}
		})
	}
}

// TestWriteProtected: such a stick is read all the same.
func TestWriteProtected(t *testing.T) {
	source := device(t, "mkfs.ext4", "-q")
	run(t, "blockdev", "--setro", source)
	t.Cleanup(func() { run(t, "blockdev", "--setrw", source) }) // the next loop of this number has it, too
	dir := t.TempDir()
	s, err := Mount(source, dir)
	must(t, err)
	must(t, s.Writable())
	if err := os.WriteFile(filepath.Join(dir, "x"), nil, 0o600); !errors.Is(err, unix.EROFS) {
		t.Errorf("written: %v", err)
	}
	must(t, s.Close())
}

// TestRefused: other file systems, and what is no block device.
func TestRefused(t *testing.T) {
	for name, dev := range map[string]string{"btrfs": device(t, "mkfs.btrfs", "-q"), "nothing": device(t)} {
		if _, err := Mount(dev, t.TempDir()); !errors.Is(err, ErrKind) {
			t.Errorf("%s: %v", name, err)
		}
	}
	pipe := filepath.Join(t.TempDir(), "pipe")
	must(t, unix.Mkfifo(pipe, 0o600))
	for _, dev := range []string{pipe, "/dev/zero", "/etc/passwd"} {
		if _, err := Mount(dev, t.TempDir()); err == nil || !strings.Contains(err.Error(), "no block device") {
			t.Errorf("%s: %v", dev, err)
		}
	}
}

// TestDetect: what devices have where.
func TestDetect(t *testing.T) {
	t.Parallel()
	for _, k := range kinds() {
		if got, err := detect(strings.NewReader(strings.Repeat("\x00", int(k.offset)) + k.magic)); err != nil || got != k.name {
			t.Errorf("%s: %q, %v", k.name, got, err)
		}
	}
	if _, err := detect(strings.NewReader("short")); !errors.Is(err, ErrKind) {
		t.Errorf("short: %v", err)
	}
}
