package slot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/nodeseal/nodeseal/internal/dryrun"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/dir"
	"github.com/nodeseal/nodeseal/internal/store/image"
)

// single is a store that is no slot, with hidden names beside it.
type single struct {
	places
	lock string // the directory that keeps other repairs out
}

func newSingle(path string) (*single, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("finding %s: %w", path, err)
	}
	hidden := filepath.Join(filepath.Dir(abs), "."+filepath.Base(abs))
	return &single{places: places{path: abs, prepared: hidden + ".repaired", swap: hidden + ".replaced"}, lock: hidden + ".repairing"}, nil
}

// RepairStore is Repair of a single store at path, not a slot. It is sealed
// afterwards unless opts say otherwise, and mounted unless noMount does. The error
// wraps filelock.ErrBusy where another repair of the store is at work, and
// store.ErrPrecondition where containers still run from what the repair before has replaced.
func RepairStore(ctx context.Context, src store.Source, path string, noMount bool, opts FillOptions) (*Filled, error) {
	at, err := newSingle(path)
	if err != nil {
		return nil, err
	}
	unlock, err := lockDir(at.lock)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := at.sweep(ctx); err != nil {
		return nil, err
	}
	if there(at.swap) {
		return nil, fmt.Errorf("%w: containers still run from the store that the last repair has replaced (%s)", store.ErrPrecondition, at.swap)
	}
	opts.Image = isFile(at.file())
	if err := StoreMadeOf(at.path, src); err != nil {
		return nil, err
	}
	r := &Root{mounts: !noMount}
	if !opts.Image {
		opts.reuse(at.path)
	}
	out, err := r.prepare(ctx, src, at.places, opts)
	if err != nil {
		return nil, err
	}
	if err := r.finish(ctx, at.places, opts, out); err != nil {
		return out, err
	}
	if there(at.swap) {
		opts.Progress.Warn("containers run from the old store, which stays at " + at.swap + ": nodeseal clean --store " + path + " removes it after they have ended")
		return out, nil
	}
	return out, removeLock(at.lock)
}

// removeLock removes a lock directory, which is held.
func removeLock(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing the lock: %w", err)
	}
	return nil
}

// sweep removes what repairs that were cut short have left and nothing reads.
func (s *single) sweep(ctx context.Context) error {
	r := new(Root)
	for _, path := range []string{s.prepared + goneSuffix, s.swap + goneSuffix} {
		if err := discard(ctx, path); err != nil {
			return err
		}
	}
	return r.drop(ctx, s.places)
}

// CleanStore removes what imports to the directory path, which is no slot, and repairs of
// the store there have left when they were cut short, in either form, and returns what that was.
// The store itself is never touched. The error wraps filelock.ErrBusy where one is at work.
func CleanStore(ctx context.Context, path string) (removed []string, err error) {
	at, err := newSingle(path)
	if err != nil {
		return nil, err
	}
	before, err := at.leftovers()
	if err != nil {
		return nil, err
	}
	defer func() {
		for _, path := range before {
			if !there(path) {
				removed = append(removed, path)
			}
		}
	}()
	if there(at.lock) {
		unlock, err := lockDir(at.lock)
		if err != nil {
			return nil, err
		}
		defer unlock()
	}
	if err := at.sweep(ctx); err != nil {
		return nil, err
	}
	_, derr := clearDir(ctx, at.prepared)
	_, ierr := clearImage(at.preparedFile())
	_, perr := dir.Clean(at.path)
	_, ferr := image.Clean(at.file())
	if err := errors.Join(derr, ierr, perr, ferr); err != nil || there(at.swap) {
		return nil, err
	}
	return nil, removeLock(at.lock)
}

// PlanCleanStore adds what CleanStore would remove, and changes nothing.
func PlanCleanStore(path string, out *dryrun.Plan) error {
	at, err := newSingle(path)
	if err != nil {
		return err
	}
	left, err := at.leftovers()
	if err != nil {
		return err
	}
	for _, path := range left {
		if path == at.swap && !hollow(path) {
			if readers, err := readersOf(at.path); err != nil || len(readers) > 0 {
				return err
			}
		}
		out.Add("remove", path, dryrun.Size(path))
	}
	return nil
}

// leftovers are what CleanStore looks for, as far as it is there.
func (s *single) leftovers() (paths []string, err error) {
	images, err := image.Leftovers(s.file())
	if err != nil {
		return nil, err
	}
	prepared, err := preparedAt(s.prepared)
	if err != nil {
		return nil, err
	}
	for _, path := range append([]string{dir.PartialName(s.path), s.prepared + goneSuffix, s.swap, s.swap + goneSuffix, s.lock}, images...) {
		if there(path) {
			paths = append(paths, path)
		}
	}
	return append(paths, prepared...), nil
}

// preparedAt are a store in the making for an exchange, in either form, and what was left
// of others, as far as they are there.
func preparedAt(prepared string) (paths []string, err error) {
	at := places{prepared: prepared}
	for _, path := range []string{prepared, dir.PartialName(prepared)} {
		if there(path) {
			paths = append(paths, path)
		}
	}
	if isFile(at.preparedFile()) {
		paths = append(paths, at.preparedFile())
	}
	left, err := image.Leftovers(at.preparedFile())
	for _, path := range left {
		if !slices.Contains(paths, path) {
			paths = append(paths, path)
		}
	}
	return paths, err
}
