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
}

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
// where it has no base, else a copy without one and with the base's blobs. It is
// what the same run without a base would have written; its Marshal has the same
// bytes. It shares memory with inv.
func (inv *Inventory) Whole() *Inventory {
	if inv.Base == nil {
		return inv
	}
	whole := *inv
	whole.Base = nil
	whole.Blobs = slices.Concat(inv.Blobs, inv.Base.Blobs)
	slices.SortFunc(whole.Blobs, compareBlobs)
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
	return nil
}
