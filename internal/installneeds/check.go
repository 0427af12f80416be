package installneeds

import (
	"slices"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/imagelist/release"
)

// What is missing.
const (
	// MissingImage says that the bundle does not hold the image.
	MissingImage = "image"
	// MissingOriginals says that the bundle holds the image without the registry's own layers,
	// which the asking program reads.
	MissingOriginals = "original layers"
)

// Missing is an image that an installation would ask for in vain.
type Missing struct {
	// Component is the image's name in the release, "release image" for that itself.
	Component string `json:"component"`
	// Ref is the reference by digest.
	Ref string `json:"ref"`
	// What is "image" or "original layers": the bundle has the image, but not the registry's
	// own bytes of its layers.
	What string `json:"what"`
	// AskedBy are the programs that ask for it.
	AskedBy []string `json:"askedBy"`
}

// Report is what Check found.
type Report struct {
	// Needed is how many images of the release an installation asks for.
	Needed int `json:"needed"`
	// Missing are those of them that the bundle lacks, in the order in which they are asked for.
	Missing []Missing `json:"missing"`
	// OtherPlatforms are components that the bundle lacks and that only clusters on a
	// platform of their own ask for, as aws-ebs-csi-driver.
	OtherPlatforms []string `json:"otherPlatforms,omitempty"`
}

// Check tells what an installation of the release p would miss in the bundle.
func Check(inv *bundle.Inventory, p *release.Payload, f Flavor) Report {
	held := make(map[string]*bundle.Image, len(inv.Images))
	for i := range inv.Images {
		img := &inv.Images[i]
		held[img.Ref] = img
		for _, name := range img.Names {
			held[name] = img
		}
	}
	refs := map[string]string{releaseImage: p.Image}
	for _, c := range p.Components {
		refs[c.Name] = c.Ref
	}
	rep := Report{Missing: []Missing{}}
	counted := make(map[string]bool)
	for _, n := range needs(f, p.Components) {
		if !counted[n.component] {
			counted[n.component] = true
			rep.Needed++
		}
		ref := refs[n.component]
		img := held[ref]
		switch {
		case img == nil:
			rep.add(n, ref, MissingImage)
		case n.original && !img.Original:
			rep.add(n, ref, MissingOriginals)
		}
	}
	for _, c := range p.Components {
		if held[c.Ref] == nil && !counted[c.Name] {
			rep.OtherPlatforms = append(rep.OtherPlatforms, c.Name)
		}
	}
	slices.Sort(rep.OtherPlatforms)
	return rep
}

// add puts a need down as missing: once for what is missing of a component, with all that ask for it.
func (r *Report) add(n need, ref, what string) {
	for i := range r.Missing {
		if m := &r.Missing[i]; m.Component == n.component && m.What == what {
			m.AskedBy = append(m.AskedBy, n.asks...)
			return
		}
	}
	r.Missing = append(r.Missing, Missing{Component: n.component, Ref: ref, What: what, AskedBy: slices.Clone(n.asks)})
}
