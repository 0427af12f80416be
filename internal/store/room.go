package store

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Need is what a store takes of its file system. Inodes are 0 if they do not count.
type Need struct{ Bytes, Inodes int64 }

// NeedError reports too little room on the store's file system. It wraps
// ErrPrecondition.
type NeedError struct {
	Path string
	Need
	// FreeBytes and FreeInodes are there.
	FreeBytes, FreeInodes int64
}

// Error implements error.
func (e *NeedError) Error() string {
	if e.Bytes > e.FreeBytes {
		return fmt.Sprintf("%s: the store needs %d MiB, %d MiB are free", e.Path, e.Bytes>>20, e.FreeBytes>>20)
	}
	return fmt.Sprintf("%s: the store needs %d inodes, %d are free", e.Path, e.Inodes, e.FreeInodes)
}

// Unwrap returns ErrPrecondition.
func (e *NeedError) Unwrap() error { return ErrPrecondition }

// UsageError reports a file system that would be too full for kubelet. It wraps
// ErrPrecondition.
type UsageError struct {
	Path string
	// Percent is the bound, 0 for none, Bytes what the store needs, Used and Size are the
	// file system's: the primary store and other stores that lie on it are in
	// Used.
	Percent           int
	Bytes, Used, Size int64
}

// after is the part in use with the store, in percent, rounded up.
func (e *UsageError) after() int { return int(((e.Used+e.Bytes)*100 + e.Size - 1) / e.Size) }

// exceeded reports whether there is anything to report.
func (e *UsageError) exceeded() bool { return e.Percent > 0 && e.after() > e.Percent }

// Error implements error.
func (e *UsageError) Error() string {
	return fmt.Sprintf("%s: with the store's %d MiB the file system would be %d%% full (%d of %d MiB are used): kubelet removes images from %d%% on",
		e.Path, e.Bytes>>20, e.after(), e.Used>>20, e.Size>>20, e.Percent)
}

// Unwrap returns ErrPrecondition.
func (e *UsageError) Unwrap() error { return ErrPrecondition }

// Room compares what the store path will take with what is free on the file system of
// the open file fd. The error is a *NeedError, or a *UsageError if more than
// maxUsage percent would be in use then; 0 is no bound.
func Room(fd int, path string, need Need, maxUsage int) error {
	var st unix.Statfs_t
	if err := unix.Fstatfs(fd, &st); err != nil {
		return fmt.Errorf("asking for free space: %w", err)
	}
	room := &NeedError{
		Path: path, Need: need,
		FreeBytes: int64(st.Bavail) * int64(st.Bsize), FreeInodes: int64(st.Ffree),
	}
	// A file system without a number of inodes makes them as it goes.
	if need.Bytes > room.FreeBytes || (st.Files != 0 && need.Inodes > room.FreeInodes) {
		return room
	}
	usage := &UsageError{
		Path: path, Percent: maxUsage, Bytes: need.Bytes,
		Used: int64(st.Blocks-st.Bfree) * int64(st.Bsize), Size: int64(st.Blocks) * int64(st.Bsize),
	}
	if usage.exceeded() {
		return usage
	}
	return nil
}
