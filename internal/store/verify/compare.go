package verify

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/nodeseal/nodeseal/internal/dirents"
	"github.com/nodeseal/nodeseal/internal/store/extract"
	"golang.org/x/sys/unix"
)

// compare walks the layer's contents: nothing may be there that the tar has not, and
// what differed from its entry is compared again, as later entries may have changed what
// is wanted.
func (v *layerCheck) compare(ctx context.Context) error {
	if err := v.settle(); err != nil {
		return err
	}
	// The rest of the root's attributes is compared elsewhere, and whether it is opaque tells nothing.
	has, err := readXattrs(onFile(v.root.fd))
	if err != nil {
		return err
	}
	for key := range has {
		if strings.HasPrefix(key, "trusted.overlay.") && key != opaqueXattr {
			v.finding("", "it has an extended attribute %s that the image has not", key)
		}
	}
	return v.walk(ctx, ".", v.root.fd, func(int) error { return nil })
}

// walk looks at what is in the directory name of parent, and at the directory itself with
// look, when it is open.
func (v *layerCheck) walk(ctx context.Context, name string, parent int, look func(fd int) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	fd, err := unix.Openat(parent, path.Base(name), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NOATIME, 0)
	if err != nil {
		return v.missing(name, os.NewSyscallError("openat", err))
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	if err := look(fd); err != nil {
		return err
	}
	var failed error
	err = dirents.Each(fd, func(e dirents.Entry) error {
		failed = v.entry(ctx, name, fd, place{dir: st.Ino, name: e.Name})
		return failed
	})
	if err != nil && failed == nil {
		return v.missing(name, err)
	}
	return failed
}

// entry looks at one entry, at, of the directory dir, which is fd.
func (v *layerCheck) entry(ctx context.Context, dir string, fd int, at place) error {
	key := v.key(at)
	state := v.places.Get(key)
	if state == isThere {
		return nil
	}
	name := at.name
	if dir != "." {
		name = dir + "/" + at.name
	}
	w := v.differ[key].wanted
	switch {
	case state == 0:
		v.finding(name, "it does not belong to the layer")
		return nil
	case w == nil && state&isDir != 0:
		w := &wanted{kind: unix.S_IFDIR, opaque: state&isOpaque != 0, proven: state&hasAttrs != 0}
		return v.walk(ctx, name, fd, func(below int) error { return v.compareXattrs(w, name, below, "") })
	case w == nil:
		return nil // only a directory can be opaque
	}
	if err := v.compareOne(w, name, fd, at.name); err != nil || w.is.mode&unix.S_IFMT != unix.S_IFDIR {
		return err
	}
	return v.walk(ctx, name, fd, func(below int) error { return v.compareXattrs(w, name, below, "") })
}

// compareOne compares one file, base in the directory fd.
func (v *layerCheck) compareOne(w *wanted, name string, fd int, base string) error {
	is := &w.is
	kind := is.mode & unix.S_IFMT
	if kind != w.kind {
		v.finding(name, "it is a %s, want a %s", kindName(kind), kindName(w.kind))
		return nil
	}
	if w.whiteout {
		if is.device != 0 {
			v.finding(name, "it is a device, want a whiteout")
		}
		return nil
	}
	mode := is.mode & 0o7777
	if w.implied {
		mode &^= unix.S_ISGID // it inherits that of the directory above
	}
	if mode != w.mode && kind != unix.S_IFLNK {
		v.finding(name, "its mode is %04o, want %04o", mode, w.mode)
	}
	if is.uid != w.uid || is.gid != w.gid && w.gid != extract.NoOwner {
		v.finding(name, "its owner is %d:%d, want %d:%d", is.uid, is.gid, w.uid, w.gid)
	}
	if mtime := time.Unix(is.mtime.Unix()); !mtime.Equal(w.mtime) {
		v.finding(name, "its time is %s, want %s", mtime.UTC().Format(time.RFC3339Nano), w.mtime.UTC().Format(time.RFC3339Nano))
	}
	if kind == unix.S_IFREG && w.size >= 0 && is.size != w.size {
		v.finding(name, "its size is %d, want %d", is.size, w.size)
	}
	switch kind {
	case unix.S_IFCHR, unix.S_IFBLK:
		if is.device != w.device {
			v.finding(name, "it is another device than %d:%d", unix.Major(w.device), unix.Minor(w.device))
		}
	case unix.S_IFLNK:
		if w.proven {
			break
		}
		if target, err := readLink(fd, base); err != nil || target != w.link {
			v.finding(name, "it leads to %q, want %q", target, w.link)
		}
	case unix.S_IFDIR:
		return nil // its extended attributes are read when it is open
	}
	if (kind != unix.S_IFREG || w.proven) && len(w.xattrs) == 0 {
		return nil // only files and directories have any that containers see
	}
	return v.compareXattrs(w, name, fd, base)
}

func readLink(fd int, base string) (string, error) {
	var buf [unix.PathMax]byte
	n, err := unix.Readlinkat(fd, base, buf[:])
	return string(buf[:max(n, 0)]), err
}

// compareXattrs compares extended attributes: those that the tar has must be
// there, and none that containers would see beside them. The label is the
// node's. They are read of base in the directory fd, or of fd itself: "".
func (v *layerCheck) compareXattrs(w *wanted, name string, fd int, base string) error {
	if !w.hasRead {
		calls := onFile(fd)
		if base != "" {
			calls = onPath("/proc/self/fd/" + strconv.Itoa(fd) + "/" + base)
		}
		has, err := readXattrs(calls)
		if err != nil {
			return v.missing(name, err)
		}
		w.has, w.hasRead = has, true
	}
	for key, want := range w.xattrs {
		if got, ok := w.has[key]; !ok || got != want {
			v.finding(name, "its extended attribute %s is not the image's", key)
		}
	}
	// While the tar is read, entries that make a directory opaque may still come.
	opaque := w.opaque || w.xattrs[opaqueXattr] == "y"
	if w.kind == unix.S_IFDIR && !v.silent && (w.has[opaqueXattr] == "y") != opaque {
		v.finding(name, "it hides what lower layers have, or fails to")
	}
	if w.proven {
		return nil
	}
	for key, value := range w.has {
		if _, ok := w.xattrs[key]; ok || key == opaqueXattr && value == "y" && w.kind == unix.S_IFDIR {
			continue
		}
		if v.foreign(key) {
			v.finding(name, "it has an extended attribute %s that the image has not", key)
		}
	}
	return nil
}

// foreign reports extended attributes that no layer gets but from its tar, and that change what
// containers see: overlay's own exchange files for those of other layers. A file inherits an
// access list if a directory of the layer has a default one.
func (v *layerCheck) foreign(key string) bool {
	switch key {
	case "security.capability":
		return true
	case aclAccess, aclDefault:
		return !v.acl
	}
	return strings.HasPrefix(key, "user.") || strings.HasPrefix(key, "trusted.overlay.")
}

// opened reads the extended attributes of the file that the last header is about
// while it is open: that saves finding it again.
func (v *layerCheck) opened(fd int) {
	if v.last == nil || v.last.hasRead {
		return
	}
	if has, err := readXattrs(onFile(fd)); err == nil {
		v.last.has, v.last.hasRead = has, true
	}
}

// xattrCalls read extended attributes, of a file or by a path.
type xattrCalls struct {
	list func(buf []byte) (int, error)
	get  func(name string, buf []byte) (int, error)
}

func onFile(fd int) xattrCalls {
	return xattrCalls{
		func(buf []byte) (int, error) { return unix.Flistxattr(fd, buf) },
		func(name string, buf []byte) (int, error) { return unix.Fgetxattr(fd, name, buf) },
	}
}

func onPath(at string) xattrCalls {
	return xattrCalls{
		func(buf []byte) (int, error) { return unix.Llistxattr(at, buf) },
		func(name string, buf []byte) (int, error) { return unix.Lgetxattr(at, name, buf) },
	}
}

// readXattrs returns the extended attributes, without the label. A file system
// that has none is no error.
func readXattrs(calls xattrCalls) (map[string]string, error) {
	names, err := whole(calls.list)
	if len(names) == 0 || errors.Is(err, unix.ENOTSUP) {
		if errors.Is(err, unix.ENOTSUP) {
			err = nil
		}
		return nil, os.NewSyscallError("listxattr", err)
	}
	var out map[string]string
	for name := range bytes.SplitSeq(names, []byte{0}) {
		if len(name) == 0 || string(name) == labelXattr {
			continue
		}
		key := string(name)
		value, err := whole(func(buf []byte) (int, error) { return calls.get(key, buf) })
		if err != nil {
			return nil, os.NewSyscallError("getxattr", err)
		}
		out = with(out, key, string(value))
	}
	return out, nil
}

// whole calls read with a buffer that is large enough.
func whole(read func([]byte) (int, error)) ([]byte, error) {
	for buf := make([]byte, 256); ; buf = make([]byte, 16*len(buf)) {
		n, err := read(buf)
		if !errors.Is(err, unix.ERANGE) || len(buf) > 64<<10 {
			return buf[:max(n, 0)], err
		}
	}
}

func kindName(kind uint32) string {
	switch kind {
	case unix.S_IFREG:
		return "regular file"
	case unix.S_IFDIR:
		return "directory"
	case unix.S_IFLNK:
		return "symbolic link"
	case unix.S_IFCHR:
		return "character device"
	case unix.S_IFBLK:
		return "block device"
	case unix.S_IFIFO:
		return "pipe"
	default:
		return "socket"
	}
}
