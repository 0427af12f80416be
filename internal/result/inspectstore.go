package result

import (
	"encoding/json"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/store"
)

// NewInspectStore describes the store at path, as for a bundle. In a store layers are
// files, whatever form they had in the bundle: their sizes are those of the plain tars, and
// what is kept as a registry has it is told besides. stored is nil for an empty store.
func NewInspectStore(path string, st *store.Store, stored *store.Stored) Inspect {
	if stored == nil {
		return NewInspect(path, 0, &bundle.Inventory{Layers: bundle.Expanded}, nil, json.RawMessage("null"))
	}
	inv := *stored.Inventory()
	inv.Layers, inv.Blobs, inv.Base = bundle.Expanded, nil, nil
	inv.Images = slices.Clone(inv.Images)
	for i := range inv.Images {
		layers := slices.Clone(inv.Images[i].Layers)
		for j := range layers {
			layers[j].Original = false
		}
		inv.Images[i].Layers = layers
	}
	var size int64
	seen := make(map[digest.Digest]bool)
	for _, l := range st.Layers {
		if d := l.UncompressedDigest; !seen[d] {
			seen[d] = true
			size += l.UncompressedSize
			inv.Blobs = append(inv.Blobs, bundle.Blob{Digest: d, Size: l.UncompressedSize, Kind: bundle.KindLayer})
		}
	}
	out := NewInspect(path, size, &inv, CarriedBy(stored.Inventory()), stored.RawInventory())
	if out.Originals != nil {
		out.Size += out.Originals.Bytes
	}
	return out
}
