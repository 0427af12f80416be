package seal

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nodeseal/nodeseal/internal/safefile"
)

// flagImmutable is FS_IMMUTABLE_FL of linux/fs.h.
const flagImmutable = 0x10

// survey is what the flags of a store look like.
type survey struct {
	targets        []string // as names.targets
	immutable      int      // of the targets
	immutableDiffs int
	wrongLabel     []string // of targets and diffs
}

// survey reads the flags, and where label is not empty the labels, of all that
// the seal covers.
func (s *store) survey(ctx context.Context, label string) (*survey, error) {
	n, err := s.names(ctx)
	if err != nil {
		return nil, err
	}
	found := &survey{targets: n.targets}
	count := func(list []string, immutable *int) error {
		for _, name := range list {
			if err := ctx.Err(); err != nil {
				return err
			}
			set, labelled, err := s.look(name, label)
			if err != nil {
				return err
			}
			if set {
				*immutable++
			}
			if !labelled {
				found.wrongLabel = append(found.wrongLabel, name)
			}
		}
		return nil
	}
	if err := count(n.targets, &found.immutable); err != nil {
		return nil, err
	}
	if err := count(n.diffs, &found.immutableDiffs); err != nil {
		return nil, err
	}
	return found, nil
}

// look reads one file: whether it is immutable and whether it has the label.
func (s *store) look(name, label string) (immutable, labelled bool, err error) {
	f, err := s.openFile(name)
	if err != nil {
		return false, false, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	flags, err := s.flags(f, name)
	if err != nil || label == "" {
		return flags&flagImmutable != 0, true, err
	}
	value := make([]byte, 256)
	size, err := unix.Fgetxattr(int(f.Fd()), "security.selinux", value)
	if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.ERANGE) {
		return flags&flagImmutable != 0, false, nil
	}
	if err != nil {
		return false, false, &fs.PathError{Op: "getxattr", Path: f.Name(), Err: err}
	}
	labelled = strings.TrimRight(string(value[:size]), "\x00") == label
	return flags&flagImmutable != 0, labelled, nil
}

// setFlags makes the targets immutable that are not, and waits for the disk. It
// returns how many it changed, also with an error.
func (s *store) setFlags(ctx context.Context, found *survey) (int, error) {
	return s.change(ctx, found.targets, func(flags uint32) uint32 { return flags | flagImmutable })
}

// clearFlags is the reverse of setFlags, also in its order.
func (s *store) clearFlags(ctx context.Context, found *survey) (int, error) {
	targets := slices.Clone(found.targets)
	slices.Reverse(targets)
	return s.change(ctx, targets, func(flags uint32) uint32 { return flags &^ flagImmutable })
}

func (s *store) change(ctx context.Context, targets []string, to func(uint32) uint32) (changed int, err error) {
	for _, name := range targets {
		if err := ctx.Err(); err != nil {
			return changed, err
		}
		ok, err := s.changeOne(name, to)
		if err != nil {
			return changed, err
		}
		if ok {
			changed++
		}
	}
	if changed == 0 {
		return 0, nil
	}
	return changed, os.NewSyscallError("syncfs", unix.Syncfs(int(s.f.Fd())))
}

// changeOne changes the flags of one file and reads them back: some file
// systems take the flag and forget it.
func (s *store) changeOne(name string, to func(uint32) uint32) (changed bool, err error) {
	f, err := s.openFile(name)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	flags, err := s.flags(f, name)
	if err != nil {
		return false, err
	}
	want := to(flags)
	if want == flags {
		return false, nil
	}
	if err := unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, int(want)); err != nil {
		return false, s.explain(name, err)
	}
	got, err := s.flags(f, name)
	if err == nil && (got^want)&flagImmutable != 0 {
		err = s.unsupported(name, nil)
	}
	return true, err
}

// openFile opens a file or directory of the store, never through a symbolic
// link and never waiting for the other end of a pipe.
func (s *store) openFile(name string) (*os.File, error) {
	root, err := s.root()
	if err != nil {
		return nil, err
	}
	defer root.Close()
	info, err := root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return root.OpenDir(name)
	}
	return root.Open(name)
}

// root opens the directory as it is reached now: a mount that is taken away or put
// over it is another way to it.
func (s *store) root() (*safefile.Root, error) { return safefile.OpenRoot(s.dir) }

// flags reads the inode's flags: 32 bits, although the request is declared for
// a long.
func (s *store) flags(f *os.File, name string) (uint32, error) {
	flags, err := unix.IoctlGetUint32(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	if err != nil {
		return 0, s.explain(name, err)
	}
	return flags, nil
}

// explain turns what an ioctl says into an error that says what is lacking.
func (s *store) explain(name string, err error) error {
	switch {
	case errors.Is(err, unix.ENOTTY), errors.Is(err, unix.ENOTSUP), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EROFS):
		return s.unsupported(name, err)
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return &PrivilegeError{Op: "set flags", Path: filepath.Join(s.dir, name), Capability: "CAP_LINUX_IMMUTABLE", Err: err}
	default:
		return &fs.PathError{Op: "flags", Path: filepath.Join(s.dir, name), Err: err}
	}
}

func (s *store) unsupported(name string, err error) error {
	fsType := "unknown"
	if at, mountErr := mountsAt(s.dir); mountErr == nil {
		fsType = at.fsType()
	}
	return &UnsupportedError{Path: filepath.Join(s.dir, name), FSType: fsType, Err: err}
}
