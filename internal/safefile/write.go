package safefile

import (
	"errors"
	"io/fs"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"github.com/nodeseal/nodeseal/internal/atomicfile"
)

// Create makes the file name, which must not exist, for reading and writing. The
// error wraps fs.ErrExist where anything has the name, a link too. The caller
// closes the file.
func (r *Root) Create(name string, perm fs.FileMode) (*os.File, error) {
	f, err := r.at("create", name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW, uint32(perm.Perm()))
	if err != nil {
		return nil, err
	}
	return r.checked(f, name)
}

// Resume opens the file name for reading and writing, with the content that it
// has, and makes it where there is none. The error wraps ErrNotRegular where it is
// something else than a file, ErrLinked where the file has a second name, by which
// another one would be written. The caller closes the file.
func (r *Root) Resume(name string, perm fs.FileMode) (*os.File, error) {
	f, err := r.Create(name, perm)
	if !errors.Is(err, fs.ErrExist) {
		return f, err
	}
	if f, err = r.open(name, unix.O_RDWR); err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err = unix.Fstat(int(f.Fd()), &st); err == nil && st.Nlink > 1 {
		err = ErrLinked
	}
	if err != nil {
		f.Close()
		return nil, r.fail("open", name, err)
	}
	return f, nil
}

// MkdirAll makes the directory name and those above it that are missing. The error
// wraps ErrNotRegular where one of them is a link.
func (r *Root) MkdirAll(name string, perm fs.FileMode) error {
	if name == "." {
		return nil
	}
	if err := r.MkdirAll(path.Dir(name), perm); err != nil {
		return err
	}
	err := r.inParent("mkdir", name, func(dir int, base string) error { return unix.Mkdirat(dir, base, uint32(perm.Perm())) })
	if errors.Is(err, fs.ErrExist) {
		var dir *os.File
		if dir, err = r.OpenDir(name); err == nil {
			dir.Close()
		}
	}
	return err
}

// Rename gives the file from the name to, in the place of what has it. A link is
// renamed and replaced itself.
func (r *Root) Rename(from, to string) error {
	return r.inParent("rename", from, func(fromDir int, fromBase string) error {
		return r.inParent("rename to", to, func(toDir int, toBase string) error {
			return unix.Renameat(fromDir, fromBase, toDir, toBase)
		})
	})
}

// Remove removes the file name, a link itself. The error wraps fs.ErrNotExist where
// there is none.
func (r *Root) Remove(name string) error {
	return r.inParent("remove", name, func(dir int, base string) error { return unix.Unlinkat(dir, base, 0) })
}

// SyncDir makes the names in the directory name durable, where its file system can.
func (r *Root) SyncDir(name string) error {
	dir, err := r.OpenDir(name)
	if err != nil {
		return err
	}
	defer dir.Close()
	return atomicfile.SyncOpenDir(dir)
}

// inParent calls do with the directory that name is in, and its last part.
func (r *Root) inParent(op, name string, do func(dir int, base string) error) error {
	if name == "." {
		return r.fail(op, name, ErrName)
	}
	dir, err := r.at(op, path.Dir(name), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer dir.Close()
	err = do(int(dir.Fd()), path.Base(name))
	var named *fs.PathError
	if err == nil || errors.As(err, &named) {
		return err
	}
	return r.fail(op, name, err)
}
