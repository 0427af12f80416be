package dir

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/check"
	"golang.org/x/sys/unix"
)

// Probe implements build.Writer: it tries, where the store will lie, everything that extraction does and
// not every file system, kernel or process can.
func (im *importer) Probe(context.Context) error {
	scratch := im.partial.scratch()
	if err := os.Mkdir(scratch, 0o700); err != nil {
		return fmt.Errorf("probing the file system: %w", err)
	}
	folder, err := os.Open(scratch)
	if err != nil {
		return fmt.Errorf("probing the file system: %w", err)
	}
	defer folder.Close()
	fd := int(folder.Fd())
	opaque := "trusted.overlay.opaque"
	if im.userNS {
		opaque = "user.overlay.opaque"
	}
	var errs []error
	try := func(what string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", what, err))
		}
	}
	try("whiteouts (character device 0:0)", unix.Mknodat(fd, "whiteout", unix.S_IFCHR, 0))
	try("opaque directories ("+opaque+")", unix.Lsetxattr(scratch, opaque, []byte("y"), 0))
	try("extended attributes of users", unix.Lsetxattr(scratch, "user.nodeseal", []byte("y"), 0))
	try("hard links", im.probeLinks(fd))
	try("renaming without replacing", unix.Renameat2(fd, "file", fd, "renamed", unix.RENAME_NOREPLACE))
	if len(errs) == 0 {
		try("overlay", check.Probe(filepath.Join(scratch, "overlay")))
	}
	if err := check.Remove(scratch); err != nil {
		return err
	}
	if len(errs) > 0 {
		return fmt.Errorf("%w: %s cannot hold a store: %w", store.ErrPrecondition, filepath.Dir(im.target), errors.Join(errs...))
	}
	return nil
}

// probeLinks makes a file and a hard link to it.
func (im *importer) probeLinks(fd int) error {
	f, err := unix.Openat(fd, "file", unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	if err := unix.Close(f); err != nil {
		return err
	}
	return unix.Linkat(fd, "file", fd, "link", 0)
}
