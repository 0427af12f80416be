package inroot

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// opened is what a name led to: an inode, or an error of the system.
func opened(fd int, err error) string {
	var errno unix.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	if err != nil {
		return "other: " + err.Error()
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err.Error()
	}
	return fmt.Sprintf("inode %d on %d", st.Ino, st.Dev)
}

// again repeats what the kernel gave up because something was renamed on this machine meanwhile.
func again(open func() (int, error)) (int, error) {
	for {
		fd, err := open()
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}

// TestAsTheKernel: without openat2 names lead where they lead with it, also over links that
// turn in circles, leave the root, or lead to links.
func TestAsTheKernel(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	parts := []string{"a", "b", "c", "link", "other", "file", "..", ".", "", "/", "missing"}
	name := func(most int) string {
		words := make([]string, 1+random.IntN(most))
		for i := range words {
			words[i] = parts[random.IntN(len(parts))]
		}
		return strings.Join(words, "/")
	}
	top := t.TempDir()
	root, outside := filepath.Join(top, "a"), filepath.Join(top, "b")
	for _, dir := range []string{"a/b/c", "b/a", "c", "a/a/a"} {
		if err := errors.Join(os.MkdirAll(filepath.Join(root, dir), 0o700), os.MkdirAll(filepath.Join(outside, dir), 0o700)); err != nil {
			t.Fatal(err)
		}
	}
	err := filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		return os.WriteFile(filepath.Join(path, "file"), nil, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	how := unix.OpenHow{Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	if _, err := unix.Openat2(fd, ".", &unix.OpenHow{Flags: unix.O_PATH, Resolve: how.Resolve}); errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) {
		t.Skipf("this kernel has no openat2 to compare with: %v", err)
	}
	results := map[string]int{}
	for range 20 {
		for _, dir := range []string{".", "a", "a/b", "b"} {
			for _, link := range []string{"link", "other"} {
				at := filepath.Join(root, dir, link)
				if err := os.Remove(at); err != nil && !errors.Is(err, os.ErrNotExist) {
					t.Fatal(err)
				}
				if err := os.Symlink("/"[:random.IntN(2)]+name(4)+"x"[:random.IntN(20)/19], at); err != nil && !errors.Is(err, unix.ENOENT) {
					t.Fatal(err)
				}
			}
		}
		for range 200 {
			n := name(6)
			for _, flags := range []int{unix.O_PATH | unix.O_DIRECTORY, unix.O_PATH, unix.O_RDONLY | unix.O_NOFOLLOW, unix.O_PATH | unix.O_NOFOLLOW} {
				how.Flags = uint64(flags | unix.O_CLOEXEC)
				want := opened(again(func() (int, error) { return unix.Openat2(fd, n, &how) }))
				got := opened(openEach(fd, n, flags))
				if got != want {
					t.Fatalf("%q with flags %#x: %s, want %s", n, flags, got, want)
				}
				kind, _, _ := strings.Cut(want, " ")
				results[kind]++
			}
		}
	}
	t.Log(results)
	if results["inode"] < 1000 || len(results) < 4 {
		t.Errorf("too few cases: %v", results)
	}
}

// TestLeavesNothingOpen: no directory of the way stays open.
func TestLeavesNothingOpen(t *testing.T) {
	root := t.TempDir()
	if err := errors.Join(os.MkdirAll(filepath.Join(root, "a/b/c"), 0o700), os.Symlink("/a/b/../b/c", filepath.Join(root, "link"))); err != nil {
		t.Fatal(err)
	}
	dir, err := os.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	count := func() int {
		open, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(open)
	}
	before := count()
	for _, name := range []string{"link", "a/b/c", "a/b/missing", "link/missing", "link/../../../../a"} {
		_ = opened(openEach(int(dir.Fd()), name, unix.O_PATH))
	}
	if after := count(); after != before {
		t.Errorf("%d descriptors are open, before %d", after, before)
	}
	if _, err := openEach(int(dir.Fd()), strings.Repeat("a/", maxPath), unix.O_PATH); !errors.Is(err, unix.ENAMETOOLONG) {
		t.Errorf("a long name: %v", err)
	}
}
