// Package rmtree removes directories that somebody else may have changed: it stays
// in one mount and follows no link.
package rmtree

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/nodeseal/nodeseal/internal/safefile"
)

// MountError reports what is mounted in a directory that was to be removed: what is
// in the mounts may belong to others.
type MountError struct {
	Path string
	// Mounts are the mount points, at least one.
	Mounts []string
}

// Error implements error.
func (e *MountError) Error() string {
	const few = 3
	more := ""
	if n := len(e.Mounts) - few; n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	return fmt.Sprintf("not removed, because something is mounted on %s%s: unmount it first (umount)",
		strings.Join(e.Mounts[:min(few, len(e.Mounts))], ", "), more)
}

// Below returns a *MountError where something is mounted in name, a directory beneath
// root. A mount on the directory itself does not count.
func Below(root, name string) error {
	r, err := safefile.OpenRoot(root)
	if err != nil {
		return err
	}
	defer r.Close()
	info, err := r.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir() {
		return nil
	}
	if err != nil {
		return err
	}
	return check(root, name, false)
}

// check looks for mounts below name, with itself also on it.
func check(root, name string, itself bool) error {
	real, err := filepath.EvalSymlinks(root)
	if err == nil {
		real, err = filepath.Abs(real)
	}
	if err != nil {
		return fmt.Errorf("finding %s: %w", root, err)
	}
	path := filepath.Join(real, name)
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(path))
	if err != nil {
		return fmt.Errorf("reading the mounts: %w", err)
	}
	found := &MountError{Path: path}
	for _, m := range mounts {
		if !slices.Contains(found.Mounts, m.Mountpoint) && (itself || m.Mountpoint != path) {
			found.Mounts = append(found.Mounts, m.Mountpoint)
		}
	}
	if len(found.Mounts) > 0 {
		return found
	}
	return nil
}

// Remove removes name, beneath the directory root, and all below it; a link itself.
// It is no error where there is nothing. Where something is mounted on it or below,
// nothing is removed and the error is a *MountError; a mount that appears while it
// runs is not entered either. Immutable flags are cleared where they are in the way.
// When ctx ends, what is left can be removed by another call.
func Remove(ctx context.Context, root, name string) error {
	return removeIn(root, name, ctx.Err)
}

// RemoveAll is Remove of path beneath the directory that it is in, to its end.
func RemoveAll(path string) error {
	return removeIn(filepath.Dir(path), filepath.Base(path), func() error { return nil })
}

// removeIn is Remove until stop returns an error.
func removeIn(root, name string, stop func() error) error {
	r, err := safefile.OpenRoot(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer r.Close()
	switch info, err := r.Lstat(name); {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.IsDir():
		if err := check(root, name, true); err != nil {
			return err
		}
	}
	parent, err := r.OpenDir(filepath.ToSlash(filepath.Dir(name)))
	if err != nil {
		return err
	}
	defer parent.Close()
	return remove(parent, filepath.Base(name), stop)
}

// remove removes name in the directory parent.
func remove(parent *os.File, name string, stop func() error) error {
	if err := stop(); err != nil {
		return err
	}
	err := unlink(parent, name, 0)
	if err == nil || !errors.Is(err, unix.EISDIR) {
		return err
	}
	dir, err := enter(parent, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := empty(dir, stop); err != nil {
		return err
	}
	return unlink(parent, name, unix.AT_REMOVEDIR)
}

// empty removes all in a directory.
func empty(dir *os.File, stop func() error) error {
	const batch = 1024
	for some := true; some; {
		some = false
		if _, err := dir.Seek(0, io.SeekStart); err != nil {
			return fmt.Errorf("removing: %w", err)
		}
		for {
			names, err := dir.Readdirnames(batch)
			for _, name := range names {
				some = true
				if err := remove(dir, name, stop); err != nil {
					return err
				}
			}
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return fmt.Errorf("removing: %w", err)
			}
		}
	}
	return nil
}

// unlink removes the one name. Where an immutable flag is in the way, it is cleared.
func unlink(parent *os.File, name string, flags int) error {
	path := filepath.Join(parent.Name(), name)
	err := unix.Unlinkat(int(parent.Fd()), name, flags)
	if errors.Is(err, unix.EPERM) && (mutable(parent) || mutableIn(parent, name)) {
		err = unix.Unlinkat(int(parent.Fd()), name, flags)
	}
	switch {
	case err == nil, errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, unix.EBUSY):
		return &MountError{Path: path, Mounts: []string{path}}
	}
	return &fs.PathError{Op: "remove", Path: path, Err: err}
}

// enter opens the directory name in parent, unless it is a link or another mount.
func enter(parent *os.File, name string) (*os.File, error) {
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	path := filepath.Join(parent.Name(), name)
	fd, err := unix.Openat2(int(parent.Fd()), name, &unix.OpenHow{
		Flags:   flags,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV,
	})
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) {
		// A kernel or a container's filter without openat2.
		if fd, err = unix.Openat(int(parent.Fd()), name, flags, 0); err == nil {
			if err = sameMount(int(parent.Fd()), fd); err != nil {
				unix.Close(fd)
			}
		}
	}
	switch {
	case errors.Is(err, unix.EXDEV):
		return nil, &MountError{Path: path, Mounts: []string{path}}
	case err != nil:
		return nil, &fs.PathError{Op: "remove", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// sameMount returns EXDEV unless both directories are in one mount; of one file
// system, where the kernel does not tell mounts.
func sameMount(a, b int) error {
	var at [2]unix.Statx_t
	for i, fd := range []int{a, b} {
		if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_BASIC_STATS|unix.STATX_MNT_ID, &at[i]); err != nil {
			return os.NewSyscallError("statx", err)
		}
	}
	told := at[0].Mask&at[1].Mask&unix.STATX_MNT_ID != 0
	sameDevice := at[0].Dev_major == at[1].Dev_major && at[0].Dev_minor == at[1].Dev_minor
	if told && at[0].Mnt_id != at[1].Mnt_id || !told && !sameDevice {
		return unix.EXDEV
	}
	return nil
}

// mutable clears the immutable flag of a file, and reports whether it had it.
func mutable(f *os.File) bool {
	const immutable = 0x10 // FS_IMMUTABLE_FL
	flags, err := unix.IoctlGetUint32(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	return err == nil && flags&immutable != 0 &&
		unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, int(flags&^immutable)) == nil
}

// mutableIn does the same for a name in a directory: links and devices have no flags.
func mutableIn(parent *os.File, name string) bool {
	fd, err := unix.Openat(int(parent.Fd()), name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	seen := os.NewFile(uintptr(fd), name)
	defer seen.Close()
	info, err := seen.Stat()
	if err != nil || !info.Mode().IsRegular() && !info.IsDir() {
		return false
	}
	if fd, err = unix.Openat(int(parent.Fd()), name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0); err != nil {
		return false
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	return mutable(f)
}
