package seal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// mounts is how a directory is reached.
type mounts struct {
	dir   string
	under *mountinfo.Info   // the mount that the directory itself lies on
	self  []*mountinfo.Info // mounts of the directory over itself, lowest first
}

// mountsAt finds how dir, absolute and without symbolic links, is reached.
func mountsAt(dir string) (*mounts, error) {
	all, err := mountinfo.GetMounts(covering(dir))
	if err != nil {
		return nil, fmt.Errorf("reading the mounts: %w", err)
	}
	return resolve(dir, all)
}

// covering keeps the mounts on dir and on the directories above it.
func covering(dir string) mountinfo.FilterFunc {
	return func(m *mountinfo.Info) (skip, stop bool) {
		above := strings.TrimSuffix(m.Mountpoint, "/") + "/"
		return !strings.HasPrefix(dir+"/", above), false
	}
}

// resolve walks from the root to dir as the kernel does: what is mounted over a
// mount comes next, and the shortest path first, for a later mount may hide one
// that lies deeper.
func resolve(dir string, all []*mountinfo.Info) (*mounts, error) {
	next := func(parent int) *mountinfo.Info {
		var found *mountinfo.Info
		for _, m := range all {
			if m.Parent == parent && m.ID != parent && (found == nil || len(m.Mountpoint) < len(found.Mountpoint)) {
				found = m
			}
		}
		return found
	}
	at := &mounts{dir: dir, under: top(all)}
	if at.under == nil {
		return nil, fmt.Errorf("no mount holds %s", dir)
	}
	last := at.under
	for m := next(last.ID); m != nil; m = next(m.ID) {
		if m.Mountpoint == dir && overItself(last, m) {
			at.self = append(at.self, m)
		} else {
			at.under, at.self = m, nil
		}
		last = m
	}
	return at, nil
}

// top is the mount that no other of the list holds.
func top(all []*mountinfo.Info) *mountinfo.Info {
	ids := make(map[int]bool, len(all))
	for _, m := range all {
		ids[m.ID] = true
	}
	var found *mountinfo.Info
	for _, m := range all {
		if (m.Parent == m.ID || !ids[m.Parent]) && (found == nil || len(m.Mountpoint) < len(found.Mountpoint)) {
			found = m
		}
	}
	return found
}

// overItself reports whether m, mounted on parent, shows the very directory
// that it covers.
func overItself(parent, m *mountinfo.Info) bool {
	rel, err := filepath.Rel(parent.Mountpoint, m.Mountpoint)
	return err == nil && m.Major == parent.Major && m.Minor == parent.Minor && m.Root == filepath.Join(parent.Root, rel)
}

func (at *mounts) fsType() string { return at.under.FSType }

// readOnly reports whether the directory is mounted read-only over itself.
func (at *mounts) readOnly() bool {
	if len(at.self) == 0 {
		return false
	}
	options, _, _ := strings.Cut(at.self[len(at.self)-1].Options, ",")
	return options == "ro"
}

// mountReadOnly mounts dir read-only over itself, unless it is. What was left
// halfway, a mount not yet read-only, is replaced.
func mountReadOnly(dir string) error {
	at, err := mountsAt(dir)
	if err != nil || at.readOnly() {
		return err
	}
	if err := at.unmount(); err != nil {
		return err
	}
	err = attach(dir)
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) {
		// Before Linux 5.12, and where a seccomp profile does not know the calls.
		err = bind(dir, at.under)
	}
	return explainMount("mount", dir, err)
}

// unmount takes away the mounts of the directory over itself. They are
// detached: files that readers hold open stay readable, new readers see the
// same directory below.
func (at *mounts) unmount() error {
	for range at.self {
		if err := unix.Unmount(at.dir, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
			return explainMount("unmount", at.dir, err)
		}
	}
	return nil
}

// attach makes the mount read-only before it is in place, so that it is in
// every mount namespace that it propagates to: CRI-O and kubelet may run in one
// of their own. It leaves the peer group of its source, so that nothing mounted
// inside of it turns up below.
func attach(dir string) error {
	fd, err := unix.OpenTree(unix.AT_FDCWD, dir, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_SYMLINK_NOFOLLOW)
	if err != nil {
		return os.NewSyscallError("open_tree", err)
	}
	tree := os.NewFile(uintptr(fd), dir)
	defer func() { _ = tree.Close() }() // the mount stays where it was moved to
	attr := &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY, Propagation: unix.MS_PRIVATE}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, attr); err != nil {
		return os.NewSyscallError("mount_setattr", err)
	}
	return os.NewSyscallError("move_mount", unix.MoveMount(fd, "", unix.AT_FDCWD, dir, unix.MOVE_MOUNT_F_EMPTY_PATH))
}

// bind does the same in two steps. A remount forgets the flags that it is not
// told again.
func bind(dir string, under *mountinfo.Info) error {
	if err := unix.Mount(dir, dir, "", unix.MS_BIND, ""); err != nil {
		return os.NewSyscallError("mount", err)
	}
	flags := uintptr(unix.MS_REMOUNT | unix.MS_BIND | unix.MS_RDONLY)
	for option := range strings.SplitSeq(under.Options, ",") {
		flags |= mountFlag(option)
	}
	err := unix.Mount("", dir, "", flags, "")
	if err == nil {
		err = unix.Mount("", dir, "", unix.MS_PRIVATE, "")
	}
	if err != nil {
		return errors.Join(os.NewSyscallError("remount", err), unix.Unmount(dir, unix.MNT_DETACH))
	}
	return nil
}

func mountFlag(option string) uintptr {
	switch option {
	case "nosuid":
		return unix.MS_NOSUID
	case "nodev":
		return unix.MS_NODEV
	case "noexec":
		return unix.MS_NOEXEC
	case "noatime":
		return unix.MS_NOATIME
	case "nodiratime":
		return unix.MS_NODIRATIME
	case "relatime":
		return unix.MS_RELATIME
	default:
		return 0
	}
}

func explainMount(op, dir string, err error) error {
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		return &PrivilegeError{Op: op, Path: dir, Capability: "CAP_SYS_ADMIN", Err: err}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	return nil
}
