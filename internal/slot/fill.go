package slot

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/nodeseal/nodeseal/internal/own"
	"github.com/nodeseal/nodeseal/internal/seal"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/dir"
	"github.com/nodeseal/nodeseal/internal/store/image"
	"github.com/opencontainers/go-digest"
)

// FillOptions change how a slot is filled.
type FillOptions struct {
	// ImportOptions are the importer's. Their Reuse are stores to take layers from
	// besides those that are taken here.
	store.ImportOptions
	// Image makes the store an image. Its import starts over after a kill.
	Image bool
	// FromOtherSlot takes layers that the other slot has from there, verified.
	FromOtherSlot bool
	// Signed says of an image for Install that a key's signature covers it: its layers
	// are not proven one by one.
	Signed bool
	// NoSeal leaves the store unsealed and unmounted.
	NoSeal bool
	// Chosen is Times.Chosen of the source.
	Chosen []byte
	// Now is the time that is remembered for the slot.
	Now time.Time

	// boot is the start of the machine that is remembered for the slot.
	boot string
}

// reuse puts stores before those that layers are taken from.
func (o *FillOptions) reuse(paths ...string) {
	rest := slices.DeleteFunc(slices.Clone(o.Reuse), func(p string) bool { return slices.Contains(paths, p) })
	o.Reuse = append(paths, rest...)
}

// Filled says what Fill or Repair did.
type Filled struct {
	Slot Name
	Path string
	// Already says that a slot holds the bundle; nothing was done.
	Already bool
	// Counts, and Image of a store that is an image, are nil if nothing was
	// imported: Already, or a run before had finished the import.
	Counts *store.Counts
	Image  *image.Facts
	// Seal is nil with NoSeal or Already.
	Seal *seal.Report
}

// Fill imports src into the free slot, seals it and puts it in place. Where a
// slot holds the same bundle already, nothing is done. It may be called again
// after it was interrupted or killed and goes on then. Errors are those of
// dir.Import and seal.Seal, filelock.ErrBusy, or a *FullError.
func (r *Root) Fill(ctx context.Context, src store.Source, opts FillOptions) (*Filled, error) {
	unlock, err := r.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	_, bad := r.init(ctx)
	for _, n := range Names() {
		bad.add(n, r.mountImages(n))
	}
	// An older version may have believed a bundle that lies: that a slot holds the
	// same is no proof of it.
	if err := opts.prove(ctx, src); err != nil {
		return nil, err
	}
	id := digest.FromBytes(src.RawInventory())
	if err := r.stillHas(id, bad); err != nil {
		return nil, err
	}
	free, already, err := r.find(bad, opts.Progress, func(s *Slot) bool { return s.ID == id })
	if err != nil || already != nil {
		return already, err
	}
	if opts.FromOtherSlot {
		opts.reuse(r.Path(free.Other()))
	}
	opts.boot = BootID()
	return r.fill(ctx, src, free, opts)
}

// prove proves what of src is to go into the slot, without the layers.
func (o *FillOptions) prove(ctx context.Context, src store.Source) error {
	_, err := store.NewPlan(ctx, src, store.Selection{Want: o.Want, Architecture: cmp.Or(o.Architecture, runtime.GOARCH)})
	return err
}

func (r *Root) full() error {
	older, err := r.Older()
	if err != nil {
		return err
	}
	if older == nil {
		return &FullError{}
	}
	return &FullError{Older: older.Name, Release: older.Release()}
}

// fill makes the store and puts it in the place of slot n.
func (r *Root) fill(ctx context.Context, src store.Source, n Name, opts FillOptions) (*Filled, error) {
	if err := r.clearPrepared(ctx, n, opts.Image); err != nil {
		return nil, err
	}
	out, err := r.prepare(ctx, src, r.places(n), opts)
	if err != nil {
		return nil, err
	}
	out.Slot = n
	id := digest.FromBytes(src.RawInventory())
	if err := r.writeTimes(n, Times{ID: id, Filled: opts.Now.UTC(), Boot: opts.boot, Chosen: opts.Chosen}); err != nil {
		return nil, err
	}
	return out, opts.Progress.During("finish", func() error { return r.finish(ctx, r.places(n), opts, out) })
}

// prepare makes the store at at.prepared, sealed. It takes over what an earlier
// run has finished.
func (r *Root) prepare(ctx context.Context, src store.Source, at places, opts FillOptions) (*Filled, error) {
	if opts.Image {
		return r.prepareImage(ctx, src, at, opts)
	}
	out := &Filled{Path: at.path}
	done, err := takePrepared(ctx, src, at.prepared)
	if err != nil {
		return nil, err
	}
	if !done {
		res, err := dir.Import(ctx, src, at.prepared, opts.ImportOptions)
		if err != nil {
			return nil, err
		}
		out.Counts = &res.Counts
	}
	if err := r.step("seal"); err != nil {
		return nil, err
	}
	if !opts.NoSeal {
		err := opts.Progress.During("seal", func() error {
			_, err := protect(ctx, at.prepared, false, true)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return out, ctx.Err()
}

// finish puts the prepared store in place. It takes moments, and is not
// interrupted any more.
func (r *Root) finish(ctx context.Context, at places, opts FillOptions, out *Filled) error {
	ctx = context.WithoutCancel(ctx)
	if opts.Image {
		return r.finishImage(ctx, at, opts, out)
	}
	if err := r.exchange(at, at.prepared); err != nil {
		return err
	}
	if !opts.NoSeal {
		rep, err := protect(ctx, at.path, r.mounts, true)
		if err != nil {
			return err
		}
		out.Seal = &rep
	}
	if err := r.settled(at.slot); err != nil {
		return err
	}
	if err := r.step("discard"); err != nil {
		return err
	}
	return r.drop(ctx, at)
}

// clearPrepared removes what earlier imports have left: to the other slot, or to
// slot n in another form.
func (r *Root) clearPrepared(ctx context.Context, n Name, asImage bool) error {
	for _, m := range Names() {
		if m != n || asImage {
			if _, err := clearDir(ctx, r.prepared(m)); err != nil {
				return fmt.Errorf("an earlier import: %w", err)
			}
		}
		if m != n || !asImage {
			if _, err := clearImage(r.places(m).preparedFile()); err != nil {
				return fmt.Errorf("an earlier import: %w", err)
			}
		}
	}
	return nil
}

// clearDir removes a directory store in the making, and returns what was there.
func clearDir(ctx context.Context, path string) (removed []string, err error) {
	if _, err := os.Lstat(path); err == nil {
		if err := discard(ctx, path); err != nil {
			return nil, err
		}
		removed = append(removed, path)
	}
	found, err := dir.Clean(path)
	if found {
		removed = append(removed, dir.PartialName(path))
	}
	return removed, err
}

// ownWork refuses what an earlier run has prepared at path, if another user can have
// changed it.
func ownWork(path string) error {
	if err := own.CheckParent(filepath.Dir(path)); err != nil {
		return err
	}
	return own.CheckPath(path)
}

// takePrepared reports whether an earlier run has finished the store of src at
// path. That of another bundle is removed, and one that another user can have changed.
func takePrepared(ctx context.Context, src store.Source, path string) (bool, error) {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	stored, err := store.OpenStored(store.Files(path))
	if err == nil && ownWork(path) == nil && bytes.Equal(stored.RawInventory(), src.RawInventory()) {
		_, err := dir.Clean(path) // that run may have been killed behind the rename
		return true, err
	}
	if err := discard(ctx, path); err != nil {
		return false, fmt.Errorf("an earlier import: %w", err)
	}
	return false, nil
}
