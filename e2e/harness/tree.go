//go:build e2e

package harness

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Node is everything about one file that a container can see.
type Node struct {
	Mode     uint32 // type and permissions, as stat(2) has them
	UID, GID uint32
	Device   uint64 // major and minor of a device node
	MTime    time.Time
	Xattrs   string // key=value, quoted, sorted
	Content  string // sha256 of a regular file, target of a symbolic link
	LinkedTo string // the first path of the same inode
}

// Tree is the files below a directory by their paths in it, "." for itself.
type Tree map[string]Node

// ReadTree reads all files below dir. Attributes in SELinux's namespace, and
// what overlay notes for itself on a directory it was mounted from, are left out.
func ReadTree(t testing.TB, dir string) Tree {
	t.Helper()
	tree := make(Tree)
	first := make(map[uint64]string)
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		node, inode, err := readNode(path)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if node.Mode&unix.S_IFMT != unix.S_IFDIR {
			if _, ok := first[inode]; !ok {
				first[inode] = name
			}
			node.LinkedTo = first[inode]
		}
		tree[name] = node
		return nil
	})
	if err != nil {
		t.Fatalf("reading the tree: %v", err)
	}
	return tree
}

func readNode(path string) (node Node, inode uint64, err error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return Node{}, 0, err
	}
	node = Node{Mode: st.Mode, UID: st.Uid, GID: st.Gid, MTime: time.Unix(st.Mtim.Unix()).UTC()}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFCHR, unix.S_IFBLK:
		node.Device = st.Rdev
	case unix.S_IFLNK:
		if node.Content, err = os.Readlink(path); err != nil {
			return Node{}, 0, err
		}
	case unix.S_IFREG:
		if node.Content, err = hashFile(path); err != nil {
			return Node{}, 0, err
		}
	}
	node.Xattrs, err = readXattrs(path)
	return node, st.Ino, err
}

// HashFile is the sha256 of a file, in hex.
func HashFile(t testing.TB, path string) string {
	t.Helper()
	sum, err := hashFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

func hashFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func readXattrs(path string) (string, error) {
	names := make([]byte, 64<<10)
	n, err := unix.Llistxattr(path, names)
	if err != nil {
		return "", err
	}
	var attrs []string
	for name := range strings.SplitSeq(strings.TrimRight(string(names[:n]), "\x00"), "\x00") {
		if name == "" || name == "security.selinux" || name == "trusted.overlay.impure" || name == "trusted.overlay.origin" {
			continue
		}
		value := make([]byte, 64<<10)
		n, err := unix.Lgetxattr(path, name, value)
		if err != nil {
			return "", fmt.Errorf("%s: %w", name, err)
		}
		attrs = append(attrs, fmt.Sprintf("%s=%q", name, value[:n]))
	}
	slices.Sort(attrs)
	return strings.Join(attrs, " "), nil
}

// Diff lists what is different between two trees, at most 20 lines. same says of
// two nodes whether they count as equal; nil wants everything equal.
func Diff(a, b Tree, same func(a, b Node) bool) []string {
	if same == nil {
		same = func(a, b Node) bool { return a == b }
	}
	all := maps.Clone(a)
	maps.Copy(all, b)
	var diff []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		left, inLeft := a[name]
		right, inRight := b[name]
		switch {
		case !inLeft:
			diff = append(diff, fmt.Sprintf("%s: only in the second: %+v", name, right))
		case !inRight:
			diff = append(diff, fmt.Sprintf("%s: only in the first: %+v", name, left))
		case !same(left, right):
			diff = append(diff, fmt.Sprintf("%s:\n\t%+v\n\t%+v", name, left, right))
		}
	}
	if len(diff) > 20 {
		diff = append(diff[:20], fmt.Sprintf("and %d more", len(diff)-20))
	}
	return diff
}
