// Package dirents reads directories by descriptor: names and types, with one
// call for hundreds of files and nothing else.
package dirents

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// Entry is a name in a directory.
type Entry struct {
	Name string
	// Dir says that it is a directory.
	Dir bool
}

// The layout of linux_dirent64 (getdents64(2)).
const (
	lenAt  = 16
	typeAt = 18
	nameAt = 19
)

// Read returns what is in the directory fd, from where it was read before, but
// for itself and its parent. The order is the file system's.
func Read(fd int) ([]Entry, error) {
	var entries []Entry
	err := Each(fd, func(e Entry) error {
		entries = append(entries, e)
		return nil
	})
	return entries, err
}

// Each calls f with what Read returns, and holds no more than some hundred of them at
// once. It ends with the first error of f, which it returns.
func Each(fd int, f func(Entry) error) error {
	buf := make([]byte, 16<<10)
	for {
		n, err := unix.Getdents(fd, buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n <= 0 {
			return os.NewSyscallError("getdents", err)
		}
		for rest := buf[:n]; len(rest) > nameAt; {
			size := int(binary.NativeEndian.Uint16(rest[lenAt:]))
			name, _, _ := bytes.Cut(rest[nameAt:size], []byte{0})
			kind := rest[typeAt]
			rest = rest[size:]
			if string(name) == "." || string(name) == ".." {
				continue
			}
			e := Entry{Name: string(name), Dir: kind == unix.DT_DIR}
			if kind == unix.DT_UNKNOWN { // not every file system says it
				var st unix.Stat_t
				if err := unix.Fstatat(fd, e.Name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
					return os.NewSyscallError("fstatat", err)
				}
				e.Dir = st.Mode&unix.S_IFMT == unix.S_IFDIR
			}
			if err := f(e); err != nil {
				return err
			}
		}
	}
}
