package dir

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/nodeseal/nodeseal/internal/safefile"
)

// copier puts files of one layer into another store. It is not safe for use by
// several goroutines.
type copier struct {
	// seen are where files with several names were copied to, by inode.
	seen map[uint64]string
}

// place links the file, or where that cannot be copies it with everything that
// extraction sets.
func (c *copier) place(from, to folder, name string) error {
	err := hardLink(from, to, name)
	for _, e := range []error{unix.EXDEV, unix.EMLINK, unix.EPERM, unix.EOPNOTSUPP} {
		if errors.Is(err, e) {
			return c.copy(from, to, name)
		}
	}
	return err
}

func (c *copier) copy(from, to folder, name string) error {
	var st unix.Stat_t
	if err := unix.Fstatat(from.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("attributes of %s: %w", name, err)
	}
	path := filepath.Join(to.path, name)
	if first := c.seen[st.Ino]; first != "" {
		return os.Link(first, path)
	}
	if st.Nlink > 1 {
		c.seen[st.Ino] = path
	}
	var err error
	source := fmt.Sprintf("/proc/self/fd/%d/%s", from.fd, name)
	target := fmt.Sprintf("/proc/self/fd/%d/%s", to.fd, name)
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		err = copyFile(source, target)
	case unix.S_IFLNK:
		var link string
		if link, err = os.Readlink(source); err == nil {
			err = os.Symlink(link, target)
		}
	default:
		err = unix.Mknodat(to.fd, name, st.Mode, int(st.Rdev))
	}
	if err != nil {
		return err
	}
	return c.attributes(source, target, &st)
}

// attributes gives the file at target those of the file at source.
func (c *copier) attributes(source, target string, st *unix.Stat_t) error {
	if err := os.Lchown(target, int(st.Uid), int(st.Gid)); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		if err := unix.Chmod(target, st.Mode&0o7777); err != nil {
			return fmt.Errorf("mode: %w", err)
		}
	}
	if err := copyPathXattrs(source, target); err != nil {
		return err
	}
	times := []unix.Timespec{st.Atim, st.Mtim}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, target, times, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("times: %w", err)
	}
	return nil
}

// copyFile copies a regular file's content: shared with the old one where the
// file system can (FICLONE, or copy_file_range, which io.Copy uses).
func copyFile(from, to string) (err error) {
	source, err := safefile.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	if unix.IoctlFileClone(int(target.Fd()), int(source.Fd())) == nil {
		return nil
	}
	_, err = io.Copy(target, source)
	return err
}
