package verify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// compare walks the layer's contents and compares each file with what the tar
// wants of it.
func (v *layerCheck) compare(ctx context.Context) error {
	var st unix.Stat_t
	if err := unix.Fstat(v.root.fd, &st); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	return v.walk(ctx, ".", v.root.fd, st.Ino)
}

func (v *layerCheck) walk(ctx context.Context, name string, parent int, ino uint64) error {
	if err := ctx.Err(); err != nil {
		return err //nolint:wrapcheck // the caller's own
	}
	fd, err := unix.Openat(parent, path.Base(name), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NOATIME, 0)
	if err != nil {
		return v.missing(name, os.NewSyscallError("openat", err))
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return v.missing(name, err)
	}
	for _, base := range names {
		below := path.Join(name, base)
		var st unix.Stat_t
		if err := unix.Fstatat(fd, base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			v.finding(below, "it cannot be looked at: %w", err)
			continue
		}
		w := v.wants[place{dir: ino, name: base}]
		if w == nil {
			v.finding(below, "it does not belong to the layer")
			continue
		}
		if err := v.compareOne(w, below, fd, base, &st); err != nil {
			return err
		}
		if st.Mode&unix.S_IFMT == unix.S_IFDIR {
			if err := v.walk(ctx, below, fd, st.Ino); err != nil {
				return err
			}
		}
	}
	return nil
}

// compareOne compares one file, base in the directory fd.
func (v *layerCheck) compareOne(w *wanted, name string, fd int, base string, st *unix.Stat_t) error {
	kind := st.Mode & unix.S_IFMT
	if kind != w.kind {
		v.finding(name, "it is a %s, want a %s", kindName(kind), kindName(w.kind))
		return nil
	}
	if w.whiteout {
		if st.Rdev != 0 {
			v.finding(name, "it is a device, want a whiteout")
		}
		return nil
	}
	if mode := st.Mode & 0o7777; mode != w.mode && kind != unix.S_IFLNK {
		v.finding(name, "its mode is %04o, want %04o", mode, w.mode)
	}
	if st.Uid != w.uid || st.Gid != w.gid {
		v.finding(name, "its owner is %d:%d, want %d:%d", st.Uid, st.Gid, w.uid, w.gid)
	}
	if mtime := time.Unix(st.Mtim.Unix()); !mtime.Equal(w.mtime) {
		v.finding(name, "its time is %s, want %s", mtime.UTC().Format(time.RFC3339Nano), w.mtime.UTC().Format(time.RFC3339Nano))
	}
	if kind == unix.S_IFREG && w.size >= 0 && st.Size != w.size {
		v.finding(name, "its size is %d, want %d", st.Size, w.size)
	}
	if (kind == unix.S_IFCHR || kind == unix.S_IFBLK) && st.Rdev != w.device {
		v.finding(name, "it is another device than %d:%d", unix.Major(w.device), unix.Minor(w.device))
	}
	at := fmt.Sprintf("/proc/self/fd/%d/%s", fd, base)
	if kind == unix.S_IFLNK {
		if target, err := os.Readlink(at); err != nil || target != w.link {
			v.finding(name, "it leads to %q, want %q", target, w.link)
		}
	}
	return v.compareXattrs(w, name, at)
}

// compareXattrs compares extended attributes: those that the tar has must be
// there, and none that containers would see beside them. The label is the
// node's.
func (v *layerCheck) compareXattrs(w *wanted, name, at string) error {
	have, err := readXattrs(at)
	if errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	if err != nil {
		return v.missing(name, err)
	}
	for key, want := range w.xattrs {
		if got, ok := have[key]; !ok || got != want {
			v.finding(name, "its extended attribute %s is not the image's", key)
		}
	}
	if w.kind == unix.S_IFDIR && (have[opaqueXattr] == "y") != w.opaque {
		v.finding(name, "it hides what lower layers have, or fails to")
	}
	for key := range have {
		_, wantedKey := w.xattrs[key]
		foreign := strings.HasPrefix(key, "user.") || key == "security.capability"
		if foreign && !wantedKey {
			v.finding(name, "it has an extended attribute %s that the image has not", key)
		}
	}
	return nil
}

func readXattrs(at string) (map[string]string, error) {
	size, err := unix.Llistxattr(at, nil)
	if err != nil || size == 0 {
		return nil, os.NewSyscallError("llistxattr", err)
	}
	names := make([]byte, size)
	if size, err = unix.Llistxattr(at, names); err != nil {
		return nil, os.NewSyscallError("llistxattr", err)
	}
	out := make(map[string]string)
	for name := range bytes.SplitSeq(names[:size], []byte{0}) {
		if len(name) == 0 || string(name) == labelXattr {
			continue
		}
		n, err := unix.Lgetxattr(at, string(name), nil)
		value := make([]byte, max(n, 1))
		if err == nil {
			n, err = unix.Lgetxattr(at, string(name), value)
		}
		if err != nil {
			return nil, os.NewSyscallError("lgetxattr", err)
		}
		out[string(name)] = string(value[:n])
	}
	return out, nil
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
