// Package safefile opens files that somebody else may have put where they are:
// those of a stick, of a slot, of a store's records.
//
// Every name is resolved beneath a directory that the caller chose, its root. No
// symbolic link on the way or at the end is followed, and no ".." leaves the
// root. Only regular files are opened: a named pipe cannot make the caller wait,
// and a device is never opened, not even for a moment. What is read whole has a
// bound.
//
// The path of a root itself is the caller's own, and its links are followed.
//
// It is a leaf: it imports nothing of this module. All of it may be used by many
// goroutines at the same time.
package safefile

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"
)

var (
	// ErrNotRegular is wrapped where something else than a regular file has the
	// name of one, or a symbolic link that of a directory. The message says what.
	ErrNotRegular = errors.New("not a regular file")
	// ErrTooLarge is wrapped where a file or a directory is larger than the caller
	// allows.
	ErrTooLarge = errors.New("larger than it can be")
	// ErrLinked is wrapped where a file to be written has a second name.
	ErrLinked = errors.New("it has more than one name (hard links)")
	// ErrName is wrapped for names that are not slash-separated, local and clean
	// (fs.ValidPath).
	ErrName = errors.New("name leads out of its directory")
)

// regular returns an error that wraps ErrNotRegular unless mode is that of a
// regular file.
func regular(mode fs.FileMode) error {
	what := "a file of an unknown kind"
	switch {
	case mode.IsRegular():
		return nil
	case mode&fs.ModeSymlink != 0:
		what = "a symbolic link"
	case mode.IsDir():
		what = "a directory"
	case mode&fs.ModeNamedPipe != 0:
		what = "a named pipe"
	case mode&fs.ModeSocket != 0:
		what = "a socket"
	case mode&fs.ModeDevice != 0:
		what = "a device"
	}
	return fmt.Errorf("%w but %s", ErrNotRegular, what)
}

// explain says in words what openat2 says by its number.
func explain(err error) error {
	switch {
	case errors.Is(err, unix.ELOOP):
		return fmt.Errorf("%w: a symbolic link is on the way, and is not followed", ErrNotRegular)
	case errors.Is(err, unix.EXDEV):
		return ErrName
	}
	return err
}
