package slot

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/nodeseal/nodeseal/internal/imagelist"
	"github.com/nodeseal/nodeseal/internal/store"
)

// Node is what may need a slot.
type Node struct {
	// GraphRoots are the directories of primary stores: CRI-O and podman may have one each.
	GraphRoots []string
	// Stores are other additional image stores that are configured.
	Stores []string
	// Proc is where the processes are seen: "/proc", "" to leave them out.
	Proc string
	// Named are the images that a cluster, or whoever made the list, names; nil
	// for none. A name without a registry stands for that path at any.
	Named *imagelist.List
	// Boot is this start of the node (BootID): a slot that was filled since is needed
	// by the next start. "" leaves that out.
	Boot string
	// EmptyStaged says that such a slot is not needed, EmptyNode that the last filled
	// slot is not.
	EmptyStaged, EmptyNode bool
}

// Kind says what kind of thing needs a slot.
type Kind string

// What needs a slot.
const (
	Container Kind = "container" // a container of the primary store
	Image     Kind = "image"     // an image record of the primary store
	Layer     Kind = "layer"     // a layer of the primary store
	Mount     Kind = "mount"     // an overlay mount of something else
	Object    Kind = "object"    // an object of the cluster, or a line of a list
	Last      Kind = "last"      // the node: no other slot holds images
	Staged    Kind = "staged"    // the next start of the node: it was filled since this one
)

// Use is one thing that needs a slot.
type Use struct {
	Kind Kind   `json:"kind"`
	Name string `json:"name"`
	// Image is a name of the image that it needs, where that is known, and Component the
	// name that a release gives that image.
	Image     string `json:"image,omitempty"`
	Component string `json:"component,omitempty"`
	// Namespace and Pod are the pod that it belongs to, as NAMESPACE/POD of Kubernetes, and
	// Container the name that it has in it.
	Namespace string `json:"namespace,omitempty"`
	Pod       string `json:"pod,omitempty"`
	Container string `json:"container,omitempty"`
	// Running says that it is mounted now.
	Running bool `json:"running,omitempty"`
}

// String describes the use to people.
func (u Use) String() string {
	switch u.Kind {
	case Object:
		return u.Name + " names " + u.Image
	case Last:
		return "this node: no other slot holds images, and after a reboot there would be none"
	case Staged:
		return "the next reboot: it was filled since this node started, after the other slot"
	}
	var b strings.Builder
	switch {
	case u.Pod != "" && u.Kind == Mount:
		fmt.Fprintf(&b, "pod %s/%s", u.Namespace, u.Pod)
	case u.Container != "" && u.Kind == Mount:
		fmt.Fprintf(&b, "container %s", u.Container)
	case u.Pod != "":
		fmt.Fprintf(&b, "container %s of pod %s/%s", u.Container, u.Namespace, u.Pod)
	default:
		fmt.Fprintf(&b, "%s %s", u.Kind, u.Name)
	}
	if image := cmp.Or(u.Component, u.Image); image != "" {
		fmt.Fprintf(&b, " of %s", image)
	}
	if u.Running {
		b.WriteString(", which runs from it")
	}
	return b.String()
}

// Uses returns what needs slot s: containers, images and layers of the primary
// store that need a layer or an image record which only s has, what others than
// the primary store have mounted from it, and who names an image that no other
// additional store holds (the primary store may be wiped). None means that s can
// be emptied. Containers whose layers other stores have too are no use, even
// where they are mounted from s: the first store that has a layer gives it.
func (r *Root) Uses(s *Slot, node Node) ([]Use, error) {
	g, err := r.newGate(s, node)
	if err != nil {
		return nil, err
	}
	return g.uses(), nil
}

// gate knows who has which layer.
type gate struct {
	slot    *Slot
	primary *store.Primary
	// parents are of all layers of the primary store and of the slot.
	parents map[string]string
	// only are the IDs of the layers and images that nobody but the slot has;
	// held are all layers of the slot.
	only, held map[string]bool
	// names are of the slot's images, by ID and by top layer, components by ID.
	names, components map[string]string
	live              []liveMount
	// lost is what goes with the slot, and named who names images.
	lost  *lost
	named *imagelist.List
	// node are what the node itself needs the slot for.
	node []Use
	// readers are the containers that are mounted from the slot, by their
	// layer; uses finds them.
	readers []string
}

