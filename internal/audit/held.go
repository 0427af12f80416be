package audit

import (
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/bundle/archive"
	"github.com/nodeseal/nodeseal/internal/imagelist"
)

// Held is what nodes have, or will have: a list, a bundle or a store. A nil
// *Held says that nothing is known of it.
type Held struct {
	// Name is what it is called: "list images.lst".
	Name string
	// Size is the bytes of its unpacked layers, and of those that it also keeps as a
	// registry has them; 0 where not known.
	Size int64
	// systems are the references of operating systems.
	systems []string
	// kept are the references and further names of images whose layers are kept as a
	// registry has them.
	kept map[string]bool
	// platforms are those of each reference and further name; empty where the
	// reference is not of a list or nothing says.
	platforms map[string][]string
	digests   map[digest.Digest]bool
	// refused are the layers that no node takes: see ReadLayers.
	refused []*archive.RefusedLayer
}

func (h *Held) name() string {
	if h == nil {
		return ""
	}
	return h.Name
}

// HeldList is what a list names.
func HeldList(name string, l *imagelist.List) *Held {
	h := newHeld(name)
	for _, e := range l.Entries() {
		h.add(e.Ref, e.Digest, e.Names, e.Platforms)
		if e.Role == bundle.RoleOS {
			h.system(e.Ref, e.Names, true) // as bundle does by default
		}
	}
	return h
}

// HeldInventory is what a bundle or store holds.
func HeldInventory(name string, inv *bundle.Inventory) *Held {
	h := newHeld(name)
	layers := make(map[digest.Digest]bool)
	for _, img := range inv.Images {
		var platforms []string
		if img.Platform != nil {
			platforms = []string{img.Platform.OS + "/" + img.Platform.Architecture}
		}
		h.add(img.Ref, img.Digest, img.Names, platforms)
		if img.Role == bundle.RoleOS {
			h.system(img.Ref, img.Names, img.Original)
		}
		for _, l := range img.Layers {
			if !layers[l.DiffID] && !img.Artifact {
				layers[l.DiffID] = true
				h.Size += l.DiffSize
			}
			if l.Original && (img.Artifact || !layers[l.Digest]) {
				layers[l.Digest] = true
				h.Size += l.Size
			}
		}
	}
	return h
}

func newHeld(name string) *Held {
	return &Held{Name: name, platforms: make(map[string][]string), kept: make(map[string]bool), digests: make(map[digest.Digest]bool)}
}

func (h *Held) add(ref string, d digest.Digest, names, platforms []string) {
	h.digests[d] = true
	for _, n := range append([]string{ref}, names...) {
		h.platforms[n] = append(h.platforms[n], platforms...)
	}
}

func (h *Held) system(ref string, names []string, kept bool) {
	h.systems = append(h.systems, ref)
	for _, n := range append([]string{ref}, names...) {
		h.kept[n] = h.kept[n] || kept
	}
}

// has reports whether the reference can be found by its name.
func (h *Held) has(ref string) bool {
	_, ok := h.platforms[ref]
	return ok
}

// lacks returns those of the wanted platforms that ref is held for others than.
func (h *Held) lacks(ref string, wanted []string) []string {
	has := h.platforms[ref]
	if len(has) == 0 {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(wanted), func(p string) bool { return slices.Contains(has, p) })
}
