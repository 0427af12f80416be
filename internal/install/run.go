package install

import (
	"context"
	"crypto"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/nodeseal/nodeseal/internal/form"
	"github.com/nodeseal/nodeseal/internal/slot"
	"github.com/nodeseal/nodeseal/internal/store"
)

// Target is where the store goes: exactly one of its fields is set.
type Target struct {
	// Root are the slots of a node; the free one is filled.
	Root *slot.Root
	// Dir is the directory of a single store, which must not exist.
	Dir string
	// File is the name of an image file that nothing is mounted from.
	File string
}

// Options change how a store is made. The zero value makes a directory, sealed and
// mounted.
type Options struct {
	// Form is the new store's; "" is form.Dir.
	Form form.Form
	// ImportOptions are those of the importers. Their Reuse are stores to take layers from
	// besides those of the base; MaxUsage holds for slots only.
	store.ImportOptions
	// NoSeal leaves the store unsealed; a slot is not mounted then either. NoMount
	// leaves out the read-only mount; slots have that from slot.Open.
	NoSeal, NoMount bool
	// FromOtherSlot takes layers that the other slot has from there, verified.
	FromOtherSlot bool
	// Sign signs the digest of a Target.File; nil leaves it unsigned.
	Sign crypto.Signer
	// Now is the time that is remembered for a slot.
	Now time.Time
	// LimitMemory is told the bound of memory, in bytes, once the form is known; nil is
	// not told.
	LimitMemory func(bytes int64)
}

// Run makes a store of the source, or finds that it is there. It may be called again
// after it was interrupted or killed, and resumes then as far as the importers do
// (internal/store/dir, internal/store/image). Errors are those of slot.Fill, slot.Install,
// dir.Import, image.Import, package seal and base.Finder; those about the source name it.
func Run(ctx context.Context, s *Source, t Target, o Options) (*Result, error) {
	asImage, err := o.asImage(ctx, s, t)
	if err != nil {
		return nil, err
	}
	if o.LimitMemory != nil {
		o.LimitMemory(MemoryLimit(asImage, o.Jobs))
	}
	switch {
	case s.digest != "":
		return copyImage(ctx, s, t, o)
	case t.Root != nil:
		return fillSlot(ctx, s, t.Root, asImage, o)
	case t.File != "":
		return makeFile(ctx, s, t.File, o)
	case asImage:
		return makeImage(ctx, s, t.Dir, o)
	}
	return makeDir(ctx, s, t.Dir, o)
}

// asImage reports whether the new store is to be an image.
func (o *Options) asImage(ctx context.Context, s *Source, t Target) (bool, error) {
	switch {
	case s.digest != "" || t.File != "":
		return true, nil
	case t.Root != nil:
		return o.Form.AsImage(ctx, t.Root.Dir(), t.Root.Path(slot.A), t.Root.Path(slot.B))
	}
	f := o.Form
	if _, ok := form.FileOf(t.Dir); ok && f == form.Auto {
		f = form.Same
	}
	return f.AsImage(ctx, filepath.Dir(filepath.Clean(t.Dir)), t.Dir)
}

// failed says which source an error is about.
func (s *Source) failed(err error) error { return fmt.Errorf("%s: %w", s.path, err) }

// fillOptions are those of a slot, which takes layers from stores too.
func (o *Options) fillOptions(s *Source, asImage bool, stores []string) slot.FillOptions {
	return slot.FillOptions{
		ImportOptions: o.importOptions(stores), Image: asImage, FromOtherSlot: o.FromOtherSlot, NoSeal: o.NoSeal, Chosen: s.chosen, Now: o.Now,
	}
}

// importOptions are those of an importer, which takes layers from stores too.
func (o *Options) importOptions(stores []string) store.ImportOptions {
	opts := o.ImportOptions
	opts.Reuse = append(slices.Clone(opts.Reuse), stores...)
	return opts
}

// fillSlot fills the free slot.
func fillSlot(ctx context.Context, s *Source, root *slot.Root, asImage bool, o Options) (*Result, error) {
	w, err := s.complete(ctx, s.opts.Stores, asImage, root.Dir())
	if err != nil {
		return nil, err
	}
	defer w.Close()
	o.Beside = w.Beside()
	filled, err := root.Fill(ctx, w.Source, o.fillOptions(s, asImage, w.Stores()))
	if err != nil {
		return nil, s.failed(w.Blame(ctx, err))
	}
	res := newResult(filled)
	res.addBase(w)
	return res, nil
}

// copyImage fills the free slot with an image that was made elsewhere.
func copyImage(ctx context.Context, s *Source, t Target, o Options) (*Result, error) {
	opts := o.fillOptions(s, true, nil)
	opts.Signed = s.opts.Keys != nil
	filled, err := t.Root.Install(ctx, s.path, s.digest, opts)
	if err != nil {
		return nil, s.failed(err)
	}
	return newResult(filled), nil
}
