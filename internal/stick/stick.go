// Package stick mounts the file system of a stick as a unit cannot: of a known kind,
// without programs, devices, set-user-ID files and symbolic links, and read-only until
// the result is left.
package stick

import (
	"bytes"
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
)

// ErrKind reports a device with no file system that a stick may have. Each of them is
// code of the kernel that reads what a stranger wrote: no others are tried.
var ErrKind = errors.New("no file system that a stick may have (" + strings.Join(Kinds(), ", ") + ")")

// kind is a file system, and where its device has which bytes.
type kind struct {
	name   string
	offset int64
	magic  string
}

func kinds() []kind {
	return []kind{
		{"exfat", 3, "EXFAT   "},
		{"vfat", 82, "FAT32   "},
		{"vfat", 54, "FAT1"}, // FAT12 and FAT16
		{"xfs", 0, "XFSB"},
		{"ext4", 1080, "\x53\xef"},
		{"iso9660", 32769, "CD001"},
		{"udf", 34817, "NSR0"}, {"udf", 36865, "NSR0"}, {"udf", 38913, "NSR0"},
	}
}

// Kinds returns the names of the file systems that are mounted, as the kernel has them.
func Kinds() []string { return []string{"vfat", "exfat", "ext4", "xfs", "iso9660", "udf"} }

// common are the flags of the mount. Kernels before 5.10 do not know NOSYMFOLLOW, and
// pass it over.
const common = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | msNoSymFollow

// msNoSymFollow is MS_NOSYMFOLLOW of linux/mount.h.
const msNoSymFollow = 256

// Stick is a mounted stick. It is for one goroutine.
type Stick struct {
	dir       string
	protected bool // the device cannot be written
}

// Mount mounts the block device at dir, which it makes, read-only. What an earlier run
// that was killed has left mounted there is unmounted first. The error wraps ErrKind
// for other file systems. The caller calls Close.
func Mount(device, dir string) (*Stick, error) {
	fail := func(err error) (*Stick, error) { return nil, fmt.Errorf("mounting the stick %s: %w", device, err) }
	name, err := kindOf(device)
	if err != nil {
		return fail(err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fail(err)
	}
	if err := unmountOld(device, dir); err != nil {
		return fail(err)
	}
	s := &Stick{dir: dir}
	err = unix.Mount(device, dir, name, common, "")
	if errors.Is(err, unix.EROFS) || errors.Is(err, unix.EACCES) {
		s.protected = true
		err = unix.Mount(device, dir, name, common|unix.MS_RDONLY, "")
	}
	if err != nil {
		return fail(os.NewSyscallError("mount -t "+name, err))
	}
	if err := s.remount(unix.MS_RDONLY); err != nil {
		return fail(errors.Join(err, s.Close()))
	}
	return s, nil
}

// Writable lets the stick be written from now on. A stick that is write-protected
// stays as it is.
func (s *Stick) Writable() error {
	if s.protected {
		return nil
	}
	return s.remount(0)
}

// remount changes what the mount itself allows.
func (s *Stick) remount(flags uintptr) error {
	return os.NewSyscallError("remount", unix.Mount("", s.dir, "", unix.MS_REMOUNT|unix.MS_BIND|common|flags, ""))
}

// Close unmounts the stick, with all that was written on it.
func (s *Stick) Close() error { return unmount(s.dir) }

// unmount takes away what is mounted at dir.
func unmount(dir string) error {
	err := unix.Unmount(dir, unix.UMOUNT_NOFOLLOW)
	if errors.Is(err, unix.EBUSY) {
		err = unix.Unmount(dir, unix.UMOUNT_NOFOLLOW|unix.MNT_DETACH)
	}
	if errors.Is(err, unix.EINVAL) {
		return nil // nothing is
	}
	return os.NewSyscallError("umount", err)
}

// unmountOld takes away the stick that a run before has left mounted at dir. Anything
// else that is mounted there is not ours.
func unmountOld(device, dir string) error {
	real, err := filepath.EvalSymlinks(dir)
	if err == nil {
		real, err = filepath.Abs(real)
	}
	if err != nil {
		return err
	}
	mounts, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) { return m.Mountpoint != real, false })
	if err != nil {
		return fmt.Errorf("reading the mounts: %w", err)
	}
	for _, m := range slices.Backward(mounts) { // the last is on top
		if m.Source != device {
			return fmt.Errorf("%s is mounted at %s", m.Source, real)
		}
		if err := unmount(real); err != nil {
			return err
		}
	}
	return nil
}

// kindOf returns the name of the file system on a block device.
func kindOf(device string) (string, error) {
	info, err := os.Stat(device)
	if err != nil {
		return "", err
	}
	if info.Mode()&(fs.ModeDevice|fs.ModeCharDevice) != fs.ModeDevice {
		return "", errors.New("it is no block device")
	}
	f, err := os.OpenFile(device, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return detect(f)
}

// detect returns the name of the file system that r has.
func detect(r io.ReaderAt) (string, error) {
	for _, k := range kinds() {
		have := make([]byte, len(k.magic))
		if _, err := r.ReadAt(have, k.offset); err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("looking for its file system: %w", err)
		}
		if bytes.Equal(have, []byte(k.magic)) {
			return k.name, nil
		}
	}
	return "", ErrKind
}
