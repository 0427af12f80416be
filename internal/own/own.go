// Package own says whether what an earlier run has left can be believed by its own
// records: only if no other user can have changed it.
package own

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// ErrForeign is wrapped if another user can have changed what is there.
var ErrForeign = errors.New("another user can have changed it")

// Check refuses a file or a directory that does not belong to the user that this
// process runs as, or that others may write. The error wraps ErrForeign. What is in a
// directory that it accepts was put there by that user: nobody else can add, rename or
// remove a name in it.
func Check(info fs.FileInfo) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok:
		return fmt.Errorf("%w: its owner is not known", ErrForeign)
	case int(st.Uid) != os.Geteuid():
		return fmt.Errorf("%w: it belongs to the user %d, this is the user %d", ErrForeign, st.Uid, os.Geteuid())
	case info.Mode().Type() != fs.ModeSymlink && info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("%w: its mode is %v", ErrForeign, info.Mode().Perm())
	}
	return nil
}

// CheckPath is Check of what path names, which must not be a symbolic link.
func CheckPath(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if info.Mode().Type() == fs.ModeSymlink {
		return fmt.Errorf("%s: %w: it is a symbolic link", path, ErrForeign)
	}
	if err := Check(info); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// CheckParent refuses a directory in which other users may rename what is not theirs:
// one that they may write, and that is not sticky. The error wraps ErrForeign.
func CheckParent(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o002 != 0 && info.Mode()&fs.ModeSticky == 0 {
		return fmt.Errorf("%s: %w: its mode is %v", dir, ErrForeign, info.Mode().Perm())
	}
	return nil
}
