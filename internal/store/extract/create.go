package extract

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"github.com/nodeseal/nodeseal/bundle/layerrules"
	"github.com/vbatts/tar-split/archive/tar"
	"golang.org/x/sys/unix"
)

// create creates the entry hdr, whose cleaned name is inside, in parent.
func (u *unpacker) create(hdr *tar.Header, parent dir, inside string, content *Content) error {
	a := at{fd: parent.fd, name: path.Base(inside)}
	switch hdr.Typeflag {
	case tar.TypeReg:
		return u.regular(hdr, parent, a, content)
	case tar.TypeDir:
		return u.directory(hdr, parent, a, inside)
	case tar.TypeSymlink:
		return u.symlink(hdr, parent, a)
	case tar.TypeLink:
		return u.hardLink(hdr, a)
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		return u.node(hdr, parent, a)
	case tar.TypeXGlobalHeader:
		// The library has no use for it either, but its name clears a place.
		return u.clear(a)
	default:
		return fmt.Errorf("%w: type %q", ErrType, hdr.Typeflag)
	}
}

// clear removes what is at a, where there is something.
func (u *unpacker) clear(a at) error {
	if err := u.remove(a); err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	return nil
}

// replacing calls create, and once more after clearing a where something is there.
func (u *unpacker) replacing(a at, create func() error) error {
	err := create()
	if !errors.Is(err, unix.EEXIST) {
		return err
	}
	if err := u.remove(a); err != nil {
		return err
	}
	return create()
}

func (u *unpacker) regular(hdr *tar.Header, parent dir, a at, content *Content) error {
	mode := uint32(hdr.Mode) & 0o7777
	fd := -1
	err := u.replacing(a, func() (err error) {
		fd, err = unix.Openat(a.fd, a.name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, mode)
		return os.NewSyscallError("openat", err)
	})
	if err != nil {
		return err
	}
	if err := content.writeTo(fd); err != nil {
		return errors.Join(err, unix.Close(fd))
	}
	if err := unix.Close(fd); err != nil {
		return os.NewSyscallError("close", err)
	}
	chowned, err := u.chown(a, hdr, parent)
	if err != nil {
		return err
	}
	if u.otherMode(mode, chowned) {
		if err := chmod(a, mode); err != nil {
			return err
		}
	}
	if err := setTimes(a, fileTimes(hdr)); err != nil {
		return err
	}
	return u.setXattrs(a, hdr)
}

// otherMode reports whether a file that was created with mode may have another one now. A
// change of owner clears the set-id bits.
func (u *unpacker) otherMode(mode uint32, chowned bool) bool {
	return mode&u.umask != 0 || u.acl || mode&0o7000 != 0 || chowned
}

func (u *unpacker) directory(hdr *tar.Header, parent dir, a at, inside string) error {
	mode := uint32(hdr.Mode) & 0o7777
	existed := false
	err := unix.Mkdirat(a.fd, a.name, mode)
	if errors.Is(err, unix.EEXIST) {
		var st unix.Stat_t
		if err := unix.Fstatat(a.fd, a.name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return os.NewSyscallError("fstatat", err)
		}
		// The group may change, which files in it inherit.
		u.stale = true
		existed = true
		if err = nil; st.Mode&unix.S_IFMT != unix.S_IFDIR {
			if err := u.remove(a); err != nil {
				return err
			}
			err = unix.Mkdirat(a.fd, a.name, mode)
		}
		parent.gid = ^uint32(0) // the owner is not known
	}
	if err != nil {
		return os.NewSyscallError("mkdirat", err)
	}
	chowned, err := u.chown(a, hdr, parent)
	if err != nil {
		return err
	}
	if existed || parent.setgid || u.otherMode(mode, chowned) {
		if err := chmod(a, mode); err != nil {
			return err
		}
	}
	u.listed = append(u.listed, dirTime{
		path:  strings.Clone(inside),
		times: [2]unix.Timespec{timespec(sane(hdr.AccessTime)), timespec(sane(hdr.ModTime))},
	})
	return u.setXattrs(a, hdr)
}

func (u *unpacker) symlink(hdr *tar.Header, parent dir, a at) error {
	err := u.replacing(a, func() error {
		return os.NewSyscallError("symlinkat", unix.Symlinkat(hdr.Linkname, a.fd, a.name))
	})
	if err != nil {
		return err
	}
	if _, err := u.chown(a, hdr, parent); err != nil {
		return err
	}
	if err := setTimes(a, linkTimes(hdr)); err != nil {
		return err
	}
	return u.setXattrs(a, hdr)
}

func (u *unpacker) node(hdr *tar.Header, parent dir, a at) error {
	mode := uint32(hdr.Mode) & 0o7777
	switch hdr.Typeflag {
	case tar.TypeChar:
		mode |= unix.S_IFCHR
	case tar.TypeBlock:
		mode |= unix.S_IFBLK
	default:
		mode |= unix.S_IFIFO
	}
	device := hdr.Typeflag != tar.TypeFifo
	if device && u.opts.NoDevices {
		return ErrDevice
	}
	if device && u.opts.UserNamespace {
		// As in the library: the kernel would not let it be made.
		return u.clear(a)
	}
	dev := int(unix.Mkdev(uint32(hdr.Devmajor), uint32(hdr.Devminor)))
	err := u.replacing(a, func() error {
		return os.NewSyscallError("mknodat", unix.Mknodat(a.fd, a.name, mode, dev))
	})
	if err != nil {
		return err
	}
	if _, err := u.chown(a, hdr, parent); err != nil {
		return err
	}
	if err := chmod(a, mode&0o7777); err != nil {
		return err
	}
	if err := setTimes(a, fileTimes(hdr)); err != nil {
		return err
	}
	return u.setXattrs(a, hdr)
}

// hardLink links a to what the header names. As in the library the attributes
// of the link's header become the file's.
func (u *unpacker) hardLink(hdr *tar.Header, a at) error {
	target, err := layerrules.LinkTarget(hdr.Linkname)
	if err != nil {
		return err
	}
	targetDir, err := u.dirs.get(path.Dir(target))
	if err != nil {
		return fmt.Errorf("hard link to %q: %w", hdr.Linkname, err)
	}
	err = u.replacing(a, func() error {
		return os.NewSyscallError("linkat", unix.Linkat(targetDir.fd, path.Base(target), a.fd, a.name, 0))
	})
	if errors.Is(err, unix.EPERM) {
		err = ErrType // it is a directory
	}
	if err != nil {
		return fmt.Errorf("hard link to %q: %w", hdr.Linkname, err)
	}
	var st unix.Stat_t
	if err := unix.Fstatat(a.fd, a.name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return os.NewSyscallError("fstatat", err)
	}
	chowned := false
	if st.Uid != uint32(hdr.Uid) || st.Gid != uint32(hdr.Gid) {
		if chowned, err = u.chown(a, hdr, dir{gid: ^uint32(0)}); err != nil {
			return err
		}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		mode := uint32(hdr.Mode) & 0o7777
		if chowned || st.Mode&0o7777 != mode {
			if err := chmod(a, mode); err != nil {
				return err
			}
		}
		times := fileTimes(hdr)
		if st.Mtim != times[1] || st.Atim != times[0] {
			if err := setTimes(a, times); err != nil {
				return err
			}
		}
	}
	return u.setXattrs(a, hdr)
}
