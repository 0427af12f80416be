package image

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/nodeseal/nodeseal/internal/filelock"
	"github.com/nodeseal/nodeseal/internal/store/build"
	"github.com/nodeseal/nodeseal/internal/store/check"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// PartialName returns the name under which the image path is made: on the same file
// system, hidden, and never taken for an image.
func PartialName(path string) string {
	return build.PartialName(path)
}

// workName returns the directory in which the image is tried before it has its name.
func workName(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".check")
}

// spoolName, splitsName and tablesName are those of files that have a name for a moment only.
func spoolName(path string) string  { return PartialName(path) + ".spool" }
func splitsName(path string) string { return PartialName(path) + ".splits" }
func tablesName(path string) string { return PartialName(path) + ".tables" }

// output is an image in the making. The image itself is locked as long as it is. The
// other files have no name: nothing is left of them, whatever happens.
type output struct {
	target string
	image  *os.File
	spool  *os.File // the ends of small files, until the tree is written
	splits *os.File // tar-splits and tables, until their sizes are known
	tables *os.File // what is known of each file, until the tree is written
}

// openOutput makes the files, in place of what an earlier run has left.
func openOutput(target string) (*output, error) {
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return nil, fmt.Errorf("making the image's directory: %w", err)
	}
	f, err := openLocked(PartialName(target))
	if err != nil {
		return nil, err
	}
	o := &output{target: target, image: f}
	o.spool, err = nameless(spoolName(target))
	if err == nil {
		o.splits, err = nameless(splitsName(target))
	}
	if err == nil {
		o.tables, err = nameless(tablesName(target))
	}
	if err == nil {
		err = o.clear()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("making the image: %w", err), o.close(false))
	}
	return o, nil
}

// clear makes the files empty again.
func (o *output) clear() error {
	err := check.Remove(workName(o.target)) // first: it may have a mount of the image
	for _, f := range []*os.File{o.image, o.spool, o.splits, o.tables} {
		err = errors.Join(err, f.Truncate(0))
	}
	if err != nil {
		return fmt.Errorf("clearing the image: %w", err)
	}
	return nil
}

// openLocked opens or makes a file and locks it. It is still the file of that name
// then: who removes or renames it does so with the lock.
func openLocked(name string) (*os.File, error) {
	for {
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
		if err != nil {
			return nil, fmt.Errorf("making the image: %w", err)
		}
		if err := filelock.Take(f); err != nil {
			return nil, errors.Join(fmt.Errorf("locking %s: %w", name, err), f.Close())
		}
		mine, err := f.Stat()
		if err != nil {
			return nil, errors.Join(fmt.Errorf("making the image: %w", err), f.Close())
		}
		if named, err := os.Lstat(name); err == nil && os.SameFile(mine, named) {
			return f, nil
		}
		if err := f.Close(); err != nil {
			return nil, fmt.Errorf("making the image: %w", err)
		}
	}
}

// nameless makes a file without a name.
func nameless(name string) (*os.File, error) {
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	if err := os.Remove(name); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// publish gives the image its name, and its digest a file beside it, which comes
// first: an image under its name is whole, with all that belongs to it.
func (o *output) publish(d digest.Digest) error {
	if err := WriteDigest(o.target, d); err != nil {
		return err
	}
	return build.Publish(PartialName(o.target), o.target)
}

// close ends the work: what was not published is removed.
func (o *output) close(published bool) error {
	err := check.Remove(workName(o.target))
	if !published {
		if rerr := os.Remove(PartialName(o.target)); !errors.Is(rerr, fs.ErrNotExist) {
			err = errors.Join(err, rerr)
		}
	}
	for _, f := range []*os.File{o.spool, o.splits, o.tables} {
		if f != nil {
			err = errors.Join(err, f.Close())
		}
	}
	// By name: a process being started elsewhere may hold a copy of the descriptor.
	err = errors.Join(err, filelock.Release(o.image), o.image.Close())
	if err != nil {
		return fmt.Errorf("closing the image: %w", err)
	}
	return nil
}
