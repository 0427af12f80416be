package image

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/nodeseal/nodeseal/internal/rmtree"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/dir"
	"golang.org/x/sys/unix"
)

// CheckPoint says whether an image can be mounted at point: nothing is there yet, or
// an empty store, as an image that was removed has left it. The error wraps
// store.ErrExists.
func CheckPoint(point string) error {
	if _, err := os.Lstat(point); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if s, err := store.Open(store.Files(point)); err == nil && s.Empty() {
		return nil
	}
	return fmt.Errorf("%w: %s", store.ErrExists, point)
}

// MakePoint makes the directory that an image is mounted at: an empty store, so that
// a configured path is valid also while nothing is mounted. One that is there stays.
func MakePoint(point string) error {
	if err := CheckPoint(point); err != nil {
		return err
	}
	if _, err := os.Lstat(point); err == nil {
		return nil
	}
	partial := pointName(point)
	if err := rmtree.RemoveAll(partial); err != nil {
		return fmt.Errorf("making the mount point: %w", err)
	}
	err := dir.WriteEmpty(partial)
	if err == nil {
		err = unix.Renameat2(unix.AT_FDCWD, partial, unix.AT_FDCWD, point, unix.RENAME_NOREPLACE)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("making the mount point %s: %w", point, err), rmtree.RemoveAll(partial))
	}
	return nil
}

// pointName is where a mount point is made.
func pointName(point string) string {
	return filepath.Join(filepath.Dir(point), "."+filepath.Base(point)+".point")
}
