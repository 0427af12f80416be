package install

import (
	"context"
	"path/filepath"
	"time"

	"github.com/nodeseal/nodeseal/internal/form"
	"github.com/nodeseal/nodeseal/internal/progress"
	"github.com/nodeseal/nodeseal/internal/slot"
	"github.com/nodeseal/nodeseal/internal/store/image"
)

// Repair rebuilds the damaged store in the directory path from its undamaged layers, the
// other slot and the source, which Fit has left the images of the store. It is sealed and mounted
// afterwards if it was before. It may be called again after it was interrupted or killed.
// Errors are those of slot.Repair and base.Finder.
func Repair(ctx context.Context, s *Source, path string, o Options) (*Result, error) {
	_, asImage := form.FileOf(path)
	if o.LimitMemory != nil {
		o.LimitMemory(MemoryLimit(asImage, o.Jobs))
	}
	stores := []string{path}
	if root, name, ok := slot.Find(path, slot.Options{}); ok {
		stores = append(stores, root.Path(name.Other()))
	}
	// Links, also for an image: of a damaged store no layer may be read unproven.
	w, err := s.complete(ctx, stores, false, filepath.Dir(filepath.Clean(path)))
	if err != nil {
		return nil, err
	}
	defer w.Close()
	o.Beside = w.Beside()
	opts := o.fillOptions(s, asImage, w.Stores())
	sealed, err := form.State(ctx, path)
	noMount := err == nil && !sealed.Mounted
	var filled *slot.Filled
	if root, name, ok := slot.Find(path, slot.Options{NoMount: noMount}); ok {
		filled, err = root.Repair(ctx, w.Source, name, opts)
	} else {
		opts.NoSeal = sealed.Immutable == 0 && !sealed.Mounted
		filled, err = slot.RepairStore(ctx, w.Source, path, noMount, opts)
	}
	if err != nil {
		return nil, w.Blame(ctx, err)
	}
	res := newResult(filled)
	res.addBase(w)
	return res, nil
}

// Verify proves the store at path again and, if it is a slot, remembers when.
func Verify(ctx context.Context, path string, now time.Time, report progress.Func) (*image.Verified, error) {
	rep, err := form.Verify(ctx, path, report)
	if err != nil {
		return nil, err
	}
	if root, name, ok := slot.Find(path, slot.Options{}); ok {
		// A slot that cannot be read is one whose damage was found.
		if s, err := root.Read(name); err == nil && s.ID != "" {
			if err := root.Verified(s, now, len(rep.Findings)); err != nil {
				return nil, err
			}
		}
	}
	return rep, nil
}
