package slot

import (
	"bytes"
	"context"
	"fmt"

	"github.com/nodeseal/nodeseal/internal/seal"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/image"
)

// prepareImage makes the image at at.preparedFile. It takes over what an earlier
// run has finished.
func (r *Root) prepareImage(ctx context.Context, src store.Source, at places, opts FillOptions) (*Filled, error) {
	out := &Filled{Path: at.path}
	done, err := takePreparedImage(src, at.preparedFile())
	if err != nil {
		return nil, err
	}
	if !done {
		res, err := image.Import(ctx, src, at.preparedFile(), opts.ImportOptions)
		if err != nil {
			return nil, err
		}
		out.Counts, out.Image = &res.Counts, &res.Facts
	}
	if err := r.step("seal"); err != nil {
		return nil, err
	}
	return out, ctx.Err()
}

// takePreparedImage reports whether an earlier run has finished the image of src at
// path. That of another bundle is removed, and one that another user can have changed.
func takePreparedImage(src store.Source, path string) (bool, error) {
	if isFile(path) {
		if ownWork(path) == nil && holds(path, src) {
			_, err := image.Clean(path) // that run may have been killed behind the rename
			return true, err
		}
		if err := image.Remove(path); err != nil {
			return false, fmt.Errorf("an earlier import: %w", err)
		}
	}
	return false, nil
}

// holds reports whether the image at path is whole and that of src.
func holds(path string, src store.Source) bool {
	if _, err := image.ReadDigest(path); err != nil {
		return false
	}
	m, err := seal.OpenImage(path, "")
	if err != nil {
		return false
	}
	defer m.Close()
	stored, err := store.OpenStored(store.Files(m.Dir()))
	return err == nil && bytes.Equal(stored.RawInventory(), src.RawInventory())
}

// finishImage puts the prepared image in place, seals and mounts it.
func (r *Root) finishImage(ctx context.Context, at places, opts FillOptions, out *Filled) error {
	if err := r.putImage(ctx, at); err != nil {
		return err
	}
	var err error
	if out.Seal, err = r.showImage(at, opts); err != nil {
		return err
	}
	if err := r.settled(at.slot); err != nil {
		return err
	}
	return r.step("discard")
}

// clearImage removes an image in the making, and returns what was there.
func clearImage(path string) (removed []string, err error) {
	if isFile(path) {
		if err := image.Remove(path); err != nil {
			return nil, err
		}
		removed = append(removed, path)
	}
	found, err := image.Clean(path)
	return append(removed, found...), err
}
