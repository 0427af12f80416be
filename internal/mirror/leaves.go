package mirror

import (
	"runtime"
	"slices"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/mirror/plan"
)

// Leaves is what a bundle lets a later one leave out: a Since of which only that is kept.
type Leaves struct{ since *since }

// NewLeaves returns what a bundle with the inventory, which is whole, lets a later one leave out.
func NewLeaves(inv *bundle.Inventory) *Leaves {
	s, _ := newSince(&Since{Inventory: inv}, inv.Layers) // of its own form
	s.Inventory = &bundle.Inventory{Layers: inv.Layers}
	return &Leaves{s}
}

// Plan says what a bundle of the images of inv would hold with --since, as Estimate does where
// nothing is measured and the work directory is empty. The Plan has no disks. Nil Leaves
// leave nothing out. The error is a *FormError.
func (l *Leaves) Plan(inv *bundle.Inventory) (*plan.Plan, error) {
	r := run{o: Options{Layers: inv.Layers}.withDefaults(), raw: onlyArtifactLayers(inv.Images)}
	if l != nil {
		if r.since = l.since; r.since.Inventory.Layers != inv.Layers {
			return nil, &FormError{Since: r.since.Inventory.Layers, Wanted: inv.Layers}
		}
	}
	in := plan.Input{
		Images: withRegistrySizes(inv.Images), Form: r.o.Layers, Level: r.o.Level, Jobs: r.o.Jobs, Encoders: runtime.GOMAXPROCS(0),
		State: func(layer bundle.Layer) plan.State {
			_, ok := r.since.proven(layer, r.blobOf(layer), r.isRaw(layer))
			return plan.State{Based: ok, Plain: layer.DiffSize}
		},
	}
	for _, b := range inv.Blobs {
		if b.Kind == bundle.KindAttachment {
			in.AttachmentBytes += b.Size
		}
	}
	for i := range inv.Images {
		in.Attachments += len(inv.Images[i].Attachments)
	}
	return plan.Figures(in), nil
}

// withRegistrySizes returns the images with the sizes that layers have in their registry.
func withRegistrySizes(images []bundle.Image) []bundle.Image {
	wrong := func(l bundle.Layer) bool { return l.RegistrySize() != l.Size }
	out := slices.Clone(images)
	for i := range out {
		if !slices.ContainsFunc(out[i].Layers, wrong) {
			continue
		}
		out[i].Layers = slices.Clone(out[i].Layers)
		for j := range out[i].Layers {
			out[i].Layers[j].Size = out[i].Layers[j].RegistrySize()
		}
	}
	return out
}
