package base

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/archive"
	"github.com/nodeseal/nodeseal/internal/store"
)

// Whole returns src as the bundle that holds everything, with the inventory of
// that; src itself where it has no base. What is left to the base cannot be
// opened: Complete gives it.
func Whole(src store.Source) (store.Source, error) {
	inv := src.Inventory()
	if inv.Base == nil {
		return src, nil
	}
	raw, err := inv.WholeBytes(src.RawInventory())
	if err != nil {
		return nil, err
	}
	return &whole{Source: src, inv: inv.Whole(), raw: raw}, nil
}

type whole struct {
	store.Source
	inv *bundle.Inventory
	raw []byte
}

// Inventory implements store.Metadata.
func (w *whole) Inventory() *bundle.Inventory { return w.inv }

// RawInventory implements store.Source.
func (w *whole) RawInventory() []byte { return w.raw }

// Source is a store.Source of which some layers come from other places. It is safe
// for use by many goroutines, as long as the places are open.
type Source struct {
	store.Source
	found  map[digest.Digest]*found // by the blob that the inventory names
	places map[digest.Digest]*found // by the blob that the place has
	tables map[digest.Digest]*Place
	paths  []string
	spool  *archive.Spool
}

// Options say for whom Complete looks.
type Options struct {
	// Architecture is the node's, in Go's words: what other platforms' images need
	// does not count. "" is all.
	Architecture string
	// Links says that layers are linked from stores where Place.Links allows it,
	// and that only what is damaged there is read from the Source: then another
	// place that has them is the better one.
	Links bool
	// Work is the directory of a work file, which has no name, for layers that are made of the
	// files of bundles; "" is $TMPDIR, else /var/tmp.
	Work string
}

// work returns the directory of the work file. /tmp may be memory.
func (o Options) work() string {
	if o.Work != "" {
		return o.Work
	}
	return cmp.Or(os.Getenv("TMPDIR"), "/var/tmp")
}

// Complete gives src, which is Whole's or has images of that, the layers that are
// left to base: each from the first of the places that has it. The error is a
// *MissingError where there is none.
func Complete(ctx context.Context, src store.Source, base *bundle.Base, places []*Place, opts Options) (*Source, error) {
	s := &Source{
		Source: src, found: make(map[digest.Digest]*found), places: make(map[digest.Digest]*found),
		tables: make(map[digest.Digest]*Place), spool: archive.NewSpool(opts.work()),
	}
	needed, err := needs(ctx, src, base, opts.Architecture)
	if err != nil {
		return nil, err
	}
	missing := &MissingError{Base: base, Needed: len(needed)}
	paths := make(map[string]bool)
	for _, w := range needed {
		first, read := w.look(ctx, places, opts.Links)
		if first == nil {
			if t, lacks := w.tell(src, base, places); t != nil {
				missing.older(w, t.delta.From, lacks)
				t.spool = s.spool
				for _, p := range t.from {
					paths[p.path] = true
				}
				s.add(t.found(w, places))
				continue
			}
			missing.Layers = append(missing.Layers, Layer{Digest: w.diffID, Image: w.image})
			continue
		}
		paths[first.path] = true
		s.add(read)
	}
	s.paths = slices.Sorted(maps.Keys(paths))
	if len(missing.Layers) > 0 {
		for _, p := range places {
			missing.Looked = append(missing.Looked, p.path)
		}
		return nil, missing
	}
	return s, nil
}

// look returns the first of the places that has w, and where it is read.
func (w wanted) look(ctx context.Context, places []*Place, links bool) (first *Place, read *found) {
	for _, p := range places {
		f, ok := p.find(ctx, w)
		switch {
		case !ok:
		case first == nil:
			first, read = p, f
		case links && read.place.Links() && !p.Links():
			read = f
		}
	}
	return first, read
}

