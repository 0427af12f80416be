package safefile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Root is a directory beneath which files are opened. It stays the same directory
// when its path is given to another one. The caller closes it.
type Root struct {
	dir *os.File
	// walk leaves openat2 out, as on a kernel without it. Tests set it.
	walk bool
}

// OpenRoot opens the directory at dir. Links in dir are followed.
func OpenRoot(dir string) (*Root, error) {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: dir, Err: err}
	}
	return &Root{dir: os.NewFile(uintptr(fd), dir)}, nil
}

// Name returns the path that the root was opened by.
func (r *Root) Name() string { return r.dir.Name() }

// Close closes the root. Files that were opened beneath it stay open.
func (r *Root) Close() error { return r.dir.Close() }

// Path returns the path of name, for messages: never to open it.
func (r *Root) Path(name string) string { return filepath.Join(r.Name(), filepath.FromSlash(name)) }

// fail wraps err with what was being done to which file.
func (r *Root) fail(op, name string, err error) error {
	return &fs.PathError{Op: op, Path: r.Path(name), Err: explain(err)}
}

// Open opens the regular file name for reading. The error wraps fs.ErrNotExist,
// ErrNotRegular or ErrName, or is the system's. The caller closes the file.
func (r *Root) Open(name string) (*os.File, error) { return r.open(name, unix.O_RDONLY) }

// ReadFile returns the content of the regular file name, which is at most limit
// bytes long. Errors are those of Open, or wrap ErrTooLarge.
func (r *Root) ReadFile(name string, limit int64) ([]byte, error) {
	f, err := r.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(f, limit)
}

func readAll(f *os.File, limit int64) ([]byte, error) {
	fail := func(err error) error { return &fs.PathError{Op: "read", Path: f.Name(), Err: err} }
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	tooLarge := fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, info.Size(), limit)
	if info.Size() > limit {
		return nil, fail(tooLarge)
	}
	data := make([]byte, 0, info.Size()+1)
	for {
		n, err := f.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		switch {
		case errors.Is(err, io.EOF):
			return data, nil
		case err != nil:
			return nil, err
		case int64(len(data)) > limit: // it grew
			return nil, fail(fmt.Errorf("%w: more than %d bytes", ErrTooLarge, limit))
		case len(data) == cap(data):
			data = append(data, 0)[:len(data)]
		}
	}
}

// Lstat describes name itself, also where it is a link.
func (r *Root) Lstat(name string) (fs.FileInfo, error) {
	f, err := r.at("lstat", name, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Stat()
}

// OpenDir opens the directory name; "." is the root. The error wraps ErrNotRegular
// where it is a link. The caller closes it.
func (r *Root) OpenDir(name string) (*os.File, error) {
	return r.at("open", name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
}

// ReadDir returns the entries of the directory name, sorted. The error wraps
// ErrTooLarge where there are more than limit.
func (r *Root) ReadDir(name string, limit int) ([]fs.DirEntry, error) {
	dir, err := r.OpenDir(name)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	entries, err := dir.ReadDir(limit + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if len(entries) > limit {
		return nil, r.fail("read", name, fmt.Errorf("%w: more than %d entries", ErrTooLarge, limit))
	}
	sortEntries(entries)
	return entries, nil
}

// open opens the regular file name. It is looked at before it is opened, because
// to open a device is to use it, and again afterwards, because it may be another
// file by then.
func (r *Root) open(name string, flags int) (*os.File, error) {
	info, err := r.Lstat(name)
	if err != nil {
		return nil, err
	}
	if err := regular(info.Mode()); err != nil {
		return nil, r.fail("open", name, err)
	}
	f, err := r.at("open", name, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	return r.checked(f, name)
}

// checked returns f, or closes it where it is no regular file.
func (r *Root) checked(f *os.File, name string) (*os.File, error) {
	info, err := f.Stat()
	if err == nil {
		err = regular(info.Mode())
	}
	if err != nil {
		f.Close()
		return nil, r.fail("open", name, err)
	}
	return f, nil
}

// at opens name beneath the root.
func (r *Root) at(op, name string, flags int, perm uint32) (*os.File, error) {
	if !fs.ValidPath(name) || strings.ContainsRune(name, 0) {
		return nil, r.fail(op, name, ErrName)
	}
	fd, err := r.openat(name, flags|unix.O_CLOEXEC, perm)
	if err != nil {
		return nil, r.fail(op, name, err)
	}
	return os.NewFile(uintptr(fd), r.Path(name)), nil
}

// openat opens name with openat2. Kernels before 5.6 do not have it, and filters
// of some containers forbid it: there each directory is opened on its own.
func (r *Root) openat(name string, flags int, perm uint32) (int, error) {
	const again = 100 // a rename beside it can make the kernel give up
	how := unix.OpenHow{
		Flags: uint64(flags), Mode: uint64(perm),
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	}
	for n := 0; n < again && !r.walk; n++ {
		fd, err := unix.Openat2(int(r.dir.Fd()), name, &how)
		switch {
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
			continue
		case !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EPERM):
			return fd, err
		}
		break
	}
	return openEach(int(r.dir.Fd()), name, flags, perm)
}

// openEach opens name below dir, one directory after the other.
func openEach(dir int, name string, flags int, perm uint32) (int, error) {
	first, rest, more := strings.Cut(name, "/")
	if !more {
		return openOne(dir, first, flags|unix.O_NOFOLLOW, perm)
	}
	fd, err := openOne(dir, first, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	defer unix.Close(fd)
	return openEach(fd, rest, flags, perm)
}

// openOne opens name in dir. A link in the place of a directory is ELOOP, as
// openat2 has it.
func openOne(dir int, name string, flags int, perm uint32) (int, error) {
	for {
		fd, err := unix.Openat(dir, name, flags, perm)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		var st unix.Stat_t
		if errors.Is(err, unix.ENOTDIR) && unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil && st.Mode&unix.S_IFMT == unix.S_IFLNK {
			err = unix.ELOOP
		}
		return fd, err
	}
}

// sortEntries sorts the entries of a directory by name.
func sortEntries(entries []fs.DirEntry) {
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
}
