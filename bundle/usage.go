package bundle

import (
	"slices"

	"github.com/opencontainers/go-digest"
)

// Usage is what the layers of a bundle take, in bytes of the form in which the
// bundle holds them, before its compression.
type Usage struct {
	// Layers is the number of different layers, LayerBytes their sum.
	Layers     int   `json:"layers"`
	LayerBytes int64 `json:"layerBytes"`
	// SharedBytes is the sum of the layers that more than one image has.
	SharedBytes int64 `json:"sharedBytes"`
	// Images has an entry for each image of the inventory, in its order.
	Images []ImageUsage `json:"images"`
}

// ImageUsage is what the layers of one image take.
type ImageUsage struct {
	Ref   string `json:"ref"`
	Bytes int64  `json:"bytes"`
	// OwnBytes is the sum of the layers that no other image has.
	OwnBytes int64 `json:"ownBytes"`
}

// Usage sums up the layers of the inventory.
func (inv *Inventory) Usage() Usage {
	sizes := make(map[digest.Digest]int64)
	for _, b := range inv.Blobs {
		if b.Kind == KindLayer || b.Kind == KindArtifact {
			sizes[b.Digest] = b.Size
		}
	}
	for i := range inv.Images { // a small blob can be the layer of an artifact, too
		for _, l := range inv.Images[i].Layers {
			if inv.Images[i].Artifact {
				sizes[l.Digest] = l.Size
			}
		}
	}
	users := make(map[digest.Digest]map[digest.Digest]bool) // layer -> configurations
	for i := range inv.Images {
		for _, l := range inv.Images[i].Layers {
			d := inv.LayerBlob(l)
			if users[d] == nil {
				users[d] = make(map[digest.Digest]bool)
			}
			users[d][inv.Images[i].Config.Digest] = true
		}
	}
	u := Usage{Images: make([]ImageUsage, len(inv.Images))}
	for d, size := range sizes {
		u.Layers++
		u.LayerBytes += size
		if len(users[d]) > 1 {
			u.SharedBytes += size
		}
	}
	for i := range inv.Images {
		img := ImageUsage{Ref: inv.Images[i].Ref}
		seen := make(map[digest.Digest]bool)
		for _, l := range inv.Images[i].Layers {
			d := inv.LayerBlob(l)
			if seen[d] {
				continue
			}
			seen[d] = true
			img.Bytes += sizes[d]
			if len(users[d]) == 1 {
				img.OwnBytes += sizes[d]
			}
		}
		u.Images[i] = img
	}
	return u
}

// Holds reports whether an image of the bundle answers to ref, a normalised
// reference by digest or by tag.
func (inv *Inventory) Holds(ref string) bool {
	return slices.ContainsFunc(inv.Images, func(img Image) bool {
		return img.Ref == ref || slices.Contains(img.Names, ref)
	})
}
