package filemem

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func space(t *testing.T) *Space {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "space"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	s := New(f)
	t.Cleanup(func() {
		if err := errors.Join(s.Close(), s.Close()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// TestKept writes more than stays in memory, and finds it again.
func TestKept(t *testing.T) {
	s := space(t)
	const parts, each = 3 * Budget >> 20, 1 << 20 / 8
	var all [][]uint64
	peak := int64(0)
	for i := range parts {
		part, err := Make[uint64](s, each)
		if err != nil {
			t.Fatal(err)
		}
		for j := range part {
			if part[j] != 0 {
				t.Fatal("new memory is not zero")
			}
			part[j] = uint64(i*each + j)
			if j%512 == 0 {
				s.Touch()
			}
		}
		all = append(all, part)
		peak = max(peak, s.shared()-s.base.Load())
	}
	// The kernel maps around what is touched, and other tests run beside this one.
	if peak > 2*Budget {
		t.Errorf("%d MiB of the space were in memory at once", peak>>20)
	}
	s.Trim()
	for i, part := range all {
		for j, v := range part {
			if v != uint64(i*each+j) {
				t.Fatalf("part %d: element %d is %d", i, j, v)
			}
		}
	}
}

// TestNil: ordinary memory.
func TestNil(t *testing.T) {
	var s *Space
	part, err := Make[uint32](s, 3)
	if err != nil || len(part) != 3 {
		t.Fatal(part, err)
	}
	s.Touch()
	s.Trim()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestFullDisk: no page is promised that the disk has no room for.
func TestFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=4m"); err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	f, err := os.Create(filepath.Join(dir, "space"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := New(f)
	defer s.Close()
	for range 8 {
		part, err := Make[byte](s, 1<<20)
		if err != nil {
			if !errors.Is(err, unix.ENOSPC) {
				t.Error(err)
			}
			return
		}
		clear(part)
	}
	t.Error("8 MiB in a file system of 4 MiB")
}
