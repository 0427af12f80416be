// Package atomicfile writes files that must be whole: the content goes to a
// temporary file beside the target, is synced, gets its name by rename, and the
// directory is synced. A file under its final name is complete, also after a
// power cut; an error on the way leaves what was there before and no rest.
//
// Only a killed process leaves something: a file whose name ends in [Suffix].
package atomicfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// Suffix ends the name of every temporary file of this package.
const Suffix = ".partial"

var (
	// ErrLength reports content that is not as long as WithSize says.
	ErrLength = errors.New("unexpected length")
	// ErrDevice reports a target that is a device, which a file would take the place of.
	ErrDevice = errors.New("it is a device, whose place a file would take")
)

// Option changes how Create writes.
type Option func(*config)

type config struct {
	partial bool
	size    int64
	ops     ops
}

// ops are the steps after the last byte, which tests make fail.
type ops struct {
	sync    func(*os.File) error
	rename  func(from, to string) error
	syncDir func(dir string) error
}

// WithPartialName gives the temporary file the name of the target followed by
// Suffix, so that people see what is being made, and a later run replaces what
// a killed one left. Without it the name is hidden and unique.
func WithPartialName() Option { return func(c *config) { c.partial = true } }

// WithSize makes Commit refuse content that is not n bytes long (ErrLength).
func WithSize(n int64) Option { return func(c *config) { c.size = n } }

// File is a file in the making. It is for one goroutine.
type File struct {
	target  string
	config  config
	f       *os.File
	written int64
	begun   int64 // up to where the disk was told to begin
	err     error // of the first failed Write: what follows would be torn
}

// ahead is how much is handed to the disk at a time, so that it is at work long
// before Commit waits for it.
const ahead = 8 << 20

// Create begins a file that Commit will put at path, in place of what is there.
// perm is reduced by the umask, as with os.OpenFile. The directory must exist.
// The caller must call Close, which does no harm after Commit. A device, like /dev/null,
// stays: the error wraps ErrDevice.
func Create(path string, perm fs.FileMode, opts ...Option) (*File, error) {
	if info, err := os.Lstat(path); err == nil && info.Mode()&fs.ModeDevice != 0 {
		return nil, fmt.Errorf("creating %s: %w", path, ErrDevice)
	}
	c := config{size: -1, ops: ops{sync: (*os.File).Sync, rename: os.Rename, syncDir: SyncDir}}
	for _, opt := range opts {
		opt(&c)
	}
	create := createUnique
	if c.partial {
		create = createPartial
	}
	f, err := create(path, perm)
	if err != nil {
		return nil, fmt.Errorf("creating %s: %w", path, err)
	}
	return &File{target: path, config: c, f: f}, nil
}

// Write appends p. After an error nothing more is written and Commit refuses.
func (f *File) Write(p []byte) (int, error) {
	if f.f == nil {
		return 0, fmt.Errorf("writing %s: %w", f.target, fs.ErrClosed)
	}
	if f.err != nil {
		return 0, f.err
	}
	n, err := f.f.Write(p)
	f.written += int64(n)
	if err != nil {
		f.err = fmt.Errorf("writing %s: %w", f.target, err)
	}
	if f.written-f.begun >= ahead {
		beginWriteback(f.f, f.begun, f.written-f.begun)
		f.begun = f.written
	}
	return n, f.err
}

// beginWriteback makes the disk begin with a part of a file, and does not wait.
// Where that cannot be done, Commit does it all.
func beginWriteback(f *os.File, off, n int64) {
	conn, err := f.SyscallConn()
	if err != nil {
		return
	}
	_ = conn.Control(func(fd uintptr) {
		_ = unix.SyncFileRange(int(fd), off, n, unix.SYNC_FILE_RANGE_WRITE)
	})
}

// Commit syncs the content, gives it its name and syncs the directory. On
// success the file is at its path for good. On error the path holds what it
// held before and the temporary file is gone; the one exception is a failed
// sync of the directory, after which the new file is in place but may not
// outlive a power cut. It may be called once.
func (f *File) Commit() (err error) {
	if f.f == nil {
		return fmt.Errorf("committing %s: %w", f.target, fs.ErrClosed)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	if f.err != nil {
		return f.err
	}
	if f.config.size >= 0 && f.written != f.config.size {
		return fmt.Errorf("committing %s: %w: %d bytes, want %d", f.target, ErrLength, f.written, f.config.size)
	}
	if err := f.config.ops.sync(f.f); err != nil {
		return fmt.Errorf("syncing %s: %w", f.target, err)
	}
	if err := f.config.ops.rename(f.f.Name(), f.target); err != nil {
		return fmt.Errorf("naming %s: %w", f.target, err)
	}
	tmp := f.f
	f.f = nil
	if err := tmp.Close(); err != nil {
		return fmt.Errorf("closing %s: %w", f.target, err)
	}
	return f.config.ops.syncDir(filepath.Dir(f.target))
}

// Close gives up a file that was not committed: the temporary file is removed
// and the target stays as it was. After Commit, and again, it does nothing.
func (f *File) Close() error {
	if f.f == nil {
		return nil
	}
	tmp := f.f
	f.f = nil
	// Removed before it is closed: the lock still keeps others off the name.
	if err := errors.Join(os.Remove(tmp.Name()), tmp.Close()); err != nil {
		return fmt.Errorf("giving up %s: %w", f.target, err)
	}
	return nil
}

// Write puts what r yields at path, as Create and Commit do. When r fails, path
// keeps what it held.
func Write(path string, perm fs.FileMode, r io.Reader, opts ...Option) (err error) {
	f, err := Create(path, perm, opts...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := io.Copy(f, r); err != nil {
		if f.err != nil {
			return f.err
		}
		return fmt.Errorf("reading the content of %s: %w", path, err)
	}
	return f.Commit()
}

// WriteBytes puts data at path, as Write does.
func WriteBytes(path string, perm fs.FileMode, data []byte, opts ...Option) error {
	return Write(path, perm, bytes.NewReader(data), opts...)
}

// SyncDir makes the names in dir durable, after a rename, link or removal there.
// File systems that cannot sync a directory say so with EINVAL or ENOTSUP, which
// is no error: there is nothing better to do.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("syncing the directory %s: %w", dir, err)
	}
	defer d.Close()
	return SyncOpenDir(d)
}

// SyncOpenDir is SyncDir for a directory that is open. It does not close it.
func SyncOpenDir(d *os.File) error {
	err := d.Sync()
	if err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOTSUP) {
		return fmt.Errorf("syncing the directory %s: %w", d.Name(), err)
	}
	return nil
}
