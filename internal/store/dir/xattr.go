package dir

import (
	"bytes"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// copyXattrs gives the directory to the extended attributes of from, but for
// the label, which is the node's.
func copyXattrs(from, to folder) error {
	names, err := listXattrs(from)
	if err != nil {
		return fmt.Errorf("extended attributes of %s: %w", from.path, err)
	}
	for _, name := range names {
		value, err := getXattr(from, name)
		if err == nil {
			err = unix.Fsetxattr(to.fd, name, value, 0)
		}
		if err != nil {
			return fmt.Errorf("extended attribute %s of %s: %w", name, from.path, err)
		}
	}
	return nil
}

func listXattrs(f folder) ([]string, error) {
	size, err := unix.Flistxattr(f.fd, nil)
	if errors.Is(err, unix.ENOTSUP) || (err == nil && size == 0) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	buf := make([]byte, size)
	if size, err = unix.Flistxattr(f.fd, buf); err != nil {
		return nil, err
	}
	var names []string
	for name := range bytes.SplitSeq(buf[:size], []byte{0}) {
		if len(name) > 0 && string(name) != "security.selinux" {
			names = append(names, string(name))
		}
	}
	return names, nil
}

func getXattr(f folder, name string) ([]byte, error) {
	size, err := unix.Fgetxattr(f.fd, name, nil)
	if err != nil || size == 0 {
		return nil, err
	}
	buf := make([]byte, size)
	size, err = unix.Fgetxattr(f.fd, name, buf)
	return buf[:max(size, 0)], err
}

// copyPathXattrs is copyXattrs for files of all kinds, which are not followed.
func copyPathXattrs(from, to string) error {
	size, err := unix.Llistxattr(from, nil)
	if errors.Is(err, unix.ENOTSUP) || (err == nil && size == 0) {
		return nil
	}
	names := make([]byte, max(size, 0))
	if err == nil {
		size, err = unix.Llistxattr(from, names)
	}
	if err != nil {
		return fmt.Errorf("extended attributes of %s: %w", from, err)
	}
	for name := range bytes.SplitSeq(names[:size], []byte{0}) {
		key := string(name)
		if key == "" || key == "security.selinux" {
			continue
		}
		n, err := unix.Lgetxattr(from, key, nil)
		value := make([]byte, max(n, 0))
		if err == nil && n > 0 {
			_, err = unix.Lgetxattr(from, key, value)
		}
		if err == nil {
			err = unix.Lsetxattr(to, key, value, 0)
		}
		if err != nil {
			return fmt.Errorf("extended attribute %s of %s: %w", key, from, err)
		}
	}
	return nil
}
