package extract

import (
	"errors"
	"os"
	"path"
	"strings"

	"github.com/vbatts/tar-split/archive/tar"
	"golang.org/x/sys/unix"
)

// whiteout makes overlay's form of a whiteout: the entry base in the directory
// parent says that something of a layer below is gone.
func (u *unpacker) whiteout(hdr *tar.Header, parent, base string) error {
	d, err := u.parentOf(path.Join(parent, base))
	if errors.Is(err, unix.ENOTDIR) {
		// Some builders remove a directory and then, again, what was in it.
		return nil
	}
	if err != nil {
		return err
	}
	if base == opaqueName {
		return u.opaque(d)
	}
	a := at{fd: d.fd, name: strings.TrimPrefix(base, whiteoutPrefix)}
	if a.name == "" || a.name == "." || a.name == ".." {
		return ErrWhiteout
	}
	err = unix.Mknodat(a.fd, a.name, unix.S_IFCHR, 0)
	if errors.Is(err, unix.EEXIST) {
		return ErrWhiteout
	}
	if err != nil {
		return os.NewSyscallError("mknodat", err)
	}
	if _, err := u.chown(a, hdr, d); err != nil {
		return err
	}
	return setTimes(a, fileTimes(hdr))
}

// opaque hides what layers below have in the directory d.
func (u *unpacker) opaque(d dir) error {
	name := "trusted.overlay.opaque"
	if u.opts.UserNamespace {
		name = "user.overlay.opaque"
	}
	return os.NewSyscallError("lsetxattr", unix.Lsetxattr(at{fd: d.fd, name: "."}.procPath(), name, []byte("y"), 0))
}
