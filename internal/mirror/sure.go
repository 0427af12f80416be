package mirror

import (
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/imagelist"
)

// sure returns, for each layer of the images, the plain layers of the earlier bundle that a node
// with the layer has for sure, in the order of that bundle. A node may have a part of the images
// only, and has those of one architecture: they are in what each image with the layer was.
// Layers that an image has still are left out.
func (s *since) sure(images []bundle.Image) map[digest.Digest][]digest.Digest {
	f := s.formerOf(images)
	out := make(map[digest.Digest][]digest.Digest)
	for i := range images {
		has := f.layers(&images[i])
		for _, l := range images[i].Layers {
			if before, ok := out[l.DiffID]; ok {
				out[l.DiffID] = both(before, has)
			} else {
				out[l.DiffID] = has
			}
		}
	}
	return out
}

// former finds what images were in an earlier bundle.
type former struct {
	*since
	kept            map[digest.Digest]bool // the layers of the new images
	byName, byTitle map[string][]*bundle.Image
}

func (s *since) formerOf(images []bundle.Image) *former {
	f := &former{s, make(map[digest.Digest]bool), make(map[string][]*bundle.Image), make(map[string][]*bundle.Image)}
	for i := range images {
		for _, l := range images[i].Layers {
			f.kept[l.DiffID] = true
		}
	}
	for i := range s.Inventory.Images {
		img := &s.Inventory.Images[i]
		for _, name := range append([]string{img.Ref}, img.Names...) {
			f.byName[name] = append(f.byName[name], img)
		}
		title := imagelist.Title(img.Ref, img.From)
		f.byTitle[title] = append(f.byTitle[title], img)
	}
	return f
}

// layers are those that a node with the image has of what it was. That is what had its name, a
// tag, else its title. Where this was several images, it is not known which of them a node has.
func (f *former) layers(img *bundle.Image) []digest.Digest {
	var was []*bundle.Image
	for _, name := range append([]string{img.Ref}, img.Names...) {
		was = append(was, f.byName[name]...)
	}
	if len(was) == 0 {
		was = f.byTitle[imagelist.Title(img.Ref, img.From)]
	}
	var out []digest.Digest
	begun := false
	for _, w := range was {
		switch {
		case !sameNode(w, img):
		case begun:
			out = both(out, f.gone(w))
		default:
			out, begun = f.gone(w), true
		}
	}
	return out
}

// gone are the plain layers of an earlier image that the new images lack.
func (f *former) gone(was *bundle.Image) []digest.Digest {
	var out []digest.Digest
	for _, l := range was.Layers {
		if !f.kept[l.DiffID] && f.plain(l) {
			out = append(out, l.DiffID)
		}
	}
	return out
}

// sameNode reports whether a node that takes one of the images takes the other, too: of several
// platforms that is the one of its architecture.
func sameNode(a, b *bundle.Image) bool {
	return a.Platform == nil || b.Platform == nil || a.Platform.Architecture == b.Platform.Architecture
}

// plain reports whether the earlier bundle has the layer as a plain tar.
func (s *since) plain(l bundle.Layer) bool {
	b, ok := s.blobs[l.DiffID]
	return ok && !l.Original && b.Kind == bundle.KindLayer
}

// both are those of a that are in b.
func both(a, b []digest.Digest) []digest.Digest {
	var out []digest.Digest
	for _, d := range a {
		if slices.Contains(b, d) {
			out = append(out, d)
		}
	}
	return out
}
