package store

import (
	"fmt"
	"slices"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/opencontainers/go-digest"
)

// Part returns src with only the images that want chooses, as if its inventory
// held no others: the store that is made of it is the store of that smaller
// bundle, for everyone who reads it later. want is called once for each image, in the
// order of the inventory. src must stay open.
func Part(src Source, want func(*bundle.Image) bool) (Source, error) {
	inv := *src.Inventory()
	images := make([]bundle.Image, 0, len(inv.Images))
	for i := range inv.Images {
		if want(&inv.Images[i]) {
			images = append(images, inv.Images[i])
		}
	}
	inv.Images = images
	needed := make(map[digest.Digest]bool)
	for i := range inv.Images {
		for _, d := range inv.ImageBlobs(&inv.Images[i]) {
			needed[d] = true
		}
	}
	for _, b := range inv.Blobs {
		if needed[b.Digest] && b.Table != "" {
			needed[b.Table] = true
		}
	}
	inv.Blobs = slices.DeleteFunc(slices.Clone(inv.Blobs), func(b bundle.Blob) bool { return !needed[b.Digest] })
	inv.SetFormat()
	raw, err := inv.Marshal()
	if err != nil {
		return nil, fmt.Errorf("choosing images: %w", err)
	}
	return &part{Source: src, inv: &inv, raw: raw}, nil
}

// part is a Source with fewer images.
type part struct {
	Source
	inv *bundle.Inventory
	raw []byte
}

// Inventory implements Metadata.
func (p *part) Inventory() *bundle.Inventory { return p.inv }

// RawInventory implements Source.
func (p *part) RawInventory() []byte { return p.raw }
