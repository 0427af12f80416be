package extract

import (
	"errors"
	"os"
	"path"

	"github.com/vbatts/tar-split/archive/tar"
	"golang.org/x/sys/unix"
)

// Whiteout implements Tree with overlay's form of a whiteout.
func (u *unpacker) Whiteout(hdr *tar.Header, parent, name string) error {
	u.begin()
	d, err := u.parentOf(path.Join(parent, name))
	if err != nil {
		return err
	}
	a := at{fd: d.fd, name: name}
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

// Opaque implements Tree: what layers below have in the directory is hidden.
func (u *unpacker) Opaque(dir string) error {
	u.begin()
	d, err := u.parentOf(path.Join(dir, opaqueName))
	if err != nil {
		return err
	}
	name := "trusted.overlay.opaque"
	if u.opts.UserNamespace {
		name = "user.overlay.opaque"
	}
	return os.NewSyscallError("lsetxattr", unix.Lsetxattr(at{fd: d.fd, name: "."}.procPath(), name, []byte("y"), 0))
}
