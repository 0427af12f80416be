//go:build deaths

package deaths

import "golang.org/x/sys/unix"

// changesOld are the calls that later architectures do not have.
func changesOld(nr uint64) bool {
	switch nr {
	case unix.SYS_RENAME, unix.SYS_UNLINK, unix.SYS_RMDIR, unix.SYS_MKDIR, unix.SYS_LINK, unix.SYS_SYMLINK, unix.SYS_MKNOD:
		return true
	}
	return false
}
