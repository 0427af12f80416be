package extract

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/nodeseal/nodeseal/bundle/layerrules"
	"github.com/vbatts/tar-split/archive/tar"
	"golang.org/x/sys/unix"
)

// NoOwner is the number that stands for no owner: chown leaves the one that is there.
const NoOwner = 1<<32 - 1

// chown gives a its owner, where it has not got it from its creation.
func (u *unpacker) chown(a at, hdr *tar.Header, parent dir) (changed bool, err error) {
	if hdr.Uid == 0 && hdr.Gid == 0 && parent.gid == 0 {
		return false, nil
	}
	err = unix.Fchownat(a.fd, a.name, hdr.Uid, hdr.Gid, unix.AT_SYMLINK_NOFOLLOW)
	if u.opts.UserNamespace && errors.Is(err, unix.EINVAL) {
		u.result.Squashed++
		err = unix.Fchownat(a.fd, a.name, 0, 0, unix.AT_SYMLINK_NOFOLLOW)
	}
	return true, os.NewSyscallError("fchownat", err)
}

// chmod sets the mode of a, which is no symbolic link.
func chmod(a at, mode uint32) error {
	return os.NewSyscallError("fchmodat", unix.Fchmodat(a.fd, a.name, mode, 0))
}

// setTimes sets the times of access and modification.
func setTimes(a at, times [2]unix.Timespec) error {
	return os.NewSyscallError("utimensat", unix.UtimesNanoAt(a.fd, a.name, times[:], unix.AT_SYMLINK_NOFOLLOW))
}

// fileTimes are the times of all but symbolic links and, at last, directories.
func fileTimes(hdr *tar.Header) [2]unix.Timespec {
	return [2]unix.Timespec{timespec(sane(accessTime(hdr))), timespec(sane(hdr.ModTime))}
}

// linkTimes are the times of a symbolic link.
func linkTimes(hdr *tar.Header) [2]unix.Timespec {
	return [2]unix.Timespec{timespec(accessTime(hdr)), timespec(hdr.ModTime)}
}

// accessTime is never before the time of modification.
func accessTime(hdr *tar.Header) time.Time {
	if hdr.AccessTime.Before(hdr.ModTime) {
		return hdr.ModTime
	}
	return hdr.AccessTime
}

// sane replaces a time that a file cannot have everywhere by the epoch, as the
// library does.
func sane(t time.Time) time.Time {
	epoch, last := time.Unix(0, 0), time.Unix(0, 1<<63-1)
	if t.Before(epoch) || t.After(last) {
		return epoch
	}
	return t
}

func timespec(t time.Time) unix.Timespec {
	ts := syscall.NsecToTimespec(t.UnixNano())
	return unix.Timespec{Sec: ts.Sec, Nsec: ts.Nsec}
}

// setXattrs sets the extended attributes of the header's pax records.
func (u *unpacker) setXattrs(a at, hdr *tar.Header) error {
	for name, value := range layerrules.Xattrs(hdr.PAXRecords) {
		err := unix.Lsetxattr(a.procPath(), name, []byte(value), 0)
		switch {
		case err == nil:
			u.acl = u.acl || name == "system.posix_acl_default"
		case errors.Is(err, unix.ENOTSUP), u.opts.UserNamespace && errors.Is(err, unix.EPERM):
			// The library goes on without it, too.
		case u.opts.UserNamespace && name == "security.capability" && errors.Is(err, unix.EINVAL):
			// Capabilities for a root that the namespace does not know.
			u.result.Squashed++
		case errors.Is(err, unix.EPERM):
			// Of a user's attribute on what can have none.
			return fmt.Errorf("extended attribute %s: %w", name, ErrType)
		default:
			return fmt.Errorf("extended attribute %s: %w", name, os.NewSyscallError("lsetxattr", err))
		}
	}
	return nil
}

// setDirTimes sets the times of directories, now that nothing changes them:
// those that the tar does not list have the epoch's.
func (u *unpacker) setDirTimes() error {
	for _, name := range u.implied {
		d, err := u.dirs.get(path.Dir(name))
		if err != nil {
			continue // it was replaced
		}
		a := at{fd: d.fd, name: path.Base(name)}
		var st unix.Stat_t
		if err := unix.Fstatat(a.fd, a.name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil || st.Mode&unix.S_IFMT != unix.S_IFDIR {
			continue
		}
		if err := setTimes(a, [2]unix.Timespec{}); err != nil {
			return err
		}
		u.dirs.next(false)
	}
	for _, l := range u.listed {
		u.dirs.next(false)
		d, err := u.dirs.get(path.Dir(l.path))
		if err == nil {
			err = setTimes(at{fd: d.fd, name: path.Base(l.path)}, l.times)
		}
		if err != nil {
			return refuse(l.path, err)
		}
	}
	return nil
}

// readUmask returns the bits that the process takes away from the modes of new
// files.
func readUmask() (uint32, error) {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return 0, fmt.Errorf("reading umask: %w", err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if v, ok := strings.CutPrefix(s.Text(), "Umask:"); ok {
			mask, err := strconv.ParseUint(strings.TrimSpace(v), 8, 12)
			if err != nil {
				return 0, fmt.Errorf("reading umask: %w", err)
			}
			return uint32(mask), nil
		}
	}
	// A kernel that does not say: every mode is set explicitly then.
	return 0o7777, nil
}

// entryFault reports errors of the file system that the entry is to blame for:
// a name that is too long, a folder that is none, a link to nothing.
func entryFault(err error) bool {
	for _, e := range []error{
		ErrLeadsOut, ErrType, ErrDevice, ErrWhiteout, ErrTwice, ErrTable, ErrTooLong, ErrExpanding, layerrules.ErrXattr,
		unix.ENAMETOOLONG, unix.ENOTDIR, unix.EISDIR, unix.ENOENT, unix.EEXIST, unix.ELOOP,
		unix.EXDEV, unix.EINVAL, unix.ERANGE, unix.E2BIG, unix.EMLINK,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
