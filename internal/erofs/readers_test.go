package erofs_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	goerofs "github.com/erofs/go-erofs"
	"golang.org/x/sys/unix"

	"github.com/nodeseal/nodeseal/internal/testenv"
)

// fsck has fsck.erofs read the whole image.
func fsck(t testing.TB, image string) {
	t.Helper()
	out, err := exec.Command(testenv.NeedTool(t, "fsck.erofs"), "-d3", "--extract", image).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "No errors found") {
		t.Errorf("fsck.erofs: %v\n%s", err, out)
	}
}

// inodes names each inode by the first path that showed it.
type inodes map[uint64]string

func (in inodes) first(ino uint64, p string) string {
	if _, ok := in[ino]; !ok {
		in[ino] = p
	}
	return in[ino]
}

// readGo reads an image with go-erofs.
func readGo(image io.ReaderAt) (map[string]seen, error) {
	fsys, err := goerofs.Open(image)
	if err != nil {
		return nil, err
	}
	out, ino := map[string]seen{}, inodes{}
	err = fs.WalkDir(fsys, ".", func(p string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		st, ok := info.Sys().(*goerofs.Stat)
		if !ok {
			return errors.New("no Stat")
		}
		attrs := map[string]string{}
		for k, v := range st.Xattrs {
			attrs[strings.TrimSuffix(k, ".")] = v // the reader's name of ACLs ends in a dot
		}
		s := seen{
			mode: rawMode(st.Mode), uid: st.UID, gid: st.GID, sec: int64(st.Mtime), nsec: int(st.MtimeNs), size: st.Size,
			nlink: uint64(st.Nlink), rdev: uint64(st.Rdev), xattrs: xattrText(attrs), ino: ino.first(uint64(st.Ino), p),
		}
		switch s.mode & typeMask {
		case typeDir:
			s.size = 0
		case typeReg:
			data, err := fs.ReadFile(fsys, p)
			if err != nil {
				return err
			}
			s.data = digest(data)
		case typeLnk:
			if s.data, err = fs.ReadLink(fsys, p); err != nil {
				return err
			}
		}
		out[p] = s
		return nil
	})
	return out, err
}

// rawMode is the mode of stat(2) for one of Go.
func rawMode(m fs.FileMode) uint32 {
	raw := uint32(m.Perm())
	for _, bit := range []struct {
		mode fs.FileMode
		raw  uint32
	}{{fs.ModeSetuid, 0o4000}, {fs.ModeSetgid, 0o2000}, {fs.ModeSticky, 0o1000}} {
		if m&bit.mode != 0 {
			raw |= bit.raw
		}
	}
	switch m.Type() {
	case fs.ModeDir:
		return raw | typeDir
	case fs.ModeSymlink:
		return raw | typeLnk
	case fs.ModeNamedPipe:
		return raw | typeFIFO
	case fs.ModeSocket:
		return raw | typeSock
	case fs.ModeDevice:
		return raw | typeBlk
	case fs.ModeDevice | fs.ModeCharDevice:
		return raw | typeChr
	default:
		return raw | typeReg
	}
}

// mount mounts an image by a loop device and returns where.
func mount(t testing.TB, image string) string {
	t.Helper()
	testenv.NeedRoot(t)
	point := t.TempDir()
	out, err := exec.Command(testenv.NeedTool(t, "mount"), "-t", "erofs", "-o", "loop,ro", image, point).CombinedOutput()
	if err != nil {
		kernel, _ := os.ReadFile("/proc/filesystems")
		testenv.Require(t, strings.Contains(string(kernel), "erofs"), "the test needs a kernel with EROFS")
		t.Fatalf("mount: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(point, 0); err != nil {
			t.Errorf("umount %s: %v", point, err)
		}
	})
	return point
}

// readKernel reads a mounted tree.
func readKernel(t testing.TB, point string) map[string]seen {
	t.Helper()
	out, ino := map[string]seen{}, inodes{}
	err := filepath.WalkDir(point, func(p string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(p, &st); err != nil {
			return err
		}
		if p != point && rawMode(entry.Type())&typeMask != st.Mode&typeMask {
			t.Errorf("%s: the type in the directory is %v", p, entry.Type())
		}
		rel, err := filepath.Rel(point, p)
		if err != nil {
			return err
		}
		s := seen{
			mode: st.Mode, uid: st.Uid, gid: st.Gid, sec: st.Mtim.Sec, nsec: int(st.Mtim.Nsec), size: st.Size,
			nlink: st.Nlink, rdev: st.Rdev, ino: ino.first(st.Ino, rel),
		}
		if s.xattrs, err = kernelXattrs(p); err != nil {
			return err
		}
		switch s.mode & typeMask {
		case typeDir:
			s.size = 0
		case typeReg:
			data, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			s.data = digest(data)
		case typeLnk:
			if s.data, err = os.Readlink(p); err != nil {
				return err
			}
		}
		out[rel] = s
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func kernelXattrs(p string) (string, error) {
	n, err := unix.Llistxattr(p, nil)
	if n == 0 || err != nil {
		return "", err
	}
	names := make([]byte, n)
	if n, err = unix.Llistxattr(p, names); err != nil {
		return "", &fs.PathError{Op: "listxattr", Path: p, Err: err}
	}
	attrs := map[string]string{}
	value := make([]byte, 1<<16)
	for name := range strings.SplitSeq(strings.TrimSuffix(string(names[:n]), "\x00"), "\x00") {
		if name == "" {
			continue
		}
		n, err := unix.Lgetxattr(p, name, value)
		if err != nil {
			return "", &fs.PathError{Op: "getxattr " + name, Path: p, Err: err}
		}
		attrs[name] = string(value[:n])
	}
	return xattrText(attrs), nil
}

// check holds an image against a tree with all three readers.
func check(t testing.TB, tr tree, image string) {
	t.Helper()
	fsck(t, image)
	want := tr.want()
	data, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	got, err := readGo(bytes.NewReader(data))
	if err != nil {
		t.Errorf("go-erofs: %v", err)
	} else {
		compare(t, "go-erofs", got, want)
	}
	compare(t, "kernel", readKernel(t, mount(t, image)), want)
	readOwn(t, image, tr)
}
