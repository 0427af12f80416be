package slot

import (
	"context"
	"fmt"

	"github.com/nodeseal/nodeseal/internal/progress"
	"github.com/nodeseal/nodeseal/internal/seal"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/image"
	"github.com/opencontainers/go-digest"
)

// Install fills the free slot with the image file, which was made elsewhere and has
// the digest want. Where a slot holds the same, nothing is done. It may be called
// again after it was interrupted or killed, and starts over then. Errors are those
// of image.Install and seal.Image, filelock.ErrBusy, or a *FullError.
func (r *Root) Install(ctx context.Context, file string, want digest.Digest, opts FillOptions) (*Filled, error) {
	unlock, err := r.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	_, bad := r.init(ctx)
	for _, n := range Names() {
		bad.add(n, r.mountImages(n))
	}
	free, already, err := r.find(bad, opts.Progress, func(s *Slot) bool {
		d, err := image.ReadDigest(s.Image)
		return s.Image != "" && err == nil && d == want
	})
	if err != nil || already != nil {
		return already, err
	}
	opts.Image = true
	if err := r.clearPrepared(ctx, free, true); err != nil {
		return nil, err
	}
	at := r.places(free)
	// What waits there was made from a bundle, or copied before a kill: to tell which
	// of the two would take as long as a copy.
	if _, err := clearImage(at.preparedFile()); err != nil {
		return nil, err
	}
	res, err := image.Install(ctx, file, at.preparedFile(), want, opts.Signed, opts.ImportOptions)
	if err != nil {
		return nil, err
	}
	out := &Filled{Slot: free, Path: at.path, Counts: &res.Counts, Image: &res.Facts}
	id, err := inventoryOf(at.preparedFile())
	if err != nil {
		return nil, err
	}
	// A directory may hold the same.
	_, already, err = r.find(bad, nil, func(s *Slot) bool { return s.ID == id })
	if err != nil {
		return nil, err
	}
	if already != nil {
		_, err := clearImage(at.preparedFile())
		return already, err
	}
	if err := r.writeTimes(free, Times{ID: id, Filled: opts.Now.UTC(), Boot: BootID()}); err != nil {
		return nil, err
	}
	return out, r.finish(ctx, at, opts, out)
}

// inventoryOf returns the digest of the inventory in an image.
func inventoryOf(file string) (digest.Digest, error) {
	m, err := seal.OpenImage(file, "")
	if err != nil {
		return "", err
	}
	defer m.Close()
	stored, err := store.OpenStored(store.Files(m.Dir()))
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", file, err)
	}
	return digest.FromBytes(stored.RawInventory()), nil
}

// stillHas returns what is wrong with a slot that was filled with the bundle id: it is
// to be repaired, and not to be filled into the other one.
func (r *Root) stillHas(id digest.Digest, bad faults) error {
	state, err := r.readState()
	if err != nil {
		return err
	}
	for _, n := range Names() {
		if bad[n] != nil && state[n].ID == id {
			return bad[n]
		}
	}
	return nil
}

// find returns the slot for which holds says that it has what is to be filled in,
// else the free one. Slots with faults are neither: where the other is free, they are
// named to warn, else they are the error. It is a *FullError where both are full.
func (r *Root) find(bad faults, warn progress.Func, holds func(*Slot) bool) (free Name, already *Filled, err error) {
	for _, n := range Names() {
		if bad[n] != nil {
			continue
		}
		s, err := r.Read(n)
		if err != nil {
			bad.add(n, err)
			continue
		}
		if holds(s) {
			return "", &Filled{Slot: n, Path: s.Path, Already: true}, nil
		}
		if s.Free() && free == "" {
			free = n
		}
	}
	if free == "" {
		if err := bad.err(); err != nil {
			return "", nil, err
		}
		return "", nil, r.full()
	}
	if err := bad.err(); err != nil {
		warn.Warn(fmt.Sprintf("slot %s is left as it is: %v", free.Other(), err))
	}
	return free, nil, nil
}
