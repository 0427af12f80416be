// Package contents makes the page of inspect --html: what is inside a bundle or a store, as a picture whose areas are
// bytes, and as tables that say the same.
package contents

import (
	"cmp"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
)

// layer is one layer, by the digest of its plain tar.
type layer struct {
	diffID digest.Digest
	size   sizes
	images int32 // how many different images have it
	based  bool  // a bundle that builds on another leaves it to that one
	user   int32 // the place of one image that has it
}

// sizes are the bytes of something by measure; a measure that is not known is 0.
type sizes [2]int64

// The measures.
const (
	plain  = 0 // the plain tar, as a node unpacks it
	packed = 1 // the registry's bytes
)

func (s *sizes) add(t sizes) {
	s[plain] += t[plain]
	s[packed] += t[packed]
}

// image is one image under all of its references.
type image struct {
	first  *bundle.Image
	others []*bundle.Image // further references with the same configuration
	layers []int32         // places in contents.layers, each once, base first
	all    sizes
	own    sizes // of layers that no other image has
}

// contents are the images of an inventory and their layers, each once.
type contents struct {
	images []image // the largest first
	layers []layer
	total  sizes
	shared sizes // of layers that more than one image has
	// sharedLayers are their places, those first that save the most.
	sharedLayers []int32
	// known says that the plain sizes of all layers are known.
	known bool
}

// read groups what an inventory has. Images are one if they have one configuration; artifacts, whose
// configurations say nothing, if they have one manifest.
func read(inv *bundle.Inventory) *contents {
	c := &contents{known: true}
	held := make(map[digest.Digest]int64, len(inv.Blobs))
	for _, b := range inv.Blobs {
		if !b.Kind.Small() && b.Kind != bundle.KindFileTable {
			held[b.Digest] = b.Size
		}
	}
	at, places := make(map[digest.Digest]int), make(map[digest.Digest]int32)
	for i := range inv.Images {
		img := &inv.Images[i]
		key := img.Config.Digest
		if img.Artifact {
			key = img.Digest
		}
		if n, ok := at[key]; ok {
			c.images[n].others = append(c.images[n].others, img)
			continue
		}
		at[key] = len(c.images)
		one := image{first: img, layers: make([]int32, 0, len(img.Layers))}
		for j := range img.Layers {
			place, ok := places[img.Layers[j].DiffID]
			if !ok {
				place = int32(len(c.layers)) // an inventory has fewer than 2^20
				places[img.Layers[j].DiffID] = place
				c.layers = append(c.layers, newLayer(inv, &img.Layers[j], img.Artifact, held))
			}
			if l := &c.layers[place]; l.images == 0 || l.user != int32(len(c.images)) {
				l.images, l.user = l.images+1, int32(len(c.images))
				one.layers = append(one.layers, place)
			}
		}
		c.images = append(c.images, one)
	}
	c.sum()
	return c
}

// newLayer is what is known of a layer. held are the lengths of the blobs that are here.
func newLayer(inv *bundle.Inventory, l *bundle.Layer, artifact bool, held map[digest.Digest]int64) layer {
	out := layer{diffID: l.DiffID, size: sizes{l.DiffSize, l.RegistrySize()}}
	blob := inv.LayerBlob(*l)
	if artifact {
		blob, out.size[plain] = l.Digest, l.RegistrySize()
	}
	size, here := held[blob]
	out.based = !here && inv.Base != nil
	if here && blob == l.DiffID {
		out.size[plain] = size
	}
	return out
}

// sum adds up the sizes, and sorts images and shared layers.
func (c *contents) sum() {
	for i := range c.layers {
		l := &c.layers[i]
		c.known = c.known && (l.size[plain] > 0 || l.size[packed] == 0)
		c.total.add(l.size)
		if l.images > 1 {
			c.shared.add(l.size)
			c.sharedLayers = append(c.sharedLayers, int32(i))
		}
	}
	for i := range c.images {
		img := &c.images[i]
		for _, place := range img.layers {
			l := &c.layers[place]
			img.all.add(l.size)
			if l.images == 1 {
				img.own.add(l.size)
			}
		}
	}
	m := c.measure()
	slices.SortStableFunc(c.images, func(a, b image) int {
		return cmp.Or(cmp.Compare(b.all[m], a.all[m]), cmp.Compare(a.first.Ref, b.first.Ref))
	})
	slices.SortStableFunc(c.sharedLayers, func(a, b int32) int { return cmp.Compare(c.layers[b].saved()[m], c.layers[a].saved()[m]) })
}

// measure is the one that is shown first.
func (c *contents) measure() int {
	if c.known {
		return plain
	}
	return packed
}

// saved is what a shared layer would take more if each image had its own.
func (l *layer) saved() sizes {
	more := int64(l.images - 1)
	return sizes{l.size[plain] * more, l.size[packed] * more}
}
