package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/nodeseal/nodeseal/internal/filelock"
)

// createUnique makes a hidden file beside path, with a name that no other
// writer has.
func createUnique(path string, perm fs.FileMode) (*os.File, error) {
	dir, base := filepath.Split(path)
	for n := 0; ; n++ {
		name := fmt.Sprintf("%s.%s.%d-%d%s", dir, base, os.Getpid(), n, Suffix)
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, perm)
		if !errors.Is(err, fs.ErrExist) {
			return f, err
		}
	}
}

// createPartial opens path+Suffix, empty and locked against other writers, so
// that two runs cannot mix their bytes in one file.
func createPartial(path string, perm fs.FileMode) (*os.File, error) {
	name := path + Suffix
	for {
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|syscall.O_NOFOLLOW, perm)
		if err != nil {
			return nil, err
		}
		ours, err := claim(f, name)
		if err == nil && ours {
			err = f.Truncate(0)
		}
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		if ours {
			return f, nil
		}
		if err := f.Close(); err != nil {
			return nil, err
		}
	}
}

// claim locks f and says whether name still is f: a writer that held the lock
// a moment ago may have renamed the file to its final name.
func claim(f *os.File, name string) (bool, error) {
	err := filelock.Take(f)
	switch {
	case errors.Is(err, syscall.ENOLCK), errors.Is(err, syscall.ENOTSUP), errors.Is(err, syscall.ENOSYS):
		// A file system without locks: the caller's care is all there is.
	case err != nil:
		return false, fmt.Errorf("locking %s: %w", name, err)
	}
	opened, err := f.Stat()
	if err != nil {
		return false, err
	}
	named, err := os.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return os.SameFile(opened, named), nil
}
