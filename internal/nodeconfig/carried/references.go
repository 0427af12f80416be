// Package carried reads from bundles and stores what configuration is made of: their
// references and the signatures of releases.
package carried

import (
	"context"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/nodeseal/nodeseal/bundle"
	"github.com/nodeseal/nodeseal/internal/madeby"
	"github.com/nodeseal/nodeseal/internal/trust"
)

// Contents are the images of a bundle, as configuration needs them.
type Contents struct {
	// All are the references of container images by digest, sorted, and what their layers take
	// unpacked.
	All Images
	// OS are those of operating systems; Originals says that the bundle keeps the layers of
	// all of them as a registry has them.
	OS        Images
	Originals bool
	// Artifacts says that the bundle has OCI artifacts besides.
	Artifacts bool
	// From names the bundle, for what is made from it.
	From []string
}

// Images are references, and what their layers take unpacked, in bytes.
type Images struct {
	Refs     []string
	Unpacked int64
}

// Read returns the contents of the bundle at path; by says whose signature it must have.
func Read(ctx context.Context, path string, by trust.Bundle) (Contents, error) {
	f, err := by.Open(ctx, path)
	if err != nil {
		return Contents{}, err
	}
	defer f.Close() //nolint:errcheck // read only
	out := contents(f.Inventory())
	out.From = madeby.Of("bundle "+path, f.RawInventory(), f.Inventory())
	return out, nil
}

func contents(inv *bundle.Inventory) Contents {
	var systems []bundle.Image
	originals := true
	pinned := slices.DeleteFunc(slices.Clone(inv.Images), func(img bundle.Image) bool { return img.Artifact })
	for _, img := range pinned {
		if img.Role == bundle.RoleOS {
			systems = append(systems, img)
			originals = originals && img.Original
		}
	}
	return Contents{
		All: images(pinned), OS: images(systems), Originals: originals && len(systems) > 0,
		Artifacts: inv.HasArtifact(),
	}
}

func images(all []bundle.Image) Images {
	var out Images
	counted := make(map[digest.Digest]bool)
	for _, img := range all {
		for _, name := range append([]string{img.Ref}, img.Names...) {
			if strings.Contains(name, "@") {
				out.Refs = append(out.Refs, name)
			}
		}
		for _, l := range img.Layers {
			if !counted[l.DiffID] {
				counted[l.DiffID] = true
				out.Unpacked += l.DiffSize
			}
		}
	}
	slices.Sort(out.Refs)
	out.Refs = slices.Compact(out.Refs)
	return out
}
