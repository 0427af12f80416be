package extract

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nodeseal/nodeseal/internal/inroot"
)

// at is a file as *at calls name it: a name in an open directory. The name has
// no slash, and is never followed where it is a symbolic link.
type at struct {
	fd   int
	name string
}

// procPath is a path for calls that have no *at form.
func (a at) procPath() string { return fmt.Sprintf("/proc/self/fd/%d/%s", a.fd, a.name) }

// dir is an open directory of the layer.
type dir struct {
	fd int
	// gid is the group that new files may inherit from it.
	gid uint32
	// setgid says that new directories inherit that bit.
	setgid bool
}

// maxDirs is how many directories may stay open from one entry to the next.
const maxDirs = 64

// dirCache keeps directories of a layer open. Each is found from the root, as in a chroot:
// symbolic links on the way, absolute ones too, are followed inside.
type dirCache struct {
	root int
	open map[string]dir
}

func newDirCache(root int) *dirCache {
	return &dirCache{root: root, open: make(map[string]dir)}
}

// get returns the directory name, "." for the root.
func (c *dirCache) get(name string) (dir, error) {
	if d, ok := c.open[name]; ok {
		return d, nil
	}
	fd, err := inroot.Open(c.root, name, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return dir{}, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return dir{}, errors.Join(os.NewSyscallError("fstat", err), unix.Close(fd))
	}
	d := dir{fd: fd, gid: st.Gid, setgid: st.Mode&unix.S_ISGID != 0}
	c.open[name] = d
	return d, nil
}

// next makes the cache ready for the next entry: no directory that was handed
// out is used any more. Where stale says so a name may have come to mean another
// directory, or a directory may have got another group.
func (c *dirCache) next(stale bool) {
	if stale || len(c.open) >= maxDirs {
		c.flush()
	}
}

// flush closes all directories.
func (c *dirCache) flush() {
	for _, d := range c.open {
		_ = unix.Close(d.fd) // it was only a place
	}
	clear(c.open)
}

// parentOf returns the directory that holds name, and creates it where only
// names imply it.
func (u *unpacker) parentOf(name string) (dir, error) {
	parent := path.Dir(name)
	d, err := u.dirs.get(parent)
	if errors.Is(err, unix.ENOENT) {
		return u.mkdirAll(parent)
	}
	return d, err
}

// mkdirAll creates the directory name and those above it that are missing. No
// other directory is in use meanwhile.
func (u *unpacker) mkdirAll(name string) (dir, error) {
	d, err := u.dirs.get(name)
	if name == "." || !errors.Is(err, unix.ENOENT) {
		return d, err
	}
	if _, err := u.mkdirAll(path.Dir(name)); err != nil {
		return dir{}, err
	}
	u.dirs.next(false)
	above, err := u.dirs.get(path.Dir(name))
	if err != nil {
		return dir{}, err
	}
	const mode = 0o755
	a := at{fd: above.fd, name: path.Base(name)}
	if err := unix.Mkdirat(a.fd, a.name, mode); err != nil {
		return dir{}, os.NewSyscallError("mkdirat", err)
	}
	if above.gid != 0 {
		if err := unix.Fchownat(a.fd, a.name, 0, 0, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return dir{}, os.NewSyscallError("fchownat", err)
		}
	}
	if mode&u.umask != 0 {
		if err := unix.Fchmodat(a.fd, a.name, mode, 0); err != nil {
			return dir{}, os.NewSyscallError("fchmodat", err)
		}
	}
	u.implied = append(u.implied, strings.Clone(name))
	return u.dirs.get(name)
}

// remove removes a and all below it, after which names may mean other directories.
func (u *unpacker) remove(a at) error {
	u.stale = true
	err := unix.Unlinkat(a.fd, a.name, 0)
	if errors.Is(err, unix.EISDIR) {
		err = removeTree(a)
	}
	return os.NewSyscallError("unlinkat", err)
}

// removeTree removes the directory a. It does not follow links.
func removeTree(a at) error {
	fd, err := unix.Openat(a.fd, a.name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), a.name)
	defer f.Close()
	entries, err := f.ReadDir(-1)
	if err != nil {
		return err
	}
	for _, e := range entries {
		below := at{fd: fd, name: e.Name()}
		if e.IsDir() {
			err = removeTree(below)
		} else {
			err = unix.Unlinkat(fd, below.name, 0)
		}
		if err != nil {
			return err
		}
	}
	return unix.Unlinkat(a.fd, a.name, unix.AT_REMOVEDIR)
}
