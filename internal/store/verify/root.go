package verify

import (
	"errors"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nodeseal/nodeseal/internal/inroot"
)

// root is the directory with a layer's contents. Names are found in it as in a
// chroot: symbolic links on the way are followed inside, the last one is not.
type root struct {
	fd   int
	dirs map[string]*dir
	// last is the name that was looked at last, and lastMode its mode: the
	// content of a file comes right behind its header.
	last     string
	lastMode uint32
}

// dir is an open directory (O_PATH).
type dir struct {
	fd  int
	ino uint64
}

// place is where a file is: a name in the directory with an inode.
type place struct {
	dir  uint64
	name string
}

// maxDirs bounds the directories that are open at once.
const maxDirs = 128

func newRoot(f *os.File) *root { return &root{fd: int(f.Fd()), dirs: make(map[string]*dir)} }

func (r *root) close() {
	for _, d := range r.dirs {
		_ = unix.Close(d.fd) // it was only a place
	}
	clear(r.dirs)
}

// openFile opens a regular file for reading, below the directory that it is in.
func (r *root) openFile(name string) (int, error) {
	name = clean(name)
	d, err := r.dir(path.Dir(name))
	if err != nil {
		return -1, err
	}
	fd, err := unix.Openat(d.fd, path.Base(name), unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOATIME|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("openat", err)
	}
	if name != r.last {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return -1, errors.Join(os.NewSyscallError("fstat", err), unix.Close(fd))
		}
		r.last, r.lastMode = name, st.Mode
	}
	if r.lastMode&unix.S_IFMT != unix.S_IFREG {
		return -1, errors.Join(errors.New("it is no regular file"), unix.Close(fd))
	}
	return fd, nil
}

// dir returns the directory name, "." for the root.
func (r *root) dir(name string) (*dir, error) {
	if d := r.dirs[name]; d != nil {
		return d, nil
	}
	if len(r.dirs) >= maxDirs {
		r.close()
	}
	fd, err := inroot.Open(r.fd, name, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, errors.Join(os.NewSyscallError("fstat", err), unix.Close(fd))
	}
	d := &dir{fd: fd, ino: st.Ino}
	r.dirs[name] = d
	return d, nil
}

// stat looks at a file and returns where it is.
func (r *root) stat(name string) (at place, st unix.Stat_t, err error) {
	d, err := r.dir(path.Dir(name))
	if err != nil {
		return place{}, st, err
	}
	at = place{dir: d.ino, name: path.Base(name)}
	err = unix.Fstatat(d.fd, at.name, &st, unix.AT_SYMLINK_NOFOLLOW)
	r.last, r.lastMode = name, st.Mode
	return at, st, os.NewSyscallError("fstatat", err)
}

// clean returns the name of a tar entry as a path below the root, "." for it.
func clean(name string) string {
	name = strings.TrimPrefix(path.Clean(name), "/")
	if name == "" {
		return "."
	}
	return name
}
