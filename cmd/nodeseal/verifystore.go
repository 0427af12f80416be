package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/archive"
	"github.com/nodeseal/nodeseal/internal/base"
	"github.com/nodeseal/nodeseal/internal/progress"
	"github.com/nodeseal/nodeseal/internal/seal"
	"github.com/nodeseal/nodeseal/internal/slot"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/image"
	"github.com/nodeseal/nodeseal/internal/store/verify"
	"github.com/nodeseal/nodeseal/internal/ui"
)

// isDir reports whether an argument is a directory: a store, not a bundle.
func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// runVerifyStore verifies a store, and with repair puts it right.
func runVerifyStore(ctx context.Context, a *app, path string, lists []string, repair string, bases *baseOptions) error {
	rep, err := verifyStore(ctx, a, path)
	if err != nil {
		return err
	}
	out := newStoreResult(path, rep)
	if repair != "" && !isDir(path) {
		return usageError{errors.New("verify: --repair is for a store in its place: name the directory where the image is mounted")}
	}
	if len(rep.Findings) > 0 && repair != "" {
		res, err := repairStore(ctx, a, path, repair, bases)
		if err != nil {
			return fmt.Errorf("repairing %s: %w", path, err)
		}
		if rep, err = verifyStore(ctx, a, path); err != nil {
			return err
		}
		out.repaired(newStoreResult(path, rep), res)
	}
	if len(lists) > 0 {
		wanted, err := readLists(a, lists)
		if err != nil {
			return err
		}
		inv, err := storedInventory(path)
		if err != nil {
			return err
		}
		out.Missing = missing(inv, wanted)
		out.OK = out.OK && len(out.Missing) == 0
	}
	if err := a.show(out); err != nil {
		return err
	}
	if !out.OK {
		return errFound
	}
	return nil
}

// storedInventory is that of a store: a directory, or an image.
func storedInventory(path string) (*bundle.Inventory, error) {
	dir := path
	if file, ok := imageFile(path); ok {
		m, err := seal.OpenImage(file, "")
		if err != nil {
			return nil, err
		}
		defer m.Close()
		dir = m.Dir()
	}
	stored, err := store.OpenStored(store.Files(dir))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return stored.Inventory(), nil
}

// imageFile returns the image that path is, or the one of the store in the directory
// path.
func imageFile(path string) (string, bool) {
	if isDir(path) {
		return hasImage(path)
	}
	return path, true
}

// verifyStore verifies a store and remembers when, where it is a slot.
func verifyStore(ctx context.Context, a *app, path string) (*image.Verified, error) {
	rep, err := verifyForm(ctx, a, path)
	if err != nil {
		return nil, err
	}
	if root, name, ok := slot.Find(path, slot.Options{}); ok {
		// A slot that cannot be read is one whose damage was found.
		if s, err := root.Read(name); err == nil && s.ID != "" {
			if err := root.Verified(s, time.Now(), len(rep.Findings)); err != nil {
				return nil, err
			}
		}
	}
	return rep, nil
}

// verifyForm verifies a store in its form.
func verifyForm(ctx context.Context, a *app, path string) (*image.Verified, error) {
	report := a.progress()
	follow := func(phase string) (total, read func(int64)) {
		return func(n int64) { report.Begin(phase, n, progress.Bytes) }, func(n int64) { report.Add(phase, n) }
	}
	layers := verify.Options{}
	layers.Total, layers.Read = follow(phaseVerify)
	file, ok := imageFile(path)
	if !ok {
		rep, err := verify.Store(ctx, path, layers)
		if err != nil {
			return nil, err
		}
		report.End(phaseVerify)
		return &image.Verified{Report: rep}, nil
	}
	opts := image.VerifyOptions{Store: layers}
	opts.Total, opts.Read = follow(phaseHash)
	rep, err := image.Verify(ctx, file, opts)
	if err != nil {
		return nil, err
	}
	report.End(phaseHash)
	return rep, nil
}

// repairStore makes the store anew from what of it is whole and the bundle.
func repairStore(ctx context.Context, a *app, path, from string, o *baseOptions) (*slot.Filled, error) {
	f, err := archive.OpenFile(ctx, from)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // read only
	src, err := base.Whole(f)
	if err != nil {
		return nil, err
	}
	stores := []string{path}
	if root, name, ok := slot.Find(path, slot.Options{}); ok {
		stores = append(stores, root.Path(name.Other()))
	}
	b, err := o.complete(ctx, a, from, f, src, stores, base.Options{Architecture: runtime.GOARCH, Links: true})
	if err != nil {
		return nil, err
	}
	defer b.close()
	opts := slot.FillOptions{ImportOptions: store.ImportOptions{Progress: a.progress(), Reuse: b.stores()}}
	rep, err := sealOf(ctx, path)
	noMount := err == nil && !rep.Mounted
	if root, name, ok := slot.Find(path, slot.Options{NoMount: noMount}); ok {
		res, err := root.Repair(ctx, b.src, name, opts)
		return res, b.blame(err)
	}
	opts.NoSeal = rep.Immutable == 0 && !rep.Mounted
	res, err := slot.RepairStore(ctx, b.src, path, noMount, opts)
	return res, b.blame(err)
}

