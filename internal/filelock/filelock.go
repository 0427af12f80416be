// Package filelock keeps two commands from working on the same store, slots, seal,
// work directory or file at the same time. Its locks end with the process that holds
// them, however it ends.
package filelock

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// ErrBusy reports a lock that another command, or another part of this one, holds.
var ErrBusy = errors.New("another command is at work there")

// Take locks f, an open file or directory, without waiting: it returns ErrBusy if the
// lock is held, and an error that wraps a unix.Errno if f cannot be locked. The lock
// belongs to f, not to the process: another open of the same file is refused too. It
// lasts until Release.
func Take(f *os.File) error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return ErrBusy
	}
	return os.NewSyscallError("flock", err)
}

// Release gives the lock of f back. The end of the process and the close of f do so
// too, but a process that is being started elsewhere in this program may hold a copy of
// the descriptor for a moment: with Release the lock is free at once.
func Release(f *os.File) error {
	return os.NewSyscallError("flock", unix.Flock(int(f.Fd()), unix.LOCK_UN))
}

// Held returns ErrBusy if another open of f's file has its lock, and takes nothing. It is
// for those who only look: what it finds may change at once.
func Held(f *os.File) error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return ErrBusy
	}
	if err != nil {
		return os.NewSyscallError("flock", err)
	}
	return Release(f)
}
