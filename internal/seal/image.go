package seal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// ErrNoEROFS reports a kernel that cannot mount EROFS.
var ErrNoEROFS = errors.New("this kernel cannot mount EROFS")

const imageType = "erofs"

// Unable reports whether an error of OpenImage or MountImage is about this machine,
// its kernel or the rights of this process, and not about the image.
func Unable(err error) bool {
	var privilege *PrivilegeError
	return errors.Is(err, ErrNoEROFS) || errors.As(err, &privilege)
}

// MountImage mounts the store image file read-only at the directory dir: straight
// from the file where the kernel can (Linux 6.12), else by a loop device that goes
// away with the mount. label is the SELinux label that everything in it has; empty
// where SELinux is off. Where an image is mounted there already, nothing is done.
// The errors are ErrNoEROFS, *PrivilegeError and the kernel's.
func MountImage(file, dir, label string) error {
	mounted, err := ImageMounted(dir)
	if err != nil || mounted {
		return err
	}
	m, err := OpenImage(file, label)
	if err != nil {
		return err
	}
	defer m.Close()
	return m.Place(dir)
}

// ImageMount is a mount of a store image that is nowhere yet: only its holder sees
// what is in it.
type ImageMount struct {
	tree *os.File
	file string
}

// OpenImage mounts the store image file as MountImage does, but nowhere. The caller
// closes it; the mount is gone then, unless it was placed.
func OpenImage(file, label string) (*ImageMount, error) {
	abs, err := filepath.Abs(file)
	if err != nil {
		return nil, fmt.Errorf("mounting %s: %w", file, err)
	}
	tree, err := newMount(abs, label)
	if err != nil && !errors.Is(err, ErrNoEROFS) {
		tree, err = newLoopMount(abs, label)
	}
	if err != nil {
		return nil, fmt.Errorf("mounting %s: %w", abs, explainMount("mount", abs, err))
	}
	return &ImageMount{tree: tree, file: abs}, nil
}

// Dir is a path of the mount's root, for this process, until Close. Cleaned it is a
// symbolic link.
func (m *ImageMount) Dir() string { return fmt.Sprintf("/proc/self/fd/%d/.", m.tree.Fd()) }

// Place puts the mount over what is at the directory dir.
func (m *ImageMount) Place(dir string) error { return m.move(dir, 0) }

// Replace puts the mount in the place of the topmost one at dir, in one step: no
// reader sees anything but the old or the new. Before Linux 6.5 the old one stays
// below the new until UnmountImage or a restart.
func (m *ImageMount) Replace(dir string) error {
	const beneath = 0x200 // MOVE_MOUNT_BENEATH of linux/mount.h
	if err := m.move(dir, beneath); err != nil {
		return m.Place(dir)
	}
	return explainMount("unmount", dir, unix.Unmount(dir, unix.MNT_DETACH))
}

func (m *ImageMount) move(dir string, flags int) error {
	err := unix.MoveMount(int(m.tree.Fd()), "", unix.AT_FDCWD, dir, unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_SYMLINKS|flags)
	if err != nil {
		return fmt.Errorf("mounting %s at %s: %w", m.file, dir, explainMount("mount", dir, os.NewSyscallError("move_mount", err)))
	}
	return nil
}

// Close gives the handle back.
func (m *ImageMount) Close() { m.tree.Close() }

// newMount mounts what source names, a file or a block device.
func newMount(source, label string) (*os.File, error) {
	fs, err := unix.Fsopen(imageType, unix.FSOPEN_CLOEXEC)
	if errors.Is(err, unix.ENODEV) {
		return nil, ErrNoEROFS
	}
	if err != nil {
		return nil, os.NewSyscallError("fsopen", err)
	}
	defer closeFD(fs)
	settings := [][2]string{{"source", source}}
	if label != "" {
		settings = append(settings, [2]string{"context", label})
	}
	for _, s := range settings {
		if err := unix.FsconfigSetString(fs, s[0], s[1]); err != nil {
			return nil, fmt.Errorf("%s=%s: %w", s[0], s[1], os.NewSyscallError("fsconfig", err))
		}
	}
	if err := unix.FsconfigSetFlag(fs, "ro"); err != nil {
		return nil, os.NewSyscallError("fsconfig", err)
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return nil, os.NewSyscallError("fsconfig", err)
	}
	mount, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_RDONLY)
	if err != nil {
		return nil, os.NewSyscallError("fsmount", err)
	}
	return os.NewFile(uintptr(mount), source), nil
}

// newLoopMount mounts an image by a loop device.
func newLoopMount(file, label string) (*os.File, error) {
	image, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer image.Close()
	loop, err := newLoop(image)
	if err != nil {
		return nil, err
	}
	defer loop.Close() // the mount keeps the device
	return newMount(loop.Name(), label)
}

// newLoop gives the image a read-only loop device that its last user takes away.
func newLoop(image *os.File) (*os.File, error) {
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer control.Close()
	config := unix.LoopConfig{
		Fd:   uint32(image.Fd()),
		Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_READ_ONLY | unix.LO_FLAGS_AUTOCLEAR},
	}
	for {
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, os.NewSyscallError("LOOP_CTL_GET_FREE", err)
		}
		loop, err := os.Open(fmt.Sprintf("/dev/loop%d", n))
		if err != nil {
			return nil, err
		}
		err = unix.IoctlLoopConfigure(int(loop.Fd()), &config)
		if err == nil {
			return loop, nil
		}
		closeFile(loop)
		if !errors.Is(err, unix.EBUSY) { // another one was faster
			return nil, os.NewSyscallError("LOOP_CONFIGURE", err)
		}
	}
}

// closeFD and closeFile close what was a handle only: there is nothing to report.
func closeFD(fd int)       { _ = unix.Close(fd) }
func closeFile(f *os.File) { _ = f.Close() }

// ImageMounted reports whether a store image is what one sees at dir.
func ImageMounted(dir string) (bool, error) {
	m, err := topMount(dir)
	return m != nil && m.FSType == imageType, err
}

// ImageSource returns what the image that one sees at dir is mounted from, a loop
// device or a file; "" where there is none. A file's name is that of the moment when
// it was mounted.
func ImageSource(dir string) (string, error) {
	m, err := topMount(dir)
	if err != nil || m == nil || m.FSType != imageType {
		return "", err
	}
	return m.Source, nil
}

// UnmountImage takes the images that are mounted at dir away. Containers that run
// from them go on.
func UnmountImage(dir string) error {
	for {
		mounted, err := ImageMounted(dir)
		if err != nil || !mounted {
			return err
		}
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			return explainMount("unmount", dir, err)
		}
	}
}

// topMount returns what is mounted at dir, last of all; nil for nothing.
func topMount(dir string) (*mountinfo.Info, error) {
	abs, err := filepath.Abs(dir)
	if err == nil {
		abs, err = filepath.EvalSymlinks(abs)
	}
	if err != nil {
		return nil, fmt.Errorf("looking for mounts: %w", err)
	}
	at, err := mountsAt(abs)
	if err != nil {
		return nil, err
	}
	if at.under.Mountpoint == abs {
		return at.under, nil
	}
	return nil, nil // nothing is mounted there
}
