package mirror

import (
	"fmt"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/mirror/deltas"
	"github.com/nodeseal/nodeseal/internal/mirror/workdir"
)

// Since is an earlier bundle, whose layers need not be moved again. That needs only what its
// inventory says.
type Since struct {
	// Inventory is its whole inventory (bundle.Inventory.Whole), ID the digest of
	// that inventory's bytes.
	Inventory *bundle.Inventory
	ID        digest.Digest
	// Old gives the contents of its layers: new ones are held as what differs from them, if that
	// is shorter. With nil they are held whole.
	Old deltas.Old
	// Path is what Old was opened as, for errors.
	Path string
	// Alone says that ReadSince found an inventory and no bundle.
	Alone bool
}

// FormError says that an earlier bundle holds its layers in another form: no blob
// of it can be left out.
type FormError struct{ Since, Wanted bundle.LayerForm }

// Error implements error.
func (e *FormError) Error() string {
	return fmt.Sprintf("the earlier bundle holds %s layers, this one is to hold %s ones: no layer can be left out", e.Since, e.Wanted)
}

// since is what the earlier bundle has. A nil since has nothing.
type since struct {
	Since
	// blobs are layers and file tables; not the layers that a store would not give back.
	blobs map[digest.Digest]bundle.Blob
	// pairs are the layers whose compressed digest was held to the diff ID when
	// that bundle was made.
	pairs map[layerPair]bool
	// sizes are the lengths of plain tars, by diff ID; 0 where it is not known.
	sizes map[digest.Digest]int64
	// trueSizes are how long the registry's bytes are, whatever a manifest says.
	trueSizes map[digest.Digest]int64
}

type layerPair struct{ digest, diffID digest.Digest }

func newSince(s *Since, form bundle.LayerForm) (*since, error) {
	if s == nil {
		return nil, nil
	}
	if s.Inventory.Layers != form {
		return nil, &FormError{Since: s.Inventory.Layers, Wanted: form}
	}
	out := &since{Since: *s, blobs: make(map[digest.Digest]bundle.Blob), pairs: make(map[layerPair]bool), sizes: make(map[digest.Digest]int64), trueSizes: make(map[digest.Digest]int64)}
	for _, b := range s.Inventory.Blobs {
		if !b.Kind.Small() && b.Lost == "" {
			out.blobs[b.Digest] = b
		}
	}
	for i := range s.Inventory.Images {
		for _, l := range s.Inventory.Images[i].Layers {
			out.pairs[layerPair{l.Digest, l.DiffID}] = true
			out.trueSizes[l.Digest] = l.RegistrySize()
			out.sizes[l.DiffID] = max(out.sizes[l.DiffID], l.DiffSize)
		}
	}
	return out, nil
}

// proven returns the blob of a layer that the earlier bundle has and that needs
// no proof here: the same compressed bytes expanded to the same tar. A layer that
// was only compressed anew is fetched, to be proven, and left out nonetheless.
func (s *since) proven(l bundle.Layer, blob digest.Digest, raw bool) (bundle.Blob, bool) {
	if s == nil || !s.pairs[layerPair{l.Digest, l.DiffID}] {
		return bundle.Blob{}, false
	}
	return s.layer(blob, raw)
}

// layer returns the blob of a layer that the earlier bundle has; raw says that only artifacts
// have the layer.
func (s *since) layer(blob digest.Digest, raw bool) (bundle.Blob, bool) {
	if s == nil {
		return bundle.Blob{}, false
	}
	kind := bundle.KindLayer
	if raw {
		kind = bundle.KindArtifact
	}
	b, ok := s.blobs[blob]
	return b, ok && b.Kind == kind
}

// addBased leaves a layer to the base, where that has it.
func (a *assembly) addBased(l *bundle.Layer, blob digest.Digest, form bundle.LayerForm) bool {
	b, ok := a.since.layer(blob, false)
	if !ok {
		return false
	}
	switch form {
	case bundle.Expanded:
		l.DiffSize = b.Size
	case workdir.Kept:
		l.DiffSize = a.since.sizes[l.DiffID]
	}
	l.TrueSize = trueSize(*l, a.since.trueSizes[l.Digest])
	a.based[blob] = b
	if b.Table != "" {
		a.based[b.Table] = a.since.blobs[b.Table]
	}
	return true
}

// base describes what was left out, nil where there is no earlier bundle. A file
// table that a layer of this bundle has too is here, not there.
func (a *assembly) base() *bundle.Base {
	if a.since == nil {
		return nil
	}
	base := &bundle.Base{Inventory: a.since.ID, Release: a.since.Inventory.Release, Blobs: []bundle.Blob{}, Deltas: a.deltas}
	for d, b := range a.based {
		if _, here := a.blobs[d]; !here {
			base.Blobs = append(base.Blobs, b)
		}
	}
	return base // Marshal sorts them
}
