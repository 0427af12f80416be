package bundle

import (
	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/layout"
)

// LayerBlob returns the digest under which the bundle holds layer l.
func (inv *Inventory) LayerBlob(l Layer) digest.Digest {
	if inv.Layers == Expanded && !l.Original {
		return l.DiffID
	}
	return l.Digest
}

// RegistrySize is how long the registry's bytes of the layer are.
func (l Layer) RegistrySize() int64 {
	if l.TrueSize > 0 {
		return l.TrueSize
	}
	return l.Size
}

// ImageBlobs returns the digests of all blobs that img needs, without file
// tables: manifest, list, configuration, layers and attachments.
func (inv *Inventory) ImageBlobs(img *Image) []digest.Digest {
	out := []digest.Digest{img.Digest, img.Config.Digest}
	if img.Index != "" {
		out = append(out, img.Index)
	}
	for _, l := range img.Layers {
		out = append(out, inv.LayerBlob(l))
	}
	for _, a := range img.Attachments {
		out = append(append(out, a.Digest), a.Blobs...)
	}
	return out
}

// CheckDigest refuses what is no digest, and those of other algorithms than the
// only one that bundles have.
func CheckDigest(d digest.Digest) error {
	return layout.CheckDigest(d)
}
