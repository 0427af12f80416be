package storetest

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TreeOptions say what DescribeTree leaves out.
type TreeOptions struct {
	// NoTime reports files whose time does not count.
	NoTime func(path string, st *unix.Stat_t) bool
}

// DescribeTree returns one line for each file below dir, itself included, with
// everything that can be seen of it: type, mode, owner, device, time, content,
// extended attributes, and which other names it has.
func DescribeTree(t testing.TB, dir string, opts TreeOptions) []string {
	t.Helper()
	var lines []string
	names := make(map[uint64]string)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		line := fmt.Sprintf("%q mode=%o uid=%d gid=%d", rel, st.Mode, st.Uid, st.Gid)
		if opts.NoTime == nil || !opts.NoTime(rel, &st) {
			line += fmt.Sprintf(" mtime=%d.%09d", st.Mtim.Sec, st.Mtim.Nsec)
		}
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			data, err := os.ReadFile(path) //nolint:gosec // nobody else changes a test's tree
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" size=%d sha256=%x", st.Size, sha256.Sum256(data))
		case unix.S_IFLNK:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" -> %q", target)
		case unix.S_IFCHR, unix.S_IFBLK:
			line += fmt.Sprintf(" dev=%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev))
		}
		if !d.IsDir() && st.Nlink > 1 {
			if names[st.Ino] == "" {
				names[st.Ino] = rel
			}
			line += fmt.Sprintf(" links=%d first=%q", st.Nlink, names[st.Ino])
		}
		line += xattrs(t, path)
		lines = append(lines, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

func xattrs(t testing.TB, path string) string {
	t.Helper()
	buf := make([]byte, 64<<10)
	n, err := unix.Llistxattr(path, buf)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for name := range bytes.SplitSeq(buf[:n], []byte{0}) {
		if len(name) == 0 {
			continue
		}
		value := make([]byte, 64<<10)
		n, err := unix.Lgetxattr(path, string(name), value)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, fmt.Sprintf(" %s=%x", name, value[:n]))
	}
	slices.Sort(list)
	return strings.Join(list, "")
}

// Diff returns the lines that only one of two descriptions has.
func Diff(want, got []string) string {
	var b strings.Builder
	for _, l := range want {
		if !slices.Contains(got, l) {
			fmt.Fprintf(&b, "want %s\n", l)
		}
	}
	for _, l := range got {
		if !slices.Contains(want, l) {
			fmt.Fprintf(&b, "got  %s\n", l)
		}
	}
	return b.String()
}
