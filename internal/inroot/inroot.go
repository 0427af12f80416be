// Package inroot opens names in a directory as in a chroot: symbolic links on the way,
// absolute ones too, are followed inside, and ".." does not leave it.
package inroot

import (
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Limits of Linux.
const (
	maxPath  = 4096 // with the NUL
	maxLinks = 40   // symbolic links followed on the way of one name
)

// Open opens what name leads to in the directory root, an open directory or place (O_PATH).
// The flags are those of open(2), for what is there. Kernels before 5.6, and filters that do not
// know openat2, are asked for one directory after the other.
func Open(root int, name string, flags int) (int, error) {
	how := unix.OpenHow{Flags: uint64(flags) | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	for {
		fd, err := unix.Openat2(root, name, &how)
		switch {
		// EAGAIN: something was renamed meanwhile, elsewhere on the machine.
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EPERM):
			return openEach(root, name, flags)
		default:
			return fd, os.NewSyscallError("openat2", err)
		}
	}
}

// openEach is Open without openat2.
func openEach(root int, name string, flags int) (int, error) {
	if name == "" {
		return -1, unix.ENOENT
	}
	if len(name) >= maxPath {
		return -1, unix.ENAMETOOLONG
	}
	w := walk{root: root}
	defer w.leave(0)
	fd, err := w.open(name, flags|unix.O_CLOEXEC)
	return fd, os.NewSyscallError("openat", err)
}

// walk is a place below a root, with the directories above it.
type walk struct {
	root  int
	above []int
	links int
}

// here is the directory that the walk has come to.
func (w *walk) here() int {
	if len(w.above) == 0 {
		return w.root
	}
	return w.above[len(w.above)-1]
}

// leave goes up to where depth directories are left.
func (w *walk) leave(depth int) {
	for _, fd := range w.above[depth:] {
		_ = unix.Close(fd) // it was only a place
	}
	w.above = w.above[:depth]
}

// open goes the way of name and opens what is at its end.
func (w *walk) open(name string, flags int) (int, error) {
	for {
		if strings.HasPrefix(name, "/") {
			w.leave(0)
		}
		part, rest, _ := strings.Cut(strings.TrimLeft(name, "/"), "/")
		folder := rest != "" || strings.HasSuffix(name, "/") // more than a name is asked of it
		last := strings.Trim(rest, "/") == ""
		switch part {
		case "", ".":
		case "..":
			w.leave(max(0, len(w.above)-1))
		default:
			fd, target, err := w.step(part, last && !folder && flags&unix.O_NOFOLLOW != 0)
			if err != nil {
				return -1, err
			}
			if target != "" {
				if name = target; !last || folder {
					name += "/" + rest
				}
				continue
			}
			if fd < 0 || last && !folder {
				return w.end(fd, part, last && !folder, flags)
			}
			w.above = append(w.above, fd)
		}
		if last {
			return openat(w.here(), ".", flags)
		}
		name = strings.TrimLeft(rest, "/")
	}
}

// step opens part as a place, or returns where it leads to if it is a link that is followed.
// It is -1 for what is there and no directory.
func (w *walk) step(part string, keepLink bool) (fd int, target string, err error) {
	fd, err = openat(w.here(), part, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC)
	if err != nil {
		return -1, "", err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return -1, "", errors.Join(err, unix.Close(fd))
	}
	switch kind := st.Mode & unix.S_IFMT; {
	case kind == unix.S_IFDIR:
		return fd, "", nil
	case kind != unix.S_IFLNK || keepLink:
		return -1, "", unix.Close(fd)
	}
	defer unix.Close(fd)
	if w.links++; w.links > maxLinks {
		return -1, "", unix.ELOOP
	}
	buf := make([]byte, maxPath)
	n, err := unix.Readlinkat(fd, "", buf)
	if err != nil {
		return -1, "", err
	}
	return -1, string(buf[:n]), nil
}

// end opens the last part of a name, whose directory may be open as a place.
func (w *walk) end(place int, part string, last bool, flags int) (int, error) {
	if place >= 0 {
		_ = unix.Close(place) // it was only a place
	}
	if !last {
		return -1, unix.ENOTDIR
	}
	return openat(w.here(), part, flags|unix.O_NOFOLLOW)
}

func openat(dir int, name string, flags int) (int, error) {
	for {
		fd, err := unix.Openat(dir, name, flags, 0)
		if !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}
