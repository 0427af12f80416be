package seal

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

var (
	// ErrNotAStore reports a directory that holds no additional image store.
	ErrNotAStore = errors.New("not an additional image store")
	// ErrLockFile reports a lock file that is missing or empty. Readers create
	// missing ones, which a seal forbids: CRI-O would not start.
	ErrLockFile = errors.New("lock file missing or empty")
)

// UnsupportedError reports a file system that cannot keep the immutable flag.
type UnsupportedError struct {
	Path   string // the first file that showed it
	FSType string // as the kernel names it
	Err    error  // nil where the flag was taken and not kept
}

func (e *UnsupportedError) Error() string {
	switch {
	case errors.Is(e.Err, unix.EROFS):
		return fmt.Sprintf("%s: the %s file system is read-only, its flags cannot be changed", e.Path, e.FSType)
	case e.Err == nil:
		return fmt.Sprintf("%s: the %s file system did not keep the immutable flag", e.Path, e.FSType)
	default:
		return fmt.Sprintf("%s: the %s file system has no immutable flag: %v", e.Path, e.FSType, e.Err)
	}
}

// Unwrap gives the kernel's error.
func (e *UnsupportedError) Unwrap() error { return e.Err }

// PrivilegeError reports that the process may not do what the seal needs.
type PrivilegeError struct {
	Op         string // "set flags", "mount", "unmount"
	Path       string
	Capability string // "CAP_LINUX_IMMUTABLE", "CAP_SYS_ADMIN"
	Err        error
}

func (e *PrivilegeError) Error() string {
	return fmt.Sprintf("%s on %s: %v: it needs %s, that is root outside of a user namespace", e.Op, e.Path, e.Err, e.Capability)
}

// Unwrap gives the kernel's error, which is fs.ErrPermission.
func (e *PrivilegeError) Unwrap() error { return e.Err }

// LabelError reports files without the SELinux label that they must have.
type LabelError struct {
	Want  string
	Names []string // relative to the store, in the order of the walk, at least one
}

func (e *LabelError) Error() string {
	return fmt.Sprintf("%d files without the label %s, first %s", len(e.Names), e.Want, e.Names[0])
}