func (r *Root) newGate(s *Slot, node Node) (*gate, error) {
	g := &gate{
		slot: s, primary: new(store.Primary), parents: make(map[string]string),
		only: make(map[string]bool), held: make(map[string]bool), names: make(map[string]string),
		lost: newLost(s.Store), named: node.Named, components: s.components(),
	}
	for _, l := range s.Store.Layers {
		g.parents[l.ID], g.held[l.ID], g.only[l.ID] = l.Parent, true, true
	}
	for _, img := range s.Store.Images {
		g.only[img.ID] = true
		if len(img.Names) > 0 {
			g.names[img.ID] = img.Names[0]
			g.names[img.TopLayer] = img.Names[0]
		}
	}
	for _, path := range append([]string{r.Path(s.Name.Other())}, node.Stores...) {
		if path == r.Path(s.Name) {
			continue
		}
		other, err := store.Open(store.Files(path))
		if err != nil {
			continue // what cannot be read has nothing
		}
		g.lost.keep(other)
		for _, l := range other.Layers {
			delete(g.only, l.ID)
		}
		for _, img := range other.Images {
			delete(g.only, img.ID)
		}
	}
	for _, root := range node.GraphRoots {
		primary, err := store.ReadPrimary(store.Files(root))
		if err != nil {
			return nil, fmt.Errorf("reading the primary store %s: %w", root, err)
		}
		g.primary.Images = append(g.primary.Images, primary.Images...)
		g.primary.Layers = append(g.primary.Layers, primary.Layers...)
		g.primary.Containers = append(g.primary.Containers, primary.Containers...)
	}
	for _, l := range g.primary.Layers {
		g.parents[l.ID] = l.Parent
		delete(g.only, l.ID)
		delete(g.held, l.ID)
	}
	for _, img := range g.primary.Images {
		delete(g.only, img.ID)
	}
	var err error
	if g.node, err = r.nodeUses(s, node); err != nil {
		return nil, err
	}
	g.live, err = liveMounts(node.Proc)
	return g, err
}

// needs returns the first layer of set in the chain that begins at id.
func (g *gate) needs(id string, set map[string]bool) string {
	for seen := 0; id != "" && seen <= len(g.parents); seen++ {
		if set[id] {
			return id
		}
		id = g.parents[id]
	}
	return ""
}

func (g *gate) uses() []Use {
	var uses []Use
	told := make(map[string]bool) // layers of the primary store that a use covers
	live := make(map[string]*liveMount)
	for i := range g.live {
		live[g.live[i].upperLayer] = &g.live[i]
	}
	for _, c := range g.primary.Containers {
		m := live[c.LayerID]
		running := m != nil && m.from(g.slot.Path, g.needs(c.LayerID, g.held) != "")
		if running {
			g.readers = append(g.readers, m.upperLayer)
		}
		if g.needs(c.LayerID, g.only) != "" || g.only[c.ImageID] {
			u := Use{Kind: Container, Name: nameOf(c.Names, c.ID), Image: g.imageName(c.ImageID), Running: running}
			u.Component = g.components[c.ImageID]
			u.inPod(u.Name)
			uses = append(uses, u)
		}
		g.cover(told, c.LayerID)
		delete(live, c.LayerID)
	}
	for _, img := range g.primary.Images {
		if g.needs(img.TopLayer, g.only) != "" {
			uses = append(uses, Use{Kind: Image, Name: nameOf(img.Names, img.ID)})
		}
		g.cover(told, img.TopLayer)
	}
	for _, l := range g.primary.Layers {
		if !told[l.ID] && g.needs(l.ID, g.only) != "" {
			uses = append(uses, Use{Kind: Layer, Name: nameOf(l.Names, l.ID)})
		}
	}
	var owners owners
	pods := make(map[string]bool)
	for i := range g.live {
		m := &g.live[i]
		if live[m.upperLayer] == nil || !m.from(g.slot.Path, false) {
			continue
		}
		delete(live, m.upperLayer)
		if u := owners.mount(m); u.Pod == "" || !pods[u.Name] {
			pods[u.Name] = true
			uses = append(uses, u)
		}
	}
	slices.SortStableFunc(uses, func(a, b Use) int { return strings.Compare(a.Name, b.Name) })
	return slices.Concat(g.node, uses, g.lost.uses(g.named))
}

// cover marks the layers of the primary store below id as told of.
func (g *gate) cover(told map[string]bool, id string) {
	for ; id != "" && !told[id]; id = g.parents[id] {
		told[id] = true
	}
}

func (g *gate) imageName(id string) string {
	if name := g.names[id]; name != "" {
		return name
	}
	for _, img := range g.primary.Images {
		if img.ID == id {
			return nameOf(img.Names, id)
		}
	}
	return id
}

func nameOf(names []string, id string) string {
	if len(names) > 0 {
		return names[0]
	}
	return id
}