// sealOf says how a store is sealed. The mount of an empty store, where its image
// could not be mounted, counts: that image is to be mounted.
func sealOf(ctx context.Context, path string) (seal.Report, error) {
	file, ok := hasImage(path)
	if !ok {
		return seal.State(ctx, path)
	}
	rep, err := seal.ImageState(file, path)
	if err == nil && !rep.Mounted {
		rep.Mounted, err = seal.Mounted(path)
	}
	return rep, err
}

// storeResult is what verify prints about a store. Bytes are those of the
// layers' plain tars, or those of the image where that was proven by its digest.
type storeResult struct {
	Store  string        `json:"store"`
	OK     bool          `json:"ok"`
	Images int           `json:"images"`
	Layers int           `json:"layers"`
	Bytes  int64         `json:"bytes"`
	Damage []storeDamage `json:"damage"`
	// Image is the file that holds the store, where one does, Digest what it has, and
	// Recorded what was recorded when it was made.
	Image    string        `json:"image,omitempty"`
	Digest   digest.Digest `json:"digest,omitempty"`
	Recorded digest.Digest `json:"recorded,omitempty"`
	// Hurt are the names of images that the damage touches.
	Hurt []string `json:"hurt"`
	// Missing are the references of --images that the store does not hold.
	Missing []string `json:"missing,omitempty"`
	// Repaired says that the damage was there and is no more: Taken layers were
	// whole, Extracted came from the bundle. Left is what is damaged still.
	Repaired  bool          `json:"repaired,omitempty"`
	Taken     int           `json:"taken,omitempty"`
	Extracted int           `json:"extracted,omitempty"`
	Left      []storeDamage `json:"left,omitempty"`
	Seal      *seal.Report  `json:"seal,omitempty"`
}

type storeDamage struct {
	Path  string `json:"path"`
	Error string `json:"error"`
}

func newStoreResult(path string, rep *image.Verified) *storeResult {
	out := &storeResult{
		Store: path, OK: len(rep.Findings) == 0, Images: rep.Images, Layers: rep.Layers, Bytes: rep.Bytes,
		Damage: make([]storeDamage, len(rep.Findings)), Hurt: append([]string{}, rep.Hurt...),
	}
	if rep.Digest != "" {
		out.Image, _ = imageFile(path)
		out.Digest, out.Recorded = rep.Digest, rep.Recorded
		if out.OK {
			out.Bytes = rep.Size
		}
	}
	for i, f := range rep.Findings {
		out.Damage[i] = storeDamage{Path: f.Path, Error: f.Err.Error()}
	}
	return out
}

// repaired adds what a repair did, and what was found after it.
func (r *storeResult) repaired(after *storeResult, res *slot.Filled) {
	r.OK, r.Repaired, r.Left, r.Seal = after.OK, after.OK, after.Damage, res.Seal
	r.Images, r.Layers, r.Bytes = after.Images, after.Layers, after.Bytes
	r.Image, r.Digest, r.Recorded = after.Image, after.Digest, after.Recorded
	if res.Counts != nil {
		r.Taken, r.Extracted = res.Counts.Taken, res.Counts.Extracted
	}
}

func (r *storeResult) writeText(w io.Writer) error {
	p := &printer{w: w}
	for _, d := range r.Damage {
		p.line("DAMAGED  %s: %s", d.Path, d.Error)
	}
	for _, name := range r.Hurt {
		p.line("HURT     %s", name)
	}
	for _, ref := range r.Missing {
		p.line("MISSING  %s", ref)
	}
	for _, d := range r.Left {
		p.line("LEFT     %s: %s", d.Path, d.Error)
	}
	switch {
	case !r.OK:
		p.line("NOT OK: %s damaged, %s hurt, %s missing", plural(len(r.Damage), "place"),
			plural(len(r.Hurt), "reference"), plural(len(r.Missing), "reference"))
	case r.Repaired:
		p.line("REPAIRED: %s: %s were whole, %d came from the bundle", r.Store, plural(r.Taken, "layer"), r.Extracted)
	}
	switch {
	case !r.OK:
	case r.Image != "":
		p.line("OK: %s in %s, %s; %s has the digest that was recorded when it was made, %s", plural(r.Images, "image"),
			plural(r.Layers, "layer"), ui.Bytes(r.Bytes), r.Image, r.Digest)
	default:
		p.line("OK: %s in %s, %s; every file is what its layer's diff ID says", plural(r.Images, "image"),
			plural(r.Layers, "layer"), ui.Bytes(r.Bytes))
	}
	if p.err == nil && r.Seal != nil {
		p.err = sealResult{*r.Seal}.writeText(w)
	}
	return p.err
}
