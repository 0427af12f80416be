package build

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/nodeseal/nodeseal/internal/atomicfile"
	"github.com/nodeseal/nodeseal/internal/store"
	"golang.org/x/sys/unix"
)

// PartialName returns the name under which the store path is made: on the same file
// system, hidden, and never taken for a store.
func PartialName(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".partial")
}

// Publish renames a whole and synced store to path, if that does not exist, and syncs
// the directory in which it lies.
func Publish(from, path string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, path, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("%w: %s", store.ErrExists, path)
	}
	if err != nil {
		return fmt.Errorf("renaming the store to %s: %w", path, err)
	}
	return atomicfile.SyncDir(filepath.Dir(path))
}
