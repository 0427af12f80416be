package slot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/nodeseal/nodeseal/internal/atomicfile"
	"github.com/nodeseal/nodeseal/internal/filelock"
	"github.com/nodeseal/nodeseal/internal/seal"
	"github.com/nodeseal/nodeseal/internal/store"
	"golang.org/x/sys/unix"
)

// Init makes the slots that are missing or hollow, as empty stores, and returns
// their names. A hollow slot is a directory without a layer, as tmpfiles.d or an
// interrupted installation makes it. Valid slots are left alone. A slot that
// holds layers and is no valid store gives an error that wraps store.ErrDamaged;
// the other one is made all the same.
func (r *Root) Init(ctx context.Context) ([]Name, error) {
	unlock, err := r.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	made, bad := r.init(ctx)
	return made, bad.err()
}

// init makes the slots, each whatever is wrong with the other.
func (r *Root) init(ctx context.Context) (made []Name, bad faults) {
	_, bad = r.sweep(ctx)
	for _, n := range Names() {
		ok, err := r.initOne(ctx, n)
		if ok {
			made = append(made, n)
		}
		bad.add(n, err)
	}
	return made, bad
}

func (r *Root) initOne(ctx context.Context, n Name) (made bool, err error) {
	_, err = readStore(n, r.Path(n))
	if err != nil {
		if up, merr := mounted(r.Path(n)); up || merr != nil {
			return false, errors.Join(err, merr) // a damaged image, and not what is below
		}
	}
	missing := errors.Is(err, fs.ErrNotExist) && !errors.Is(err, store.ErrDamaged)
	switch {
	case err == nil:
		return false, nil
	case !missing && !errors.Is(err, store.ErrDamaged):
		return false, err
	case !missing && !hollow(r.Path(n)):
		return false, err
	}
	empty, err := r.makeEmpty(ctx, n)
	if err != nil {
		return false, err
	}
	if missing {
		if err := r.unsettle(n); err != nil { // a kill before its mount leaves it to the next command
			return false, err
		}
		if err := unix.Renameat2(unix.AT_FDCWD, empty, unix.AT_FDCWD, r.Path(n), unix.RENAME_NOREPLACE); err != nil {
			return false, fmt.Errorf("making slot %s: %w", n, err)
		}
		if err := atomicfile.SyncDir(r.dir); err != nil {
			return false, err
		}
	} else {
		if err := r.exchange(r.places(n), empty); err != nil {
			return false, err
		}
		if err := discard(ctx, r.swap(n)); err != nil {
			return false, err
		}
	}
	return true, r.remount(n)
}

// hollow reports whether a directory holds no layer.
func hollow(path string) bool {
	// Where a link leads away from the slot, its layers are elsewhere.
	if info, err := os.Lstat(filepath.Join(path, store.OverlayDir)); err == nil && !info.IsDir() {
		return false
	}
	layers, err := filepath.Glob(filepath.Join(path, store.OverlayDir, "*", "diff"))
	return err == nil && len(layers) == 0
}

// mount mounts a slot over itself, where this root does that.
func (r *Root) mount(n Name) error {
	if !r.mounts {
		return nil
	}
	return seal.Mount(r.Path(n))
}

// remount is mount after an exchange.
func (r *Root) remount(n Name) error {
	if err := r.mount(n); err != nil {
		return err
	}
	return r.settled(n)
}

// Mount makes missing slots and mounts the given ones read-only: a directory over
// itself, an image over the empty store in its place. It may be called again at any
// time. A slot that cannot be mounted is a valid store all the same; of an image
// that is damaged, or that this kernel cannot mount, an empty one, and the error is
// an *ImageError.
func (r *Root) Mount(ctx context.Context, names ...Name) error {
	unlock, err := r.lock()
	if err == nil {
		defer unlock()
		_, bad := r.init(ctx)
		err = bad.err()
	}
	busy := errors.Is(err, filelock.ErrBusy)
	for _, n := range names {
		switch {
		case !r.hasImage(n):
			err = errors.Join(err, seal.Mount(r.Path(n)))
		case !busy: // else the other command may be about to take it away
			err = errors.Join(err, r.mountImages(n))
		}
	}
	return err
}

// Unmount takes the mounts of the given slots away. What runs from them goes on.
func (r *Root) Unmount(names ...Name) error {
	var err error
	for _, n := range names {
		if _, serr := os.Stat(r.Path(n)); errors.Is(serr, fs.ErrNotExist) {
			continue
		}
		err = errors.Join(err, unmountAll(r.Path(n)))
	}
	return err
}

// unmountAll takes away the image that is mounted at path, and the mount of the
// directory over itself.
func unmountAll(path string) error {
	if err := seal.UnmountImage(path); err != nil {
		return err
	}
	return seal.Unmount(path)
}
