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

// MountImage mounts the store image file read-only at the directory dir: straight
// from the file where the kernel can (Linux 6.12), else by a loop device that goes
// away with the mount. label is the SELinux label that everything in it has; empty
// where SELinux is off. Where an image is mounted there already, nothing is done.
// The errors are ErrNoEROFS, *PrivilegeError and the kernel's.
func MountImage(file, dir, label string) error {
	file, err := filepath.Abs(file)
	if err != nil {
		return fmt.Errorf("mounting %s: %w", file, err)
	}
	mounted, err := ImageMounted(dir)
	if err != nil || mounted {
		return err
	}
	err = attachImage(file, dir, label)
	if err != nil && !errors.Is(err, ErrNoEROFS) {
		err = attachLoop(file, dir, label)
	}
	if err != nil {
		return fmt.Errorf("mounting %s at %s: %w", file, dir, explainMount("mount", dir, err))
	}
	return nil
}

// attachImage mounts what source names, a file or a block device.
func attachImage(source, dir, label string) error {
	fs, err := unix.Fsopen(imageType, unix.FSOPEN_CLOEXEC)
	if errors.Is(err, unix.ENODEV) {
		return ErrNoEROFS
	}
	if err != nil {
		return os.NewSyscallError("fsopen", err)
	}
	defer closeFD(fs)
	settings := [][2]string{{"source", source}}
	if label != "" {
		settings = append(settings, [2]string{"context", label})
	}
	for _, s := range settings {
		if err := unix.FsconfigSetString(fs, s[0], s[1]); err != nil {
			return fmt.Errorf("%s=%s: %w", s[0], s[1], os.NewSyscallError("fsconfig", err))
		}
	}
	if err := unix.FsconfigSetFlag(fs, "ro"); err != nil {
		return os.NewSyscallError("fsconfig", err)
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return os.NewSyscallError("fsconfig", err)
	}
	mount, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_RDONLY)
	if err != nil {
		return os.NewSyscallError("fsmount", err)
	}
	defer closeFD(mount)
	return os.NewSyscallError("move_mount", unix.MoveMount(mount, "", unix.AT_FDCWD, dir, unix.MOVE_MOUNT_F_EMPTY_PATH))
}

// attachLoop mounts an image by a loop device.
func attachLoop(file, dir, label string) error {
	image, err := os.Open(file)
	if err != nil {
		return err
	}
	defer image.Close()
	loop, err := newLoop(image)
	if err != nil {
		return err
	}
	defer loop.Close() // the mount keeps the device
	return attachImage(loop.Name(), dir, label)
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
	return nil, nil //nolint:nilnil // nothing is mounted there
}
