package slot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/nodeseal/nodeseal/internal/filelock"
	"github.com/nodeseal/nodeseal/internal/safefile"
)

// lockDir makes the directory at path and locks it until the function it returns is
// called. A link in its place is refused: all that is removed and made in it would be
// elsewhere. The error wraps filelock.ErrBusy where another process has the lock.
func lockDir(path string) (unlock func(), err error) {
	fail := func(err error) (func(), error) { return nil, fmt.Errorf("opening the work directory: %w", err) }
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fail(err)
	}
	root, err := safefile.OpenRoot(filepath.Dir(path))
	if err != nil {
		return fail(err)
	}
	defer root.Close()
	f, err := root.OpenDir(filepath.Base(path))
	if err != nil {
		return fail(fmt.Errorf("%w: remove it", err))
	}
	if err := filelock.Take(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	if !names(path, f) { // its last holder has removed it
		f.Close()
		return lockDir(path)
	}
	return func() {
		_ = filelock.Release(f)
		f.Close()
	}, nil
}

// names reports whether path is the open directory f.
func names(path string, f *os.File) bool {
	named, err := os.Lstat(path)
	if err != nil {
		return false
	}
	opened, err := f.Stat()
	return err == nil && os.SameFile(named, opened)
}
