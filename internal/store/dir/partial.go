package dir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/nodeseal/nodeseal/internal/atomicfile"
	"github.com/nodeseal/nodeseal/internal/filelock"
	"github.com/nodeseal/nodeseal/internal/own"
	"github.com/nodeseal/nodeseal/internal/rmtree"
	"github.com/nodeseal/nodeseal/internal/safefile"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/build"
	"github.com/nodeseal/nodeseal/internal/store/check"
	"golang.org/x/sys/unix"
)

// PartialName returns the directory in which the store target is made: on the
// same file system, hidden, and never taken for a store.
func PartialName(target string) string {
	return build.PartialName(target)
}

// partial is a store in the making.
//
//	.NAME.partial/
//	  store/      what becomes the store
//	  records/    which layers of it are finished
//	  check/      the library's empty primary store, during the check
type partial struct {
	path string
	// lock is the open directory. It holds the lock, and was opened before the
	// first byte was written, so that syncing it reports every error.
	lock    *os.File
	store   string
	records string
}

// openPartial makes or finds the directory, and locks it until close.
func openPartial(target string, label labeller) (*partial, error) {
	p := &partial{path: PartialName(target)}
	p.store, p.records = filepath.Join(p.path, "store"), filepath.Join(p.path, "records")
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return nil, fmt.Errorf("making the store's parent directory: %w", err)
	}
	if err := own.CheckParent(filepath.Dir(target)); err != nil {
		return nil, fmt.Errorf("%w: making the store: %w", store.ErrPrecondition, err)
	}
	if err := os.Mkdir(p.path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("making the store: %w", err)
	}
	var err error
	if p.lock, err = openOwn(p.path); err != nil {
		return nil, err
	}
	if err := filelock.Take(p.lock); err != nil {
		p.lock.Close()
		return nil, fmt.Errorf("locking %s: %w", p.path, err)
	}
	if err := check.Remove(p.scratch()); err != nil {
		return nil, errors.Join(err, p.close(false))
	}
	for _, dir := range []string{p.store, p.records} {
		if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, errors.Join(fmt.Errorf("making the store: %w", err), p.close(false))
		}
	}
	if err := label.set(p.store); err != nil {
		return nil, errors.Join(err, p.close(false))
	}
	return p, nil
}

// openOwn opens the directory path of an earlier run, or of this one. Its records are
// believed, so it must be one that no other user can have changed.
func openOwn(path string) (*os.File, error) {
	f, err := openFolder(path)
	if err != nil {
		return nil, fmt.Errorf("making the store: %w", err)
	}
	info, err := f.Stat()
	if err == nil {
		err = own.Check(info)
	}
	if errors.Is(err, own.ErrForeign) {
		err = fmt.Errorf("%w: %w: remove it (rm -r %s) and run the same command again", store.ErrPrecondition, err, path)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("what an earlier import has left in %s: %w", path, err), f.Close())
	}
	return f, nil
}

// scratch is where the library may have its own store.
func (p *partial) scratch() string { return filepath.Join(p.path, "check") }

// sync writes everything on the file system to the disk.
func (p *partial) sync() error {
	if err := unix.Syncfs(int(p.lock.Fd())); err != nil {
		return fmt.Errorf("syncing the file system of %s: %w", p.path, err)
	}
	return nil
}

// close unlocks the directory. It removes it where the store is published, and
// where there is nothing in it that a next run could take over.
func (p *partial) close(published bool) error {
	defer p.unlock()
	records, err := os.ReadDir(p.records)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("reading records: %w", err)
	}
	if published || len(records) == 0 {
		return removePartial(p.path)
	}
	return check.Remove(p.scratch())
}

// unlock gives the lock up at once: a process that is being started elsewhere in
// this program has the directory open too, for a moment.
func (p *partial) unlock() {
	_ = filelock.Release(p.lock) // closing does it, too
	_ = p.lock.Close()           // nothing was written to it
}

// openFolder opens a directory, and nothing that has its name otherwise.
func openFolder(path string) (*os.File, error) {
	root, err := safefile.OpenRoot(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return root.OpenDir(filepath.Base(path))
}

// removePartial removes the records first: what is left after a kill must not be taken for
// finished layers.
func removePartial(path string) error {
	if err := check.Remove(filepath.Join(path, "check")); err != nil {
		return err
	}
	err := rmtree.RemoveAll(filepath.Join(path, "records"))
	if err == nil && exist(path) {
		err = atomicfile.SyncDir(path)
	}
	if err == nil {
		err = rmtree.RemoveAll(path)
	}
	if err != nil {
		return fmt.Errorf("removing %s: %w", path, err)
	}
	return nil
}

// Clean removes what an import to target that did not finish has left. It
// reports whether there was something. Errors wrap filelock.ErrBusy where an
// import is at work.
func Clean(target string) (removed bool, err error) {
	abs, err := filepath.Abs(target)
	if err != nil {
		return false, fmt.Errorf("finding %s: %w", target, err)
	}
	f, err := openFolder(PartialName(abs))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking for left-overs: %w", err)
	}
	defer f.Close()
	if err := filelock.Take(f); err != nil {
		return false, fmt.Errorf("locking %s: %w", f.Name(), err)
	}
	return true, removePartial(f.Name())
}
