package bundle

import (
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
)

// Base names the bundle that a bundle with only the missing layers builds on,
// and what it leaves to it.
type Base struct {
	// Inventory is the digest of the base's inventory.json; where the base has a
	// base itself, that of its whole inventory (Inventory.Whole).
	Inventory digest.Digest `json:"inventory"`
	Release   *Release      `json:"release,omitempty"`
	// Blobs are the layers and file tables that the images need and that are
	// not in the bundle, in the order in which a tar with them would have them.
	// Who has blobs with these digests can be the base, whatever else it has.
	Blobs []Blob `json:"blobs"`
	// Deltas are what the bundle has instead of some of these layers, sorted by Layer.
	Deltas []Delta `json:"deltas,omitempty"`
}

// Delta is a layer that the bundle holds as what differs from older ones.
type Delta struct {
	// Layer is the layer's blob, one of Base.Blobs; its file table is in the bundle. It is a plain tar.
	Layer digest.Digest `json:"layer"`
	// Delta is the blob of the bundle that makes the layer, as package delta reads it.
	Delta digest.Digest `json:"delta"`
	// From are the diff IDs of the older layers that it takes, sorted.
	From []digest.Digest `json:"from"`
}

// MaxDeltaLayers is how many older layers one Delta takes.
const MaxDeltaLayers = 4096

// Name names the base to people.
func (b *Base) Name() string {
	if b.Release != nil && b.Release.Version != "" {
		return fmt.Sprintf("release %s (inventory %s)", b.Release.Version, b.Inventory)
	}
	return fmt.Sprintf("the bundle with the inventory %s", b.Inventory)
}

// ID is b.Inventory, "" where there is no base.
func (b *Base) ID() digest.Digest {
	if b == nil {
		return ""
	}
	return b.Inventory
}

// Layers returns how many layers are left to the base, and the sum of their
// sizes in bytes.
func (b *Base) Layers() (n int, bytes int64) {
	if b == nil {
		return 0, 0
	}
	for _, blob := range b.Blobs {
		if blob.Kind == KindLayer || blob.Kind == KindArtifact {
			n++
			bytes += blob.Size
		}
	}
	return n, bytes
}

// Whole returns the inventory of the bundle that holds everything: inv itself
// where it has no base, else a copy without one, with the base's blobs and without deltas. It is
// what the same run without a base would have written; its Marshal has the same
// bytes. It shares memory with inv.
func (inv *Inventory) Whole() *Inventory {
	if inv.Base == nil {
		return inv
	}
	whole := *inv
	whole.Base = nil
	whole.Blobs = slices.Concat(inv.Blobs, inv.Base.Blobs)
	whole.Blobs = slices.DeleteFunc(whole.Blobs, func(b Blob) bool { return b.Kind == KindDelta })
	slices.SortFunc(whole.Blobs, compareBlobs)
	whole.SetFormat()
	return &whole
}

// WholeBytes returns the bytes of the whole inventory: raw, which inv was read
// from, where it has no base. Their digest is what a Base calls Inventory.
func (inv *Inventory) WholeBytes(raw []byte) ([]byte, error) {
	if inv.Base == nil {
		return raw, nil
	}
	return inv.Whole().Marshal()
}

