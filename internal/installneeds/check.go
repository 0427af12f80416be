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
	// Platform is that of the machines that ask, as linux/arm64: a reference to a list means
	// another image on each.
	Platform string `json:"platform,omitempty"`
	// What is "image" or "original layers": the bundle has the image, but not the registry's
	// own bytes of its layers.
	What string `json:"what"`
	// AskedBy are the programs that ask for it.
	AskedBy []string `json:"askedBy"`
}

// Report is what Check found.
type Report struct {
	// Needed is how many images of the release an installation asks for, those of each of
	// Platforms counted.
	Needed int `json:"needed"`
	// Platforms are those of machines that the bundle has the release image for, as linux/amd64.
	Platforms []string `json:"platforms,omitempty"`
	// ClusterPlatforms are the values of platform in install-config.yaml that this is told for.
	ClusterPlatforms []string `json:"clusterPlatforms,omitempty"`
	// Missing are those of them that the bundle lacks, in the order in which they are asked for.
	Missing []Missing `json:"missing"`
	// OtherPlatforms are components that the bundle lacks and that only clusters on another
	// of the ClusterPlatforms ask for, as aws-ebs-csi-driver.
	OtherPlatforms []string `json:"otherPlatforms,omitempty"`
}

// Check tells what an installation of the release p would miss in the bundle, on each of the
// platforms that it has the release image for.
func Check(inv *bundle.Inventory, p *release.Payload, f Flavor) Report {
	held := byName(inv)
	rep := Report{Missing: []Missing{}, ClusterPlatforms: clusterPlatforms()}
	for _, img := range held[p.Image] {
		if name := platformOf(img); name != "" && !slices.Contains(rep.Platforms, name) {
			rep.Platforms = append(rep.Platforms, name)
		}
	}
	slices.Sort(rep.Platforms)
	for _, platform := range rep.Platforms {
		rep.check(held, platform, p, f)
	}
	if len(rep.Platforms) == 0 {
		rep.check(held, "", p, f)
	}
	slices.Sort(rep.OtherPlatforms)
	rep.OtherPlatforms = slices.Compact(rep.OtherPlatforms)
	return rep
}

// check adds what machines of a platform would miss.
func (r *Report) check(held holdings, platform string, p *release.Payload, f Flavor) {
	refs := map[string]string{releaseImage: p.Image}
	for _, c := range p.Components {
		refs[c.Name] = c.Ref
	}
	counted := make(map[string]bool)
	for _, n := range needs(f, p.Components) {
		if !counted[n.component] {
			counted[n.component] = true
			r.Needed++
		}
		ref := refs[n.component]
		img := held.image(ref, platform)
		switch {
		case img == nil:
			r.add(n, Missing{Ref: ref, Platform: platform, What: MissingImage})
		case n.original && !img.Original:
			r.add(n, Missing{Ref: ref, Platform: platform, What: MissingOriginals})
		}
	}
	for _, c := range p.Components {
		if held.image(c.Ref, platform) == nil && !counted[c.Name] {
			r.OtherPlatforms = append(r.OtherPlatforms, c.Name)
		}
	}
}

// holdings are the images of a bundle by each of their names. One name may stand on an image of each platform.
type holdings map[string][]*bundle.Image

func byName(inv *bundle.Inventory) holdings {
	held := make(holdings, len(inv.Images))
	for i := range inv.Images {
		img := &inv.Images[i]
		for _, name := range append([]string{img.Ref}, img.Names...) {
			held[name] = append(held[name], img)
		}
	}
	return held
}

// image returns what a machine of the platform gets for a name, nil for nothing. Only a list has
// an image for each platform: a name of one image means that one on all of them.
func (h holdings) image(name, platform string) *bundle.Image {
	for _, img := range h[name] {
		if img.Index == "" || platformOf(img) == platform {
			return img
		}
	}
	return nil
}

// platformOf is an image's platform as os/architecture: its variant is written in some images of a
// release and not in others.
func platformOf(img *bundle.Image) string {
	if img.Platform == nil {
		return ""
	}
	return img.Platform.OS + "/" + img.Platform.Architecture
}

// add puts a need down as missing: once for what is missing of a component, with all that ask for it.
func (r *Report) add(n need, missing Missing) {
	for i := range r.Missing {
		if m := &r.Missing[i]; m.Component == n.component && m.Platform == missing.Platform && m.What == missing.What {
			m.AskedBy = append(m.AskedBy, n.asks...)
			return
		}
	}
	missing.Component, missing.AskedBy = n.component, slices.Clone(n.asks)
	r.Missing = append(r.Missing, missing)
}