// needs returns the layers of src that base has to have, each once, in the order
// of the images.
func needs(ctx context.Context, src store.Source, base *bundle.Base, architecture string) ([]wanted, error) {
	left := make(map[digest.Digest]bool, len(base.Blobs))
	for _, b := range base.Blobs {
		left[b.Digest] = true
	}
	inv := src.Inventory()
	originals, layers := store.Originals(inv.Images), layersOf(inv)
	if architecture != "" {
		plan, err := store.NewPlan(ctx, src, store.Selection{Architecture: architecture})
		if err != nil {
			return nil, fmt.Errorf("looking for what the base has to have: %w", err)
		}
		originals, layers = plan.Originals, layersOfPlan(plan)
	}
	var out []wanted
	add := func(w wanted) {
		if left[w.blob] {
			out = append(out, w)
			delete(left, w.blob)
		}
	}
	exact := make(map[digest.Digest]store.Original, len(originals))
	for _, o := range originals {
		exact[o.Digest] = o
	}
	for _, w := range layers {
		o, ok := exact[w.blob]
		w.exact, w.size = ok, o.Size
		add(w)
	}
	// What is left is read for its bytes alone: another layer has the same content.
	for _, w := range layersOf(inv) {
		if o, ok := exact[w.blob]; ok {
			w.exact, w.size = true, o.Size
			add(w)
		}
	}
	return out, nil
}

// layersOf are the layers of all images of an inventory, in their order.
func layersOf(inv *bundle.Inventory) []wanted {
	var out []wanted
	for i := range inv.Images {
		for _, l := range inv.Images[i].Layers {
			out = append(out, wanted{blob: inv.LayerBlob(l), diffID: l.DiffID, diffSize: l.DiffSize, image: inv.Images[i].Ref})
		}
	}
	return out
}

// layersOfPlan are the layers of a plan, in their order.
func layersOfPlan(plan *store.Plan) []wanted {
	out := make([]wanted, 0, len(plan.Layers))
	for _, l := range plan.Layers {
		out = append(out, wanted{blob: l.Blob, diffID: l.DiffID, diffSize: l.DiffSize, image: l.Image})
	}
	return out
}

func (s *Source) add(f *found) {
	s.found[f.blob] = f
	s.places[f.at.Blob] = f
	if f.at.Table != "" && f.told == nil {
		s.tables[f.at.Table] = f.place
	}
}

// Close removes the work file. It does not close the places.
func (s *Source) Close() error { return s.spool.Close() }

// Locate implements store.Elsewhere.
func (s *Source) Locate(l bundle.Layer) (store.Location, bool) {
	f, ok := s.found[s.Inventory().LayerBlob(l)]
	if !ok {
		return store.Location{}, false
	}
	return f.at, true
}

// OpenLayerUnverified implements store.Source.
func (s *Source) OpenLayerUnverified(ctx context.Context, d digest.Digest) (io.ReadCloser, error) {
	if f, ok := s.places[d]; ok {
		return f.open(ctx)
	}
	return s.Source.OpenLayerUnverified(ctx, d)
}

// OpenTable implements store.Source.
func (s *Source) OpenTable(ctx context.Context, d digest.Digest) (io.ReadCloser, error) {
	if p, ok := s.tables[d]; ok {
		return p.file.OpenTable(ctx, d)
	}
	return s.Source.OpenTable(ctx, d)
}

// Layers is how many layers come from other places.
func (s *Source) Layers() int { return len(s.found) }

// Paths are the places that they come from, sorted.
func (s *Source) Paths() []string { return s.paths }

// Blame says of an error about a layer that the base, or the delta of the layer, is at fault, where
// it is: as a *DamagedError.
func (s *Source) Blame(ctx context.Context, err error) error {
	var at *store.Error
	if !errors.As(err, &at) || !errors.Is(err, store.ErrDamaged) {
		return err
	}
	for _, f := range s.found {
		if f.diffID == at.Digest && f.told != nil {
			return f.told.damaged(ctx, err)
		}
		if f.diffID == at.Digest && f.place != nil {
			return &DamagedError{Path: f.place.path, Layer: f.diffID, Err: err}
		}
	}
	return err
}