// validateBase checks that what is left to the base are layers and file tables,
// in order, and that no layer is here without its table. What the two lists
// together must be, Validate checks.
func (inv *Inventory) validateBase() error {
	if err := CheckDigest(inv.Base.Inventory); err != nil {
		return fmt.Errorf("%w: base: %w", ErrInventory, err)
	}
	for i, b := range inv.Base.Blobs {
		switch {
		case b.Kind != KindLayer && b.Kind != KindFileTable && b.Kind != KindArtifact:
			return fmt.Errorf("%w: base: blob %s: a %s cannot be left to it", ErrInventory, b.Digest, b.Kind)
		case i > 0 && compareBlobs(inv.Base.Blobs[i-1], b) >= 0:
			return fmt.Errorf("%w: base: blob %s stands twice or out of order", ErrInventory, b.Digest)
		}
	}
	here := make(map[digest.Digest]bool, len(inv.Blobs))
	for i, b := range inv.Blobs {
		if here[b.Digest] {
			return fmt.Errorf("%w: blob %s stands twice", ErrInventory, b.Digest)
		}
		here[b.Digest] = true
		if i > 0 && compareBlobs(inv.Blobs[i-1], b) >= 0 {
			return fmt.Errorf("%w: blob %s stands twice or out of order", ErrInventory, b.Digest)
		}
	}
	for _, b := range inv.Blobs {
		if b.Table != "" && !here[b.Table] {
			return fmt.Errorf("%w: blob %s: its file table is not in the bundle", ErrInventory, b.Digest)
		}
	}
	return inv.validateDeltas(here)
}

// validateDeltas checks that each delta is in the bundle, makes a layer that is not, and
// has the layer's table beside it. here are the blobs of the bundle.
func (inv *Inventory) validateDeltas(here map[digest.Digest]bool) error {
	deltas, left := make(map[digest.Digest]bool), make(map[digest.Digest]Blob)
	var content int64
	for _, b := range inv.Blobs {
		if b.Kind != KindDelta {
			continue
		}
		if err := CheckDigest(b.Digest); err != nil {
			return fmt.Errorf("%w: blob: %w", ErrInventory, err)
		}
		if b.Size < 0 || b.Size > MaxBlob || b.Size > MaxContent-content || b.Table != "" {
			return fmt.Errorf("%w: delta %s: %d bytes, file table %.80q", ErrInventory, b.Digest, b.Size, b.Table)
		}
		content += b.Size
		deltas[b.Digest] = true
	}
	plain := inv.plainLayers()
	for _, b := range inv.Base.Blobs {
		left[b.Digest] = b
	}
	for i, d := range inv.Base.Deltas {
		b, ok := left[d.Layer]
		switch {
		case i > 0 && inv.Base.Deltas[i-1].Layer >= d.Layer:
			return fmt.Errorf("%w: the delta of layer %.80q stands twice or out of order", ErrInventory, d.Layer)
		case !ok || b.Kind != KindLayer || !plain[d.Layer]:
			return fmt.Errorf("%w: the delta of %.80q makes no plain layer of the base", ErrInventory, d.Layer)
		case !here[b.Table]:
			return fmt.Errorf("%w: layer %s: its delta is in the bundle, its file table is not", ErrInventory, d.Layer)
		case !deltas[d.Delta]:
			return fmt.Errorf("%w: layer %s: its delta %.80q is not in the bundle", ErrInventory, d.Layer, d.Delta)
		}
		delete(deltas, d.Delta) // each has one layer
		if err := checkFrom(d.From); err != nil {
			return fmt.Errorf("%w: the delta of layer %s: %w", ErrInventory, d.Layer, err)
		}
	}
	for d := range deltas {
		return fmt.Errorf("%w: delta %s makes no layer", ErrInventory, d)
	}
	return nil
}

// plainLayers are the blobs that hold layers as plain tars.
func (inv *Inventory) plainLayers() map[digest.Digest]bool {
	plain := make(map[digest.Digest]bool)
	for i := range inv.Images {
		for _, l := range inv.Images[i].Layers {
			if blob := inv.LayerBlob(l); blob == l.DiffID && inv.Layers == Expanded && !l.Original {
				plain[blob] = true
			}
		}
	}
	return plain
}

func checkFrom(from []digest.Digest) error {
	if len(from) > MaxDeltaLayers {
		return fmt.Errorf("it takes %d layers, at most %d are possible", len(from), MaxDeltaLayers)
	}
	for i, d := range from {
		if err := CheckDigest(d); err != nil {
			return err
		}
		if i > 0 && from[i-1] >= d {
			return fmt.Errorf("layer %s stands twice or out of order", d)
		}
	}
	return nil
}
