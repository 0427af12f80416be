package verify_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"github.com/nodeseal/nodeseal/internal/memtest"
	"github.com/nodeseal/nodeseal/internal/store/extract"
	. "github.com/nodeseal/nodeseal/internal/store/storetest"
	"github.com/nodeseal/nodeseal/internal/store/verify"
	"github.com/nodeseal/nodeseal/internal/testenv"
)

// unpacked unpacks a layer, and returns how it is verified.
func unpacked(t *testing.T, plain []byte) (path string, again func() []verify.Finding) {
	t.Helper()
	testenv.NeedRoot(t)
	path = t.TempDir()
	diff, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { diff.Close() })
	var split bytes.Buffer
	z := gzip.NewWriter(&split)
	_, err = new(extract.Extractor).Layer(t.Context(), bytes.NewReader(plain), diff, z, extract.Options{MaxSize: int64(len(plain))})
	if err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return path, func() []verify.Finding {
		_, found, err := verify.Layer(t.Context(), diff, bytes.NewReader(split.Bytes()), digest.FromBytes(plain), verify.LayerOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
}

// TestLaterEntries has entries that change what an earlier one has made.
func TestLaterEntries(t *testing.T) {
	acl := "\x02\x00\x00\x00" + "\x01\x00\x07\x00\xff\xff\xff\xff" + "\x02\x00\x07\x00\x07\x00\x00\x00" +
		"\x04\x00\x05\x00\xff\xff\xff\xff" + "\x10\x00\x07\x00\xff\xff\xff\xff" + "\x20\x00\x05\x00\xff\xff\xff\xff"
	for name, members := range map[string][]Entry{
		"a link's attributes become the file's": {
			File("f", "content").Perm(0o600).Xattr("user.a", "1").Xattr("user.b", "1"),
			Link("g", "f").Perm(0o755).Owner(1, 2).Xattr("user.b", "2"), Link("h", "g").Perm(0o700).Owner(3, 4),
		},
		"links of a symbolic link": {Symlink("f", "to/there"), Link("g", "f"), Link("h", "g").Owner(3, 4)},
		"links of a device":        {Device("f", 1, 3), Link("g", "f").Perm(0o600)},
		"implied, then listed":     {File("d/f", "x"), Dir("d/").Perm(0o700).Owner(1, 2)},
		"implied, then opaque":     {File("d/f", "x"), File("d/.wh..wh..opq", ""), Dir("d/").Perm(0o700)},
		"opaque, with attributes":  {Dir("d/").Xattr("user.a", "1"), File("d/.wh..wh..opq", ""), File("d/f", "")},
		"opaque by its attribute":  {Dir("d/").Xattr("trusted.overlay.opaque", "y"), File("d/f", "")},
		"files that inherit":       {Dir("d/").Xattr("system.posix_acl_default", acl), File("d/f", ""), Dir("d/e/"), File("d/e/f", "x")},
		"through a link":           {Dir("d/"), Symlink("l", "d"), File("l/f", "x"), Link("l/g", "l/f").Perm(0o600)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, again := unpacked(t, Tar(t, members...))
			for _, f := range again() {
				t.Errorf("%s: %v", f.Path, f.Err)
			}
		})
	}
}

// TestDamagedLinks damages one thing of a file with several names, or of a directory.
func TestDamagedLinks(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"mode":      func(path string) error { return os.Chmod(path+"/f", 0o777) },
		"owner":     func(path string) error { return os.Chown(path+"/g", 9, 9) },
		"time":      func(path string) error { return os.Chtimes(path+"/f", time.Unix(1, 0), time.Unix(1, 0)) },
		"attribute": func(path string) error { return unix.Setxattr(path+"/f", "user.a", []byte("2"), 0) },
		"no attribute": func(path string) error {
			return unix.Removexattr(path+"/g", "user.b")
		},
		"an attribute more":      func(path string) error { return unix.Setxattr(path+"/f", "user.c", []byte("2"), 0) },
		"attribute of directory": func(path string) error { return unix.Setxattr(path+"/d", "user.a", []byte("2"), 0) },
		"an attribute more of directory": func(path string) error {
			return unix.Setxattr(path+"/d", "user.c", []byte("2"), 0)
		},
		"directory not opaque": func(path string) error { return unix.Removexattr(path+"/d", "trusted.overlay.opaque") },
		"directory opaque":     func(path string) error { return unix.Setxattr(path+"/e", "trusted.overlay.opaque", []byte("y"), 0) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path, again := unpacked(t, Tar(t,
				File("f", "content").Xattr("user.a", "1"), Link("g", "f").Perm(0o600).Xattr("user.b", "1"),
				Dir("d/").Xattr("user.a", "1"), File("d/.wh..wh..opq", ""), Dir("e/").Xattr("user.a", "1"),
			))
			if err := damage(path); err != nil {
				t.Fatal(err)
			}
			if found := again(); len(found) == 0 || len(found) > 2 {
				t.Errorf("%v", found)
			}
		})
	}
}

// TestManyFindings has more damage than is told one by one, and more than is held.
func TestManyFindings(t *testing.T) {
	const files = 10_100
	members := make([]Entry, files)
	for i := range members {
		members[i] = File(fmt.Sprintf("%d/%d", i/1000, i), "")
	}
	path, again := unpacked(t, Tar(t, members...))
	names, err := filepath.Glob(path + "/*/*")
	if err != nil || len(names) != files {
		t.Fatal(len(names), err)
	}
	for _, name := range names {
		if err := os.Chmod(name, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	found := again()
	if len(found) != 10_001 || !strings.Contains(found[0].Err.Error(), "100 places more") || found[0].Path != "" {
		t.Errorf("%d findings, the first is %v", len(found), found[0])
	}
}

// TestLayerMemory holds what is kept of each file of a layer.
func TestLayerMemory(t *testing.T) {
	const files = 6_000
	members := make([]Entry, files)
	for i := range members {
		switch name := fmt.Sprintf("%d/%d", i/1000, i); i % 4 {
		case 0:
			members[i] = Dir(name + "/")
		case 1:
			members[i] = Link(name, fmt.Sprintf("%d/%d", (i+2)/1000, i+2))
		default:
			members[i] = File(name, "")
		}
	}
	for i := 1; i < files; i += 4 { // the target is before its link
		members[i], members[i+2] = members[i+2], members[i]
	}
	_, again := unpacked(t, Tar(t, members...))
	memtest.Hold(t, 2*files*40+2<<20, func() {
		if found := again(); len(found) > 0 {
			t.Errorf("%d findings: %v", len(found), found[0])
		}
	})
}

// TestManyLaterEntries has very many directories whose entries come after those of their files.
func TestManyLaterEntries(t *testing.T) {
	const dirs = 33_000
	members := make([]Entry, 0, 2*dirs)
	for i := range dirs {
		members = append(members, File(fmt.Sprintf("a/%d/f", i), ""))
	}
	for i := range dirs {
		members = append(members, Dir(fmt.Sprintf("a/%d/", i)).Perm(0o700).Owner(1, 2))
	}
	_, again := unpacked(t, Tar(t, members...))
	if found := again(); len(found) > 0 {
		t.Errorf("%d findings: %v", len(found), found[0])
	}
}
