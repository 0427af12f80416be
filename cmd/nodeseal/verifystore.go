package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/internal/form"
	"github.com/nodeseal/nodeseal/internal/install"
	"github.com/nodeseal/nodeseal/internal/seal"
	"github.com/nodeseal/nodeseal/internal/store"
	"github.com/nodeseal/nodeseal/internal/store/image"
	"github.com/nodeseal/nodeseal/internal/ui"
)

// runVerifyStore verifies a store, and with repair puts it right.
func runVerifyStore(ctx context.Context, a *app, path string, o *verifyOptions) error {
	if o.repair != "" {
		if !form.IsDir(path) {
			return usageError{errors.New("verify: --repair is for a store in its place: name the directory where the image is mounted")}
		}
		if err := install.NeedRoot(); err != nil {
			return err
		}
	}
	rep, err := install.Verify(ctx, path, time.Now(), a.progress())
	if err != nil {
		return err
	}
	out := newStoreResult(path, rep)
	if len(rep.Findings) > 0 && o.repair != "" {
		res, err := o.repairStore(ctx, a, path)
		if err != nil {
			return fmt.Errorf("repairing %s: %w", path, err)
		}
		if rep, err = install.Verify(ctx, path, time.Now(), a.progress()); err != nil {
			return err
		}
		out.repaired(newStoreResult(path, rep), res)
	}
	if len(o.images) > 0 {
		wanted, err := readLists(a, o.images)
		if err != nil {
			return err
		}
		inv, err := form.Inventory(path)
		if err != nil {
			return err
		}
		out.Missing = install.Missing(inv, wanted)
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

// repairStore rebuilds the store from its undamaged layers and the bundle.
func (o *verifyOptions) repairStore(ctx context.Context, a *app, path string) (*install.Result, error) {
	src, err := o.open(ctx, a, o.repair)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	return install.Repair(ctx, src, path, install.Options{ImportOptions: store.ImportOptions{Progress: a.progress()}, LimitMemory: limitMemory})
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
		out.Image, _ = form.FileAt(path)
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
func (r *storeResult) repaired(after *storeResult, res *install.Result) {
	r.OK, r.Repaired, r.Left, r.Seal = after.OK, after.OK, after.Damage, res.Seal
	r.Images, r.Layers, r.Bytes = after.Images, after.Layers, after.Bytes
	r.Image, r.Digest, r.Recorded = after.Image, after.Digest, after.Recorded
	r.Taken, r.Extracted = res.Taken, res.Extracted
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
		p.line("OK: %s in %s, %s; every manifest and configuration is proven, and %s has the digest recorded beside it, %s; its layers were not read one by one", plural(r.Images, "image"),
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
