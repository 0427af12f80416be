// Package difference says how two holdings of images differ: bundles, stores, lists, releases.
package difference

import (
	"cmp"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/imagelist"
)

// Side is one of the two, without what a comparison does not need.
type Side struct {
	// Images have each reference once, sorted.
	Images []Image
	// Layers are all layers, each once; empty where Sized is false.
	Layers []Layer
	// Sized says that the layers are known.
	Sized bool
}

// Image is one reference of a side.
type Image struct {
	// Ref is the reference, Names are others that mean the same image.
	Ref   string
	Names []string
	// Component is the name that the image has in a release, "" if it is of none; Release is
	// the version of that release.
	Component, Release string
	// Manifests are the digests of the platforms' manifests, sorted; nil where only the
	// reference is known.
	Manifests []digest.Digest
	// layers are the places of its layers in Side.Layers, each once.
	layers []int32
}

// Layer is one layer of a side.
type Layer struct {
	// Digest and Size are the registry's: compressed bytes.
	Digest digest.Digest
	Size   int64
	// DiffID and Unpacked are those of its tar; Unpacked is 0 where it is not known.
	DiffID   digest.Digest
	Unpacked int64
}

// OfInventory returns the side of what holds the images of an inventory.
func OfInventory(inv *bundle.Inventory) *Side {
	s := &Side{Sized: true}
	at := make(map[string]int)
	layers := make(map[[2]digest.Digest]int32)
	for i := range inv.Images {
		img := &inv.Images[i]
		n, ok := at[img.Ref]
		if !ok {
			n = len(s.Images)
			at[img.Ref] = n
			s.Images = append(s.Images, Image{Ref: img.Ref, Component: imagelist.Component(img.From), Release: imagelist.ReleaseOf(img.From)})
		}
		to := &s.Images[n]
		to.Names = append(to.Names, img.Names...)
		to.Manifests = append(to.Manifests, img.Digest)
		for _, l := range img.Layers {
			key := [2]digest.Digest{l.Digest, l.DiffID}
			place, ok := layers[key]
			if !ok {
				place = int32(len(s.Layers)) // an inventory has fewer than 2^20
				layers[key] = place
				s.Layers = append(s.Layers, Layer{Digest: l.Digest, Size: l.RegistrySize(), DiffID: l.DiffID, Unpacked: l.DiffSize})
			}
			to.layers = append(to.layers, place)
		}
	}
	s.sort()
	return s
}

// OfEntries returns the side of a list of references, of whose layers nothing is known.
func OfEntries(entries []imagelist.Entry) *Side {
	s := &Side{Images: make([]Image, 0, len(entries))}
	for _, e := range entries {
		s.Images = append(s.Images, Image{Ref: e.Ref, Names: slices.Clone(e.Names), Component: imagelist.Component(e.From), Release: imagelist.ReleaseOf(e.From)})
	}
	s.sort()
	return s
}

// sort sorts what is a set.
func (s *Side) sort() {
	for i := range s.Images {
		img := &s.Images[i]
		img.Names, img.Manifests, img.layers = set(img.Names), set(img.Manifests), set(img.layers)
	}
	slices.SortFunc(s.Images, func(a, b Image) int { return strings.Compare(a.Ref, b.Ref) })
}

// set sorts all, without duplicates.
func set[T cmp.Ordered](all []T) []T {
	slices.Sort(all)
	return slices.Compact(all)
}

// Title names the image to people: by its component, else by its repository.
func (i *Image) Title() string {
	if i.Component != "" {
		return i.Component
	}
	return i.repository()
}

func (i *Image) repository() string {
	name, _ := imagelist.Split(i.Ref)
	return imagelist.Repository(name)
}

// Digest is that of the reference, "" where it has none.
func (i *Image) Digest() digest.Digest {
	_, d := imagelist.Split(i.Ref)
	return d
}

// Version is that of the release that the image is of, else its tags, "" if it has none.
func (i *Image) Version() string {
	if i.Release != "" {
		return i.Release
	}
	var tags []string
	for _, name := range append(slices.Clone(i.Names), i.Ref) {
		name, _ := imagelist.Split(name)
		if tag := strings.TrimPrefix(name[len(imagelist.Repository(name)):], ":"); tag != "" && !slices.Contains(tags, tag) {
			tags = append(tags, tag)
		}
	}
	slices.Sort(tags)
	return strings.Join(tags, ", ")
}
